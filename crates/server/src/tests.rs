//! The service against the store in memory: requests go through everything but the socket, and
//! through a socket where that is the point.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use budget::{Defaults, Memory, Store};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Config, Service, front::Front};
use troubled::Troubled;

mod access;
mod alerts;
mod amounts;
mod cloud_budgets;
mod contract;
mod flow;
mod input;
mod metrics;
mod pricing;
mod serving;
mod trouble;
mod troubled;

const TOKEN: &str = "the-admin-token";
const SONNET: &str = "claude-3-5-sonnet-20241022";
const ID: &str = "018f6d2e-0000-7000-8000-000000000001";

/// A service with a clock that stands still until it is moved.
struct Harness {
    front: Front,
    clock: Arc<AtomicI64>,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Harness {
    fn open() -> Self {
        Self::with(Config::default(), Defaults::default())
    }

    fn locked() -> Self {
        let config = Config { admin_token: Some(TOKEN.into()), ..Config::default() };
        Self::with(config, Defaults::default())
    }

    fn with(config: Config, defaults: Defaults) -> Self {
        Self::on(config, |clock| Arc::new(Memory::new(defaults, clock))).0
    }

    /// With a store that can be made to fail or to hang.
    fn troubled(config: Config) -> (Self, Arc<Troubled>) {
        Self::on(config, |clock| Arc::new(Troubled::new(Memory::new(Defaults::default(), clock))))
    }

    fn on<S: Store + 'static>(
        config: Config,
        store: impl FnOnce(crate::Clock) -> Arc<S>,
    ) -> (Self, Arc<S>) {
        Self::changed(config, store, |service| service)
    }

    /// With the charges of every cloud, and an admin token.
    fn billed(costs: Arc<dyn focus::cost::Costs>) -> Self {
        let config = Config { admin_token: Some(TOKEN.into()), ..Config::default() };
        let store = |clock| Arc::new(Memory::new(Defaults::default(), clock));
        Self::changed(config, store, |service| service.with_costs(costs)).0
    }

    fn changed<S: Store + 'static>(
        config: Config,
        store: impl FnOnce(crate::Clock) -> Arc<S>,
        change: impl FnOnce(Service) -> Service,
    ) -> (Self, Arc<S>) {
        let start: Timestamp = "2026-11-10T10:00:00Z".parse().unwrap();
        let clock = Arc::new(AtomicI64::new(start.as_microsecond()));
        let shared = clock.clone();
        let now: crate::Clock =
            Arc::new(move || Timestamp::from_microsecond(shared.load(Ordering::Relaxed)).unwrap());
        let store = store(now.clone());
        let service = Service::new(store.clone(), config).with_clock(now);
        let front = Front::new(change(service));
        (Self { front, clock }, store)
    }

    fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.clock.fetch_add(micros, Ordering::Relaxed);
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        read(self.front.answer(request).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body), "").await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>, token: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }
}

async fn read(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

fn check(tenant: &str, input: u64, output: u64) -> Value {
    json!({
        "tenant_id": tenant, "model": SONNET,
        "estimated_input_tokens": input, "estimated_output_tokens": output,
    })
}

fn track(tenant: &str, id: &str, input: u64, output: u64) -> Value {
    json!({
        "request_id": id, "tenant_id": tenant, "model": SONNET,
        "prompt_tokens": input, "completion_tokens": output,
    })
}

fn limit(tenant: &str, model: &str, limit: u64) -> Value {
    json!({ "tenant_id": tenant, "model": model, "monthly_limit_usd": limit })
}
