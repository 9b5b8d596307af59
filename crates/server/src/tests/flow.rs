//! Money held, charged and refused.

use super::*;

#[tokio::test]
async fn a_tracked_call_counts_to_the_nano_dollar_and_once() {
    let service = Harness::open();
    service.post("/api/ai-budget/set", limit("acme", "*", 100)).await;
    let first = service.post("/api/ai-budget/track", track("acme", ID, 1001, 7)).await;
    let again = service.post("/api/ai-budget/track", track("acme", ID, 1001, 7)).await;
    assert_eq!((first.status, &first.text), (StatusCode::OK, &again.text));
    let status = service.get("/api/ai-budget/tenant/acme").await;
    assert!(status.text.contains(r#""total_usage_usd":0.003108,"#), "{}", status.text);
    let other = service.post("/api/ai-budget/track", track("acme", ID, 1002, 7)).await;
    assert_eq!(
        (other.status, other.json()["code"].clone()),
        (StatusCode::CONFLICT, json!("request_id_reused"))
    );
}

#[tokio::test]
async fn a_check_says_how_the_budget_would_stand() {
    let service = Harness::open();
    service.post("/api/ai-budget/set", limit("acme", SONNET, 10)).await;
    let answer = service.post("/api/ai-budget/check", check("acme", 1000, 500)).await;
    let expected =
        r#"{"allowed":true,"current_usage_usd":0,"monthly_limit_usd":10,"percentage_used":0.1}"#;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, expected));
}

#[tokio::test]
async fn a_refusal_is_a_429_that_clients_do_not_repeat() {
    let service = Harness::open();
    service.post("/api/ai-budget/set", limit("acme", "*", 1)).await;
    let refused = service.post("/api/ai-budget/check", check("acme", 1_000_000, 0)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("x-should-retry"), "false");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 3600);
    let body = refused.json();
    assert_eq!(body["error"], "Budget exceeded");
    assert_eq!(body["code"], "budget_exceeded");
    assert_eq!(body["percentage_used"], 300);
    let smaller = service.post("/api/ai-budget/check", check("acme", 1000, 0)).await;
    assert_eq!(smaller.status, StatusCode::OK);
}

#[tokio::test]
async fn a_check_with_an_id_holds_and_track_settles_it() {
    let service = Harness::open();
    service.post("/api/ai-budget/set", limit("acme", "*", 1)).await;
    let mut body = check("acme", 200_000, 0);
    body["request_id"] = json!(ID);
    let held = service.post("/api/ai-budget/check", body.clone()).await;
    assert_eq!(held.json()["held_usd"], json!(0.6));
    assert_eq!(service.post("/api/ai-budget/check", body).await.text, held.text);
    let second = service.post("/api/ai-budget/check", check("acme", 200_000, 0)).await;
    assert_eq!((second.status, second.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    service.post("/api/ai-budget/track", track("acme", ID, 1000, 0)).await;
    let second = service.post("/api/ai-budget/check", check("acme", 200_000, 0)).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text);
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_before_and_kept_after_and_charged_once_priced() {
    let service = Harness::open();
    let mut before = check("acme", 1000, 0);
    before["model"] = json!("new-model");
    let refused = service.post("/api/ai-budget/check", before).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json()["code"], "model_unpriced");
    assert!(refused.text.contains("new-model") && refused.text.contains("bursar prices import"));

    let mut after = track("acme", ID, 1_000_000, 0);
    after["model"] = json!("new-model");
    let kept = service.post("/api/ai-budget/track", after).await;
    assert!(kept.json()["message"].as_str().unwrap().contains("unpriced"), "{}", kept.text);
    let listed = service.get("/api/v1/usage/unpriced").await.json();
    assert_eq!(listed["reservations"][0]["request_id"], ID);
    assert!(service.get("/metrics").await.text.contains("bursar_unpriced_calls_total 1"));

    let price = json!({
        "model": "new-model", "vendor": "v", "effective_from": "2026-01-01", "source": "s",
        "standard": { "input": "2", "output": "4" },
    });
    let stored = service.post("/api/v1/prices", price).await;
    assert_eq!(stored.status, StatusCode::OK, "{}", stored.text);
    crate::jobs::charge_unpriced(service.front.state()).await.unwrap();
    let charged = service.get(&format!("/api/v1/reservations/{ID}")).await.json();
    assert_eq!(
        (charged["state"].clone(), charged["cost_usd"].clone()),
        (json!("settled"), json!(2))
    );
}

#[tokio::test]
async fn a_reservation_is_made_settled_released_and_listed() {
    let service = Harness::open();
    let body = json!({ "request_id": ID, "tenant_id": "acme", "model": SONNET, "amount_usd": 2.5 });
    let made = service.post("/api/v1/reservations", body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(service.post("/api/v1/reservations", body).await.status, StatusCode::OK);
    let path = format!("/api/v1/reservations/{ID}");
    let settled = service.post(&format!("{path}/settle"), json!({ "prompt_tokens": 1000 })).await;
    assert_eq!(settled.json()["cost_usd"], json!(0.003), "{}", settled.text);
    let late = service.post(&format!("{path}/release"), json!({})).await;
    assert_eq!(
        (late.status, late.json()["code"].clone()),
        (StatusCode::CONFLICT, json!("reservation_state"))
    );
    let list = service.get("/api/v1/reservations?limit=1").await.json();
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("/api/v1/reservations?cursor={cursor}")).await.json();
    assert_eq!(
        (list["reservations"].as_array().unwrap().len(), rest["reservations"].clone()),
        (1, json!([]))
    );
    let entries = service.get("/api/v1/ledger?tenant_id=acme").await.json();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 2);
    let csv = service.get("/api/v1/usage/export.csv").await;
    assert!(csv.text.contains(&format!("{ID},acme,{SONNET},,,1000,0,")), "{}", csv.text);
}

#[tokio::test]
async fn a_hold_that_times_out_counts_until_it_is_resolved() {
    let service = Harness::open();
    let body = json!({ "request_id": ID, "tenant_id": "acme", "model": SONNET, "amount_usd": 2,
        "timeout_seconds": 1 });
    service.post("/api/v1/reservations", body).await;
    service.pass(Duration::from_secs(2));
    let state = service.front.state();
    state.store.sweep(state.now()).await.unwrap();
    let path = format!("/api/v1/reservations/{ID}");
    assert_eq!(service.get(&path).await.json()["state"], "unresolved");
    let resolved =
        service.post(&format!("{path}/resolve"), json!({ "resolution": "release" })).await;
    assert_eq!(resolved.json()["state"], "released", "{}", resolved.text);
}

#[tokio::test]
async fn a_budget_is_created_changed_and_removed() {
    let service = Harness::open();
    let body = json!({ "tenant_id": "acme", "model": "*", "limit_usd": 5, "period": "day",
        "user_id": "u1", "thresholds": [50, 90], "enforcement": "shadow" });
    let made = service.post("/api/v1/budgets", body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(service.post("/api/v1/budgets", body).await.status, StatusCode::CONFLICT);
    let path = format!("/api/v1/budgets/{}", made.json()["id"].as_str().unwrap());
    let changed = service.ask("PUT", &path, Some(json!({ "limit_usd": 7 })), "").await;
    assert_eq!(
        (changed.json()["limit_usd"].clone(), changed.json()["enforcement"].clone()),
        (json!(7), json!("shadow"))
    );
    assert_eq!(service.get(&format!("{path}/history")).await.status, StatusCode::OK);
    assert_eq!(service.ask("DELETE", &path, None, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_tier_sets_the_tenants_budget() {
    let service = Harness::open();
    let body = json!({ "tenant_id": "acme", "tier": "professional", "admin_email": "a@b.example" });
    assert_eq!(service.post("/api/v1/tenants", body).await.status, StatusCode::CREATED);
    let status = service.get("/api/ai-budget/tenant/acme").await.json();
    assert_eq!(
        (status["total_limit_usd"].clone(), status["budgets"][0]["model"].clone()),
        (json!(2000), json!("*"))
    );
}
