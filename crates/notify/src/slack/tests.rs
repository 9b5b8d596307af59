use super::*;
use crate::testing::{Reply, Sink, message};

#[tokio::test]
async fn a_message_is_blocks_and_a_name_mentions_nobody() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let slack = Slack::new(Endpoint::parse(&sink.url()).unwrap(), &None).unwrap();
    let mut message = message(25);
    message.items[0].what = "<!channel> & all".to_owned();
    slack.send(&message).await.unwrap();
    let [taken] = sink.taken().try_into().unwrap();
    let body = taken.json();
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{}", blocks.len());
    assert_eq!(blocks[0]["text"]["text"], message.subject.as_str());
    let first = blocks[1]["text"]["text"].as_str().unwrap();
    assert!(first.contains("&lt;!channel&gt; &amp; all"), "{first}");
    assert!(first.contains("*Limit:* $100.00"), "{first}");
}
