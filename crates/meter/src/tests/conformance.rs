//! The client does what every store must do, through a service that runs on one.

use async_trait::async_trait;
use budget::{
    Escrow, EscrowError, Overflow, Quote, Release, Reserve, Settle, StoreError, Upkeep,
    Verification,
    conformance::{self, Hands, Split, call, key, usd},
};
use jiff::SignedDuration;
use money::{ServiceTier, TokenUsage};

use super::*;

/// The cases sweep by their own clock; the service's jobs must not come before them.
struct Still;

#[async_trait]
impl Upkeep for Still {
    async fn sweep(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn maintain(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        Ok(Verification::default())
    }

    async fn close(&self) {}
}

/// A service whose clock is moved by hand.
fn serve(store: Arc<dyn Store>, hands: &Hands, token: Option<&str>) -> Bursar {
    let behind = Split { escrow: store.clone(), upkeep: Arc::new(Still), rest: store };
    let config = server::Config {
        admin_token: token.map(|token| token.into()),
        ..server::Config::default()
    };
    let hands = hands.clone();
    let service = server::Service::new(Arc::new(behind), config);
    let service = service.with_clock(Arc::new(move || hands.now()));
    Bursar::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_passes_the_conformance_suite() {
    let running = Arc::new(std::sync::Mutex::new(Vec::new()));
    conformance::run(|hands| {
        let running = running.clone();
        async move {
            let clock = hands.clone();
            let clock: budget::Clock = Arc::new(move || clock.now());
            let store: Arc<dyn Store> = Arc::new(Memory::new(Defaults::default(), clock));
            let bursar = serve(store.clone(), &hands, Some("the-admin-token"));
            let remote = bursar.remote().with_token("the-admin-token".into()).unwrap();
            running.lock().unwrap().push(bursar);
            let split = Split { escrow: Arc::new(remote), upkeep: store.clone(), rest: store };
            Arc::new(split) as Arc<dyn Store>
        }
    })
    .await;
}

/// A client and the store behind its service, which is asked the same.
fn pair(defaults: Defaults) -> (Bursar, Remote, Arc<Memory>, Hands) {
    let hands = Hands::at("2026-10-15T12:00:00Z".parse().unwrap());
    let clock = hands.clone();
    let store = Arc::new(Memory::new(defaults, Arc::new(move || clock.now())));
    let bursar = serve(store.clone(), &hands, None);
    let remote = bursar.remote();
    (bursar, remote, store, hands)
}

fn reserve(number: u64, tokens: u64, amount: Option<&str>, given: bool) -> Reserve {
    let usage = TokenUsage { input: tokens, cache_read: 7, ..TokenUsage::default() };
    let tier = ServiceTier::Batch;
    let estimate = Quote { usage, tier, amount: amount.map(usd), given, estimated: given };
    let call = call("m", Some("ada"), Some("weekly"));
    let timeout = Some(SignedDuration::from_millis(2500));
    Reserve { key: key(number), call, estimate, timeout, covered: false, fresh: false }
}

#[tokio::test]
async fn an_outcome_is_the_stores_to_the_last_field() {
    let (_bursar, remote, store, hands) = pair(Defaults::default());
    for (number, given) in [(1, false), (2, true)] {
        let made = remote.reserve(reserve(number, 10, Some("2.000000001"), given)).await.unwrap();
        assert!(!made.replayed && !made.first_use);
        let kept = budget::Records::reservation(&*store, key(number)).await.unwrap().unwrap();
        assert_eq!(*made.reservation, kept);
        assert_eq!(kept.expires_at, hands.now() + SignedDuration::from_secs(3));
        let actual = Quote { amount: Some(usd("3")), ..kept.estimate.unwrap() };
        let settle = Settle { key: key(number), call: None, actual };
        let settled = remote.settle(settle.clone()).await.unwrap();
        assert!(settled.first_use && !settled.replayed);
        let kept = budget::Records::reservation(&*store, key(number)).await.unwrap().unwrap();
        assert_eq!(*settled.reservation, kept);
        assert!(remote.settle(settle).await.unwrap().replayed);
    }
}

#[tokio::test]
async fn errors_are_the_stores() {
    let refusing = Defaults { limit: None, ..Defaults::default() };
    let (_bursar, remote, store, hands) = pair(refusing);
    let asked = reserve(1, 10, Some("2"), false);
    let same = |ours: EscrowError, theirs: EscrowError| {
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    };
    let ours = remote.reserve(asked.clone()).await.unwrap_err();
    assert!(matches!(ours, EscrowError::NoBudget(_)), "{ours:?}");
    same(ours, store.reserve(asked.clone()).await.unwrap_err());
    let budget = Budget::new(Scope::tenant(tenant()), usd("3"), hands.now()).unwrap();
    let overflow = Overflow::Fallback(vec![conformance::model("n"), conformance::model("o")]);
    let budget = Budget { overflow, ..budget };
    store.put(budget).await.unwrap();
    remote.reserve(asked.clone()).await.unwrap();
    let more = reserve(2, 10, Some("1.5"), true);
    same(
        remote.reserve(more.clone()).await.unwrap_err(),
        store.reserve(more.clone()).await.unwrap_err(),
    );
    same(remote.check(more.clone()).await.unwrap_err(), store.check(more).await.unwrap_err());
    let much = reserve(3, 10, Some("4"), false);
    let ours = remote.check(much.clone()).await.unwrap_err();
    assert!(matches!(&ours, EscrowError::Refused(refusal) if !refusal.by_holds), "{ours:?}");
    same(ours, store.check(much).await.unwrap_err());
    let unpriced = reserve(4, 10, None, false);
    same(
        remote.reserve(unpriced.clone()).await.unwrap_err(),
        store.reserve(unpriced).await.unwrap_err(),
    );
    let other = reserve(1, 11, Some("2"), false);
    same(remote.reserve(other.clone()).await.unwrap_err(), store.reserve(other).await.unwrap_err());
    let unknown = Release { key: key(9) };
    same(
        remote.release(unknown.clone()).await.unwrap_err(),
        store.release(unknown).await.unwrap_err(),
    );
    let resolve = budget::Resolve { key: key(1), resolution: budget::Resolution::Charge };
    same(
        remote.resolve(resolve.clone()).await.unwrap_err(),
        store.resolve(resolve).await.unwrap_err(),
    );
    for (tokens, amount) in [(10, "-1"), (10, "1000000000.1"), (1_000_000_001, "1")] {
        let error = remote.reserve(reserve(5, tokens, Some(amount), false)).await.unwrap_err();
        assert!(matches!(error, EscrowError::Range), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_an_escrow_is_a_store_that_is_away() {
    let (bursar, remote, _store, _hands) = pair(Defaults::default());
    let asked = reserve(1, 10, Some("2"), false);
    let elsewhere = Remote::new(&format!("{}/elsewhere", bursar.url())).unwrap();
    let error = elsewhere.release(Release { key: key(1) }).await.unwrap_err();
    assert!(matches!(error, EscrowError::Store(StoreError::Unavailable(_))), "{error:?}");
    let nothing = reserve(2, 0, None, false);
    let nothing =
        Reserve { estimate: Quote { usage: TokenUsage::default(), ..nothing.estimate }, ..nothing };
    let error = remote.reserve(nothing).await.unwrap_err();
    let EscrowError::Store(StoreError::Unavailable(cause)) = error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("no tokens"), "{cause}");
    bursar.kill().await;
    let error = remote.reserve(asked).await.unwrap_err();
    assert!(matches!(error, EscrowError::Store(StoreError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_tenants_key_names_amounts_but_quotes_no_prices() {
    let hands = Hands::at("2026-10-15T12:00:00Z".parse().unwrap());
    let clock = hands.clone();
    let store = Arc::new(Memory::new(Defaults::default(), Arc::new(move || clock.now())));
    let (record, secret) = server::new_key(tenant(), "test".to_owned(), hands.now()).unwrap();
    budget::Keys::put_key(&*store, record).await.unwrap();
    let bursar = serve(store, &hands, Some("the-admin-token"));
    let remote = bursar.remote().with_token(secret.clone().into()).unwrap();
    remote.reserve(reserve(1, 10, Some("1"), true)).await.unwrap();
    let error = remote.reserve(reserve(2, 10, Some("1"), false)).await.unwrap_err();
    let EscrowError::Store(StoreError::Unavailable(cause)) = error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("admin_only"), "{cause}");
    assert!(!format!("{remote:?}").contains(&secret));
}
