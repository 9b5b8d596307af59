//! A Rust service behind the layer while Bursar is killed and comes back: every request is charged,
//! and none twice.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use meter::{Call, Estimate, MeterLayer, Remote, Settings, Tracker, TrackerConfig, Usage};
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::support::{Client, Database, Server, bursar, sqlite};

const MODEL: &str = "claude-3-5-sonnet-20241022";
const ROUNDS: usize = 6;
const REQUESTS: usize = 30;

/// Calls a model, as it were.
#[derive(Clone)]
struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let call = request.extensions().get::<Call>().expect("the layer has put it there");
        assert!(call.track(Usage::new(1000, 500)));
        ready(Ok(Response::new(String::new())))
    }
}

/// Sends requests side by side; `meanwhile` happens when half of them are answered.
async fn load(layer: &MeterLayer, meanwhile: impl FnOnce()) {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let mut service = layer.layer(Handler);
        let request = Request::post("/").header("x-tenant-id", "acme").body(()).expect("a request");
        requests.spawn(async move { service.call(request).await });
    }
    for _ in 0..REQUESTS / 2 {
        assert_answered(&mut requests).await;
    }
    meanwhile();
    while !requests.is_empty() {
        assert_answered(&mut requests).await;
    }
}

type Answers = tokio::task::JoinSet<Result<Response<meter::MeterBody<String>>, Infallible>>;

async fn assert_answered(requests: &mut Answers) {
    let Ok(answer) = requests.join_next().await.expect("a request").expect("no panic");
    assert_eq!(answer.status(), 200);
}

async fn check(database: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(database);
    let address = server.address;
    let config = TrackerConfig {
        spool: Some(folder.path().join("usage.jsonl")),
        spool_every: Duration::from_millis(50),
        ..TrackerConfig::default()
    };
    let remote = Remote::new(&format!("http://{address}")).expect("an address");
    let tracker = Tracker::open(remote.clone(), config).expect("a spool");
    let largest = Estimate::new(MODEL.parse().expect("a name"), 1000, 500);
    let settings = Settings::default().with_estimate(move |_| Some(largest.clone()));
    let layer = MeterLayer::new(remote, tracker.clone(), settings).expect("a layer");
    for _ in 0..ROUNDS {
        load(&layer, || server.kill()).await;
        load(&layer, || {}).await;
        server = Server::start_at(database, address);
    }
    tracker.flush().await;
    let until = Instant::now() + Duration::from_secs(30);
    while tracker.spooled_bytes() > 0 {
        assert!(Instant::now() < until, "{} bytes are not delivered", tracker.spooled_bytes());
        tokio::task::yield_now().await;
    }
    tracker.close().await;
    let mut client = Client::connect(address).expect("a connection");
    let text = client.get("/api/v1/usage?tenant_id=acme", 200);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let requests = ROUNDS * REQUESTS * 2;
    assert_eq!(report["rows"][0]["requests"], Value::from(requests), "{report}");
    // 1000 input tokens at $3 and 500 output tokens at $15 a million.
    assert!(text.contains("\"cost_usd\":3.78,"), "{text}");
    for state in ["held", "unresolved"] {
        let path = format!("/api/v1/reservations?tenant_id=acme&state={state}");
        let open: Value = serde_json::from_str(&client.get(&path, 200)).expect("JSON");
        assert_eq!(open["reservations"], Value::Array(Vec::new()));
    }
    assert_eq!(server.stop(), Some(0));
    let verified = bursar(database, &["ledger", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_misses_no_usage_of_a_rust_service_on_sqlite() {
    let (_folder, database) = sqlite();
    check(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_misses_no_usage_of_a_rust_service_on_postgres() {
    let database = Database::make();
    check(&database.url()).await;
}
