//! Calls that go out without a hold: noted before, charged once, whatever becomes of their process.

use uuid::Uuid;

use super::{
    failing::{deliver, vendor},
    *,
};

/// A call that is let through, and that the vendor answers after a while.
async fn under_way() -> (Arc<Bench>, tokio::task::JoinHandle<Answer>) {
    let act = Act::After(Duration::from_secs(1), answer(200, &message_answer(1000, 500)));
    let open = |config: &mut Config| config.fail = Fail::Open;
    let bench = Arc::new(Bench::with(move |_| act.clone(), open).await);
    bench.store.set_down(true);
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages", &message()).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    (bench, call)
}

#[tokio::test]
async fn a_call_that_was_let_through_is_charged_though_its_process_has_ended() {
    let (bench, call) = under_way().await;
    // What a process leaves that is killed now, before it has the answer and after.
    let during = std::fs::read(bench.spool.path().join("0/usage.jsonl")).unwrap();
    call.await.unwrap();
    bench.spooled(1).await;
    let after = std::fs::read(bench.spool.path().join("0/usage.jsonl")).unwrap();
    for (left, is_known) in [(during, false), (after, true)] {
        let next = Bench::start(vendor).await;
        let there = next.spool.path().join("1");
        std::fs::create_dir(&there).unwrap();
        std::fs::write(there.join("lock"), "").unwrap();
        std::fs::write(there.join("usage.jsonl"), left).unwrap();
        deliver(&next).await;
        let calls = next.calls().await;
        let cost = calls[0].cost.unwrap();
        let is_estimated = calls[0].actual.unwrap().estimated;
        assert_eq!((calls.len(), is_estimated), (1, !is_known));
        assert!(if is_known { cost == usd("0.0105") } else { cost > usd("0.0075") }, "{cost}");
        assert_eq!(std::fs::read_dir(&there).unwrap().count(), 1, "its lock alone is left");
    }
}

#[tokio::test]
async fn a_call_that_was_let_through_is_not_charged_while_it_is_under_way() {
    let (bench, call) = under_way().await;
    bench.store.set_down(false);
    for _ in 0..3 {
        deliver(&bench).await;
    }
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 0));
    // Others are delivered beside it.
    bench.store.set_down(true);
    let key = Uuid::now_v7();
    let other = json!({ "release": key });
    let kept = bench.spool.path().join("0/usage.jsonl");
    std::fs::write(&kept, format!("{other}\n")).unwrap();
    bench.store.set_down(false);
    deliver(&bench).await;
    assert_eq!(bench.store.releases.load(Ordering::SeqCst), 1);
    call.await.unwrap();
    bench.spooled(1).await;
    deliver(&bench).await;
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].cost), (1, Some(usd("0.0105"))));
    assert!(!kept.exists() && !bench.spool.path().join("0/sending.jsonl").exists());
}

#[tokio::test]
async fn a_call_that_was_let_through_and_refused_by_its_vendor_costs_nothing() {
    let refusal = answer(400, &json!({ "error": {} }));
    let open = |config: &mut Config| config.fail = Fail::Open;
    let bench = Bench::with(move |_| Act::Say(vec![refusal.clone()]), open).await;
    bench.store.set_down(true);
    assert_eq!(bench.send("/v1/messages", &message()).await.status.as_u16(), 400);
    bench.spooled(1).await;
    bench.store.set_down(false);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 0));
}

#[tokio::test]
async fn a_call_that_neither_the_store_nor_the_spool_can_note_is_not_made() {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    std::fs::remove_dir_all(bench.spool.path().join("0")).unwrap();
    bench.store.set_down(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (503, 0));
}
