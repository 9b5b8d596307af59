//! Batches: held when made, charged when ended, seen by their owner alone.

use super::*;

const ID: &str = "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF";

fn batch() -> Value {
    let request = |name: &str, model: &str| {
        json!({ "custom_id": name, "params": { "model": model, "max_tokens": 100,
            "messages": [{ "role": "user", "content": "Hello" }] } })
    };
    let haiku = "claude-3-haiku-20240307";
    json!({ "requests": [request("a", SONNET), request("b", SONNET), request("c", haiku)] })
}

fn state(status: &str) -> Vec<u8> {
    answer(200, &json!({ "id": ID, "type": "message_batch", "processing_status": status }))
}

/// Two have succeeded, one has failed.
fn results() -> Vec<u8> {
    let message = |model: &str| {
        json!({ "type": "message", "model": model,
            "usage": { "input_tokens": 1000, "output_tokens": 100, "service_tier": "batch" } })
    };
    let lines = [
        json!({ "custom_id": "a", "result": { "type": "succeeded", "message": message(SONNET) } }),
        json!({ "custom_id": "b", "result": { "type": "errored",
            "error": { "type": "error", "error": { "type": "api_error" } } } }),
        json!({ "custom_id": "c", "result": { "type": "succeeded",
            "message": message("claude-3-haiku-20240307") } }),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-jsonl\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn ask(bench: &Bench, method: &str, place: &str, tenant: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/messages/batches{place}"))
        .header("x-tenant-id", tenant)
        .body(Full::new(Bytes::new()))
        .unwrap();
    read(bench.gateway.answer(request, IpAddr::from([127, 0, 0, 1])).await).await
}

async fn held(bench: &Bench) -> Vec<Reservation> {
    let filter = ReservationFilter { page: Page::first(10), ..Default::default() };
    bench.store.memory.reservations(filter).await.unwrap()
}

#[tokio::test]
async fn a_batch_is_held_when_made_and_charged_when_ended() {
    let answers = [state("in_progress"), state("in_progress"), state("ended"), results()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    let made = bench.send("/v1/messages/batches", &batch()).await;
    assert_eq!((made.status.as_u16(), made.json()["id"].as_str()), (200, Some(ID)));
    let calls = held(&bench).await;
    assert_eq!(calls.len(), 2, "a hold for each model");
    assert!(calls.iter().all(|call| call.state == State::Held));
    bench.gateway.settle_batches().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Held), "still at work");
    bench.gateway.settle_batches().await;
    let mut costs: Vec<_> = held(&bench).await.into_iter().map(|call| call.cost).collect();
    costs.sort();
    // Half of 1000 × 0.25 + 100 × 1.25, and of 1000 × 3 + 100 × 15, by million.
    assert_eq!(costs, [Some(usd("0.0001875")), Some(usd("0.00225"))]);
    bench.gateway.settle_batches().await;
    assert_eq!(bench.vendor.requests(), 4, "what is charged is not asked for again");
}

#[tokio::test]
async fn results_that_are_fetched_are_charged_at_once() {
    let answers = [state("in_progress"), results(), results()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let fetched = ask(&bench, "GET", &format!("/{ID}/results"), "acme").await;
    assert_eq!(fetched.status.as_u16(), 200);
    assert!(fetched.body.windows(9).any(|word| word == b"succeeded"));
    bench.settled().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Settled));
}

#[tokio::test]
async fn a_batch_is_its_tenants_own() {
    let bench = Bench::start(|_| Act::Say(vec![state("in_progress")])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    for place in ["", "/results"] {
        let foreign = ask(&bench, "GET", &format!("/{ID}{place}"), "brite").await;
        assert_eq!(foreign.status.as_u16(), 404);
    }
    assert_eq!(ask(&bench, "POST", &format!("/{ID}/cancel"), "brite").await.status.as_u16(), 404);
    assert_eq!(ask(&bench, "GET", "", "acme").await.status.as_u16(), 404, "no list of all");
    assert_eq!(ask(&bench, "GET", &format!("/{ID}"), "acme").await.status.as_u16(), 200);
    assert_eq!(bench.vendor.requests(), 2);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_or_is_refused_holds_nothing() {
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error" } });
    let bench = Bench::start(move |_| Act::Say(vec![answer(400, &error)])).await;
    assert_eq!(bench.send("/v1/messages/batches", &batch()).await.status.as_u16(), 400);
    assert!(held(&bench).await.iter().all(|call| call.state == State::Released));
    bench.limit("0.0001", Overflow::Refuse).await;
    assert_eq!(bench.send("/v1/messages/batches", &batch()).await.status.as_u16(), 429);
    assert_eq!(bench.vendor.requests(), 1);
    assert!(held(&bench).await.iter().all(|call| call.state == State::Released));
}

#[tokio::test]
async fn a_result_that_can_not_be_read_is_not_taken_for_free() {
    let broken =
        String::from_utf8(results()).unwrap().replace("\"input_tokens\":1000", "\"x\":\"y\" ");
    let body = broken.split_once("\r\n\r\n").unwrap().1.to_owned();
    let broken = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answers = [state("in_progress"), state("ended"), broken.into_bytes()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    bench.gateway.settle_batches().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
}
