//! What the HTTP API is asked: any method, path, query and body gets an answer that is no 5xx, and
//! a problem in words where it is no success. An input is a list of requests with a blank line
//! between two; the first line of each is its method and target, the rest its body. They meet a
//! service that earlier ones have written to.
#![no_main]

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use api::Cursor;
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, Uri},
};
use budget::{BudgetId, Defaults, Key, Memory};
use focus::TenantId;
use http_body_util::BodyExt;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use server::{Clock, Config, Front, Metrics, Service};
use tokio::runtime::{Builder, Runtime};

/// Requests of one input at most.
const REQUESTS_MOST: usize = 8;
/// Inputs that meet one service: to make one takes as long as some hundred requests.
const INPUTS_MOST: usize = 200;

thread_local! {
    static SERVICE: RefCell<(usize, Option<Front>)> = const { RefCell::new((0, None)) };
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

fuzz_target!(|data: &[u8]| {
    let front = SERVICE.with_borrow_mut(|(inputs, front)| {
        *inputs += 1;
        if *inputs % INPUTS_MOST == 0 {
            *front = None;
        }
        front.get_or_insert_with(service).clone()
    });
    let mut rest = data;
    for _ in 0..REQUESTS_MOST {
        let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
        if let Some(request) = request(&rest[..end]) {
            RUNTIME.block_on(answer(&front, request));
        }
        let Some(after) = rest.get(end + 2..) else { break };
        rest = after;
    }
    if let Ok(text) = std::str::from_utf8(data) {
        cursor::<BudgetId>(text);
        cursor::<(Timestamp, Key)>(text);
        cursor::<(TenantId, u64)>(text);
        cursor::<TenantId>(text);
        cursor::<u64>(text);
    }
    // Money survives its own text.
    if let Ok(usd) = serde_json::from_slice::<api::Usd>(data) {
        let text = serde_json::to_vec(&usd).expect("money has a text");
        let again: api::Usd = serde_json::from_slice(&text).expect("its own text is money");
        assert_eq!(usd.0, again.0);
    }
});

/// A service of its own, at a moment that stands still.
fn service() -> Front {
    let now = Timestamp::from_second(1_794_304_800).expect("a time");
    let clock: Clock = Arc::new(move || now);
    let store = Arc::new(Memory::new(Defaults::default(), clock.clone()));
    let service = Service::new(store, Config::default()).with_metrics(METRICS.clone());
    Front::new(service.with_clock(clock))
}

fn request(text: &[u8]) -> Option<Request<Body>> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (line, body) = (&text[..end], text.get(end + 1..).unwrap_or_default());
    let space = line.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&line[..space]).ok()?;
    let target: Uri = std::str::from_utf8(&line[space + 1..]).ok()?.parse().ok()?;
    Request::builder()
        .method(method)
        .uri(target)
        .header("content-type", "application/json")
        .body(Body::from(body.to_vec()))
        .ok()
}

async fn answer(front: &Front, request: Request<Body>) {
    let is_head = request.method() == Method::HEAD;
    let (parts, body) = front.answer(request).await.into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    let status = parts.status;
    assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&body));
    if status.is_client_error() && !is_head {
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
        for word in ["error", "message", "code"] {
            let text = problem[word].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{status} without {word}");
        }
        assert!(
            status != StatusCode::UNPROCESSABLE_ENTITY
                || problem["code"] != "invalid_field"
                || problem["field"].is_string(),
            "a wrong field without its name"
        );
    }
}

/// What reads as a place in a list is the place that it names.
fn cursor<C: Cursor>(text: &str) {
    if let Some(place) = C::parse(text) {
        let again = C::decode(&place.encode()).expect("its own text is a place");
        assert_eq!(place.text(), again.text());
    }
    let _ = C::decode(text);
}
