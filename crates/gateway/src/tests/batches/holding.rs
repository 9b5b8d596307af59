//! What is held for a batch: while the store is down, while others are in the way, and midway.

use focus::ModelName;

use super::*;

const HAIKU: &str = "claude-3-haiku-20240307";

/// A vendor that makes a batch, has ended it, and tells its results.
fn at_work(number: usize) -> Act {
    Act::Say(vec![match number {
        0 => state("in_progress"),
        1 => state("ended"),
        _ => results(),
    }])
}

fn open(config: &mut Config) {
    config.fail = Fail::Open;
    config.store_timeout = Duration::from_secs(1);
}

/// What a batch has cost whose store is back.
async fn costs(bench: &Bench) -> Vec<Money> {
    bench.store.set_down(false);
    bench.store.set_silent(false);
    bench.gateway.tend().await;
    assert_eq!(bench.gateway.spooled(), 0);
    bench.gateway.settle_batches().await;
    let calls = held(bench).await;
    assert!(calls.iter().all(|call| call.state == State::Settled), "{calls:?}");
    let mut costs: Vec<_> = calls.into_iter().filter_map(|call| call.cost).collect();
    costs.sort();
    costs
}

#[tokio::test]
async fn open_lets_a_batch_through_and_charges_it_when_the_store_is_back() {
    // Before it is held, after its first hold, and while the store says nothing.
    for (holds, is_silent) in [(0, false), (1, false), (0, true)] {
        let bench = Bench::with(at_work, open).await;
        bench.store.set_silent(is_silent);
        if !is_silent {
            bench.store.holds_left.store(holds, Ordering::SeqCst);
        }
        let made = bench.send("/v1/messages/batches", &batch()).await;
        assert_eq!((made.status.as_u16(), made.json()["id"].as_str()), (200, Some(ID)));
        assert_eq!(bench.store.holds.load(Ordering::SeqCst), holds + 1, "its failure is known");
        assert_eq!((bench.gateway.spooled(), bench.vendor.requests()), (1, 1));
        assert_eq!(held(&bench).await.len(), if is_silent { 1 } else { holds });
        assert_eq!(costs(&bench).await, [usd("0.0001875"), usd("0.00225")]);
    }
}

#[tokio::test]
async fn what_was_held_of_a_batch_that_was_let_through_and_refused_is_freed() {
    let refusal = answer(400, &json!({ "type": "error" }));
    let bench = Bench::with(move |_| Act::Say(vec![refusal.clone()]), open).await;
    bench.store.holds_left.store(1, Ordering::SeqCst);
    assert_eq!(bench.send("/v1/messages/batches", &batch()).await.status.as_u16(), 400);
    bench.store.set_down(false);
    bench.gateway.tend().await;
    let calls = held(&bench).await;
    assert_eq!((calls.len(), calls[0].state, bench.gateway.spooled()), (1, State::Released, 0));
}

#[tokio::test]
async fn a_batch_that_was_let_through_and_not_answered_is_charged_what_it_may_cost() {
    let bench = Bench::with(|_| Act::Say(vec![b"HTTP/1.1 200 OK\r\n".to_vec()]), open).await;
    bench.store.holds_left.store(0, Ordering::SeqCst);
    assert_eq!(bench.send("/v1/messages/batches", &batch()).await.status.as_u16(), 502);
    bench.store.set_down(false);
    bench.gateway.tend().await;
    let calls = held(&bench).await;
    assert_eq!((calls.len(), bench.gateway.spooled()), (2, 0));
    assert!(calls.iter().all(|call| call.actual.unwrap().estimated));
}

/// Makes a call, and tells once its vendor is at it.
async fn at_it(bench: &Arc<Bench>, body: Value) -> tokio::task::JoinHandle<Answer> {
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &body).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test]
async fn a_batch_waits_for_the_holds_of_others() {
    for (wait, status) in [(10, 200), (0, 429)] {
        let act = |number| match number {
            0 => Act::After(Duration::from_secs(1), answer(200, &message_answer(10, 50))),
            _ => Act::Say(vec![state("in_progress")]),
        };
        let change = |config: &mut Config| config.wait = Duration::from_secs(wait);
        let bench = Arc::new(Bench::with(act, change).await);
        // The call holds $0.0076 and costs $0.0008; the batch holds $0.0017.
        bench.limit("0.0085", Overflow::Refuse).await;
        let call = at_it(&bench, message()).await;
        let made = bench.send("/v1/messages/batches", &batch()).await;
        assert_eq!(made.status.as_u16(), status, "{}", String::from_utf8_lossy(&made.body));
        assert_eq!(call.await.unwrap().status.as_u16(), 200);
        let mut calls = held(&bench).await;
        calls.retain(|call| call.state == State::Held);
        assert_eq!(calls.len(), if status == 200 { 2 } else { 0 }, "{calls:?}");
    }
}

