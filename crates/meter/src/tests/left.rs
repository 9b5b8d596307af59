//! A record that can't be delivered holds no other up.

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::{names, record::Record};

fn track(tenant: &str, number: u128) -> Record {
    Record::Track {
        body: Box::new(api::TrackRequest {
            request_id: uuid::Uuid::from_u128(number),
            tenant_id: TenantId::parse(tenant).unwrap(),
            model: ModelName::parse(SONNET).unwrap(),
            prompt_tokens: api::Tokens(1000),
            completion_tokens: api::Tokens(500),
            report_type: None,
            user_id: None,
            cache_read_tokens: None,
            cache_write_5m_tokens: None,
            cache_write_1h_tokens: None,
            service_tier: None,
        }),
    }
}

fn line(tenant: &str, number: u128) -> String {
    format!("{}\n", serde_json::to_string(&track(tenant, number)).unwrap())
}

fn spooling(path: &Path) -> TrackerConfig {
    TrackerConfig { spool: Some(path.to_owned()), ..quick() }
}

/// A service that answers tracks as it is told, and counts them.
#[derive(Default)]
struct Told {
    /// Everything is answered 500.
    is_broken: AtomicBool,
    /// A tenant is.
    ill: Mutex<Option<&'static str>>,
    asked: AtomicUsize,
}

async fn answer(
    State(told): State<Arc<Told>>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    told.asked.fetch_add(1, Ordering::Relaxed);
    let is_ill = body["tenant_id"].as_str() == *told.ill.lock().unwrap();
    if is_ill || told.is_broken.load(Ordering::Relaxed) {
        let problem = json!({ "error": "e", "message": "m", "code": "internal" });
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(problem));
    }
    (StatusCode::OK, Json(json!({ "success": true, "message": "m" })))
}

async fn told() -> (Remote, Arc<Told>) {
    let told = Arc::new(Told::default());
    let app = Router::new().route("/api/ai-budget/track", post(answer)).with_state(told.clone());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let remote = Remote::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (remote, told)
}

#[tokio::test]
async fn usage_of_another_tenant_than_the_key_s_is_kept_for_people() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    std::fs::write(&path, line("rival", 1) + &line("acme", 2)).unwrap();
    let (bursar, secret) = locked(store.clone()).await;
    let remote = bursar.remote().with_token(secret.into()).unwrap();
    let (tracker, counts) = tracker(remote, spooling(&path));
    until(|| tracker.spooled_bytes() == 0 && counts.of(names::DELIVERED) == 1).await;
    assert_eq!(counts.of(names::UNDELIVERED), 1);
    assert_eq!(balances(&store).await, texts("0.0105", "0"));
    let rejected = folder.path().join("usage.jsonl.rejected");
    until(|| std::fs::read_to_string(&rejected).is_ok_and(|text| text == line("rival", 1))).await;
}

#[tokio::test]
async fn a_line_that_finds_no_answer_lets_others_past_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    // More of it than are tried at the same time, and than show that the service is away.
    let ill: String = (1..=40).map(|number| line("ill", number)).collect();
    let well: String = (41..=50).map(|number| line("acme", number)).collect();
    std::fs::write(&path, ill + &well).unwrap();
    let (remote, told) = told().await;
    *told.ill.lock().unwrap() = Some("ill");
    let (tracker, counts) = tracker(remote, spooling(&path));
    until(|| counts.of(names::DELIVERED) == 10).await;
    tracker.put(track("acme", 51));
    until(|| counts.of(names::DELIVERED) == 11).await;
    *told.ill.lock().unwrap() = None;
    until(|| counts.of(names::DELIVERED) == 51 && tracker.spooled_bytes() == 0).await;
    assert_eq!(counts.of(names::UNDELIVERED), 0);
}

