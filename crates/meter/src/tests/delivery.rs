//! Usage reaches the ledger once, whatever happens on the way.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use budget::{Page, Records, ReservationFilter, State, Upkeep};
use tokio::net::TcpListener;

use super::*;
use crate::{
    Usage,
    call::{Asked, Hold},
    names,
    payer::Payer,
};

const COST: &str = "0.0105";

/// A call that was let through without an answer of the service.
fn call(tracker: &Tracker) -> Call {
    let payer = Payer { tenant: tenant(), user: None, report_type: None };
    let estimate = Estimate::new(ModelName::parse(SONNET).unwrap(), 1000, 500);
    Call::new(Asked::new(payer, estimate, tracker.clone()), Hold::No, None)
}

fn spooling(folder: &Path) -> TrackerConfig {
    TrackerConfig { spool: Some(folder.join("deep").join("usage.jsonl")), ..quick() }
}

/// Every call was charged, and none twice.
async fn assert_charged(store: &Memory, calls: usize) {
    let filter = ReservationFilter {
        state: Some(State::Settled),
        page: Page::first(100_000),
        ..ReservationFilter::default()
    };
    assert_eq!(store.reservations(filter).await.unwrap().len(), calls);
    let cost: money::Money = COST.parse().unwrap();
    let sum = money::Money::from_nanos(cost.nanos() * i128::try_from(calls).unwrap());
    assert_eq!(balances(store).await, texts(&sum.to_string(), "0"));
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

fn again(store: &Arc<Memory>, address: SocketAddr) -> Bursar {
    Bursar::start_at(address, server::Service::new(store.clone(), server::Config::default()))
}

#[tokio::test]
async fn a_service_that_is_killed_and_comes_back_misses_nothing() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let mut bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), spooling(folder.path()));
    let mut calls = 0;
    for _ in 0..5 {
        for _ in 0..40 {
            assert!(call(&tracker).track(Usage::new(1000, 500)));
            calls += 1;
            tokio::task::yield_now().await;
        }
        // Killed while some are on their way.
        let address = bursar.kill().await;
        for _ in 0..40 {
            assert!(call(&tracker).track(Usage::new(1000, 500)));
            calls += 1;
        }
        bursar = again(&store, address);
    }
    tracker.flush().await;
    until(|| tracker.spooled_bytes() == 0).await;
    assert_charged(&store, calls).await;
    assert_eq!(counts.of(names::UNDELIVERED), 0);
    assert!(counts.of(names::SPOOLED) > 0);
}

#[tokio::test]
async fn what_a_process_leaves_in_the_spool_the_next_one_delivers() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let bursar = Bursar::start(store.clone());
    let remote = bursar.remote();
    let address = bursar.kill().await;
    let (first, counts) = tracker(remote.clone(), spooling(folder.path()));
    for _ in 0..10 {
        call(&first).track(Usage::new(1000, 500));
    }
    first.close().await;
    assert_eq!((first.waiting(), counts.of(names::SPOOLED)), (0, 10));
    // After the end, too, nothing is lost.
    call(&first).track(Usage::new(1000, 500));
    first.flush().await;
    drop(first);
    let _bursar = again(&store, address);
    let (second, counts) = tracker(remote, spooling(folder.path()));
    until(|| counts.of(names::DELIVERED) == 11).await;
    second.close().await;
    assert_charged(&store, 11).await;
    assert_eq!(counts.of(names::UNDELIVERED), 0);
}

#[tokio::test]
async fn a_full_queue_goes_to_disk_and_holds_nobody_up() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let bursar = Bursar::start(store.clone());
    let config = TrackerConfig { queue_most: 3000, concurrency: 1, ..spooling(folder.path()) };
    let config = TrackerConfig { spool_every: Duration::from_millis(1), ..config };
    let (tracker, counts) = tracker(bursar.remote(), config);
    // Nothing is delivered meanwhile: this thread is the only one, and it does not wait.
    for _ in 0..3500 {
        assert!(call(&tracker).track(Usage::new(1000, 500)));
    }
    tracker.flush().await;
    until(|| tracker.spooled_bytes() == 0).await;
    assert!(counts.of(names::SPOOLED) >= 500, "{}", counts.of(names::SPOOLED));
    assert_eq!(counts.of(names::UNDELIVERED), 0);
    assert_charged(&store, 3500).await;
}

#[tokio::test]
async fn without_a_spool_what_does_not_fit_is_counted_as_lost() {
    let store = memory();
    let bursar = Bursar::start(store.clone());
    let remote = bursar.remote();
    bursar.kill().await;
    let config = TrackerConfig {
        queue_most: 4,
        concurrency: 1,
        close_timeout: Duration::from_millis(50),
        ..quick()
    };
    let (tracker, counts) = tracker(remote, config);
    for _ in 0..10 {
        call(&tracker).track(Usage::new(1000, 500));
    }
    assert_eq!((tracker.waiting(), counts.of(names::UNDELIVERED)), (4, 6));
    tracker.close().await;
    assert_eq!((tracker.waiting(), counts.of(names::UNDELIVERED)), (0, 10));
}

