//! Batches: held when made, charged when ended, seen by their owner alone.

use budget::{Quote, Settle, VendorBatch, VendorBatches};
use jiff::SignedDuration;

use super::*;

mod holding;
mod list;
mod results;

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

/// A batch that was made so many hours ago, with nothing held.
fn old_batch(id: &str, upstream: &str, hours: i64) -> VendorBatch {
    VendorBatch {
        id: id.to_owned(),
        tenant: TenantId::parse("acme").unwrap(),
        upstream: upstream.to_owned(),
        holds: Vec::new(),
        created_at: Timestamp::now() - SignedDuration::from_hours(hours),
        settled_at: None,
    }
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
    let answers = [state("in_progress"), results(), state("ended"), results()];
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

/// Makes a batch, and takes the store down once the vendor is at it.
async fn made_while_the_store_goes_down(bench: &Arc<Bench>) -> Answer {
    let call = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.send("/v1/messages/batches", &batch()).await })
    };
    while bench.vendor.requests() == 0 {
        tokio::task::yield_now().await;
    }
    bench.store.set_down(true);
    call.await.unwrap()
}

#[tokio::test]
async fn a_batch_that_the_store_can_not_take_is_kept_for_later() {
    let act = |number| match number {
        0 => Act::After(Duration::from_millis(200), state("in_progress")),
        1 | 2 => Act::Say(vec![state("ended")]),
        _ => Act::Say(vec![results()]),
    };
    let bench = Arc::new(Bench::start(act).await);
    let made = made_while_the_store_goes_down(&bench).await;
    assert_eq!((made.status.as_u16(), made.json()["id"].as_str()), (200, Some(ID)));
    assert_eq!(bench.gateway.spooled(), 1);
    bench.gateway.tend().await;
    assert_eq!(bench.gateway.spooled(), 1, "the store is still down");
    bench.store.set_down(false);
    let early = ask(&bench, "GET", &format!("/{ID}"), "acme").await;
    assert_eq!((early.status.as_u16(), early.header("retry-after")), (503, "1"), "not 404");
    bench.gateway.tend().await;
    assert_eq!(bench.gateway.spooled(), 0);
    assert_eq!(ask(&bench, "GET", &format!("/{ID}"), "brite").await.status.as_u16(), 404);
    assert_eq!(ask(&bench, "GET", &format!("/{ID}"), "acme").await.status.as_u16(), 200);
    bench.gateway.settle_batches().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Settled));
    assert!(!bench.spool.path().join("0/rejected.jsonl").exists());
}

#[tokio::test]
async fn a_batch_that_the_store_has_already_stays_settled_when_it_is_delivered() {
    let act = Act::After(Duration::from_millis(200), state("in_progress"));
    let bench = Arc::new(Bench::start(move |_| act.clone()).await);
    made_while_the_store_goes_down(&bench).await;
    let lines = std::fs::read(bench.spool.path().join("0/usage.jsonl")).unwrap();
    let line: Value = serde_json::from_slice(&lines).unwrap();
    let batch: VendorBatch = serde_json::from_value(line["batch"].clone()).unwrap();
    assert_eq!((batch.id.as_str(), batch.holds.len()), (ID, 2));
    // The store had taken it, only its answer was lost.
    bench.store.memory.put_batch(batch).await.unwrap();
    bench.store.memory.settle_batch(ID, Timestamp::now()).await.unwrap();
    bench.store.set_down(false);
    bench.gateway.tend().await;
    assert_eq!(bench.gateway.spooled(), 0);
    assert_eq!(bench.store.open_batches(Page::first(10)).await.unwrap(), []);
}

#[tokio::test]
async fn holds_of_a_batch_that_were_made_without_an_answer_are_freed() {
    for answered in [0, 1] {
        let bench = Bench::start(|_| Act::Say(vec![state("in_progress")])).await;
        bench.store.set_mute_after(answered);
        let made = bench.send("/v1/messages/batches", &batch()).await;
        assert_eq!((made.status.as_u16(), bench.vendor.requests()), (503, 0));
        let calls = held(&bench).await;
        assert_eq!(calls.len(), answered + 1, "the last one was made, too");
        bench.gateway.tend().await;
        let calls = held(&bench).await;
        assert!(calls.iter().all(|call| call.state == State::Released), "{calls:?}");
    }
}

#[tokio::test]
async fn a_store_that_says_nothing_of_a_batchs_hold_counts_as_down() {
    let quick = |config: &mut Config| config.store_timeout = Duration::from_millis(50);
    let bench = Bench::with(|_| Act::Say(vec![state("in_progress")]), quick).await;
    bench.store.set_silent(true);
    let made = bench.send("/v1/messages/batches", &batch()).await;
    assert_eq!((made.status.as_u16(), bench.vendor.requests()), (503, 0));
    bench.store.set_silent(false);
    bench.gateway.tend().await;
    let calls = held(&bench).await;
    assert_eq!((calls.len(), calls[0].state), (1, State::Released));
}

fn deleted() -> Vec<u8> {
    answer(200, &json!({ "id": ID, "type": "message_batch_deleted" }))
}

