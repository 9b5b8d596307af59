use std::sync::atomic::{AtomicU64, Ordering};

use budget::{
    Budget, Defaults, Deliveries, DeliveryFilter, DeliveryState, Key, Memory as Model, Outbox,
    Quote, Settle, Severity, Tenants,
    conformance::{Hands, call, quote, tenant, usd},
};
use focus::Scope;
use jiff::{civil::time, tz::TimeZone};
use secrecy::SecretString;

use super::*;
use crate::{
    Email, EmailSettings, Endpoint, MailTls, Webhook,
    testing::{Mail, Reply, Sink, authority},
    verify,
};

const SECRET: &str = "a secret of the receiver's";

pub(super) struct Bench {
    pub(super) hands: Hands,
    pub(super) store: Arc<Model>,
    calls: AtomicU64,
}

impl Bench {
    pub(super) fn new() -> Self {
        let hands = Hands::at("2026-11-12T12:00:00Z".parse().unwrap());
        let clock = hands.clone();
        let store = Model::new(Defaults::default(), Arc::new(move || clock.now()));
        Self { hands, store: Arc::new(store), calls: AtomicU64::new(0) }
    }

    pub(super) fn courier(&self, posts: Vec<Post>) -> Courier {
        let clock = self.hands.clone();
        Courier {
            store: self.store.clone(),
            costs: None,
            posts,
            templates: Templates::new(None, TimeZone::UTC).unwrap(),
            quiet: None,
            calendar: Calendar::default(),
            clock: Arc::new(move || clock.now()),
            luck: Box::new(|| 0),
            memory: super::Memory::default(),
        }
    }

    pub(super) async fn limit(&self, limit: &str) {
        let budget = Budget::new(Scope::tenant(tenant()), usd(limit), self.hands.now()).unwrap();
        budget::Budgets::put(&*self.store, budget).await.unwrap();
        let admin = budget::Tenant {
            id: tenant(),
            name: Some("Acme".to_owned()),
            tier: None,
            admin_email: Some("admin@acme.test".to_owned()),
            created_at: self.hands.now(),
        };
        self.store.put_tenant(admin).await.unwrap();
    }

    pub(super) async fn spend(&self, amount: &str) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (key, call) = (Key::from_u64_pair(7, number), Some(call("m", None, None)));
        let actual: Quote = quote(90, Some(amount));
        budget::Escrow::settle(&*self.store, Settle { key, call, actual }).await.unwrap();
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.hands.pass(SignedDuration::from_secs(seconds));
    }

    pub(super) async fn states(&self) -> Vec<(String, DeliveryState, u32)> {
        let all = self.store.deliveries(DeliveryFilter::default()).await.unwrap();
        let all = all.into_iter().rev();
        all.map(|one| (one.topic.to_string(), one.state, one.attempts)).collect()
    }
}

pub(super) fn post(name: &str, channel: impl Channel + 'static) -> Post {
    Post {
        name: name.to_owned(),
        wanted: Wanted::default(),
        pace: Pace::default(),
        tenants: true,
        own: true,
        channel: Arc::new(channel),
    }
}

pub(super) fn webhook(sink: &Sink) -> Webhook {
    let secrets = vec![SecretString::from(SECRET)];
    let endpoint = Endpoint::parse(&sink.url()).unwrap();
    Webhook::new(endpoint, secrets, &None).unwrap().with_total(Duration::from_millis(300))
}

#[tokio::test]
async fn what_was_held_and_what_it_cost_is_told_of_an_overrun() {
    let sink = Sink::start(Vec::new()).await;
    let bench = Bench::new();
    bench.limit("10").await;
    let courier = bench.courier(vec![post("hook", webhook(&sink))]);
    courier.turn(&courier.posts[0]).await.unwrap();
    let key = Key::from_u64_pair(8, 8);
    let reserve = budget::Reserve {
        key,
        call: call("m", None, None),
        estimate: quote(100, Some("0.5")),
        timeout: None,
        covered: false,
        fresh: false,
    };
    budget::Escrow::reserve(&*bench.store, reserve).await.unwrap();
    let actual = quote(300, Some("1.25"));
    let settle = Settle { key, call: None, actual };
    budget::Escrow::settle(&*bench.store, settle).await.unwrap();
    courier.turn(&courier.posts[0]).await.unwrap();

    let all = bench.store.deliveries(DeliveryFilter::default()).await.unwrap();
    let told: Vec<_> = all.iter().filter(|one| one.topic == budget::Topic::Overrun).collect();
    let [one] = told.as_slice() else { panic!("{all:?}") };
    let facts: crate::Facts = serde_json::from_str(&one.facts).unwrap();
    let shown = |amount: &Option<crate::Amount>| amount.as_ref().map(crate::Amount::shown);
    assert_eq!(shown(&facts.held).as_deref(), Some("$0.50"));
    assert_eq!(shown(&facts.cost).as_deref(), Some("$1.25"));
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert_eq!(facts.request_id, Some(key.to_string()));
}

