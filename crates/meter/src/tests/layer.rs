//! What callers of a service behind the layer see.

use focus::{ReportType, UserId};

use super::*;
use crate::{FailMode, Payer, Usage, names};

#[tokio::test]
async fn money_is_held_before_the_handler_and_charged_after_it() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), quick());
    let mut app = App::start(bursar.remote(), &tracker, Settings::default()).await;
    let reply = app.ask(1000, 500).await;
    assert_eq!((reply.status(), reply.body()), (200, "handled"));
    assert_eq!(reply.header("x-ai-budget-warning"), None);
    assert_eq!(balances(&store).await, texts("0", "0.0105"));
    let call = app.call().await;
    assert_eq!(call.held(), Some("0.0105".parse().unwrap()));
    assert_eq!(call.standing(), Some(("0".parse().unwrap(), "10".parse().unwrap())));
    assert!(call.track(Usage::new(1000, 420)));
    assert!(!call.track(Usage::new(1000, 420)), "a call is tracked once");
    call.release();
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0.0093", "0"));
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (1, 0));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_platform_and_served_again_from_the_cache() {
    let store = memory();
    limit(&store, "0.01").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), quick());
    let settings = Settings::default().with_suggestion("wait").with_contact("finops@acme.example");
    let mut app = App::start(bursar.remote(), &tracker, settings).await;
    let reply = app.ask(1000, 500).await;
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("x-ai-budget-warning"), Some("true"));
    assert_eq!(reply.header("x-ai-budget-usage"), Some("105"));
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    let body: serde_json::Value = serde_json::from_str(reply.body()).unwrap();
    let message = body["message"].as_str().unwrap();
    let expected = format!(
        "{{\"error\":\"AI Budget Exceeded\",\"message\":{},\"current_usage_usd\":0,\
         \"monthly_limit_usd\":0.01,\"percentage_used\":105,\
         \"fallback\":{{\"suggestion\":\"wait\",\"contact\":\"finops@acme.example\"}}}}",
        serde_json::to_string(message).unwrap()
    );
    assert_eq!(reply.body(), expected);
    // The limit is raised, but what was refused is for a minute; a smaller request is asked for.
    limit(&store, "0.011").await;
    assert_eq!(app.ask(1000, 500).await.status(), 429);
    assert_eq!(app.ask(2000, 500).await.status(), 429);
    assert_eq!((counts.of(names::REFUSED), counts.of(names::CACHE_HITS)), (3, 2));
    let smaller = app.ask(1000, 499).await;
    assert_eq!((smaller.status(), smaller.header("x-ai-budget-usage")), (200, Some("95.32")));
    app.call().await.release();
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0", "0"));
}

#[tokio::test]
async fn a_request_that_lacks_something_is_a_400_that_names_it() {
    let store = memory();
    let bursar = Bursar::start(store);
    let (tracker, _) = tracker(bursar.remote(), quick());
    let app = App::start(bursar.remote(), &tracker, Settings::default()).await;
    for (headers, code) in [
        ("x-input: 1\r\nx-output: 1\r\n", "tenant_missing"),
        ("x-tenant-id: \r\nx-input: 1\r\nx-output: 1\r\n", "tenant_missing"),
        ("x-tenant-id: acme\r\n", "model_missing"),
        ("x-tenant-id: a b\r\nx-input: 1\r\nx-output: 1\r\n", "invalid_field"),
        ("x-tenant-id: a\r\nx-tenant-id: b\r\nx-input: 1\r\nx-output: 1\r\n", "invalid_field"),
        ("x-tenant-id: a\r\nx-user-id: *\r\nx-input: 1\r\nx-output: 1\r\n", "invalid_field"),
        ("x-tenant-id: acme\r\nx-input: 0\r\nx-output: 0\r\n", "no_tokens"),
        ("x-tenant-id: acme\r\nx-input: 1000000001\r\nx-output: 0\r\n", "invalid_field"),
    ] {
        let reply = app.send(headers).await;
        let body: serde_json::Value = serde_json::from_str(reply.body()).unwrap();
        assert_eq!((reply.status(), body["code"].as_str()), (400, Some(code)), "{headers}");
    }
}

#[tokio::test]
async fn who_pays_may_be_found_by_a_function() {
    let store = memory();
    let bursar = Bursar::start(store.clone());
    let (tracker, _) = tracker(bursar.remote(), quick());
    let settings = Settings::default().with_payer(|parts| {
        parts.headers.get("authorization")?;
        Some(Payer {
            tenant: tenant(),
            user: Some(UserId::parse("ada").ok()?),
            report_type: Some(ReportType::parse("weekly").ok()?),
        })
    });
    let mut app = App::start(bursar.remote(), &tracker, settings).await;
    let counts = "x-input: 1000\r\nx-output: 500\r\n";
    assert_eq!(app.send(counts).await.status(), 400);
    assert_eq!(app.send(&format!("authorization: me\r\n{counts}")).await.status(), 200);
    let call = app.call().await;
    assert!(call.track(Usage::new(1, 1)));
    tracker.flush().await;
    let kept = budget::Records::reservation(&*store, call.request_id()).await.unwrap().unwrap();
    assert_eq!(kept.call.user.unwrap().as_str(), "ada");
    assert_eq!(kept.call.report_type.unwrap().as_str(), "weekly");
}

