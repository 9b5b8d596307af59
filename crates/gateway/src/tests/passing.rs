//! What passes through: paths, headers, attempts, and what is left when the gateway ends.

use super::*;

#[tokio::test]
async fn a_models_path_leads_nowhere_else() {
    let list = json!({ "object": "list", "data": [] });
    let bench = Bench::start(move |_| Act::Say(vec![answer(200, &list)])).await;
    let get = async |path: &str| {
        let request =
            Request::get(path).header("x-tenant-id", "acme").body(Full::new(Bytes::new())).unwrap();
        let response = bench.gateway.answer(request, IpAddr::from([127, 0, 0, 1])).await;
        read(response).await.status.as_u16()
    };
    for path in [
        "/v1/models",
        "/v1/models/ft:gpt-4o:acme::8x1",
        "/v1/models/meta/llama-3.1",
        "/v1/models/meta%2Fllama-3.1",
    ] {
        assert_eq!(get(path).await, 200, "{path}");
    }
    let served = bench.vendor.requests();
    for path in [
        "/v1/models/../files",
        "/v1/models/gpt-4o/../../files/f/content",
        "/v1/models/%2e%2e/files",
        "/v1/models/..%2ffiles",
        "/v1/models/%252e%252e/files",
        "/v1/models/x%5c..%5cfiles",
        "/v1/models/./x",
        "/v1/models//files",
    ] {
        assert_eq!(get(path).await, 404, "{path}");
    }
    assert_eq!(bench.vendor.requests(), served);
}

#[tokio::test]
async fn an_error_that_is_cut_is_as_long_as_what_came_of_it() {
    let cut = b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n\
        {\"error\":"
        .to_vec();
    let bench = Bench::start(move |_| Act::Say(vec![cut.clone()])).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (400, ""));
    assert_eq!(answer.body, b"{\"error\":");
    assert_eq!(bench.calls().await[0].state, State::Released);
}

#[tokio::test]
async fn a_vendors_name_for_a_request_reaches_the_caller_beside_ours() {
    let named = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\nx-request-id: req_vendor\r\n\
        content-length: 2\r\nconnection: close\r\n\r\n{}"
        .to_vec();
    let bench = Bench::start(move |_| Act::Say(vec![named.clone()])).await;
    let answer = bench.send("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.header("x-upstream-request-id"), "req_vendor");
    assert_eq!(answer.header("x-request-id"), answer.header("x-bursar-request-id"));
}

#[tokio::test]
async fn a_vendor_that_wants_no_second_attempt_gets_none() {
    let busy = b"HTTP/1.1 429 X\r\nx-should-retry: false\r\ncontent-length: 2\r\n\
        connection: close\r\n\r\n{}"
        .to_vec();
    let bench = Bench::start(move |_| Act::Say(vec![busy.clone()])).await;
    let answer = bench.send("/v1/messages", &message()).await;
    assert_eq!((answer.status.as_u16(), bench.vendor.requests()), (429, 1));
    assert_eq!(bench.calls().await[0].state, State::Released);
}

#[tokio::test]
async fn nothing_is_tried_again_for_a_caller_who_is_gone() {
    let busy =
        b"HTTP/1.1 529 X\r\nretry-after: 4\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
            .to_vec();
    let bench = Bench::start(move |_| Act::Say(vec![busy.clone()])).await;
    bench.hang_up().await;
    let call = bench.calls().await.remove(0);
    assert_eq!((call.state, bench.vendor.requests()), (State::Released, 1));
}

#[tokio::test]
async fn an_answer_that_never_came_says_what_it_has_cost() {
    let bench = Bench::start(|_| Act::Say(Vec::new())).await;
    let answer = bench.send("/v1/messages", &message()).await;
    let call = bench.calls().await.remove(0);
    assert_eq!(answer.header("x-bursar-cost-usd"), call.hold.to_string());
    assert!(!answer.header("x-bursar-budget-remaining-usd").is_empty());
}

#[tokio::test]
async fn a_whole_answer_that_its_caller_gave_up_is_charged_by_what_came_of_it() {
    let begun = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n\
        {\"content\":\"Budgets are limits.\""
        .to_vec();
    let bench = Bench::start(move |_| Act::Hang(vec![begun.clone()])).await;
    bench.hang_up().await;
    let actual = bench.calls().await.remove(0).actual.unwrap();
    assert!(actual.estimated && actual.usage.output == 8, "{actual:?}");
}

#[tokio::test]
async fn the_end_of_the_gateway_waits_for_what_is_read_on() {
    let mut pieces = vec![stream_head()];
    pieces.push(event(&json!({ "choices": [{ "index": 0, "delta": { "content": "Bud" } }] })));
    let act = Act::Hang(pieces);
    let bench = Bench::start(move |_| act.clone()).await;
    drop(bench.open("/v1/chat/completions", &chat(true)).await);
    bench.gateway.close().await;
    let filter = ReservationFilter { page: Page::first(1), ..Default::default() };
    let calls = bench.store.memory.reservations(filter).await.unwrap();
    assert_eq!(calls[0].state, State::Settled);
}

#[tokio::test]
async fn a_long_prompt_is_counted_when_its_bytes_do_not_fit() {
    let bench = Bench::start(|_| Act::Say(vec![answer(200, &message_answer(20_000, 500))])).await;
    // 20,000 tokens of $3 a million and 500 of $15: its bytes alone would be $0.48.
    bench.limit("0.2", Overflow::Refuse).await;
    let mut body = message();
    body["messages"][0]["content"] = json!("budget ".repeat(20_000));
    assert_eq!(bench.send("/v1/messages", &body).await.status.as_u16(), 200);
}

impl Bench {
    /// Makes a call and leaves when the vendor has it.
    async fn hang_up(&self) {
        let asked = async {
            while self.vendor.requests() == 0 {
                tokio::task::yield_now().await;
            }
        };
        let body = message();
        tokio::select! {
            _ = self.open("/v1/messages", &body) => panic!("it was answered"),
            () = asked => {}
        }
    }
}
