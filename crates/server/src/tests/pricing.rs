//! Which price a call is charged at: that of its request's day, under whichever name it was asked.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn id(number: u32) -> String {
    uuid::Uuid::from_u128(number.into()).to_string()
}

/// Imports a price: so many dollars a million input tokens.
async fn import(service: &Harness, model: &str, from: &str, input: &str, aliases: &[&str]) {
    let price = json!({
        "model": model, "vendor": "v", "effective_from": from, "source": "s", "aliases": aliases,
        "standard": { "input": input, "output": input },
    });
    let stored = service.post("/api/v1/prices", price).await;
    assert_eq!(stored.status, StatusCode::OK, "{}", stored.text);
}

fn checked(number: u32, model: &str) -> Value {
    let mut body = check("acme", 1_000_000, 0);
    (body["model"], body["request_id"]) = (json!(model), json!(id(number)));
    body
}

fn tracked(number: u32, model: &str) -> Value {
    let mut body = track("acme", &id(number), 1_000_000, 0);
    body["model"] = json!(model);
    body
}

fn reserved(number: u32, model: &str) -> Value {
    json!({ "request_id": id(number), "tenant_id": "acme", "model": model,
        "estimated_input_tokens": 1_000_000 })
}

impl Harness {
    /// Posts, and expects it to succeed.
    async fn done(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer.json()
    }

    async fn settle(&self, number: u32) -> Value {
        let path = format!("/api/v1/reservations/{}/settle", id(number));
        self.done(&path, json!({ "prompt_tokens": 1_000_000 })).await
    }
}

#[tokio::test]
async fn a_settle_is_priced_by_the_day_of_its_request() {
    let service = Harness::open();
    import(&service, "m", "2026-01-01", "2", &[]).await;
    for number in [1, 2] {
        let held = service.done("/api/ai-budget/check", checked(number, "m")).await;
        assert_eq!(held["held_usd"], json!(2));
    }
    // A new price comes while calls are in flight, and applies from the next day.
    import(&service, "m", "2026-11-11", "3", &[]).await;
    service.pass(DAY);
    assert_eq!(service.done("/api/ai-budget/track", tracked(1, "m")).await["cost_usd"], json!(2));
    assert_eq!(service.settle(2).await["cost_usd"], json!(2));
    assert_eq!(service.done("/api/ai-budget/track", tracked(3, "m")).await["cost_usd"], json!(3));
    let held = service.done("/api/ai-budget/check", checked(4, "m")).await;
    assert_eq!(held["held_usd"], json!(3));
    // A replay says what was charged, whatever prices are now.
    import(&service, "m", "2026-11-10", "9", &[]).await;
    assert_eq!(service.done("/api/ai-budget/track", tracked(1, "m")).await["cost_usd"], json!(2));
    assert_eq!(service.settle(2).await["cost_usd"], json!(2));
}

#[tokio::test]
async fn a_price_begins_with_its_utc_day() {
    let service = Harness::open();
    import(&service, "m", "2026-01-01", "2", &[]).await;
    import(&service, "m", "2026-11-11", "3", &[]).await;
    service.pass(Duration::from_secs(14 * 60 * 60 - 1));
    service.done("/api/ai-budget/check", checked(1, "m")).await;
    service.pass(Duration::from_secs(1));
    assert_eq!(service.done("/api/ai-budget/track", tracked(1, "m")).await["cost_usd"], json!(2));
    assert_eq!(service.done("/api/ai-budget/track", tracked(2, "m")).await["cost_usd"], json!(3));
}

#[tokio::test]
async fn a_call_kept_as_unpriced_is_charged_at_the_price_of_its_day() {
    let service = Harness::open();
    service.done("/api/ai-budget/track", tracked(1, "m")).await;
    service.pass(DAY);
    import(&service, "m", "2026-11-11", "3", &[]).await;
    import(&service, "m", "2026-11-10", "2", &[]).await;
    crate::jobs::charge_unpriced(service.front.state()).await.unwrap();
    let path = format!("/api/v1/reservations/{}", id(1));
    let charged = service.get(&path).await.json();
    assert_eq!((&charged["state"], &charged["cost_usd"]), (&json!("settled"), &json!(2)));
}