#[tokio::test]
async fn a_batch_comes_after_those_who_wait() {
    let act = |number| match number {
        0 => Act::After(Duration::from_secs(1), answer(200, &message_answer(10, 50))),
        1 => Act::Say(vec![answer(200, &message_answer(10, 50))]),
        _ => Act::Say(vec![state("in_progress")]),
    };
    let change = |config: &mut Config| config.wait = Duration::from_secs(10);
    let bench = Arc::new(Bench::with(act, change).await);
    bench.limit("0.0085", Overflow::Refuse).await;
    let first = at_it(&bench, message()).await;
    let second = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &message()).await })
    };
    // It tries twice before it waits.
    while bench.store.holds.load(Ordering::SeqCst) < 4 {
        assert!(!second.is_finished(), "it has not waited");
        tokio::task::yield_now().await;
    }
    // Beside the first call the batch would fit, the second does not.
    let mut body = batch();
    let small = body["requests"][2].take();
    body["requests"] = json!([small]);
    let made = bench.send("/v1/messages/batches", &body).await;
    assert_eq!(made.status.as_u16(), 200, "{}", String::from_utf8_lossy(&made.body));
    for call in [first, second] {
        assert_eq!(call.await.unwrap().status.as_u16(), 200);
    }
    let heard = bench.vendor.heard.lock().unwrap();
    assert!(heard[1].starts_with("POST /v1/messages "), "{heard:?}");
    assert!(heard[2].starts_with("POST /v1/messages/batches "), "{heard:?}");
}

#[tokio::test]
async fn a_batch_that_waits_in_vain_holds_nothing() {
    let change = |config: &mut Config| {
        config.wait = Duration::from_millis(100);
        config.upstreams[0].timeout = Duration::from_secs(5);
    };
    let bench = Arc::new(Bench::with(|_| Act::Hang(Vec::new()), change).await);
    let acme = TenantId::parse("acme").unwrap();
    let scope = Scope::model(acme, ModelName::parse(HAIKU).unwrap());
    // The hanging call holds $0.00063, the batch would hold $0.00007 beside $0.0017 for another.
    let budget = Budget::new(scope, usd("0.00065"), Timestamp::now()).unwrap();
    bench.store.memory.put(budget).await.unwrap();
    let mut body = message();
    body["model"] = json!(HAIKU);
    let call = at_it(&bench, body).await;
    let started = std::time::Instant::now();
    let made = bench.send("/v1/messages/batches", &batch()).await;
    assert_eq!(made.status.as_u16(), 429);
    assert!(started.elapsed() >= Duration::from_millis(100));
    let calls = held(&bench).await;
    let states: Vec<State> = calls.iter().map(|call| call.state).collect();
    assert_eq!(states, [State::Held, State::Released, State::Released], "quick, then tight");
    call.abort();
}

#[tokio::test]
async fn a_batch_does_not_wait_for_its_own_holds() {
    let change = |config: &mut Config| config.wait = Duration::from_secs(60);
    let bench = Bench::with(|_| Act::Say(vec![state("in_progress")]), change).await;
    let mut body = batch();
    body["requests"][1]["params"]["model"] = json!("claude-sonnet-4-5");
    // Either model's request fits, both together do not.
    bench.limit("0.001", Overflow::Refuse).await;
    let made =
        tokio::time::timeout(Duration::from_secs(10), bench.send("/v1/messages/batches", &body));
    let made = made.await.expect("nothing is waited for");
    assert_eq!(made.status.as_u16(), 429);
    assert!(!String::from_utf8_lossy(&made.body).contains("calls in flight"));
    assert!(held(&bench).await.iter().all(|call| call.state == State::Released));
}

#[tokio::test]
async fn a_batch_whose_making_ends_midway_holds_nothing() {
    let bench = Arc::new(Bench::start(|_| Act::Say(vec![state("in_progress")])).await);
    bench.store.panics_after.store(1, Ordering::SeqCst);
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages/batches", &batch()).await })
    };
    assert!(call.await.is_err_and(|error| error.is_panic()));
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].state), (1, State::Released));
    assert_eq!(bench.vendor.requests(), 0);
}

#[tokio::test]
async fn a_batch_that_may_have_been_made_is_not_made_again() {
    for (first, status, requests, state_of_holds) in [
        // A server in front of the vendor has not waited for him.
        (504, 504, 1, State::Held),
        (502, 502, 1, State::Held),
        (500, 500, 1, State::Released),
        // He says that he has not made it.
        (503, 200, 2, State::Held),
        (529, 200, 2, State::Held),
    ] {
        let act = move |number| match number {
            0 => Act::Say(vec![answer(first, &json!({ "type": "error" }))]),
            _ => Act::Say(vec![state("in_progress")]),
        };
        let bench = Bench::start(act).await;
        let made = bench.send("/v1/messages/batches", &batch()).await;
        assert_eq!((made.status.as_u16(), bench.vendor.requests()), (status, requests));
        assert!(held(&bench).await.iter().all(|call| call.state == state_of_holds), "{first}");
        let is_unsure = matches!(status, 502 | 504);
        let (retry, cost) =
            (made.headers.get("x-should-retry"), made.headers.get("x-bursar-cost-usd"));
        assert_eq!((retry.is_some(), cost.is_some()), (is_unsure, !is_unsure), "{first}");
    }
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_not_made_again() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{";
    for said in [Vec::new(), vec![cut.to_vec()]] {
        let bench = Bench::start(move |_| Act::Say(said.clone())).await;
        let made = bench.send("/v1/messages/batches", &batch()).await;
        assert_eq!((made.status.as_u16(), bench.vendor.requests()), (502, 1));
        assert_eq!(made.header("x-should-retry"), "false");
        assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
    }
}

#[tokio::test]
async fn a_refusal_that_breaks_off_frees_a_batch() {
    let cut = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{";
    let bench = Bench::start(|_| Act::Say(vec![cut.to_vec()])).await;
    let made = bench.send("/v1/messages/batches", &batch()).await;
    assert_eq!(made.status.as_u16(), 502);
    assert!(held(&bench).await.iter().all(|call| call.state == State::Released));
}