#[tokio::test]
async fn a_batch_is_charged_before_it_is_deleted() {
    let answers = [state("in_progress"), state("ended"), results(), deleted()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let gone = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
    assert_eq!(
        (gone.status.as_u16(), &gone.json()["type"]),
        (200, &"message_batch_deleted".into())
    );
    assert!(held(&bench).await.iter().all(|call| call.state == State::Settled));
    let asked = |number: usize| bench.vendor.heard.lock().unwrap()[number].clone();
    assert!(asked(2).starts_with(&format!("GET /v1/messages/batches/{ID}/results ")));
    assert!(asked(3).starts_with(&format!("DELETE /v1/messages/batches/{ID} ")));
    let again = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
    assert_eq!((again.status.as_u16(), bench.vendor.requests()), (404, 4), "it is forgotten");
}

#[tokio::test]
async fn a_batch_that_can_not_be_charged_is_not_deleted() {
    let refused = answer(403, &json!({ "type": "error" }));
    let ended = state("ended");
    let answers = [
        vec![state("in_progress"), ended.clone(), results(), ended.clone(), results(), deleted()],
        vec![state("in_progress"), ended.clone(), refused.clone(), ended, results(), deleted()],
        vec![state("in_progress"), refused, state("ended"), results(), deleted()],
    ];
    for (case, (answers, status)) in answers.into_iter().zip([503, 502, 502]).enumerate() {
        let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
        bench.send("/v1/messages/batches", &batch()).await;
        bench.store.set_down(case == 0);
        let kept = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
        assert_eq!((kept.status.as_u16(), kept.header("retry-after")), (status, "5"));
        let message = kept.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("is not forgotten before it is charged"), "{message}");
        let is_delete = |request: &String| request.starts_with("DELETE");
        assert!(!bench.vendor.heard.lock().unwrap().iter().any(is_delete));
        bench.store.set_down(false);
        let gone = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
        assert_eq!(gone.status.as_u16(), 200);
        assert!(held(&bench).await.iter().all(|call| call.state == State::Settled));
    }
}

#[tokio::test]
async fn what_has_not_ended_or_is_unknown_is_not_deleted() {
    for (status, first) in [(400, state("in_progress")), (404, answer(404, &json!({})))] {
        let answers = [state("in_progress"), first];
        let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
        bench.send("/v1/messages/batches", &batch()).await;
        let kept = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
        assert_eq!((kept.status.as_u16(), bench.vendor.requests()), (status, 2));
        assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
    }
}

#[tokio::test]
async fn a_batch_that_the_vendor_does_not_know_is_given_up_after_a_month() {
    let bench = Bench::start(|_| Act::Say(vec![answer(404, &json!({}))])).await;
    for (id, hours, upstream) in
        [("young", 28 * 24, "claude"), ("old", 31 * 24, "claude"), ("x", 31 * 24, "y")]
    {
        bench.store.put_batch(old_batch(id, upstream, hours)).await.unwrap();
    }
    bench.store.set_down(true);
    bench.gateway.settle_batches().await;
    let open = || async {
        let open = bench.store.open_batches(Page::first(10)).await.unwrap();
        open.into_iter().map(|batch| batch.id).collect::<Vec<_>>()
    };
    assert_eq!(open().await, ["old", "x", "young"], "the store is down");
    bench.store.set_down(false);
    bench.gateway.settle_batches().await;
    // Of the one at an upstream that is gone from the config the vendor has said nothing.
    assert_eq!(open().await, ["x", "young"]);
    bench.store.put_batch(old_batch("older", "y", 61 * 24)).await.unwrap();
    bench.gateway.settle_batches().await;
    assert_eq!(open().await, ["x", "young"], "after two months nobody is asked");
}

#[tokio::test]
async fn a_charge_of_a_batch_that_the_ledger_refuses_is_kept() {
    let answers = [state("in_progress"), state("ended"), results()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    // Somebody has said something else of it before.
    let call = held(&bench).await.swap_remove(0);
    let actual = Quote { amount: Some(usd("0.5")), ..call.estimate.unwrap() };
    let other = Settle { key: call.key, call: None, actual };
    bench.store.memory.settle(other).await.unwrap();
    bench.gateway.settle_batches().await;
    assert_eq!(bench.gateway.spooled(), 1);
    bench.gateway.tend().await;
    let kept = std::fs::read_to_string(bench.spool.path().join("0/rejected.jsonl")).unwrap();
    assert!(kept.contains(&call.key.to_string()), "{kept}");
}

#[tokio::test]
async fn a_batch_whose_results_are_gone_is_given_up_after_a_month() {
    for (hours, left) in [(28 * 24, 1), (31 * 24, 0)] {
        let act = |number| match number {
            0 => Act::Say(vec![state("ended")]),
            _ => Act::Say(vec![answer(404, &json!({}))]),
        };
        let bench = Bench::start(act).await;
        bench.store.put_batch(old_batch("old", "claude", hours)).await.unwrap();
        bench.gateway.settle_batches().await;
        let open = bench.store.open_batches(Page::first(10)).await.unwrap();
        assert_eq!((open.len(), bench.vendor.requests()), (left, 2));
    }
}

#[tokio::test]
async fn batches_that_can_not_be_settled_hide_no_later_ones() {
    let answers = [state("in_progress"), state("ended"), results()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    for number in 0..2_000 {
        let batch = old_batch(&format!("msgbatch_{number}"), "gone", 0);
        bench.store.put_batch(batch).await.unwrap();
    }
    bench.send("/v1/messages/batches", &batch()).await;
    bench.gateway.settle_batches().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Settled));
}

#[tokio::test]
async fn a_batch_is_counted_by_a_tokenizer_where_its_bytes_do_not_fit() {
    let bench = Bench::start(|_| Act::Say(vec![state("in_progress")])).await;
    let mut body = batch();
    for request in body["requests"].as_array_mut().unwrap() {
        request["params"]["messages"][0]["content"] = json!("budget ".repeat(3_000));
    }
    // Two of 21,000 bytes at $1.50 a million and one at $0.125: $0.066; by tokens less than $0.03.
    bench.limit("0.04", Overflow::Refuse).await;
    let answer = bench.send("/v1/messages/batches", &body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
    bench.limit("0.001", Overflow::Refuse).await;
    assert_eq!(bench.send("/v1/messages/batches", &body).await.status.as_u16(), 429);
}
