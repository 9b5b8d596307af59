//! Every way in which a call may end, and what it is charged.

use super::*;

/// Makes one call and compares what has become of it.
async fn check(
    act: Act,
    path: &str,
    body: Value,
    expected: (u16, State, Option<&str>, bool),
) -> Answer {
    let bench = Bench::start(move |_| act.clone()).await;
    let answer = bench.send(path, &body).await;
    let calls = bench.calls().await;
    let [call] = calls.as_slice() else { panic!("{} calls", calls.len()) };
    let cost = call.cost.map(|cost| cost.to_string());
    let is_estimated = call.actual.is_some_and(|quote| quote.estimated);
    let found = (answer.status.as_u16(), call.state, cost.as_deref(), is_estimated);
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&answer.body));
    let (settles, releases) = (&bench.store.settles, &bench.store.releases);
    let ends = settles.load(Ordering::SeqCst) + releases.load(Ordering::SeqCst);
    assert_eq!(ends, 1, "a call is settled or released once");
    answer
}

fn chunk(text: &str) -> Vec<u8> {
    event(&json!({ "id": "c", "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": { "content": text } }], "usage": null }))
}

fn usage_chunk() -> Vec<u8> {
    event(&json!({ "id": "c", "object": "chat.completion.chunk", "choices": [],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 } }))
}

const DONE: &[u8] = b"data: [DONE]\n\n";

#[tokio::test]
async fn a_whole_answer_is_charged_what_its_vendor_says() {
    let act = Act::Say(vec![answer(200, &message_answer(1000, 500))]);
    let answer =
        check(act, "/v1/messages", message(), (200, State::Settled, Some("0.0105"), false)).await;
    assert_eq!(answer.header("x-bursar-cost-usd"), "0.0105");
    assert_eq!(answer.header("x-bursar-budget-remaining-usd"), "999.9895");
    assert!(!answer.header("x-bursar-budget-reset").is_empty());
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(answer.json(), message_answer(1000, 500));
}

#[tokio::test]
async fn an_answer_without_usage_is_charged_by_what_was_seen() {
    let mut body = message_answer(1, 1);
    body.as_object_mut().unwrap().remove("usage");
    let act = Act::Say(vec![answer(200, &body)]);
    let bench = Bench::start(move |_| act.clone()).await;
    bench.send("/v1/messages", &message()).await;
    let call = bench.calls().await.remove(0);
    assert!(call.actual.unwrap().estimated);
    assert!(call.cost.unwrap() > Money::ZERO && call.cost.unwrap() <= call.hold);
}

#[tokio::test]
async fn garbage_in_place_of_usage_is_no_usage() {
    for usage in [json!({ "input_tokens": -5, "output_tokens": 3 }), json!("much"), json!(null)] {
        let mut body = message_answer(1, 1);
        body["usage"] = usage;
        let act = Act::Say(vec![answer(200, &body)]);
        let bench = Bench::start(move |_| act.clone()).await;
        bench.send("/v1/messages", &message()).await;
        assert!(bench.calls().await.remove(0).actual.unwrap().estimated);
    }
}

#[tokio::test]
async fn a_vendors_refusal_frees_the_hold_and_reaches_the_caller() {
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error",
        "message": "max_tokens: too high" } });
    let act = Act::Say(vec![answer(400, &error)]);
    let answer = check(act, "/v1/messages", message(), (400, State::Released, None, false)).await;
    assert_eq!(answer.json(), error);
}

#[tokio::test]
async fn what_azure_has_filtered_out_is_charged_as_it_was_held() {
    fn vendor(_: usize) -> Act {
        let error = json!({ "error": { "code": "content_filter", "status": 400 } });
        Act::Say(vec![answer(400, &error)])
    }
    for (auth, state) in [(Auth::ApiKey, State::Settled), (Auth::Bearer, State::Released)] {
        let told = |config: &mut Config| {
            config.upstreams.iter_mut().for_each(|upstream| upstream.auth = Some(auth));
        };
        let bench = Bench::with(vendor, told).await;
        let answer = bench.send("/v1/chat/completions", &chat(false)).await;
        assert_eq!(answer.status.as_u16(), 400);
        let calls = bench.calls().await;
        assert_eq!(calls[0].state, state);
        let cost = if state == State::Settled { calls[0].hold } else { Money::ZERO };
        assert_eq!(answer.header("x-bursar-cost-usd"), cost.to_string());
    }
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_under_the_same_hold() {
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error" } });
    let bench = Bench::start(move |number| {
        let body = if number < 2 {
            answer(529, &overloaded)
        } else {
            answer(200, &message_answer(1000, 500))
        };
        Act::Say(vec![body])
    });
    let bench = bench.await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (200, 3));
    let calls = bench.calls().await;
    assert_eq!((calls.len(), calls[0].cost), (1, Some(usd("0.0105"))));
}

#[tokio::test]
async fn a_vendor_that_says_nothing_is_charged_the_hold() {
    let bench = Bench::with(
        |_| Act::Hang(Vec::new()),
        |config| config.upstreams[0].timeout = Duration::from_millis(200),
    );
    let bench = bench.await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 504);
    let call = bench.calls().await.remove(0);
    assert_eq!((call.state, call.cost), (State::Settled, Some(call.hold)));
    assert!(call.actual.unwrap().estimated);
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_is_charged_the_hold() {
    let bench = Bench::start(|_| Act::Say(Vec::new())).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 502);
    let call = bench.calls().await.remove(0);
    assert_eq!(call.cost, Some(call.hold));
}

