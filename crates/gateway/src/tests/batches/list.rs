//! A tenant's list of its own batches.

use super::*;

/// Ten batches of one tenant, each a second younger than the one before, and one of another's. The
/// vendor does not know the sixth and the seventh any more.
async fn bench() -> Bench {
    let bench = Bench::start(|_| Act::Reply(told)).await;
    let now = Timestamp::now();
    for (number, tenant) in (0..11).zip(["acme"; 10].into_iter().chain(["brite"])) {
        let batch = VendorBatch {
            id: format!("b{number}"),
            tenant: TenantId::parse(tenant).unwrap(),
            upstream: "claude".to_owned(),
            holds: Vec::new(),
            created_at: now + SignedDuration::from_secs(number),
            settled_at: (number < 5).then_some(now),
        };
        bench.store.put_batch(batch).await.unwrap();
    }
    bench
}

/// What the vendor answers to a request.
fn told(request: &str) -> Vec<u8> {
    let path = request.split(' ').nth(1).unwrap();
    let id = path.strip_prefix("/v1/messages/batches/").unwrap();
    match id {
        "b6" | "b7" => answer(404, &json!({ "type": "error" })),
        id => answer(200, &json!({ "id": id, "type": "message_batch" })),
    }
}

async fn check(bench: &Bench, query: &str, ids: &[&str], has_more: bool, ends: [Option<&str>; 2]) {
    let list = ask(bench, "GET", query, "acme").await;
    let (status, list, cost) =
        (list.status.as_u16(), list.json(), list.header("x-bursar-cost-usd").to_owned());
    assert_eq!((status, cost.as_str()), (200, "0"), "{query}: {list}");
    let data: Vec<_> = list["data"].as_array().unwrap().iter().map(|batch| &batch["id"]).collect();
    assert_eq!(data, ids, "{query}");
    assert_eq!(list["has_more"], has_more, "{query}");
    assert_eq!([list["first_id"].as_str(), list["last_id"].as_str()], ends, "{query}");
}

#[tokio::test]
async fn a_tenant_lists_its_own_batches_newest_first() {
    let bench = bench().await;
    let all = ["b9", "b8", "b5", "b4", "b3", "b2", "b1", "b0"];
    check(&bench, "", &all, false, [Some("b9"), Some("b0")]).await;
    check(&bench, "?limit=1000&beta=true", &all, false, [Some("b9"), Some("b0")]).await;
    check(&bench, "?limit=2", &all[..2], true, [Some("b9"), Some("b8")]).await;
    // Those that the vendor has forgotten take no place.
    check(&bench, "?limit=2&after_id=b8", &["b5", "b4"], true, [Some("b7"), Some("b4")]).await;
    check(&bench, "?limit=4&after_id=b3", &["b2", "b1", "b0"], false, [Some("b2"), Some("b0")])
        .await;
    check(&bench, "?limit=2&before_id=b4", &["b8", "b5"], true, [Some("b8"), Some("b5")]).await;
    check(&bench, "?limit=3&before_id=b7", &["b9", "b8"], false, [Some("b9"), Some("b8")]).await;
    check(&bench, "?after_id=b0", &[], false, [None, None]).await;
    let heard = bench.vendor.heard.lock().unwrap();
    assert!(heard.iter().all(|request| request.contains("x-api-key: the-vendors-key")));
    assert!(!heard.iter().any(|request| request.contains("/b10")), "another's");
}

#[tokio::test]
async fn a_list_ends_before_the_first_that_can_not_be_told() {
    let bench = Bench::start(|_| {
        Act::Reply(|request| match request.split(' ').nth(1).unwrap() {
            "/v1/messages/batches/b2" => answer(403, &json!({})),
            path => answer(200, &json!({ "id": path.rsplit('/').next() })),
        })
    });
    let bench = bench.await;
    for (id, hours) in [("b1", 4), ("b2", 3), ("b3", 2), ("b4", 1)] {
        bench.store.put_batch(old_batch(id, "claude", hours)).await.unwrap();
    }
    check(&bench, "", &["b4", "b3"], true, [Some("b4"), Some("b3")]).await;
    let next = ask(&bench, "GET", "?after_id=b3", "acme").await;
    assert_eq!(next.status.as_u16(), 502);
}

#[tokio::test]
async fn a_list_that_can_not_be_told_is_refused() {
    let bench = bench().await;
    for (query, status) in [
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?limit=x", 400),
        ("?after_id=b1&before_id=b2", 400),
        ("?after_id=b10", 404),
        ("?after_id=none", 404),
    ] {
        assert_eq!(ask(&bench, "GET", query, "acme").await.status.as_u16(), status, "{query}");
    }
    assert_eq!(bench.vendor.requests(), 0);
    let act = |number| match number {
        0 => Act::Say(vec![state("in_progress")]),
        _ => Act::Say(vec![answer(403, &json!({}))]),
    };
    let bench = Bench::start(act).await;
    bench.send("/v1/messages/batches", &batch()).await;
    let list = ask(&bench, "GET", "", "acme").await;
    assert_eq!((list.status.as_u16(), list.header("retry-after")), (502, "5"));
}
