//! What callers name themselves: amounts, costs by their own prices, calls that nobody reserved.

use super::*;

fn reservation(more: Value) -> Value {
    let mut body = json!({ "request_id": ID, "tenant_id": "acme", "model": SONNET });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn tokens_beside_an_amount_are_kept_and_not_priced() {
    let service = Harness::open();
    let body = reservation(json!({ "amount_usd": 2, "estimated_input_tokens": 7 }));
    let made = service.post("/api/v1/reservations", body).await.json();
    assert_eq!((made["held_usd"].clone(), made["first_use"].clone()), (json!(2), json!(false)));
    let estimated = &made["estimated"];
    assert_eq!(
        (&estimated["input_tokens"], &estimated["amount_given"], &estimated["amount_usd"]),
        (&json!(7), &json!(true), &json!(2))
    );
    let path = format!("/api/v1/reservations/{ID}/settle");
    let settled = service.post(&path, json!({ "amount_usd": 1.5, "prompt_tokens": 9 })).await;
    assert_eq!(settled.json()["cost_usd"], json!(1.5), "{}", settled.text);
    assert_eq!(settled.json()["first_use"], json!(true));
    let status = service.get("/api/ai-budget/tenant/acme").await.json();
    assert_eq!(status["budgets"][0]["token_count_input"], json!(9));
}

#[tokio::test]
async fn a_cost_by_the_callers_prices_is_taken_from_administrators_alone() {
    let service = Harness::locked();
    let body = json!({ "tenant_id": "acme" });
    let key = service.ask("POST", "/api/v1/keys", Some(body), TOKEN).await.json();
    let secret = key["secret"].as_str().unwrap();
    let body = reservation(json!({ "quoted_usd": 0.25, "estimated_input_tokens": 7 }));
    let check = json!({ "tenant_id": "acme", "model": "unheard-of", "quoted_usd": 0.25,
        "estimated_input_tokens": 7, "estimated_output_tokens": 0, "exact": true });
    let settle = (format!("/api/v1/reservations/{ID}/settle"), json!({ "quoted_usd": 0.125 }));
    for (path, body) in [
        ("/api/v1/reservations", body),
        ("/api/ai-budget/check", check),
        (settle.0.as_str(), settle.1),
    ] {
        let answer = service.ask("POST", path, Some(body.clone()), secret).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (StatusCode::FORBIDDEN, &json!("admin_only"))
        );
        let answer = service.ask("POST", path, Some(body), TOKEN).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        match path {
            "/api/ai-budget/check" => {
                // The hold of the reservation is in another model's budget.
                assert_eq!(answer.json()["counted_usd"], json!(0.25));
            }
            "/api/v1/reservations" => {
                assert_eq!(answer.json()["estimated"]["amount_given"], json!(false));
                assert_eq!(answer.json()["standing"]["counted_usd"], json!(0.25));
            }
            _ => assert_eq!(answer.json()["cost_usd"], json!(0.125)),
        }
    }
    let both = reservation(json!({ "quoted_usd": 1, "amount_usd": 1 }));
    let answer = service.ask("POST", "/api/v1/reservations", Some(both), TOKEN).await;
    assert_eq!(answer.json()["field"], json!("quoted_usd"), "{}", answer.text);
}

#[tokio::test]
async fn a_settle_that_names_its_call_needs_no_reservation() {
    let service = Harness::locked();
    let body = json!({ "tenant_id": "acme" });
    let key = service.ask("POST", "/api/v1/keys", Some(body), TOKEN).await.json();
    let secret = key["secret"].as_str().unwrap();
    let path = format!("/api/v1/reservations/{ID}/settle");
    let ask = |body| service.ask("POST", &path, Some(body), secret);
    let tokens = json!({ "prompt_tokens": 1000, "completion_tokens": 500 });
    let named = |tenant: &str| {
        let mut body = tokens.clone();
        body["tenant_id"] = json!(tenant);
        body["model"] = json!(SONNET);
        body
    };
    let missing = ask(tokens.clone()).await;
    assert_eq!(
        (missing.status, &missing.json()["request_id"]),
        (StatusCode::NOT_FOUND, &json!(ID))
    );
    assert_eq!(ask(named("other")).await.status, StatusCode::FORBIDDEN);
    let mut half = named("acme");
    half.as_object_mut().unwrap().remove("model");
    assert_eq!(ask(half).await.json()["field"], json!("model"));
    let charged = ask(named("acme")).await;
    assert_eq!(charged.json()["cost_usd"], json!(0.0105), "{}", charged.text);
    assert_eq!(ask(named("acme")).await.json()["replayed"], json!(true));
    assert_eq!(ask(tokens.clone()).await.json()["replayed"], json!(true));
}

#[tokio::test]
async fn a_problem_names_what_it_is_about() {
    let service = Harness::open();
    let budget = json!({ "tenant_id": "acme", "model": "*", "limit_usd": 3, "user_id": "ada" });
    service.post("/api/v1/budgets", budget).await;
    let body = reservation(json!({ "amount_usd": 2, "user_id": "ada" }));
    service.post("/api/v1/reservations", body.clone()).await;
    let mut other = body.clone();
    other["request_id"] = json!("018f6d2e-0000-7000-8000-000000000002");
    let refused = service.post("/api/v1/reservations", other).await.json();
    let expected = json!({ "tenant_id": "acme", "model": "*", "user_id": "ada" });
    assert_eq!(
        (&refused["budget"], &refused["by_holds"], &refused["counted_usd"]),
        (&expected, &json!(true), &json!(4))
    );
    let mut conflict = body;
    conflict["amount_usd"] = json!(1);
    let conflict = service.post("/api/v1/reservations", conflict).await.json();
    assert_eq!(
        (&conflict["code"], &conflict["request_id"]),
        (&json!("request_id_reused"), &json!(ID))
    );
    let path = format!("/api/v1/reservations/{ID}/resolve");
    let early = service.post(&path, json!({ "resolution": "charge" })).await.json();
    assert_eq!((&early["state"], &early["request_id"]), (&json!("held"), &json!(ID)));
    assert_eq!(service.get("/api/v1/nothing").await.json()["request_id"], Value::Null);
}