#[tokio::test]
async fn a_call_before_its_model_had_a_price_is_charged_at_the_first_one_once_that_holds() {
    let service = Harness::open();
    service.done("/api/ai-budget/track", tracked(1, "m")).await;
    import(&service, "m", "2026-11-11", "3", &[]).await;
    import(&service, "m", "2026-11-12", "4", &[]).await;
    let (state, path) = (service.front.state(), format!("/api/v1/reservations/{}", id(1)));
    crate::jobs::charge_unpriced(state).await.unwrap();
    assert_eq!(service.get(&path).await.json()["state"], "unpriced");
    for _ in 0..3 {
        service.pass(DAY);
    }
    crate::jobs::charge_unpriced(state).await.unwrap();
    let charged = service.get(&path).await.json();
    assert_eq!((&charged["state"], &charged["cost_usd"]), (&json!("settled"), &json!(3)));
}

#[tokio::test]
async fn an_alias_and_its_model_are_one_in_every_repeat() {
    let service = Harness::open();
    import(&service, "big", "2026-01-01", "2", &["big-latest"]).await;
    for (number, first, then) in [(1, "big-latest", "big"), (2, "big", "big-latest")] {
        for name in [first, then, first] {
            let made = service.done("/api/v1/reservations", reserved(number, name)).await;
            assert_eq!((&made["model"], &made["held_usd"]), (&json!("big"), &json!(2)));
        }
        for name in [then, first, then] {
            let cost =
                &service.done("/api/ai-budget/track", tracked(number, name)).await["cost_usd"];
            assert_eq!(cost, &json!(2));
        }
    }
    for (number, first, then) in [(3, "big-latest", "big"), (4, "big", "big-latest")] {
        for name in [first, then] {
            service.done("/api/ai-budget/check", checked(number, name)).await;
        }
    }
    let other = service.post("/api/ai-budget/track", tracked(3, SONNET)).await;
    assert_eq!(
        (other.status, &other.json()["code"]),
        (StatusCode::CONFLICT, &json!("request_id_reused"))
    );
    let status = service.get("/api/ai-budget/tenant/acme").await.json();
    assert_eq!(status["total_usage_usd"], json!(4));
}

#[tokio::test]
async fn a_repeat_finds_its_call_when_its_name_has_become_an_alias() {
    let service = Harness::open();
    import(&service, "new", "2026-01-01", "2", &[]).await;
    for number in [1, 2] {
        service.done("/api/v1/reservations", reserved(number, "new")).await;
    }
    service.done("/api/ai-budget/check", checked(3, "new")).await;
    service.done("/api/ai-budget/track", tracked(4, "unheard")).await;
    import(&service, "big", "2026-01-01", "5", &["unheard"]).await;
    assert_eq!(
        service.done("/api/ai-budget/track", tracked(4, "unheard")).await["cost_usd"],
        json!(5)
    );
    assert_eq!(service.done("/api/ai-budget/track", tracked(4, "big")).await["cost_usd"], json!(5));
}

#[tokio::test]
async fn a_repeat_finds_its_call_when_its_alias_has_become_a_model() {
    let service = Harness::open();
    import(&service, "big", "2026-01-01", "2", &["latest"]).await;
    for number in [1, 2] {
        service.done("/api/v1/reservations", reserved(number, "latest")).await;
    }
    service.done("/api/ai-budget/check", checked(3, "latest")).await;
    service.done("/api/ai-budget/track", tracked(4, "latest")).await;
    import(&service, "latest", "2026-11-10", "7", &[]).await;
    // What was promised under the name is what it is charged as.
    let made = service.done("/api/v1/reservations", reserved(1, "latest")).await;
    assert_eq!((&made["model"], &made["held_usd"]), (&json!("big"), &json!(2)));
    service.done("/api/ai-budget/check", checked(3, "latest")).await;
    for number in [1, 3, 4] {
        let cost =
            &service.done("/api/ai-budget/track", tracked(number, "latest")).await["cost_usd"];
        assert_eq!(cost, &json!(2), "{number}");
    }
    assert_eq!(service.settle(2).await["cost_usd"], json!(2));
    assert_eq!(
        service.done("/api/ai-budget/track", tracked(5, "latest")).await["cost_usd"],
        json!(7)
    );
}