#[tokio::test]
async fn a_spool_that_is_full_loses_aloud() {
    let store = memory();
    let folder = tempfile::tempdir().unwrap();
    let bursar = Bursar::start(store.clone());
    let remote = bursar.remote();
    bursar.kill().await;
    let config = TrackerConfig { spool_most: 1000, ..spooling(folder.path()) };
    let (tracker, counts) = tracker(remote, config);
    for _ in 0..10 {
        call(&tracker).track(Usage::new(1000, 500));
    }
    tracker.close().await;
    let (spooled, lost) = (counts.of(names::SPOOLED), counts.of(names::UNDELIVERED));
    assert_eq!(spooled + lost, 10);
    assert!(spooled > 0 && lost > 0, "{spooled} {lost}");
}

#[tokio::test]
async fn what_the_service_will_never_take_is_kept_for_people() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), spooling(folder.path()));
    let twice = call(&tracker);
    twice.track(Usage::new(1000, 500));
    tracker.flush().await;
    // The same id with other content: a fault of somebody's, which no repeat will mend.
    let record = crate::record::Record::Track {
        body: Box::new(api::TrackRequest {
            request_id: twice.request_id(),
            tenant_id: tenant(),
            model: ModelName::parse(SONNET).unwrap(),
            prompt_tokens: api::Tokens(7),
            completion_tokens: api::Tokens(7),
            report_type: None,
            user_id: None,
            cache_read_tokens: None,
            cache_write_5m_tokens: None,
            cache_write_1h_tokens: None,
            service_tier: None,
        }),
    };
    tracker.put(record);
    tracker.flush().await;
    assert_eq!((counts.of(names::DELIVERED), counts.of(names::UNDELIVERED)), (1, 1));
    let rejected = folder.path().join("deep").join("usage.jsonl.rejected");
    until(|| std::fs::read_to_string(&rejected).is_ok_and(|text| text.ends_with('\n'))).await;
    let text = std::fs::read_to_string(&rejected).unwrap();
    assert!(text.contains(&twice.request_id().to_string()), "{text}");
    assert_charged(&store, 1).await;
}

/// Passes bytes on; while told so, what the service answers does not arrive.
async fn lossy(service: SocketAddr, loses: Arc<AtomicBool>, lost: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (loses, lost) = (loses.clone(), lost.clone());
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(service).await.unwrap();
                let (mut asks, mut answers) = (vec![0; 8192], vec![0; 8192]);
                loop {
                    tokio::select! {
                        read = near.read(&mut asks) => match read {
                            Ok(0) | Err(_) => return,
                            Ok(read) => far.write_all(&asks[..read]).await.unwrap(),
                        },
                        read = far.read(&mut answers) => match read {
                            Ok(0) | Err(_) => return,
                            Ok(_) if loses.load(Ordering::Relaxed) => {
                                lost.fetch_add(1, Ordering::Relaxed);
                                return;
                            }
                            Ok(read) => near.write_all(&answers[..read]).await.unwrap(),
                        },
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_charged_once() {
    let store = memory();
    limit(&store, "1000").await;
    let folder = tempfile::tempdir().unwrap();
    let bursar = Bursar::start(store.clone());
    let (loses, lost) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let address = lossy(bursar.address, loses.clone(), lost.clone()).await;
    let remote = Remote::new(&format!("http://{address}")).unwrap();
    let (tracker, counts) = tracker(remote.clone(), spooling(folder.path()));
    for _ in 0..20 {
        call(&tracker).track(Usage::new(1000, 500));
    }
    until(|| lost.load(Ordering::Relaxed) > 3).await;
    loses.store(false, Ordering::Relaxed);
    until(|| counts.of(names::DELIVERED) == 20).await;
    tracker.close().await;
    assert_charged(&store, 20).await;
    // A reservation whose answer is lost, too, is made once.
    loses.store(true, Ordering::Relaxed);
    let before = lost.load(Ordering::Relaxed);
    let request = budget::Reserve {
        key: uuid::Uuid::from_u128(7),
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
    };
    let remote = remote.with_attempts(100);
    let asked = tokio::spawn(async move { budget::Escrow::reserve(&remote, request).await });
    until(|| lost.load(Ordering::Relaxed) > before).await;
    loses.store(false, Ordering::Relaxed);
    let outcome = asked.await.unwrap().unwrap();
    assert!(outcome.replayed);
    assert_eq!(balances(&store).await.1, "2");
}
