//! Results: passed on as they come, read a line at a time, charged when all of them were read.

use super::*;

/// The head of results, with a header that tells where they end, and their lines.
fn with_end(end: &str) -> (Vec<u8>, Vec<u8>) {
    let whole = String::from_utf8(results()).unwrap();
    let body = whole.split_once("\r\n\r\n").unwrap().1;
    let head = format!("HTTP/1.1 200 OK\r\n{end}connection: close\r\n\r\n");
    (head.into_bytes(), body.as_bytes().to_owned())
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Makes a batch that ends with each of these results, one after the other.
async fn ended(answers: Vec<Vec<Vec<u8>>>, change: impl FnOnce(&mut Config)) -> Bench {
    let act = move |number: usize| match number {
        0 => Act::Say(vec![state("in_progress")]),
        odd if odd % 2 == 1 => Act::Say(vec![state("ended")]),
        even => Act::Say(answers[even / 2 - 1].clone()),
    };
    let bench = Bench::with(act, change).await;
    bench.send("/v1/messages/batches", &batch()).await;
    bench
}

async fn is_settled(bench: &Bench) -> bool {
    held(bench).await.iter().all(|call| call.state == State::Settled)
}

async fn is_open(bench: &Bench) -> bool {
    !bench.store.open_batches(Page::first(1)).await.unwrap().is_empty()
}

#[tokio::test]
async fn results_that_break_off_are_not_charged() {
    let length = |length: usize| with_end(&format!("content-length: {length}\r\n"));
    let (short, body) = length(10_000);
    let (chunked, _) = with_end("transfer-encoding: chunked\r\n");
    let (endless, _) = with_end("");
    let line = body.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for broken in [
        vec![short, body.clone()],
        vec![chunked.clone(), chunk(&body)],
        vec![chunked.clone(), chunk(&body[..line])],
        // Well ended, and in the midst of a line.
        vec![chunked.clone(), chunk(&body[..line + 20]), b"0\r\n\r\n".to_vec()],
        // It has ended, or the connection has failed.
        vec![endless, body.clone()],
    ] {
        let whole = vec![chunked.clone(), chunk(&body), b"0\r\n\r\n".to_vec()];
        let bench = ended(vec![broken, whole], |_| {}).await;
        bench.gateway.settle_batches().await;
        assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
        assert!(is_open(&bench).await);
        bench.gateway.settle_batches().await;
        assert!(is_settled(&bench).await && !is_open(&bench).await);
    }
}

#[tokio::test]
async fn fewer_results_than_requests_are_not_all() {
    let counted = |succeeded: u64| {
        answer(
            200,
            &json!({ "id": ID, "processing_status": "ended",
                "request_counts": { "processing": 0, "succeeded": succeeded, "errored": 1 } }),
        )
    };
    let answers = [state("in_progress"), counted(3), results(), counted(2), results()];
    let bench = Bench::start(move |number| Act::Say(vec![answers[number].clone()])).await;
    bench.send("/v1/messages/batches", &batch()).await;
    bench.gateway.settle_batches().await;
    assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
    bench.gateway.settle_batches().await;
    assert!(is_settled(&bench).await && !is_open(&bench).await);
}

#[tokio::test]
async fn results_are_read_once_at_a_time() {
    let (head, _) = with_end("content-length: 10000\r\n");
    let act = move |number| match number {
        0 => Act::Say(vec![state("in_progress")]),
        1 => Act::Say(vec![state("ended")]),
        2 => Act::Hang(vec![head.clone()]),
        _ => Act::Say(vec![results()]),
    };
    let bench = Bench::start(act).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let others = async {
        while bench.vendor.requests() < 3 {
            tokio::task::yield_now().await;
        }
        bench.gateway.settle_batches().await;
        let kept = ask(&bench, "DELETE", &format!("/{ID}"), "acme").await;
        assert_eq!((kept.status.as_u16(), kept.header("retry-after")), (503, "5"));
        assert_eq!(bench.vendor.requests(), 3);
    };
    tokio::select! {
        () = bench.gateway.settle_batches() => panic!("its results have not ended"),
        () = others => {}
    }
}

#[tokio::test]
async fn results_that_stop_coming_are_not_waited_for() {
    let (head, body) = with_end("content-length: 10000\r\n");
    let act = move |number| match number {
        0 => Act::Say(vec![state("in_progress")]),
        1 => Act::Say(vec![state("ended")]),
        _ => Act::Hang(vec![head.clone(), body.clone()]),
    };
    let bench = Bench::start(act).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let settle = bench.gateway.settle_batches();
    tokio::time::timeout(Duration::from_secs(10), settle).await.expect("it goes on");
    assert!(held(&bench).await.iter().all(|call| call.state == State::Held));
    assert!(is_open(&bench).await);
}

#[tokio::test]
async fn results_may_be_longer_than_an_answer_but_not_a_line() {
    let (head, body) = with_end("transfer-encoding: chunked\r\n");
    let longest = body.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    // By the byte: lines end anywhere.
    let mut pieces = vec![head];
    pieces.extend(body.chunks(1).map(chunk));
    pieces.push(b"0\r\n\r\n".to_vec());
    for (limit, expected) in [(longest, State::Settled), (longest - 1, State::Held)] {
        let bench = ended(vec![pieces.clone()], |config| config.answer_limit = limit).await;
        bench.gateway.settle_batches().await;
        assert!(held(&bench).await.iter().all(|call| call.state == expected), "{limit}");
        assert!(!is_open(&bench).await, "what can't be read is for policy");
    }
    assert!(body.len() > longest);
}

#[tokio::test]
async fn results_pass_to_their_owner_as_they_come() {
    let (head, body) = with_end("content-length: 10000\r\n");
    let act = move |number| match number {
        0 => Act::Say(vec![state("in_progress")]),
        1 => Act::Hang(vec![head.clone(), body.clone()]),
        2 => Act::Say(vec![state("ended")]),
        _ => Act::Say(vec![results()]),
    };
    let bench = Bench::start(act).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let request = Request::get(format!("/v1/messages/batches/{ID}/results"))
        .header("x-tenant-id", "acme")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let mut response = bench.gateway.answer(request, IpAddr::from([127, 0, 0, 1])).await;
    assert_eq!(response.headers()["content-length"], "10000");
    assert_eq!(response.headers()["x-bursar-cost-usd"], "0");
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert!(first.into_data().unwrap().starts_with(b"{"), "the vendor has more to say");
    let rest = read(response).await;
    assert!(rest.is_broken, "it says nothing more");
    bench.settled().await;
    assert!(is_settled(&bench).await);
}

#[tokio::test]
async fn results_that_take_long_hold_up_no_other_batch() {
    let act = |request: &str| match request.split(' ').nth(1).unwrap() {
        "/v1/messages/batches" => state("in_progress"),
        path if path.ends_with("/results") => results(),
        _ => state("ended"),
    };
    let slow = Vendor::start(|number| match number {
        0 => Act::Say(vec![state("ended")]),
        _ => Act::Hang(vec![with_end("content-length: 10000\r\n").0]),
    });
    let url = format!("http://{}", slow.await.address).parse().unwrap();
    let change = |config: &mut Config| {
        let mut slow = Upstream::new("slow", Dialect::Anthropic, url);
        slow.models = Vec::new();
        config.upstreams.push(slow);
    };
    let bench = Bench::with(move |_| Act::Reply(act), change).await;
    let long = VendorBatch {
        id: "msgbatch_0".to_owned(),
        tenant: TenantId::parse("acme").unwrap(),
        upstream: "slow".to_owned(),
        holds: Vec::new(),
        created_at: Timestamp::now(),
        settled_at: None,
    };
    bench.store.put_batch(long).await.unwrap();
    bench.send("/v1/messages/batches", &batch()).await;
    tokio::select! {
        () = bench.gateway.settle_batches() => panic!("its results have not ended"),
        () = bench.settled() => {}
    }
    assert!(is_settled(&bench).await);
}
