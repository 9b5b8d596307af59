//! The client and the layer against the real service, over real sockets.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, routing::post};
use budget::{Budget, Budgets, Defaults, Memory, Store};
use focus::{ModelName, Scope, TenantId};
use jiff::Timestamp;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
};

use crate::{Call, Estimate, MeterLayer, Remote, Settings, Tracker, TrackerConfig};

mod ambiguous;
mod conformance;
mod delivery;
mod layer;
mod left;
#[cfg(feature = "redis")]
mod shared;
mod tls;

#[test]
fn every_metric_is_told_in_the_readme() {
    let source = include_str!("names.rs");
    let constants =
        source.lines().filter(|line| line.starts_with("pub const ") && line.ends_with("\";"));
    let listed: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(listed, crate::names::ALL.map(|(name, _)| name));
    for name in listed {
        assert!(include_str!("../README.md").contains(&format!("`{name}`")), "{name}");
    }
}

const SONNET: &str = "claude-3-5-sonnet-20241022";

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(Defaults::default(), Arc::new(Timestamp::now)))
}

/// A monthly budget of the tenant's over all models.
async fn limit(store: &Memory, dollars: &str) {
    let limit = dollars.parse().unwrap();
    let budget = Budget::new(Scope::tenant(tenant()), limit, Timestamp::now()).unwrap();
    store.put(budget).await.unwrap();
}

/// Settled and held of the tenant's budget, as text.
async fn balances(store: &Memory) -> (String, String) {
    let lines = store.status(&tenant(), Timestamp::now()).await.unwrap();
    let account = &lines[0].account;
    (account.settled.to_string(), account.held.to_string())
}

fn texts(settled: &str, held: &str) -> (String, String) {
    (settled.to_owned(), held.to_owned())
}

/// A running service on a runtime of its own, so that it can be killed with all its connections.
struct Bursar {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Bursar {
    fn start(store: Arc<dyn Store>) -> Self {
        Self::start_at(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            server::Service::new(store, server::Config::default()),
        )
    }

    fn start_at(address: SocketAddr, service: server::Service) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            server::run(listener, service, std::future::pending()).await.unwrap();
        });
        Self { runtime: Some(runtime), address }
    }

    /// Ends it between two instructions; its address is free afterwards.
    async fn kill(mut self) -> SocketAddr {
        self.runtime.take().unwrap().shutdown_background();
        until(|| TcpStream::connect(self.address).is_err()).await;
        self.address
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn remote(&self) -> Remote {
        Remote::new(&self.url()).unwrap()
    }
}

impl Drop for Bursar {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A service that asks who calls, and a key of the tenant's.
async fn locked(store: Arc<Memory>) -> (Bursar, String) {
    let (record, secret) = server::new_key(tenant(), "test".to_owned(), Timestamp::now()).unwrap();
    budget::Keys::put_key(&*store, record).await.unwrap();
    let admin_token = Some("the-admin-token".into());
    let config = server::Config { admin_token, ..server::Config::default() };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (Bursar::start_at(address, server::Service::new(store, config)), secret)
}

/// Waits for what must happen.
async fn until(mut is_so: impl FnMut() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it happens in time");
}

/// A tracker that counts for itself.
fn tracker(remote: Remote, config: TrackerConfig) -> (Tracker, Counts) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counts = Counts(recorder.handle());
    let open = || Tracker::open(remote, config).unwrap();
    (metrics::with_local_recorder(&recorder, open), counts)
}

struct Counts(PrometheusHandle);

impl Counts {
    /// The value of a metric, 0 where nothing was counted.
    fn of(&self, name: &str) -> u64 {
        let text = self.0.render();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Quick enough for tests.
fn quick() -> TrackerConfig {
    TrackerConfig {
        spool_every: Duration::from_millis(20),
        pause_first: Duration::from_millis(5),
        pause_most: Duration::from_millis(20),
        attempts: 2,
        ..TrackerConfig::default()
    }
}

/// A service of somebody's behind the layer; what its handler gets comes out at the other end.
struct App {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    _stop: oneshot::Sender<()>,
}

/// Prompt and completion tokens in headers, where a real service would look at its body.
fn estimate(parts: &axum::http::request::Parts) -> Option<Estimate> {
    let count = |name| parts.headers.get(name)?.to_str().ok()?.parse().ok();
    let model = ModelName::parse(SONNET).unwrap();
    Some(Estimate::new(model, count("x-input")?, count("x-output")?))
}

impl App {
    async fn start(remote: Remote, tracker: &Tracker, settings: Settings) -> Self {
        let settings = settings.with_estimate(estimate);
        let layer = MeterLayer::new(remote, tracker.clone(), settings).unwrap();
        let (seen, calls) = mpsc::unbounded_channel();
        let handler = move |Extension(call): Extension<Call>| async move {
            seen.send(call).unwrap();
            "handled"
        };
        let app = Router::new().route("/", post(handler)).layer(layer);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            axum::serve(listener, app).with_graceful_shutdown(shutdown).await.unwrap();
        });
        Self { address, calls, _stop: stop }
    }

    async fn ask(&self, input: u64, output: u64) -> Reply {
        let headers = format!("x-tenant-id: acme\r\nx-input: {input}\r\nx-output: {output}\r\n");
        self.send(&headers).await
    }

    async fn send(&self, headers: &str) -> Reply {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let head = "POST / HTTP/1.1\r\nhost: app\r\nconnection: close\r\ncontent-length: 0\r\n";
        stream.write_all(format!("{head}{headers}\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        Reply(text)
    }

    /// The call of a request that was handled.
    async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }
}

struct Reply(String);

impl Reply {
    fn status(&self) -> u16 {
        self.0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next().unwrap();
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap().1
    }
}
