//! The budget store is down, before a call or in the middle of one.

use super::*;

fn vendor(_: usize) -> Act {
    Act::Say(vec![answer(200, &message_answer(1000, 500))])
}

/// Delivers what is spooled, as the gateway does beside calls.
async fn deliver(bench: &Bench) {
    bench.gateway.tend().await;
}

#[tokio::test]
async fn closed_means_that_no_call_is_made_without_its_hold() {
    let bench = Bench::start(vendor).await;
    bench.store.set_down(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (503, 0));
    assert_eq!(answer.json()["error"]["type"], "api_error");
    bench.store.set_down(false);
    assert_eq!(bench.send("/v1/messages", &message()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn open_lets_calls_through_and_charges_them_when_the_store_is_back() {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    bench.store.set_down(true);
    for _ in 0..5 {
        let answer = bench.send("/v1/messages", &message()).await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("x-bursar-cost-usd"), "0.0105");
    }
    bench.spooled(5).await;
    deliver(&bench).await;
    assert!(bench.calls().await.is_empty(), "the store is still down");
    bench.store.set_down(false);
    deliver(&bench).await;
    let calls = bench.calls().await;
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| call.cost == Some(usd("0.0105"))));
    deliver(&bench).await;
    assert_eq!(bench.calls().await.len(), 5, "nothing is charged twice");
}

#[tokio::test]
async fn a_charge_that_the_store_can_not_take_is_kept_for_later() {
    let wait = Duration::from_millis(200);
    let act = Act::After(wait, answer(200, &message_answer(1000, 500)));
    let bench = Arc::new(Bench::start(move |_| act.clone()).await);
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &message()).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    bench.store.set_down(true);
    assert_eq!(call.await.unwrap().status.as_u16(), 200);
    bench.spooled(1).await;
    bench.store.set_down(false);
    deliver(&bench).await;
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].cost), (1, Some(usd("0.0105"))));
}

#[tokio::test]
async fn a_hold_that_can_not_be_freed_now_is_freed_when_the_store_is_back() {
    let act = Act::After(Duration::from_millis(200), answer(400, &json!({ "error": {} })));
    let bench = Arc::new(Bench::start(move |_| act.clone()).await);
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &message()).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    bench.store.set_down(true);
    assert_eq!(call.await.unwrap().status.as_u16(), 400);
    bench.spooled(1).await;
    deliver(&bench).await;
    assert_eq!(bench.gateway.spooled(), 1, "the store is still down");
    bench.store.set_down(false);
    deliver(&bench).await;
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].state, calls[0].cost), (1, State::Released, None));
    assert_eq!(bench.gateway.spooled(), 0);
}

#[tokio::test]
async fn a_hold_that_was_made_without_an_answer_is_freed() {
    let bench = Bench::start(vendor).await;
    bench.store.set_mute(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (503, 0));
    bench.store.set_mute(false);
    bench.spooled(1).await;
    deliver(&bench).await;
    assert_eq!(bench.calls().await[0].state, State::Released);
}

#[tokio::test]
async fn a_store_that_says_nothing_counts_as_down() {
    let quick = |config: &mut Config| config.store_timeout = Duration::from_millis(50);
    let bench = Bench::with(vendor, quick).await;
    bench.store.set_silent(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (503, 0));
    bench.spooled(1).await;
    deliver(&bench).await;
    assert_eq!(bench.calls().await[0].state, State::Released);
    let open = |config: &mut Config| (quick(config), config.fail = Fail::Open).1;
    let bench = Bench::with(vendor, open).await;
    bench.store.set_silent(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (200, 1));
    let settled = async {
        while bench.calls().await[0].state != State::Settled {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), settled).await.unwrap();
    assert_eq!(bench.calls().await.len(), 1, "the hold that it has made is the call's");
}

#[tokio::test]
async fn freeing_what_was_never_held_is_no_failure() {
    let bench = Bench::start(vendor).await;
    bench.store.set_down(true);
    assert_eq!(bench.send("/v1/messages", &message()).await.status.as_u16(), 503);
    bench.spooled(1).await;
    bench.store.set_down(false);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 0));
    let rejected = bench.spool.path().join("0/rejected.jsonl");
    assert!(!rejected.exists());
}

impl Bench {
    async fn spooled(&self, records: usize) {
        let wait = async {
            while self.gateway.spooled() < records {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("the spool has them");
    }
}
