//! What Prometheus reads.

use std::collections::BTreeMap;

use budget::StoreError;

use super::*;
use crate::names;

/// The samples of a scrape by name and labels. No two may look the same.
async fn scrape(service: &Harness) -> BTreeMap<String, f64> {
    let answer = service.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let mut samples = BTreeMap::new();
    for line in answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let before = samples.insert(name.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{line} stands there twice");
    }
    samples
}

fn total(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    let prefix = format!("{name}{{");
    samples.iter().filter(|(sample, _)| sample.starts_with(&prefix)).map(|(_, value)| value).sum()
}

fn id(number: u32) -> String {
    uuid::Uuid::from_u128(number.into()).to_string()
}

#[tokio::test]
async fn budgets_and_routes_are_shown() {
    let service = Harness::open();
    service.post("/api/ai-budget/set", limit("ac\"me", "*", 100)).await;
    service.post("/api/ai-budget/track", track("ac\"me", ID, 1000, 500)).await;
    let text = service.get("/metrics").await.text;
    for line in [
        r#"ai_budget_current_usage_usd{tenant_id="ac\"me",model="*"} 0.0105"#,
        r#"ai_budget_monthly_limit_usd{tenant_id="ac\"me",model="*"} 100"#,
        r#"ai_budget_hard_limit_reached{tenant_id="ac\"me",model="*"} 0"#,
        r#"bursar_http_requests_total{route="/api/ai-budget/track",status="2xx"} 1"#,
        r#"ai_cost_monthly_usd{tenant_id="ac\"me"} 0.0105"#,
        r#"ai_cost_monthly_usd{tenant_id="other"} 0"#,
        "ai_tenants_monthly 1",
        "bursar_budgets_age_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_calls_tokens_and_cost_are_counted_once() {
    let service = Harness::open();
    let mut body = track("acme", ID, 1000, 500);
    body["cache_read_tokens"] = json!(200);
    body["report_type"] = json!("q2q");
    for _ in 0..3 {
        service.post("/api/ai-budget/track", body.clone()).await;
    }
    service.post("/api/ai-budget/track", track("acme", &id(2), 1, 0)).await;
    let text = service.get("/metrics").await.text;
    for line in [
        "# TYPE ai_token_usage_total counter".to_owned(),
        format!(r#"ai_token_usage_total{{tenant_id="acme",model="{SONNET}",type="input"}} 1001"#),
        format!(r#"ai_token_usage_total{{tenant_id="acme",model="{SONNET}",type="output"}} 500"#),
        format!(
            r#"ai_token_usage_total{{tenant_id="acme",model="{SONNET}",type="cache_read"}} 200"#
        ),
        "# TYPE ai_token_usage_cost_usd counter".to_owned(),
        format!(
            r#"ai_token_usage_cost_usd{{tenant_id="acme",model="{SONNET}",report_type="q2q"}} 0.01056"#
        ),
        format!(
            r#"ai_token_usage_cost_usd{{tenant_id="acme",model="{SONNET}",report_type=""}} 0.000003"#
        ),
        "# TYPE ai_token_usage_calls_total counter".to_owned(),
        format!(
            r#"ai_token_usage_calls_total{{tenant_id="acme",model="{SONNET}",report_type="q2q"}} 1"#
        ),
        format!(
            r#"ai_token_usage_calls_total{{tenant_id="acme",model="{SONNET}",report_type=""}} 1"#
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_call_without_a_price_counts_its_tokens_at_once_and_its_cost_when_it_is_charged() {
    let service = Harness::open();
    let mut call = track("acme", ID, 1_000_000, 0);
    call["model"] = json!("new-model");
    service.post("/api/ai-budget/track", call.clone()).await;
    let before = scrape(&service).await;
    assert_eq!(total(&before, names::TOKEN_USAGE), 1e6);
    assert_eq!(total(&before, names::TOKEN_COST), 0.0);
    let price = json!({
        "model": "new-model", "vendor": "v", "effective_from": "2026-01-01", "source": "s",
        "standard": { "input": "2", "output": "4" },
    });
    service.post("/api/v1/prices", price).await;
    // A repeat may come before the job: then it is what charges the call.
    service.post("/api/ai-budget/track", call).await;
    crate::jobs::charge_unpriced(service.front.state()).await.unwrap();
    let after = scrape(&service).await;
    assert_eq!(total(&after, names::TOKEN_USAGE), 1e6);
    assert_eq!(total(&after, names::TOKEN_COST), 2.0);
    assert_eq!(after[names::UNPRICED_CALLS], 1.0);
}

#[tokio::test]
async fn a_hold_that_was_charged_counts_when_its_true_cost_is_known() {
    let service = Harness::open();
    let body = json!({ "request_id": ID, "tenant_id": "acme", "model": SONNET, "amount_usd": 2,
        "timeout_seconds": 1 });
    service.post("/api/v1/reservations", body).await;
    service.pass(Duration::from_secs(2));
    let state = service.front.state();
    state.store.sweep(state.now()).await.unwrap();
    let path = format!("/api/v1/reservations/{ID}");
    service.post(&format!("{path}/resolve"), json!({ "resolution": "charge" })).await;
    assert_eq!(total(&scrape(&service).await, names::TOKEN_COST), 0.0);
    let settled = service.post(&format!("{path}/settle"), json!({ "prompt_tokens": 1000 })).await;
    assert_eq!(settled.status, StatusCode::OK, "{}", settled.text);
    let samples = scrape(&service).await;
    assert_eq!(total(&samples, names::TOKEN_USAGE), 1000.0);
    assert_eq!(total(&samples, names::TOKEN_COST), 0.003);
}

#[tokio::test]
async fn names_that_callers_choose_are_bounded_and_sums_stay_right() {
    let service = Harness::open();
    let mut number = 0;
    let mut send = async |tenant: &str, model: &str, report_type: &str| {
        number += 1;
        let mut call = track(tenant, &id(number), 1000, 0);
        call["model"] = json!(model);
        call["report_type"] = json!(report_type);
        let answer = service.post("/api/ai-budget/track", call).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    for tenant in ["other", "big", "big"] {
        send(tenant, "other", "other").await;
    }
    for turn in 0..120 {
        send("big", SONNET, &format!("report-{turn}")).await;
        send("big", &format!("model-{turn}"), "q2q").await;
    }
    for turn in 0..300 {
        send(&format!("t{turn}"), SONNET, "q2q").await;
    }
    // Who spends most is named, though it came late.
    for turn in 0..40 {
        send("t299", SONNET, &format!("report-{turn}")).await;
    }
    let before = scrape(&service).await;
    send("t299", SONNET, "q2q").await;
    let after = scrape(&service).await;
    let named = |name: &str| {
        let has = |sample: &&String| sample.contains(name);
        after.keys().filter(has).count()
    };
    assert_eq!(total(&before, names::TOKEN_USAGE), f64::from(number - 1) * 1000.0);
    assert_eq!(total(&after, names::TOKEN_USAGE), f64::from(number) * 1000.0);
    // Months are read at most every few seconds, so that the second scrape has the first one's.
    let (month, counted) = (total(&before, names::AI_MONTHLY), total(&before, names::TOKEN_COST));
    assert!((month - counted).abs() < 1e-9, "{month} and {counted}");
    assert_eq!(before[names::AI_TENANTS], 301.0);
    // Those with a price alone are charged.
    assert_eq!(total(&after, names::TOKEN_CALLS), f64::from(120 + 300 + 40 + 1));
    assert!(named(names::TOKEN_USAGE) < 400 * 100, "{}", named(names::TOKEN_USAGE));
    assert!(named("tenant_id=\"big\"") < 300, "{}", named("tenant_id=\"big\""));
    let late = format!(r#"ai_token_usage_total{{tenant_id="t299",model="{SONNET}",type="input"}}"#);
    assert_eq!((before.get(&late), after.get(&late)), (None, Some(&1000.0)));
    for (sample, value) in before.iter().filter(|(name, _)| name.starts_with("ai_token")) {
        assert!(after[sample] >= *value, "{sample} fell");
    }
}

#[tokio::test]
async fn scrapes_read_the_store_every_few_seconds_at_most() {
    let (service, store) = Harness::troubled(Config::default());
    service.post("/api/ai-budget/set", limit("acme", "*", 100)).await;
    scrape(&service).await;
    let calls = store.calls.load(Ordering::Relaxed);
    for _ in 0..100 {
        scrape(&service).await;
    }
    assert_eq!(store.calls.load(Ordering::Relaxed), calls);
    service.pass(Duration::from_secs(10));
    scrape(&service).await;
    assert!(store.calls.load(Ordering::Relaxed) > calls);
}

#[tokio::test(start_paused = true)]
async fn a_store_in_trouble_breaks_no_scrape_and_old_numbers_are_not_shown_for_ever() {
    const LIMIT: &str = r#"ai_budget_monthly_limit_usd{tenant_id="acme",model="*"}"#;
    let (service, store) = Harness::troubled(Config::default());
    store.fail(Some(StoreError::Overloaded));
    assert_eq!(scrape(&service).await[names::BUDGETS_AGE], f64::INFINITY);
    store.fail(None);
    service.pass(Duration::from_secs(10));
    service.post("/api/ai-budget/set", limit("acme", "*", 100)).await;
    assert_eq!(scrape(&service).await[LIMIT], 100.0);
    store.fail(Some(StoreError::Closed));
    service.pass(Duration::from_secs(60));
    let stale = scrape(&service).await;
    assert_eq!((stale[LIMIT], stale[names::BUDGETS_AGE]), (100.0, 60.0));
    store.fail(None);
    store.hang(true);
    service.pass(Duration::from_secs(240));
    let old = scrape(&service).await;
    assert_eq!((old.get(LIMIT), old[names::BUDGETS_AGE]), (None, 300.0));
    assert_eq!(old[r#"bursar_job_failures_total{task="metrics"}"#], 3.0);
    store.hang(false);
    service.pass(Duration::from_secs(10));
    assert_eq!(scrape(&service).await[LIMIT], 100.0);
}

#[tokio::test]
async fn a_call_is_counted_when_its_caller_has_hung_up() {
    let (service, store) = Harness::troubled(Config::default());
    store.hang(true);
    let body = track("acme", ID, 1000, 0).to_string();
    let request = Request::post("/api/ai-budget/track")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body));
    let mut answer = Box::pin(service.send(request.unwrap()));
    assert!(futures_util::FutureExt::now_or_never(&mut answer).is_none());
    drop(answer);
    store.hang(false);
    while total(&scrape(&service).await, names::TOKEN_USAGE) < 1000.0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_metric_has_a_help_text_and_is_documented() {
    let service = Harness::open();
    service.post("/api/ai-budget/track", track("acme", ID, 1, 1)).await;
    let text = service.get("/metrics").await.text;
    let source = include_str!("../metrics.rs");
    let document = include_str!("../../../../docs/reference/metrics.md");
    let constants = source.lines().filter(|line| line.trim().starts_with("pub const "));
    let listed: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(listed, names::ALL.map(|(name, _)| name));
    for (name, help) in names::ALL {
        assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name} in\n{text}");
        assert!(document.contains(&format!("`{name}`")), "{name} is not in docs/reference");
    }
}
