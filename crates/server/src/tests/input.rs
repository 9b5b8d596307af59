//! Bad input: each kind gets a 4xx in one form, and the field that is wrong.

use super::*;

async fn raw(kind: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/api/ai-budget/check").header(header::CONTENT_TYPE, kind);
    Harness::open().send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let service = Harness::open();
    for (field, value) in [
        ("estimated_input_tokens", json!(-1)),
        ("estimated_input_tokens", json!(1.5)),
        ("estimated_input_tokens", json!(1_000_000_001_u64)),
        ("estimated_input_tokens", json!("1")),
        ("request_id", json!("not-a-uuid")),
        ("request_id", json!("00000000-0000-0000-0000-000000000000")),
        ("tenant_id", json!("")),
        ("tenant_id", json!("a\nb")),
        ("tenant_id", json!(7)),
        ("model", json!("*")),
        ("service_tier", json!("free")),
        ("service_tier", json!(1)),
        ("service_tier", json!({})),
        ("tenant_id", json!("\0")),
        ("user_id", json!("\0")),
    ] {
        let mut body = check("acme", 1, 1);
        body[field] = value.clone();
        let answer = service.post("/api/ai-budget/check", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {value}");
        assert_eq!(answer.json()["field"], field, "{}", answer.text);
    }
    let missing = service.post("/api/ai-budget/check", json!({ "tenant_id": "acme" })).await;
    assert_eq!(missing.json()["message"], "model is missing");
    let none = service.post("/api/ai-budget/check", check("acme", 0, 0)).await;
    assert_eq!(none.json()["code"], "no_tokens");
}

#[tokio::test]
async fn what_the_json_reader_stumbles_on_is_the_fault_of_its_field() {
    let service = Harness::open();
    for (path, field, body) in [
        (
            "/api/ai-budget/set",
            "monthly_limit_usd",
            r#"{"monthly_limit_usd":1,"monthly_limit_usd":2}"#,
        ),
        ("/api/ai-budget/check", "estimated_input_tokens", r#"{"estimated_input_tokens":1e400}"#),
        ("/api/ai-budget/check", "tenant_id", r#"{"tenant_id":"\ud800"}"#),
        ("/api/v1/budgets", "period", r#"{"period":7}"#),
        ("/api/v1/budgets", "thresholds[1]", r#"{"thresholds":[1,"x"]}"#),
        ("/api/v1/prices", "vendor", r#"{"model":"m","vendor":7}"#),
        ("/api/v1/prices", "[1].standard.input", r#"[P,{"standard":{"input":1}}]"#),
        ("/api/v1/prices", "[0].colour", r#"[{"colour":1}]"#),
        ("/api/v1/prices", "[0].standard.output", r#"[{"standard":{"input":"1"}}]"#),
    ] {
        let price = r#"{"model":"m","vendor":"v","effective_from":"2026-01-01","source":"s",
            "standard":{"input":"1","output":"2"}}"#;
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.replace('P', price)));
        let answer = service.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.text);
    }
    let twice = service.get("/api/v1/reservations?limit=1&limit=2").await;
    assert_eq!(twice.json()["field"], "limit", "{}", twice.text);
}

#[tokio::test]
async fn a_wrong_period_names_its_field() {
    let service = Harness::open();
    let custom = |anchor: Value, days: Value, zone: &str| {
        json!({
            "tenant_id": "a", "model": "*", "limit_usd": 1, "period": "custom",
            "anchor": anchor, "days": days, "time_zone": zone,
        })
    };
    for (field, body) in [
        ("time_zone", custom(json!("2026-11-01"), json!(7), "Mars/Olympus")),
        ("time_zone", custom(json!("2026-11-01"), json!(7), "\0")),
        ("anchor", custom(Value::Null, json!(7), "UTC")),
        ("days", custom(json!("2026-11-01"), json!(0), "UTC")),
    ] {
        let answer = service.post("/api/v1/budgets", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["field"], field, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_told_so() {
    let answer = raw("application/json", "null").await;
    let message = "the body is wrong: invalid type: null, expected an object";
    assert_eq!(answer.json()["message"], message);
}

#[tokio::test]
async fn amounts_are_exact_or_refused() {
    let service = Harness::open();
    for (amount, status) in [
        ("10.000000001", StatusCode::OK),
        ("1e3", StatusCode::OK),
        ("0.0000000001", StatusCode::UNPROCESSABLE_ENTITY),
        ("-1", StatusCode::UNPROCESSABLE_ENTITY),
        ("1e10", StatusCode::UNPROCESSABLE_ENTITY),
        ("\"10\"", StatusCode::UNPROCESSABLE_ENTITY),
        ("null", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let body = format!(r#"{{"tenant_id":"a","model":"*","monthly_limit_usd":{amount}}}"#);
        let request = Request::post("/api/ai-budget/set")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body));
        let answer = service.send(request.unwrap()).await;
        assert_eq!(answer.status, status, "{amount}: {}", answer.text);
    }
    let status = service.get("/api/ai-budget/tenant/a").await.text;
    assert!(status.contains(r#""total_limit_usd":1000}"#), "{status}");
}

#[tokio::test]
async fn an_unreadable_body_is_a_4xx() {
    const JSON: &str = "application/json";
    for (kind, body, status, code) in [
        (JSON, b"{\"tenant_id\":".to_vec(), StatusCode::BAD_REQUEST, "invalid_json"),
        (JSON, b"".to_vec(), StatusCode::BAD_REQUEST, "invalid_json"),
        (JSON, b"{} {}".to_vec(), StatusCode::UNPROCESSABLE_ENTITY, "invalid_field"),
        (JSON, b"[]".to_vec(), StatusCode::UNPROCESSABLE_ENTITY, "invalid_body"),
        (JSON, b"{\"tenant_id\":\"\xff\"}".to_vec(), StatusCode::BAD_REQUEST, "not_utf8"),
        (JSON, br#"{"tenant_id":"\ud8"#.to_vec(), StatusCode::BAD_REQUEST, "invalid_json"),
        (JSON, vec![b' '; 1024 * 1024 + 1], StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        ("text/plain", b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
    ] {
        let answer = raw(kind, body).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (status, json!(code)),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn paths_and_queries_are_parsed() {
    let service = Harness::open();
    for path in [
        "/api/v1/reservations/nonsense",
        "/api/v1/reservations?limit=0",
        "/api/v1/reservations?limit=1001",
        "/api/v1/reservations?state=lost",
        "/api/v1/reservations?cursor=nonsense",
        "/api/v1/reservations?from=yesterday",
        "/api/v1/usage?group_by=colour",
        "/api/v1/usage?from=2026-02-01&to=2026-01-01",
        "/api/ai-budget/tenant/a%20b",
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", answer.text);
    }
    for (limit, told) in [("many", "must be a whole number"), ("99999", "is too large")] {
        let answer = service.get(&format!("/api/v1/reservations?limit={limit}")).await;
        assert_eq!(answer.json()["message"], format!("limit {told}"));
    }
    for path in ["/api/ai-budget/tenant/%ff", "/api/v1/ledger?tenant_id=%ff"] {
        assert_eq!(service.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(service.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    let wrong = service.ask("DELETE", "/api/ai-budget/check", None, "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    assert_eq!(wrong.json()["code"], "method");
}

#[tokio::test]
async fn a_tenant_that_nobody_knows_has_no_budgets() {
    let status = Harness::open().get("/api/ai-budget/tenant/nobody").await;
    let expected =
        json!({ "tenant_id": "nobody", "budgets": [], "total_usage_usd": 0, "total_limit_usd": 0 });
    assert_eq!((status.status, status.json()), (StatusCode::OK, expected));
}

#[test]
fn exported_fields_are_no_formulas() {
    use crate::routes::usage::harmless;
    assert_eq!(harmless("=1+1"), "'=1+1");
    assert_eq!(harmless("@x"), "'@x");
    assert_eq!(harmless("acme"), "acme");
}