#[tokio::test]
async fn a_bomb_of_headers_ends_the_call() {
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for number in 0..50_000 {
        head.extend(format!("x-{number}: {number}\r\n").into_bytes());
    }
    let bench = Bench::start(move |_| Act::Hang(vec![head.clone()])).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 502);
    assert_eq!(bench.calls().await.len(), 1);
}

#[tokio::test]
async fn a_vendor_that_can_not_be_reached_costs_nothing() {
    let bench = Bench::with(
        |_| Act::Say(Vec::new()),
        |config| config.upstreams[0].url = "http://127.0.0.1:9".parse().unwrap(),
    );
    let bench = bench.await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 502);
    assert_eq!(bench.calls().await[0].state, State::Released);
}

#[tokio::test]
async fn a_stream_passes_unchanged_but_for_the_usage_nobody_asked_for() {
    let pieces = vec![stream_head(), chunk("Bud"), chunk("gets"), usage_chunk(), DONE.to_vec()];
    let act = Act::Say(pieces);
    let cost = Some("0.00035");
    let answer =
        check(act, "/v1/chat/completions", chat(true), (200, State::Settled, cost, false)).await;
    let expected = [chunk("Bud"), chunk("gets"), DONE.to_vec()].concat();
    assert_eq!(String::from_utf8_lossy(&answer.body), String::from_utf8_lossy(&expected));
    assert!(!answer.header("x-bursar-hold-usd").is_empty());
}

#[tokio::test]
async fn a_caller_that_asks_for_usage_gets_it() {
    let pieces = vec![stream_head(), chunk("Bud"), usage_chunk(), DONE.to_vec()];
    let whole = pieces[1..].concat();
    let mut body = chat(true);
    body["stream_options"] = json!({ "include_usage": true });
    let act = Act::Say(pieces);
    let cost = Some("0.00035");
    let answer = check(act, "/v1/chat/completions", body, (200, State::Settled, cost, false)).await;
    assert_eq!(answer.body, whole);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_charged_by_what_was_seen() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    let piece = chunk("Budgets are limits.");
    let framed = [format!("{:x}\r\n", piece.len()).into_bytes(), piece, b"\r\n".to_vec()].concat();
    let bench = Bench::start(move |_| Act::Say(vec![head.clone(), framed.clone()])).await;
    let answer = bench.send("/v1/chat/completions", &chat(true)).await;
    assert!(answer.is_broken, "the caller sees that it was cut");
    let call = bench.calls().await.remove(0);
    let actual = call.actual.unwrap();
    assert!(actual.estimated && actual.usage.output == 5, "{actual:?}");
}

#[tokio::test]
async fn a_stream_that_stops_is_ended() {
    let act = Act::Hang(vec![stream_head(), chunk("Budgets")]);
    let bench = Bench::start(move |_| act.clone()).await;
    let answer = bench.send("/v1/chat/completions", &chat(true)).await;
    assert!(answer.is_broken);
    assert!(bench.calls().await[0].actual.unwrap().estimated);
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_charged_what_the_vendor_says_at_the_end() {
    let mut pieces = vec![stream_head()];
    pieces.extend((0..200).map(|_| chunk("Budgets are limits. ")));
    pieces.extend([usage_chunk(), DONE.to_vec()]);
    let act = Act::Say(pieces);
    let bench = Bench::start(move |_| act.clone()).await;
    let mut response = bench.open("/v1/chat/completions", &chat(true)).await;
    let first = response.body_mut().frame().await;
    assert!(first.is_some_and(|frame| frame.is_ok()));
    drop(response);
    let call = bench.calls().await.remove(0);
    assert_eq!((call.state, call.cost), (State::Settled, Some(usd("0.00035"))));
    assert!(!call.actual.unwrap().estimated);
}

#[tokio::test]
async fn a_stream_without_end_is_left_after_a_while_once_its_caller_is_gone() {
    let act = Act::Repeat(stream_head(), chunk("more "));
    let bench = Bench::start(move |_| act.clone()).await;
    drop(bench.open("/v1/chat/completions", &chat(true)).await);
    let call = bench.calls().await.remove(0);
    assert_eq!(call.actual.unwrap().usage.output, 500, "never more than was held");
    assert!(call.actual.unwrap().estimated);
    let closed = async {
        while bench.vendor.open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the connection is closed");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{".to_vec();
    let act = Act::Repeat(head, vec![b' '; 65_536]);
    let bench = Bench::with(move |_| act.clone(), |config| config.answer_limit = 1 << 20).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!(answer.status.as_u16(), 502);
    assert_eq!(bench.calls().await[0].state, State::Settled);
}

#[tokio::test]
async fn an_anthropic_stream_is_charged_by_its_last_usage() {
    let named = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n").into_bytes();
    let start = json!({ "type": "message_start", "message": { "id": "m", "usage": {
        "input_tokens": 100, "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 300,
        "cache_creation": { "ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200 },
        "output_tokens": 1 } } });
    let text = json!({ "type": "content_block_delta", "index": 0,
        "delta": { "type": "text_delta", "text": "Hello" } });
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
        "usage": { "output_tokens": 50 } });
    let pieces = vec![
        stream_head(),
        named("message_start", start),
        named("ping", json!({ "type": "ping" })),
        named("content_block_delta", text),
        named("message_delta", end),
        named("message_stop", json!({ "type": "message_stop" })),
    ];
    let whole = pieces[1..].concat();
    let mut body = message();
    body["stream"] = json!(true);
    // 100 × 3 + 1000 × 0.30 + 100 × 3.75 + 200 × 6 + 50 × 15, by million.
    let cost = Some("0.002925");
    let answer = check(Act::Say(pieces), "/v1/messages", body, (200, State::Settled, cost, false));
    assert_eq!(answer.await.body, whole);
}
