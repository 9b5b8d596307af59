//! Checks that nobody has answered, and that the service may have done all the same.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use budget::Escrow;
use tokio::net::TcpListener;

use super::*;
use crate::{FailMode, names, record::Record};

/// What becomes of a connection.
#[derive(Clone, Copy)]
enum Fate {
    /// The service's answer is lost, and the connection breaks.
    Lost,
    /// The service's answer is lost, and the connection stays.
    Silent,
    /// The service is not asked, and this is the answer.
    Told(&'static str),
}

/// A way to the service on which connections meet their fates one after the other. Behind the last,
/// none is accepted. How many answers were lost is counted.
async fn way(service: SocketAddr, fates: &[Fate]) -> (Remote, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let (mut fates, count) = (VecDeque::from(fates.to_vec()), lost.clone());
    tokio::spawn(async move {
        let mut listener = Some(listener);
        while let Some(fate) = fates.pop_front() {
            let (mut near, _) = listener.as_ref().unwrap().accept().await.unwrap();
            if fates.is_empty() {
                listener = None;
            }
            let mut bytes = vec![0; 8192];
            let read = near.read(&mut bytes).await.unwrap();
            if let Fate::Told(answer) = fate {
                near.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
            let mut far = tokio::net::TcpStream::connect(service).await.unwrap();
            far.write_all(&bytes[..read]).await.unwrap();
            assert!(far.read(&mut bytes).await.unwrap() > 0);
            count.fetch_add(1, Ordering::Relaxed);
            if let Fate::Silent = fate {
                // Until the caller has had enough.
                let _ = near.read(&mut bytes).await;
            }
        }
    });
    (Remote::new(&format!("http://{address}")).unwrap(), lost)
}

fn request() -> http::Request<()> {
    let request = http::Request::post("/").header("x-tenant-id", "acme");
    request.header("x-input", "1000").header("x-output", "500").body(()).unwrap()
}

/// Must not be called.
#[derive(Clone)]
struct Never;

impl tower_service::Service<http::Request<()>> for Never {
    type Response = http::Response<String>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        panic!("the handler is not called")
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_during_the_check_leaves_no_hold() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), quick());
    let (remote, lost) = way(bursar.address, &[Fate::Silent]).await;
    let settings =
        Settings::default().with_estimate(estimate).with_timeout(Duration::from_secs(60));
    let layer = MeterLayer::new(remote, tracker.clone(), settings).unwrap();
    let mut service = tower_layer::Layer::layer(&layer, Never);
    let asked = tokio::spawn(tower_service::Service::call(&mut service, request()));
    until(|| lost.load(Ordering::Relaxed) == 1).await;
    assert_eq!(balances(&store).await, texts("0", "0.0105"), "it is held");
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    assert_eq!(tracker.waiting(), 1);
    tracker.close().await;
    assert_eq!(counts.of(names::DELIVERED), 1);
    assert_eq!(balances(&store).await, texts("0", "0"));
}

#[tokio::test]
async fn a_retry_that_is_refused_does_not_make_the_first_try_forgotten() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 53\r\n\r\n\
                {\"error\":\"Busy\",\"message\":\"busy\",\"code\":\"overloaded\" }";
    let token = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for fates in
        [&[Fate::Lost][..], &[Fate::Lost, Fate::Told(busy)], &[Fate::Lost, Fate::Told(token)]]
    {
        let store = memory();
        limit(&store, "10").await;
        let bursar = Bursar::start(store.clone());
        let (tracker, counts) = tracker(bursar.remote(), quick());
        let (remote, lost) = way(bursar.address, fates).await;
        let settings = Settings::default().with_fail_mode(FailMode::Closed);
        let settings = settings.with_timeout(Duration::from_secs(60));
        let app = App::start(remote, &tracker, settings).await;
        assert_eq!(app.ask(1000, 500).await.status(), 503);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
        assert_eq!(balances(&store).await, texts("0", "0.0105"), "the first try has held it");
        tracker.close().await;
        assert_eq!(counts.of(names::DELIVERED), 1);
        assert_eq!(balances(&store).await, texts("0", "0"));
    }
}

fn reservation(key: uuid::Uuid) -> budget::Reserve {
    budget::Reserve {
        key,
        call: focus::Attribution {
            tenant: tenant(),
            model: ModelName::parse(SONNET).unwrap(),
            user: None,
            report_type: None,
        },
        estimate: budget::conformance::quote(10, Some("2")),
        timeout: None,
        covered: false,
        fresh: false,
    }
}

fn release(number: u128, until: Timestamp) -> Record {
    Record::Release { request_id: uuid::Uuid::from_u128(number), until: Some(until) }
}

#[tokio::test]
async fn a_release_that_overtakes_its_check_comes_again_and_holds_nobody_up() {
    let store = memory();
    limit(&store, "10").await;
    let bursar = Bursar::start(store.clone());
    let config = TrackerConfig { concurrency: 1, ..quick() };
    let (tracker, counts) = tracker(bursar.remote(), config);
    tracker.put(release(1, Timestamp::MAX));
    tracker.put(release(2, Timestamp::MIN));
    until(|| counts.of(names::RETRIED) > 1).await;
    assert_eq!((counts.of(names::DELIVERED), tracker.waiting()), (1, 1), "the second is late");
    store.reserve(reservation(uuid::Uuid::from_u128(1))).await.unwrap();
    tracker.flush().await;
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (2, 0));
    assert_eq!(balances(&store).await.1, "0");
}

#[tokio::test]
async fn a_release_that_overtakes_its_check_outlives_the_process() {
    let store = memory();
    limit(&store, "10").await;
    let folder = tempfile::tempdir().unwrap();
    let config = TrackerConfig { spool: Some(folder.path().join("usage.jsonl")), ..quick() };
    let bursar = Bursar::start(store.clone());
    let (first, counts) = tracker(bursar.remote(), config.clone());
    first.put(release(1, Timestamp::MAX));
    until(|| counts.of(names::RETRIED) > 0).await;
    first.close().await;
    assert_eq!((counts.of(names::SPOOLED), counts.of(names::UNDELIVERED)), (1, 0));
    drop(first);
    let (second, counts) = tracker(bursar.remote(), config);
    // Another line gets past it.
    second.put(release(2, Timestamp::MIN));
    until(|| counts.of(names::DELIVERED) == 1).await;
    store.reserve(reservation(uuid::Uuid::from_u128(1))).await.unwrap();
    until(|| counts.of(names::DELIVERED) == 2).await;
    assert_eq!(balances(&store).await.1, "0");
    until(|| second.spooled_bytes() == 0).await;
}
