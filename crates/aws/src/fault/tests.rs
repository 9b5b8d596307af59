use super::*;

#[test]
fn all_of_awss_error_shapes_are_read() {
    let cases = [
        (r#"{"__type":"com.amazonaws.x#LimitExceededException","message":"slow"}"#, "slow"),
        (r#"{"__type":"LimitExceededException","Message":"slow"}"#, "slow"),
        ("<Error><Code>LimitExceededException</Code><Message>slow</Message><X/></Error>", "slow"),
        (
            "<ErrorResponse xmlns=\"u\"><Error><Type>Sender</Type>\
             <Code>LimitExceededException</Code></Error></ErrorResponse>",
            "",
        ),
    ];
    for (body, message) in cases {
        let said = said(400, body.as_bytes());
        assert_eq!(
            (said.code.as_str(), said.message.as_str()),
            ("LimitExceededException", message)
        );
        assert!(said.is_later());
    }
}

#[test]
fn a_body_of_somebody_else_is_told_by_its_status() {
    for body in ["", "<html>secret</html>", "{}", "\u{fffd}", "[1"] {
        let said = said(502, body.as_bytes());
        assert_eq!(said.code, "status 502", "{body}");
        assert!(!said.message.contains("secret") && !said.is_later());
    }
}
