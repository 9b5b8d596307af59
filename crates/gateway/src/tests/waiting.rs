//! Calls that fit but for the holds of others.

use super::*;

/// Makes `count` calls at a time, of $0.0105 each, and tells how many were served.
async fn flood(bench: &Arc<Bench>, count: usize, body: &Value) -> usize {
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let (bench, body) = (bench.clone(), body.clone());
            tokio::spawn(async move { bench.send("/v1/messages", &body).await.status.as_u16() })
        })
        .collect();
    let mut served = 0;
    for call in calls {
        match call.await.unwrap() {
            200 => served += 1,
            429 => {}
            other => panic!("answered {other}"),
        }
    }
    bench.settled().await;
    served
}

fn body() -> Value {
    let mut body = message();
    body["messages"][0]["content"] = json!("budget ".repeat(480));
    body
}

fn vendor(_: usize) -> Act {
    Act::After(Duration::from_millis(20), answer(200, &message_answer(1000, 500)))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_waiting_the_budget_is_used_to_the_last_call_that_fits() {
    let bench = Arc::new(Bench::start(vendor).await);
    bench.limit("0.3", Overflow::Refuse).await;
    // 28 calls of $0.0105 are $0.294.
    assert_eq!(flood(&bench, 100, &body()).await, 28);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_waiting_it_is_never_exceeded_either() {
    let bench = Bench::with(vendor, |config| config.wait = Duration::ZERO).await;
    let bench = Arc::new(bench);
    bench.limit("0.3", Overflow::Refuse).await;
    let served = flood(&bench, 100, &body()).await;
    assert!((1..=28).contains(&served), "{served}");
}

#[tokio::test]
async fn a_wait_has_an_end() {
    let bench = Bench::with(
        |_| Act::Hang(Vec::new()),
        |config| {
            config.wait = Duration::from_millis(100);
            config.upstreams[0].timeout = Duration::from_secs(5);
        },
    );
    let bench = Arc::new(bench.await);
    bench.limit("0.0106", Overflow::Refuse).await;
    let first = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &message()).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    let started = std::time::Instant::now();
    let second = bench.send("/v1/messages", &message()).await;
    assert_eq!(second.status.as_u16(), 429);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(100) && waited < Duration::from_secs(4));
    assert_eq!(second.header("x-should-retry"), "false");
    first.await.unwrap();
}
