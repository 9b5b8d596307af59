//! The budget store is down, before a call or in the middle of one.

use budget::KeyRecord;
use focus::ModelName;
use uuid::Uuid;

use super::*;

pub(super) fn vendor(_: usize) -> Act {
    Act::Say(vec![answer(200, &message_answer(1000, 500))])
}

/// Delivers what is spooled, as the gateway does beside calls.
pub(super) async fn deliver(bench: &Bench) {
    bench.gateway.tend().await;
}

/// A call that another tenant pays.
async fn pays(bench: &Bench, tenant: &str) {
    let request = Request::post("/v1/messages")
        .header("x-tenant-id", tenant)
        .body(Full::new(Bytes::from(message().to_string())))
        .unwrap();
    read(bench.gateway.answer(request, IpAddr::from([127, 0, 0, 1])).await).await;
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
async fn open_knows_the_keys_of_those_who_have_called_before() {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    bench.add_key("bsr_known").await;
    let revoked = bench.add_key("bsr_revoked").await;
    bench.add_key("bsr_new").await;
    let call = async |secret: &str| bench.call_with(secret).await.status.as_u16();
    assert_eq!((call("bsr_known").await, call("bsr_revoked").await), (200, 200));
    bench.store.memory.revoke_key(revoked, Timestamp::now()).await.unwrap();
    assert_eq!(call("bsr_revoked").await, 401);
    bench.store.set_down(true);
    let answers = (call("bsr_known").await, call("bsr_revoked").await, call("bsr_new").await);
    assert_eq!(answers, (200, 401, 503));
}

#[tokio::test]
async fn closed_lets_nobody_in_whose_key_it_can_not_look_up() {
    let bench = Bench::start(vendor).await;
    bench.store.set_down(true);
    assert_eq!(bench.call_with("bsr_known").await.status.as_u16(), 503);
}

#[tokio::test]
async fn a_store_that_fails_between_a_refusal_and_what_the_budget_wants_instead_is_down() {
    for (fail, expected) in [(Fail::Closed, 503), (Fail::Open, 200)] {
        let bench = Bench::with(vendor, |config| config.fail = fail).await;
        let haiku = ModelName::parse("claude-3-haiku-20240307").unwrap();
        bench.limit("0.001", Overflow::Fallback(vec![haiku.clone()])).await;
        // The tight bound is tried after the quick one.
        bench.store.holds_left.store(1, Ordering::SeqCst);
        let answer = bench.send("/v1/messages", &message()).await;
        assert_eq!(answer.status.as_u16(), expected);
        // Open: the charge; closed: the release of a hold that may have been made.
        bench.spooled(1).await;
        bench.store.set_down(false);
        deliver(&bench).await;
        let calls = bench.calls().await;
        assert_eq!(calls.len(), usize::from(fail == Fail::Open));
        assert!(calls.iter().all(|call| call.call.model == haiku));
    }
}

#[tokio::test]
async fn a_silent_store_is_waited_for_once_and_heard_when_it_is_back() {
    let change = |config: &mut Config| {
        config.store_timeout = Duration::from_millis(500);
        config.fail = Fail::Open;
        // Places are free again although the store says nothing to any charge.
        config.calls_most = 5;
    };
    let bench = Bench::with(vendor, change).await;
    bench.add_key("bsr_known").await;
    // Its key is known then, and not what room it has: the store would be asked twice.
    let unpriced = json!({ "model": "claude-none", "max_tokens": 1, "messages": [] });
    assert_eq!(bench.ask("bsr_known", &unpriced).await.status.as_u16(), 400);
    bench.store.set_silent(true);
    let started = tokio::time::Instant::now();
    for call in 0..10 {
        assert_eq!(bench.call_with("bsr_known").await.status.as_u16(), 200, "{call}");
        bench.spooled(call + 1).await;
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    bench.store.set_silent(false);
    let before = bench.store.holds.load(Ordering::SeqCst);
    let held = async {
        // One call in five seconds looks.
        while bench.store.holds.load(Ordering::SeqCst) < before + 2 {
            let status = bench.call_with("bsr_known").await.status.as_u16();
            // Places are few while charges are on their way to the spool.
            assert!([200, 503].contains(&status), "{status}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held).await.expect("it is heard again");
}

#[tokio::test]
async fn a_silent_store_is_heard_again_by_those_whose_keys_are_not_known() {
    let change = |config: &mut Config| {
        config.store_timeout = Duration::from_millis(50);
        config.fail = Fail::Open;
    };
    let bench = Bench::with(vendor, change).await;
    bench.add_key("bsr_new").await;
    bench.store.set_silent(true);
    assert_eq!(bench.call_with("bsr_new").await.status.as_u16(), 503);
    bench.store.set_silent(false);
    let heard = async {
        while bench.call_with("bsr_new").await.status.as_u16() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("it is heard again");
}

/// A hundred charges of acme's and one of brite's behind them, kept while the store was down.
async fn spooled_of_two_tenants() -> Bench {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    bench.store.set_down(true);
    for _ in 0..100 {
        bench.send("/v1/messages", &message()).await;
    }
    bench.spooled(100).await;
    pays(&bench, "brite").await;
    bench.spooled(101).await;
    bench.store.set_down(false);
    bench
}

#[tokio::test]
async fn what_one_tenants_trouble_keeps_in_the_spool_keeps_nobody_elses_there() {
    let bench = spooled_of_two_tenants().await;
    bench.store.set_corrupt(Some("acme"));
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (100, 1));
    bench.store.set_corrupt(None);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 101));
}

#[tokio::test]
async fn a_tenant_whose_row_is_locked_keeps_nobody_elses_records_in_the_spool() {
    let bench = spooled_of_two_tenants().await;
    bench.store.set_locked(Some("acme"));
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (100, 1));
    // Nor does it where nobody else's are in the file that is delivered.
    deliver(&bench).await;
    bench.store.set_down(true);
    pays(&bench, "corta").await;
    bench.spooled(101).await;
    bench.store.set_down(false);
    let delivered = async {
        while bench.gateway.spooled() > 100 {
            deliver(&bench).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), delivered).await.expect("corta's is");
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (100, 2));
    bench.store.set_locked(None);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 102));
}

