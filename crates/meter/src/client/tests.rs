use super::*;

#[test]
fn an_address_is_written_as_a_browser_would() {
    for (given, base) in [
        ("http://127.0.0.1:3010", Some("http://127.0.0.1:3010")),
        ("HTTP://Bursar.Finops:80/", Some("http://bursar.finops")),
        ("https://host:443/budget//", Some("https://host/budget")),
        ("http://[::1]:3010", Some("http://[::1]:3010")),
        ("http://user:secret@host", None),
        ("http://host/?token=1", None),
        ("http://host/#top", None),
        ("ftp://host", None),
        ("host:3010", None),
        ("", None),
    ] {
        assert_eq!(super::base(given).as_deref(), base, "{given}");
    }
}

#[test]
fn a_token_appears_nowhere() {
    let mut client = Client::new("http://127.0.0.1:1", None).unwrap();
    client.set_token("a-secret-token".into()).unwrap();
    assert!(!format!("{client:?}").contains("a-secret"));
    for wrong in ["", "two words", "line\nfeed", "ümlaut"] {
        let error = client.set_token(wrong.into()).unwrap_err();
        assert!(wrong.is_empty() || !format!("{error} {error:?}").contains(wrong));
    }
}

#[test]
fn authorities_that_can_t_be_read_are_told() {
    for wrong in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = Client::new("https://host", Some(wrong.as_bytes())).unwrap_err();
        assert!(matches!(error, SetupError::Certificates(_)), "{wrong:?}");
    }
}
