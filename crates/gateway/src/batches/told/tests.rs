//! Results are to be had here; all else is as the vendor has said it.

use super::*;

#[test]
fn results_are_to_be_had_here() {
    let of = |text: &str| told(Bytes::from(text.to_owned()));
    let (before, after) = (r#"{"id": "msgbatch_1", "results_url":"#, r#" ,"x":[1.0]}"#);
    let vendors = of(&format!(r#"{before}"https:\/\/api.anthropic.com/v1/x"{after}"#));
    assert_eq!(vendors, format!(r#"{before}"/v1/messages/batches/msgbatch_1/results"{after}"#));
    for same in [
        r#"{"id":"msgbatch_1","results_url":null}"#,
        r#"{"id":"msgbatch_1"}"#,
        r#"{"results_url":"https://x"}"#,
        r#"{"id":"#,
        "",
    ] {
        assert_eq!(of(same), same);
    }
}
