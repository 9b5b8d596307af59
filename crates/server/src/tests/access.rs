//! Who may do what.

use super::*;

async fn key(service: &Harness, tenant: &str) -> String {
    let made =
        service.ask("POST", "/api/v1/keys", Some(json!({ "tenant_id": tenant })), TOKEN).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json()["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_a_token_only_public_paths_answer_strangers() {
    let service = Harness::locked();
    for path in ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/api/ai-budget/health"] {
        assert_eq!(service.get(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/metrics", "/api/v1/budgets", "/api/ai-budget/tenant/a", "/nowhere"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        assert_eq!(service.ask("GET", path, None, "wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(service.ask("GET", "/metrics", None, TOKEN).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_tenants_key_reads_and_spends_for_that_tenant_alone() {
    let service = Harness::locked();
    let (acme, rival) = (key(&service, "acme").await, key(&service, "rival").await);
    assert!(acme.starts_with("bsr_") && acme.len() == 47);
    let ask = async |method, path: &str, body, key: &str| {
        service.ask(method, path, body, key).await.status
    };
    let track = track("acme", ID, 10, 10);
    assert_eq!(
        ask("POST", "/api/ai-budget/track", Some(track.clone()), &acme).await,
        StatusCode::OK
    );
    assert_eq!(
        ask("POST", "/api/ai-budget/track", Some(track), &rival).await,
        StatusCode::FORBIDDEN
    );
    let path = format!("/api/v1/reservations/{ID}");
    assert_eq!(ask("GET", &path, None, &acme).await, StatusCode::OK);
    assert_eq!(ask("GET", &path, None, &rival).await, StatusCode::NOT_FOUND);
    let release = format!("{path}/release");
    assert_eq!(ask("POST", &release, None, &rival).await, StatusCode::NOT_FOUND);
    assert_eq!(ask("GET", "/api/ai-budget/tenant/acme", None, &rival).await, StatusCode::FORBIDDEN);
    let set = Some(limit("acme", "*", 9));
    assert_eq!(ask("POST", "/api/ai-budget/set", set, &acme).await, StatusCode::FORBIDDEN);
    assert_eq!(ask("GET", "/api/v1/keys", None, &acme).await, StatusCode::FORBIDDEN);
    let entries = service.ask("GET", "/api/v1/ledger", None, &rival).await.json();
    assert_eq!(entries["entries"], json!([]));
}

#[tokio::test]
async fn a_rotated_key_works_through_its_grace_and_a_revoked_one_does_not() {
    let service = Harness::locked();
    let old = key(&service, "acme").await;
    let keys = service.ask("GET", "/api/v1/keys", None, TOKEN).await;
    assert!(!keys.text.contains(&old));
    let id = keys.json()["keys"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/keys/{id}/rotate?grace_seconds=60");
    let new = service.ask("POST", &path, None, TOKEN).await.json();
    let new_key = new["secret"].as_str().unwrap();
    let status = async |key: &str| service.ask("GET", "/api/v1/budgets", None, key).await.status;
    assert_eq!((status(&old).await, status(new_key).await), (StatusCode::OK, StatusCode::OK));
    service.pass(Duration::from_secs(61));
    assert_eq!(
        (status(&old).await, status(new_key).await),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    let path = format!("/api/v1/keys/{}", new["key"]["id"].as_str().unwrap());
    let revoked = service.ask("DELETE", &path, None, TOKEN).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(status(new_key).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_is_held_to_its_rate() {
    let config = Config {
        admin_token: Some(TOKEN.into()),
        rate_limit_per_second: std::num::NonZeroU32::new(1),
        ..Config::default()
    };
    let service = Harness::with(config, Defaults::default());
    let first = service.ask("GET", "/api/v1/budgets", None, TOKEN).await;
    let second = service.ask("GET", "/api/v1/budgets", None, TOKEN).await;
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(
        (second.json()["code"].clone(), second.header("retry-after")),
        (json!("rate_limited"), "1")
    );
}

#[tokio::test]
async fn an_open_service_answers_no_foreign_pages() {
    let service = Harness::open();
    let ask = async |host: &str, origin: &str| {
        let request = Request::builder()
            .method("POST")
            .uri("/api/ai-budget/set")
            .header("host", host)
            .header("origin", origin)
            .header("content-type", "application/json");
        let body = Body::from(limit("acme", "*", 1).to_string());
        service.send(request.body(body).unwrap()).await.status
    };
    assert_eq!(ask("localhost:3010", "http://localhost:3010").await, StatusCode::OK);
    assert_eq!(ask("[::1]:3010", "http://[::1]:3010").await, StatusCode::OK);
    assert_eq!(ask("localhost:3010", "http://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("localhost:3010", "null").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("evil.example", "http://evil.example").await, StatusCode::FORBIDDEN);
}

#[test]
fn only_loopback_is_listened_on_without_a_token() {
    let check = |address: &str, token| crate::check_listen(address.parse().unwrap(), token);
    assert_eq!(check("127.0.0.1:1", false), Ok(()));
    assert_eq!(check("[::1]:1", false), Ok(()));
    assert_eq!(check("0.0.0.0:1", true), Ok(()));
    let refused = check("0.0.0.0:1", false).unwrap_err().to_string();
    assert!(refused.contains("BURSAR_ADMIN_TOKEN"));
}