#[tokio::test]
async fn without_a_spool_what_finds_no_answer_lets_others_past() {
    let (remote, told) = told().await;
    *told.ill.lock().unwrap() = Some("ill");
    let (tracker, counts) = tracker(remote, quick());
    // More of it than there are workers.
    (1..=6).for_each(|number| tracker.put(track("ill", number)));
    (7..=9).for_each(|number| tracker.put(track("acme", number)));
    until(|| counts.of(names::DELIVERED) == 3).await;
    assert_eq!(tracker.waiting(), 6);
    *told.ill.lock().unwrap() = None;
    tracker.flush().await;
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (9, 0));
}

#[tokio::test]
async fn without_a_spool_what_comes_takes_nobody_s_place() {
    let (remote, told) = told().await;
    told.is_broken.store(true, Ordering::Relaxed);
    let (tracker, counts) = tracker(remote, TrackerConfig { queue_most: 4, ..quick() });
    let safe = Arc::new(AtomicUsize::new(0));
    for number in 1..=4 {
        let safe = safe.clone();
        tracker.put_then(track("acme", number), move || {
            safe.fetch_add(1, Ordering::Relaxed);
        });
    }
    let mut number = 4;
    until(|| {
        number += 1;
        tracker.put(track("acme", number));
        told.asked.load(Ordering::Relaxed) >= 60
    })
    .await;
    assert!(counts.of(names::UNDELIVERED) > 0);
    assert!(tracker.waiting() < 50, "{}", tracker.waiting());
    told.is_broken.store(false, Ordering::Relaxed);
    until(|| safe.load(Ordering::Relaxed) == 4).await;
    tracker.close().await;
    let all = counts.of(names::DELIVERED) + counts.of(names::UNDELIVERED);
    assert_eq!(u128::from(all), number);
}

#[tokio::test]
async fn without_a_spool_what_has_found_no_answer_is_tried_at_the_end() {
    let (remote, told) = told().await;
    told.is_broken.store(true, Ordering::Relaxed);
    let config = TrackerConfig { pause_most: Duration::from_secs(3600), attempts: 1, ..quick() };
    let (tracker, counts) = tracker(remote, config);
    (1..=8).for_each(|number| tracker.put(track("acme", number)));
    until(|| told.asked.load(Ordering::Relaxed) == 8).await;
    told.is_broken.store(false, Ordering::Relaxed);
    tracker.close().await;
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (8, 0));
}

#[tokio::test]
async fn a_service_that_fails_for_all_is_not_asked_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    std::fs::write(&path, (1..=500).map(|number| line("acme", number)).collect::<String>())
        .unwrap();
    let (remote, told) = told().await;
    told.is_broken.store(true, Ordering::Relaxed);
    let config = TrackerConfig { spool_every: Duration::from_secs(3600), ..spooling(&path) };
    let (_tracker, counts) = tracker(remote, config);
    // It is shown when it was gone through.
    until(|| counts.of(names::SPOOL_BYTES) > 0).await;
    assert_eq!(told.asked.load(Ordering::Relaxed), 16);
    assert_eq!(counts.of(names::UNDELIVERED), 0);
}

#[tokio::test]
async fn an_outage_takes_no_file_more_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = memory();
    let bursar = Bursar::start(store.clone());
    let remote = bursar.remote();
    let address = bursar.kill().await;
    let config = TrackerConfig {
        spool_every: Duration::from_millis(1),
        ..spooling(&folder.path().join("usage.jsonl"))
    };
    let (tracker, counts) = tracker(remote, config);
    let files = || {
        let found = std::fs::read_dir(folder.path()).unwrap();
        let names = found.map(|found| found.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".replay")).count()
    };
    tracker.put(track("acme", 1));
    until(|| files() == 1).await;
    for number in 2..=60 {
        tracker.put(track("acme", number));
        until(|| counts.of(names::SPOOLED) >= u64::try_from(number).unwrap()).await;
    }
    assert!(files() <= 2, "{}", files());
    limit(&store, "1000").await;
    let service = server::Service::new(store.clone(), server::Config::default());
    let _again = Bursar::start_at(address, service);
    until(|| counts.of(names::DELIVERED) == 60 && tracker.spooled_bytes() == 0).await;
    assert_eq!(balances(&store).await, texts("0.63", "0"));
}
