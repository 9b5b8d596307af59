use super::*;
use crate::testing::{Reply, Sink, authority};

fn body() -> Bytes {
    Bytes::from_static(b"{}")
}

async fn post(sink: &Sink, http: Http) -> Result<(), SendError> {
    http.post(&Endpoint::parse(&sink.url()).unwrap(), &HeaderMap::new(), body()).await
}

#[test]
fn an_address_is_https_or_on_this_machine_and_never_shown() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let read = Endpoint::parse(text);
        let read = read.as_ref().map(Endpoint::host).map_err(String::as_str);
        match (read, expected) {
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
            (found, wanted) => assert_eq!(found, wanted, "{text}"),
        }
    };
    check("https://hooks.slack.com/services/T0/B0/secret", Ok("hooks.slack.com"));
    check("http://127.0.0.1:9/x", Ok("127.0.0.1"));
    check("http://[::1]:9/x", Ok("[::1]"));
    check("http://localhost/x", Ok("localhost"));
    check("http://localhost.example.com/x", Err("https://"));
    check("http://hooks.slack.com/x", Err("https://"));
    check("ftp://hooks.slack.com/x", Err("https://"));
    check("https://me:secret@example.com/", Err("password"));
    check("secret", Err("https://"));
    let secret = Endpoint::parse("https://hooks.slack.com/services/T0/B0/secret").unwrap();
    assert!(!format!("{secret:?}").contains("secret"));
}

#[test]
fn what_an_answer_asks_for_is_read() {
    let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
    let seconds = |text| retry_after(text, now).map(|after| after.as_secs());
    assert_eq!(seconds("120"), Some(120));
    assert_eq!(seconds("Thu, 26 Nov 2026 12:01:00 GMT"), Some(60));
    assert_eq!(seconds("Thu, 26 Nov 2026 11:00:00 GMT"), Some(0));
    assert_eq!(seconds("soon"), None);
}

#[tokio::test]
async fn every_way_to_fail_is_told_apart() {
    let check = async |reply: Reply, expected: Result<(), SendError>| {
        let sink = Sink::start(vec![reply]).await;
        let found = post(&sink, Http::new(&None).unwrap()).await;
        assert_eq!(found, expected);
    };
    let later = |why: &str, after: Option<i64>| {
        let after = after.map(SignedDuration::from_secs);
        Err(SendError::Later { why: why.to_owned(), after })
    };
    let never = |why: &str| Err(SendError::Never { why: why.to_owned() });
    check(Reply::status(202), Ok(())).await;
    check(Reply::status(500), later("127.0.0.1 answers 500 Internal Server Error", None)).await;
    let busy = Reply { headers: "retry-after: 7\r\n", ..Reply::status(429) };
    check(busy, later("127.0.0.1 answers 429 Too Many Requests", Some(7))).await;
    let wrong = Reply { body: "no_text\r\n".to_owned(), ..Reply::status(400) };
    check(wrong, never("127.0.0.1 answers 400 Bad Request: no_text")).await;
    let elsewhere = Reply { headers: "location: http://127.0.0.1:9/\r\n", ..Reply::status(302) };
    let told = "127.0.0.1 answers 302 Found: give the address that it leads to";
    check(elsewhere, later(told, None)).await;
    let endless = Reply { body: "x".repeat(1 << 20), ..Reply::status(503) };
    check(endless, later("127.0.0.1 answers 503 Service Unavailable", None)).await;
}

#[tokio::test]
async fn who_is_down_slow_or_cuts_off_is_left_within_the_time() {
    let down = Sink::start(vec![]).await;
    let url = down.url();
    drop(down);
    let endpoint = Endpoint::parse(&url).unwrap();
    let http = Http::new(&None).unwrap();
    let error = http.post(&endpoint, &HeaderMap::new(), body()).await.unwrap_err();
    assert!(error.to_string().contains("can't be reached"), "{error}");

    let slow = Sink::start(vec![Reply::silence()]).await;
    let http = Http::new(&None).unwrap().with_total(Duration::from_millis(200));
    let begun = std::time::Instant::now();
    let error = post(&slow, http).await.unwrap_err();
    assert!(error.to_string().contains("has not answered in 0.2 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));

    let rude = Sink::start(vec![Reply::hang_up()]).await;
    let error = post(&rude, Http::new(&None).unwrap()).await.unwrap_err();
    assert!(matches!(error, SendError::Later { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (certificate, key) = authority();
    let sink = Sink::start_tls(vec![Reply::status(200)], &certificate, &key).await;
    let error = post(&sink, Http::new(&None).unwrap()).await.unwrap_err();
    assert!(matches!(error, SendError::Later { .. }), "{error}");
    assert_eq!(sink.taken().len(), 0);
    let trusting = Http::new(&Some(certificate.into_bytes())).unwrap();
    post(&sink, trusting).await.unwrap();
    assert_eq!(sink.taken().len(), 1);
}