#[tokio::test]
async fn what_a_process_has_left_is_delivered_by_another() {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    bench.store.set_down(true);
    bench.send("/v1/messages", &message()).await;
    bench.spooled(1).await;
    // It is that of a process that has ended, and has left half a line besides.
    let (here, there) = (bench.spool.path().join("0"), bench.spool.path().join("1"));
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("lock"), "").unwrap();
    let mut lines = std::fs::read(here.join("usage.jsonl")).unwrap();
    lines.extend(b"{\"key\":");
    std::fs::write(there.join("usage.jsonl"), lines).unwrap();
    deliver(&bench).await;
    assert_eq!(bench.gateway.spooled(), 2, "the store is still down");
    bench.store.set_down(false);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 1));
    assert!(there.join("rejected.jsonl").exists() && !there.join("usage.jsonl").exists());
}

#[tokio::test]
async fn half_a_line_of_the_spool_does_not_take_the_next_with_it() {
    let bench = Bench::with(vendor, |config| config.fail = Fail::Open).await;
    std::fs::write(bench.spool.path().join("0/usage.jsonl"), b"{\"key\":").unwrap();
    bench.store.set_down(true);
    bench.send("/v1/messages", &message()).await;
    bench.spooled(1).await;
    bench.store.set_down(false);
    deliver(&bench).await;
    assert_eq!((bench.gateway.spooled(), bench.calls().await.len()), (0, 1));
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
    bench.store.set_silent(false);
    deliver(&bench).await;
    assert_eq!(bench.calls().await[0].state, State::Released);
    let open = |config: &mut Config| (quick(config), config.fail = Fail::Open).1;
    let bench = Bench::with(vendor, open).await;
    bench.store.set_silent(true);
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (200, 1));
    bench.spooled(1).await;
    bench.store.set_silent(false);
    deliver(&bench).await;
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].state), (1, State::Settled), "its hold was made");
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
    /// A key of the tenant's.
    async fn add_key(&self, secret: &str) -> Uuid {
        let key = KeyRecord {
            id: Uuid::now_v7(),
            tenant: TenantId::parse("acme").unwrap(),
            hash: KeyRecord::hash(secret),
            name: String::new(),
            prefix: String::new(),
            created_at: Timestamp::now(),
            revoked_at: None,
        };
        let id = key.id;
        self.store.memory.put_key(key).await.unwrap();
        id
    }

    /// A call by a tenant's key, from anywhere.
    async fn call_with(&self, secret: &str) -> Answer {
        self.ask(secret, &message()).await
    }

    async fn ask(&self, secret: &str, body: &Value) -> Answer {
        let request = Request::post("/v1/messages")
            .header("x-api-key", secret)
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        read(self.gateway.answer(request, IpAddr::from([203, 0, 113, 7])).await).await
    }

    pub(super) async fn spooled(&self, records: usize) {
        let wait = async {
            while self.gateway.spooled() < records {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("the spool has them");
    }
}
