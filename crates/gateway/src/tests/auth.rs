//! How a vendor is shown its key.

use super::*;
use crate::Auth;

#[tokio::test]
async fn a_key_goes_under_the_header_that_its_vendor_wants_and_no_other() {
    let cases = [
        (None, "authorization: bearer the-vendors-key"),
        (Some(Auth::Bearer), "authorization: bearer the-vendors-key"),
        (Some(Auth::ApiKey), "api-key: the-vendors-key"),
        (Some(Auth::XApiKey), "x-api-key: the-vendors-key"),
    ];
    for (auth, expected) in cases {
        let act = Act::Say(vec![answer(400, &json!({}))]);
        let bench = Bench::with(
            move |_| act.clone(),
            |config| {
                config.upstreams[1].auth = auth;
            },
        );
        let bench = bench.await;
        bench.send("/v1/chat/completions", &chat(false)).await;
        let heard = bench.vendor.heard.lock().unwrap()[0].to_lowercase();
        let names = ["authorization:", "api-key:", "x-api-key:"];
        let keys: Vec<&str> =
            heard.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
        assert_eq!(keys, [expected], "{auth:?}");
    }
}

#[test]
fn an_unknown_way_to_show_a_key_is_told_with_those_there_are() {
    assert_eq!("api-key".parse(), Ok(Auth::ApiKey));
    let error = "basic".parse::<Auth>().unwrap_err();
    assert_eq!(error, r#""basic" is none of bearer, api-key, x-api-key"#);
}
