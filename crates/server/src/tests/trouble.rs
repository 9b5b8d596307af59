//! What callers are told when something goes wrong here, or takes too long.

use std::{convert::Infallible, io};

use budget::StoreError;
use futures_util::stream;

use super::*;

/// Every path that asks the store, with a body where it takes one.
fn requests() -> Vec<(&'static str, String, Option<Value>)> {
    let reservation = json!({ "request_id": ID, "tenant_id": "acme", "model": SONNET,
        "amount_usd": 1 });
    let budget = json!({ "tenant_id": "acme", "model": "*", "limit_usd": 5, "period": "day" });
    let price = json!({ "model": "m", "vendor": "v", "effective_from": "2026-01-01", "source": "s",
        "standard": { "input": "2", "output": "4" } });
    let mut held = check("acme", 1, 1);
    held["request_id"] = json!(ID);
    let post = |path: &str, body: Value| ("POST", path.to_owned(), Some(body));
    let get = |path: &str| ("GET", path.to_owned(), None);
    vec![
        post("/api/ai-budget/check", check("acme", 1, 1)),
        post("/api/ai-budget/check", held),
        post("/api/ai-budget/track", track("acme", ID, 1, 1)),
        post("/api/ai-budget/set", limit("acme", "*", 1)),
        get("/api/ai-budget/tenant/acme"),
        get("/api/ai-budget/top-consumers"),
        post("/api/v1/reservations", reservation),
        post(&format!("/api/v1/reservations/{ID}/settle"), json!({ "prompt_tokens": 1 })),
        post(&format!("/api/v1/reservations/{ID}/release"), json!({})),
        post(&format!("/api/v1/reservations/{ID}/resolve"), json!({ "resolution": "charge" })),
        get("/api/v1/reservations"),
        post("/api/v1/budgets", budget),
        get("/api/v1/budgets"),
        post("/api/v1/tenants", json!({ "tenant_id": "acme" })),
        get("/api/v1/keys"),
        post("/api/v1/prices", price),
        get("/api/v1/ledger"),
        get("/api/v1/events"),
        get("/api/v1/usage"),
        get("/api/v1/usage/export.csv"),
        get("/readyz"),
    ]
}

#[tokio::test]
async fn a_store_that_can_not_answer_is_a_503_to_try_again() {
    let (service, store) = Harness::troubled(Config::default());
    let away = StoreError::unavailable(io::Error::other("connection to db-7.internal refused"));
    for (error, code) in [
        (StoreError::Overloaded, "overloaded"),
        (away, "store_unavailable"),
        (StoreError::Closed, "store_closed"),
    ] {
        store.fail(Some(error));
        for (method, path, body) in requests() {
            let answer = service.ask(method, &path, body, "").await;
            let (status, json) = (answer.status, answer.json());
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", answer.text);
            assert_eq!((json["code"].as_str(), answer.header("retry-after")), (Some(code), "1"));
            assert!(json["error"].is_string() && json["message"].is_string(), "{}", answer.text);
            assert!(!answer.text.contains("db-7"), "a cause is for the log: {}", answer.text);
        }
    }
    store.fail(None);
    let answer = service.post("/api/ai-budget/track", track("acme", ID, 1, 1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_a_500_that_keeps_it_secret() {
    let (service, store) = Harness::troubled(Config::default());
    store.fail(Some(StoreError::Corrupt("row 7 of reservation".to_owned())));
    for (method, path, body) in requests() {
        let answer = service.ask(method, &path, body, "").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {}", answer.text);
        assert_eq!(answer.json()["code"], "internal");
        assert!(!answer.text.contains("row 7"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_service_lives_on() {
    let (service, store) = Harness::troubled(Config::default());
    store.panic(true);
    for (method, path, body) in requests() {
        let answer = service.ask(method, &path, body, "").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {}", answer.text);
        assert_eq!(answer.json()["code"], "internal");
    }
    store.panic(false);
    let answer = service.post("/api/ai-budget/track", track("acme", ID, 1, 1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn trouble_while_a_key_is_looked_up_is_answered_like_any_other() {
    let config = Config { admin_token: Some(TOKEN.into()), ..Config::default() };
    let (service, store) = Harness::troubled(config);
    let ask = async || service.ask("GET", "/api/v1/budgets", None, "bsr_some-key").await;
    store.fail(Some(StoreError::Overloaded));
    let answer = ask().await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    store.fail(None);
    store.panic(true);
    let answer = ask().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["code"], "internal");
    store.panic(false);
    store.hang(true);
    let answer = ask().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "timeout");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_a_503_in_time() {
    let (service, store) = Harness::troubled(Config::default());
    store.hang(true);
    let answer = service.get("/api/v1/budgets").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (answer.json()["code"].as_str(), answer.header("retry-after")),
        (Some("timeout"), "1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_is_a_408() {
    let service = Harness::open();
    let ticks = tokio::time::interval(Duration::from_secs(1));
    let trickle = stream::unfold(ticks, |mut ticks| async move {
        ticks.tick().await;
        Some((Ok::<_, Infallible>(" "), ticks))
    });
    let request = Request::post("/api/ai-budget/track")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(trickle));
    let answer = service.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{}", answer.text);
    assert_eq!(answer.json()["code"], "body_timeout");
}
