use super::*;
use crate::testing::{Reply, Sink, message};

#[tokio::test]
async fn an_incident_begins_and_ends_under_one_key() {
    let sink = Sink::start(vec![Reply::status(202), Reply::status(202)]).await;
    let endpoint = Endpoint::parse(&sink.url()).unwrap();
    let key = SecretString::from("R0123456789");
    let pager = PagerDuty::new(endpoint, key, &None).unwrap();
    let mut message = message(1);
    pager.send(&message).await.unwrap();
    message.items[0].topic = Topic::BudgetReset;
    pager.send(&message).await.unwrap();
    let [begun, ended] = sink.taken().try_into().unwrap();
    let (begun, ended) = (begun.json(), ended.json());
    assert_eq!(
        (&begun["event_action"], &ended["event_action"]),
        (&json!("trigger"), &json!("resolve"))
    );
    assert_eq!(begun["dedup_key"], ended["dedup_key"]);
    assert_eq!(begun["routing_key"], "R0123456789");
    assert_eq!(begun["payload"]["severity"], "warning");
    assert_eq!(begun["payload"]["source"], "acme");
    assert_eq!(dedup_key(&"x".repeat(256)).len(), 64);
}