#[tokio::test]
async fn another_model_than_was_checked_is_charged_under_an_id_of_its_own() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, _) = tracker(bursar.remote(), quick());
    let mut app = App::start(bursar.remote(), &tracker, Settings::default()).await;
    app.ask(1000, 500).await;
    let haiku = ModelName::parse("claude-3-haiku-20240307").unwrap();
    let usage = Usage { model: Some(haiku), ..Usage::new(1_000_000, 0) };
    assert!(app.call().await.track(usage));
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0.25", "0"));
}

#[tokio::test]
async fn usage_that_can_t_be_right_keeps_the_hold() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, _) = tracker(bursar.remote(), quick());
    let mut app = App::start(bursar.remote(), &tracker, Settings::default()).await;
    app.ask(1000, 500).await;
    assert!(!app.call().await.track(Usage::new(u64::MAX, 0)));
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0", "0.0105"));
}

#[tokio::test]
async fn without_an_answer_requests_are_let_through_unless_told_otherwise() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let folder = tempfile::tempdir().unwrap();
    let config = TrackerConfig { spool: Some(folder.path().join("usage.jsonl")), ..quick() };
    let (tracker, counts) = tracker(bursar.remote(), config);
    let mut open = App::start(bursar.remote(), &tracker, Settings::default()).await;
    let settings = Settings::default().with_fail_mode(FailMode::Closed);
    let closed = App::start(bursar.remote(), &tracker, settings).await;
    let address = bursar.kill().await;
    let reply = closed.ask(1000, 500).await;
    assert_eq!((reply.status(), reply.header("retry-after")), (503, Some("1")));
    assert!(reply.body().contains("budget_unavailable"), "{}", reply.body());
    assert_eq!(open.ask(1000, 500).await.status(), 200);
    let call = open.call().await;
    assert_eq!((call.held(), call.standing()), (None, None));
    assert!(call.track(Usage::new(1000, 500)));
    tracker.flush().await;
    assert_eq!((counts.of(names::FAILED_OPEN), counts.of(names::FAILED_CLOSED)), (1, 1));
    let service = server::Service::new(store.clone(), server::Config::default());
    let _again = Bursar::start_at(address, service);
    until(|| counts.of(names::DELIVERED) == 1).await;
    assert_eq!(balances(&store).await, texts("0.0105", "0"));
}

#[tokio::test]
async fn usage_without_a_token_is_a_release() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), quick());
    let mut app = App::start(bursar.remote(), &tracker, Settings::default()).await;
    app.ask(1000, 500).await;
    let call = app.call().await;
    assert!(call.track(Usage::new(0, 0)));
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0", "0"));
    // As with a release: what was used all the same is charged.
    assert!(call.track(Usage::new(1000, 500)));
    assert!(!call.track(Usage::new(0, 0)), "something was used");
    tracker.flush().await;
    assert_eq!(balances(&store).await, texts("0.0105", "0"));
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (2, 0));
}

#[tokio::test]
async fn the_hold_of_another_model_goes_back_once_the_usage_is_safe() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let remote = bursar.remote();
    // No spool, and no service: the usage is nowhere safe.
    let config = TrackerConfig { close_timeout: Duration::from_millis(50), ..quick() };
    let (tracker, counts) = tracker(remote.clone(), config);
    let mut app = App::start(remote, &tracker, Settings::default()).await;
    app.ask(1000, 500).await;
    let address = bursar.kill().await;
    let haiku = ModelName::parse("claude-3-haiku-20240307").unwrap();
    let usage = Usage { model: Some(haiku), ..Usage::new(1_000_000, 0) };
    assert!(app.call().await.track(usage));
    assert_eq!(tracker.waiting(), 1, "the usage alone");
    tracker.close().await;
    assert_eq!(counts.of(names::UNDELIVERED), 1, "the usage is lost, and the hold stays");
    let service = server::Service::new(store.clone(), server::Config::default());
    let _again = Bursar::start_at(address, service);
    assert_eq!(balances(&store).await, texts("0", "0.0105"));
}

#[tokio::test]
async fn another_tenant_than_the_key_s_is_forbidden_and_not_let_through() {
    let store = memory();
    let (bursar, secret) = locked(store).await;
    let remote = bursar.remote().with_token(secret.into()).unwrap();
    let (tracker, counts) = tracker(remote.clone(), quick());
    let app = App::start(remote, &tracker, Settings::default()).await;
    let reply = app.send("x-tenant-id: rival\r\nx-input: 1000\r\nx-output: 500\r\n").await;
    let body: serde_json::Value = serde_json::from_str(reply.body()).unwrap();
    assert_eq!((reply.status(), &body["error"]), (403, &"Forbidden".into()));
    assert_eq!(body["code"], "other_tenant");
    assert_eq!(counts.of(names::FAILED_OPEN), 0);
    assert_eq!(app.ask(1000, 500).await.status(), 200);
}
