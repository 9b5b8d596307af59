//! Several replicas on one database.

use std::sync::atomic::{AtomicUsize, Ordering};

use ::budget::{Budget, Budgets, EscrowError, Records, Upkeep};
use focus::Scope;
use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_never_exceed_a_limit() {
    const TRIES: usize = 5_000;
    let database = Database::make().await;
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(database.store(Options::default()).await));
    }
    let budget = Budget::new(Scope::tenant(tenant("acme")), usd("10"), now()).unwrap();
    stores[0].put(budget).await.unwrap();
    let (accepted, next) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let client = |_| {
        let (stores, accepted, next) = (stores.clone(), accepted.clone(), next.clone());
        tokio::spawn(async move {
            let call = call("acme");
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= TRIES {
                    break;
                }
                let request = reserve(&call, "0.0105");
                let key = request.key;
                match stores[number % 3].reserve(request).await {
                    Ok(_) => {
                        let settled = stores[(number + 1) % 3].settle(settle(key, "0.0105")).await;
                        settled.unwrap();
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(EscrowError::Refused(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    };
    for done in join_all((0..100).map(client)).await {
        done.unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 952);
    let hand = database.hand().await;
    let row = "select current_usage_usd from ai_token_budgets";
    assert_eq!(text(&hand, row).await, "9.996000000");
    let found = stores[0].verify().await.unwrap();
    assert_eq!((found.entries, found.faults), (2 * 952, Vec::new()));
    for store in &stores {
        store.close().await;
    }
    database.drop().await;
}

#[tokio::test]
async fn one_key_sent_to_every_replica_is_charged_once() {
    let database = Database::make().await;
    let stores = [
        database.store(Options::default()).await,
        database.store(Options::default()).await,
        database.store(Options::default()).await,
    ];
    for number in 0..50 {
        let call = call(&format!("tenant-{number}"));
        let key = Uuid::new_v4();
        let track = || Settle { key, call: Some(call.clone()), actual: quote("0.5") };
        let (a, b, c) = tokio::join!(
            stores[0].settle(track()),
            stores[1].settle(track()),
            stores[2].settle(track())
        );
        let replays = [a, b, c].map(|outcome| usize::from(outcome.unwrap().replayed));
        assert_eq!(replays.iter().sum::<usize>(), 2);
        let lines = stores[0].status(&call.tenant, now()).await.unwrap();
        assert_eq!(lines[0].account.settled, usd("0.5"));
    }
    for store in &stores {
        store.close().await;
    }
    database.drop().await;
}

#[tokio::test]
async fn a_key_of_another_tenant_is_a_conflict_wherever_it_arrives() {
    let database = Database::make().await;
    let (one, two) =
        (database.store(Options::default()).await, database.store(Options::default()).await);
    for number in 0..30 {
        let mine = reserve(&call(&format!("mine-{number}")), "1");
        let theirs = Reserve { call: call(&format!("theirs-{number}")), ..mine.clone() };
        let (a, b) = tokio::join!(one.reserve(mine.clone()), two.reserve(theirs));
        let conflict = |result: &Result<Outcome, EscrowError>| match result {
            Err(EscrowError::Conflict(key)) => *key == mine.key,
            _ => false,
        };
        assert!(a.is_ok() && conflict(&b) || b.is_ok() && conflict(&a), "{a:?} {b:?}");
    }
    assert_eq!(one.verify().await.unwrap().faults, Vec::<String>::new());
    one.close().await;
    two.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_database_that_drops_every_connection_loses_nothing() {
    let database = Database::make().await;
    let store = Arc::new(database.store(Options::default()).await);
    let hand = database.hand().await;
    let end = "
        select count(pg_terminate_backend(pid))
        from pg_stat_activity
        where application_name = 'bursar'
            and datname = current_database()";
    let mut answered = 0;
    for _ in 0..20 {
        let call = call("acme");
        let charges = (0..10).map(|_| {
            let track = Settle {
                key: Uuid::new_v4(),
                call: Some(call.clone()),
                actual: quote("0.000000001"),
            };
            store.settle(track)
        });
        let (outcomes, _) = tokio::join!(join_all(charges), one(&hand, end));
        answered += outcomes.into_iter().filter(Result::is_ok).count();
    }
    assert_eq!(answered, 200, "each try that was cut off is made again");
    let found = store.verify().await.unwrap();
    assert_eq!((found.entries, found.faults), (200, Vec::new()));
    let entries = store.entries(::budget::LedgerFilter::default()).await.unwrap();
    assert_eq!(entries.len(), 200);
    store.close().await;
    database.drop().await;
}
