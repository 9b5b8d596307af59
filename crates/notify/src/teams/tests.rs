use super::*;
use crate::testing::{Reply, Sink, message};

#[tokio::test]
async fn a_message_is_a_card_and_a_name_is_no_link() {
    let sink = Sink::start(vec![Reply::status(202)]).await;
    let teams = Teams::new(Endpoint::parse(&sink.url()).unwrap(), &None).unwrap();
    let mut message = message(1);
    message.items[0].what = "[here](http://example.com)".to_owned();
    teams.send(&message).await.unwrap();
    let [taken] = sink.taken().try_into().unwrap();
    let body = taken.json();
    let card = &body["attachments"][0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    let blocks = card["body"].as_array().unwrap();
    assert_eq!(blocks[0]["text"], message.subject.as_str());
    assert_eq!(blocks[1]["text"], "\\[here\\](http://example.com)");
    assert_eq!(blocks[2]["facts"][0]["title"], "Spent");
    assert!(taken.body.len() < 28_000);
}

#[test]
fn a_card_is_never_too_large() {
    let mut message = message(10);
    for item in &mut message.items {
        item.what = "*".repeat(5_000);
        item.subject = "x".repeat(900);
    }
    assert!(body(&message, true).to_string().len() > CARD_MOST);
    assert!(body(&message, false).to_string().len() <= CARD_MOST);
}
