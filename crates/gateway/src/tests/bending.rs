//! Budgets that want something else than a refusal.

use focus::ModelName;

use super::*;

fn vendor(_: usize) -> Act {
    Act::Say(vec![answer(200, &message_answer(30, 10))])
}

#[tokio::test]
async fn a_refusal_is_in_the_dialect_of_the_caller() {
    let bench = Bench::start(vendor).await;
    bench.limit("0.001", Overflow::Refuse).await;
    let anthropic = bench.send("/v1/messages", &message()).await;
    let openai = bench.send("/v1/chat/completions", &chat(false)).await;
    for answer in [&anthropic, &openai] {
        assert_eq!(answer.status.as_u16(), 429);
        assert_eq!(answer.header("x-should-retry"), "false");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        assert_eq!(answer.header("x-bursar-cost-usd"), "0");
    }
    assert_eq!(anthropic.json()["error"]["type"], "rate_limit_error");
    assert_eq!(anthropic.json()["type"], "error");
    assert_eq!(openai.json()["error"]["type"], "insufficient_quota");
    assert_eq!(openai.json()["error"]["code"], "budget_exceeded");
    assert_eq!(bench.vendor.requests(), 0);
}

#[tokio::test]
async fn an_answer_is_limited_to_what_is_affordable() {
    let bench = Bench::start(vendor).await;
    bench.limit("0.004", Overflow::Clamp).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 200);
    let limit: u64 = answer.header("x-bursar-clamped-max-tokens").parse().unwrap();
    assert!((1..500).contains(&limit));
    let heard = bench.vendor.heard.lock().unwrap()[0].clone();
    assert!(heard.contains(&format!("\"max_tokens\":{limit}")), "{heard}");
    let call = bench.calls().await.remove(0);
    assert!(call.hold <= usd("0.004"));
}

#[tokio::test]
async fn a_cheaper_model_is_called_where_the_dearer_one_does_not_fit() {
    let bench = Bench::start(vendor).await;
    let haiku = ModelName::parse("claude-3-haiku-20240307").unwrap();
    let unknown = ModelName::parse("claude-none").unwrap();
    bench.limit("0.001", Overflow::Fallback(vec![unknown, haiku.clone()])).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("x-bursar-fallback-model"), haiku.as_str());
    assert_eq!(bench.calls().await[0].call.model, haiku);
    let heard = bench.vendor.heard.lock().unwrap()[0].clone();
    assert!(heard.contains("\"model\":\"claude-3-haiku-20240307\""), "{heard}");
}

#[tokio::test]
async fn the_callers_key_and_names_never_reach_the_vendor() {
    let bench = Bench::start(vendor).await;
    bench.send("/v1/messages", &message()).await;
    let heard = bench.vendor.heard.lock().unwrap()[0].to_lowercase();
    assert!(heard.contains("x-api-key: the-vendors-key"), "{heard}");
    for secret in ["the-callers-key", "x-tenant-id", "authorization"] {
        assert!(!heard.contains(secret), "{heard}");
    }
}

#[tokio::test]
async fn what_can_not_be_metered_is_not_let_through() {
    let bench = Bench::start(vendor).await;
    let get = |body: Value| body;
    let cases = [
        ("/v1/images/generations", get(json!({ "model": GPT })), 404, "unmetered_path"),
        (
            "/v1/chat/completions",
            json!({ "model": GPT, "modalities": ["audio"] }),
            400,
            "unmetered",
        ),
        ("/v1/chat/completions", json!({ "model": "no-such-model" }), 400, "model_unpriced"),
        ("/v1/chat/completions", json!({}), 400, "unmetered"),
        ("/v1/chat/completions", json!([1]), 400, "unmetered"),
    ];
    for (path, body, status, code) in cases {
        let answer = bench.send(path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert_eq!(answer.json()["error"]["code"], code, "{body}");
    }
    assert_eq!(bench.vendor.requests(), 0);
}

#[tokio::test]
async fn strangers_are_told_to_send_a_key() {
    let bench = Bench::start(vendor).await;
    let peer = IpAddr::from([203, 0, 113, 7]);
    let key = "bsr_0123456789";
    for (name, value) in [("x-tenant-id", "acme"), ("x-api-key", key), ("accept", "*/*")] {
        let request = Request::post("/v1/messages")
            .header(name, value)
            .body(Full::new(Bytes::from(message().to_string())))
            .unwrap();
        let answer = read(bench.gateway.answer(request, peer).await).await;
        assert_eq!(answer.status.as_u16(), 401, "{name}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
    }
    assert!(bench.memory.keys(None).await.unwrap().is_empty());
}