#[tokio::test]
async fn a_threshold_reaches_the_admin_by_mail_once_and_the_operator_too() {
    let (certificate, key) = authority();
    let server = Mail::start(MailTls::None, &certificate, &key, crate::testing::Post::default());
    let server = server.await;
    let bench = Bench::new();
    let email = Email::new(&EmailSettings {
        host: "127.0.0.1".to_owned(),
        port: Some(server.port()),
        tls: MailTls::None,
        user: None,
        password: None,
        from: "bursar@example.com".to_owned(),
        to: vec!["ops@example.com".to_owned()],
        authority: None,
    });
    let courier = bench.courier(vec![post("mail", email.unwrap())]);
    let mail = &courier.posts[0];
    bench.limit("10").await;
    courier.turn(mail).await.unwrap();
    bench.spend("8.5").await;
    for _ in 0..3 {
        courier.turn(mail).await.unwrap();
        bench.pass(5);
    }
    let taken = server.taken();
    let mut to: Vec<&str> = taken.iter().flat_map(|mail| &mail.to).map(String::as_str).collect();
    to.sort_unstable();
    assert_eq!(to, ["admin@acme.test", "ops@example.com"]);
    assert!(taken[0].data.contains("Subject: Acme has used 80 % of its AI budget"));
    // The new month is told when it begins, once, however much was crossed.
    bench.spend("2").await;
    courier.turn(mail).await.unwrap();
    bench.pass(10);
    courier.turn(mail).await.unwrap();
    let before = server.taken().len();
    assert_eq!(before, 4);
    bench.pass(20 * 86_400);
    courier.turn(mail).await.unwrap();
    courier.turn(mail).await.unwrap();
    let taken = server.taken();
    assert_eq!(taken.len(), before + 2);
    let last = &taken[before].data;
    assert!(last.contains("Subject: The AI budget of Acme starts afresh"), "{last}");
    assert!(last.contains("1 Dec 2026, 00:00 UTC"), "{last}");
}

#[tokio::test]
async fn a_webhook_that_fails_gets_the_same_again_under_the_same_key() {
    let replies = [
        Reply::status(500),
        Reply::hang_up(),
        Reply::silence(),
        Reply { headers: "retry-after: 600\r\n", ..Reply::status(429) },
        Reply::status(204),
    ];
    let sink = Sink::start(replies.to_vec()).await;
    let bench = Bench::new();
    let courier = bench.courier(vec![post("hook", webhook(&sink))]);
    let hook = &courier.posts[0];
    bench.limit("10").await;
    courier.turn(hook).await.unwrap();
    bench.spend("8.5").await;
    courier.turn(hook).await.unwrap();
    bench.pass(5);
    courier.turn(hook).await.unwrap();
    // Something new goes out beside it, and does not change what is tried again.
    for (pause, attempts) in [(5, 2), (10, 3), (20, 4), (599, 4), (1, 5)] {
        bench.pass(pause);
        courier.turn(hook).await.unwrap();
        assert_eq!(sink.taken().len(), attempts, "{:?}", bench.states().await);
    }
    let taken = sink.taken();
    for attempt in &taken {
        assert_eq!(attempt.header("idempotency-key"), taken[0].header("idempotency-key"));
        assert_eq!(attempt.body, taken[0].body);
        let (time, signature) =
            (attempt.header("bursar-timestamp"), attempt.header("bursar-signature"));
        let body = attempt.body.as_bytes();
        verify(SECRET.as_bytes(), time, signature, body, Timestamp::now()).unwrap();
    }
    let body = taken[0].json();
    assert_eq!(body["id"], taken[0].header("idempotency-key"));
    assert_eq!(body["items"][0]["topic"], "budget_threshold");
    assert_eq!(body["items"][0]["facts"]["spent"]["amount"], "8.5");
    let states = bench.states().await;
    assert_eq!(states[0], ("budget_threshold".to_owned(), DeliveryState::Delivered, 4));
}

