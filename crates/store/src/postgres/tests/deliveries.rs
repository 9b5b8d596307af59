//! Replicas that send from one database.

use ::budget::{
    Deliveries, DeliveryFilter, DeliveryState, Ended, NewDelivery, Outbox, Pace, Severity, Topic,
    Upkeep,
};
use jiff::SignedDuration;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_send_together_send_each_once() {
    let database = Database::make().await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(database.store(Options::default()).await));
    }
    let now = now();
    let new = (0..60).map(|number| NewDelivery {
        key: format!("key-{number}"),
        topic: Topic::Test,
        severity: Severity::Info,
        recipient: None,
        facts: "{}".to_owned(),
        at: now,
        due_at: now,
        state: DeliveryState::Pending,
    });
    replicas[0].plan("mail", None, new.collect(), now).await.unwrap();
    let pace = Pace { group_most: 2, burst: 1_000, ..Pace::default() };
    let send = |store: Arc<Postgres>| {
        let pace = pace.clone();
        async move {
            let mut sent = Vec::new();
            while let Some(claimed) = store.claim("mail", &pace, now).await.unwrap() {
                assert!(store.finish(claimed.lease, Ended::Delivered, now).await.unwrap());
                sent.extend(claimed.deliveries.into_iter().map(|one| one.key));
            }
            sent
        }
    };
    let sending: Vec<_> = replicas.iter().cloned().map(|one| tokio::spawn(send(one))).collect();
    let mut sent = Vec::new();
    for one in sending {
        sent.extend(one.await.unwrap());
    }
    sent.sort();
    let count = sent.len();
    sent.dedup();
    assert_eq!((count, sent.len()), (60, 60));
    for replica in replicas {
        replica.close().await;
    }
    database.drop().await;
}

#[tokio::test]
async fn a_replica_that_dies_while_it_sends_keeps_nothing_back() {
    let database = Database::make().await;
    let one = database.store(Options::default()).await;
    let (now, pace) = (now(), Pace::default());
    let new = NewDelivery {
        key: "key".to_owned(),
        topic: Topic::Test,
        severity: Severity::Info,
        recipient: None,
        facts: "{}".to_owned(),
        at: now,
        due_at: now,
        state: DeliveryState::Pending,
    };
    one.plan("mail", None, vec![new], now).await.unwrap();
    let lost = one.claim("mail", &pace, now).await.unwrap().unwrap();
    one.close().await;
    let other = database.store(Options::default()).await;
    assert_eq!(other.claim("mail", &pace, now).await.unwrap(), None);
    let later = now + pace.lease + SignedDuration::from_secs(1);
    let again = other.claim("mail", &pace, later).await.unwrap().unwrap();
    assert_eq!((again.batch, again.deliveries.len()), (lost.batch, 1));
    assert!(other.finish(again.lease, Ended::Delivered, later).await.unwrap());
    let all = other.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(all[0].state, DeliveryState::Delivered);
    other.close().await;
    database.drop().await;
}