#[tokio::test]
async fn what_is_refused_or_fails_for_too_long_is_dead_until_somebody_asks() {
    let sink = Sink::start(vec![Reply::status(400), Reply::status(503), Reply::status(200)]).await;
    let bench = Bench::new();
    let pace = Pace { attempts_most: 1, ..Pace::default() };
    let courier = bench.courier(vec![Post { pace, ..post("hook", webhook(&sink)) }]);
    let hook = &courier.posts[0];
    bench.limit("10").await;
    courier.turn(hook).await.unwrap();
    bench.spend("10").await;
    courier.turn(hook).await.unwrap();
    let dead = async || {
        let filter =
            DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
        bench.store.deliveries(filter).await.unwrap()
    };
    // 80 % waits a little for others, 100 % does not, and takes it along.
    assert_eq!(dead().await.len(), 2);
    assert!(dead().await[0].error.as_deref().unwrap().contains("400"), "{:?}", dead().await);
    for expected in [2, 0] {
        assert_eq!(bench.store.retry(None, bench.hands.now()).await.unwrap(), 2);
        courier.turn(hook).await.unwrap();
        assert_eq!(dead().await.len(), expected);
    }
    let keys: Vec<String> =
        sink.taken().iter().map(|one| one.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, vec![keys[0].clone(); 3]);
}

#[tokio::test]
async fn a_channel_that_is_new_or_was_long_away_is_not_flooded() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    bench.limit("10").await;
    bench.spend("8.5").await;
    let courier = bench.courier(vec![post("hook", webhook(&sink))]);
    let hook = &courier.posts[0];
    courier.turn(hook).await.unwrap();
    bench.pass(60);
    courier.turn(hook).await.unwrap();
    assert_eq!(bench.states().await, []);
    // Nobody ran it for eight days: what was told meanwhile is too old.
    bench.spend("2").await;
    bench.pass(8 * 86_400);
    courier.turn(hook).await.unwrap();
    assert_eq!(bench.states().await, []);
    assert_eq!(bench.store.follow("hook", bench.hands.now()).await.unwrap().after, 2);
    assert!(sink.taken().is_empty());
}

#[tokio::test]
async fn many_events_in_a_short_while_are_one_message_and_nights_are_quiet() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    bench.pass(11 * 3600);
    let wanted = Wanted { topics: None, severity: Severity::Info };
    let post = Post { wanted, ..post("hook", webhook(&sink)) };
    let quiet = Quiet { from: time(22, 0, 0, 0), to: time(7, 0, 0, 0), zone: TimeZone::UTC };
    let courier = Courier { quiet: Some(quiet), ..bench.courier(vec![post]) };
    let hook = &courier.posts[0];
    courier.turn(hook).await.unwrap();
    for number in 0..30 {
        let name = focus::TenantId::parse(&format!("t{number}")).unwrap();
        let budget = Budget::new(Scope::tenant(name.clone()), usd("10"), bench.hands.now());
        budget::Budgets::put(&*bench.store, budget.unwrap()).await.unwrap();
        let call = focus::Attribution { tenant: name, ..call("m", None, None) };
        let (key, actual) = (Key::from_u64_pair(8, number), quote(90, Some("8.5")));
        let settle = Settle { key, call: Some(call), actual };
        budget::Escrow::settle(&*bench.store, settle).await.unwrap();
        courier.turn(hook).await.unwrap();
    }
    bench.pass(3600);
    courier.turn(hook).await.unwrap();
    assert_eq!(sink.taken().len(), 0);
    // One is critical: it does not wait for the morning, and the others go with nobody.
    bench.limit("1").await;
    bench.spend("1").await;
    courier.turn(hook).await.unwrap();
    assert_eq!(sink.taken().len(), 1);
    bench.pass(7 * 3600);
    courier.turn(hook).await.unwrap();
    let [_, morning] = sink.taken().try_into().unwrap();
    let body = morning.json();
    assert_eq!(body["items"].as_array().unwrap().len(), 31);
    assert!(body["subject"].as_str().unwrap().ends_with(", and 30 more"), "{}", body["subject"]);
}

#[tokio::test]
async fn what_is_on_its_way_arrives_before_the_senders_end() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    let pace = Pace { window: SignedDuration::ZERO, ..Pace::default() };
    bench.limit("10").await;
    let courier = bench.courier(vec![Post { pace, ..post("hook", webhook(&sink)) }]);
    bench.store.follow("hook", bench.hands.now()).await.unwrap();
    bench.spend("8.5").await;
    let running = courier.start();
    sink.wait_for(1).await;
    running.stop().await;
    let (_, state, _) = &bench.states().await[0];
    assert_eq!(*state, DeliveryState::Delivered);
}
