//! Refusals that processes share through a real Redis.

use super::*;
use crate::{Usage, names};

fn redis() -> String {
    std::env::var("BURSAR_TEST_REDIS_URL").expect("BURSAR_TEST_REDIS_URL names a Redis for tests")
}

fn shared(url: &str) -> Settings {
    Settings::default().with_redis(url.into(), Duration::from_secs(2))
}

#[tokio::test]
async fn a_refusal_is_served_by_another_process_without_asking() {
    let store = memory();
    limit(&store, "0.01").await;
    let bursar = Bursar::start(store.clone());
    let (first, told) = tracker(bursar.remote(), quick());
    let (second, knows) = tracker(bursar.remote(), quick());
    let one = App::start(bursar.remote(), &first, shared(&redis())).await;
    let mut other = App::start(bursar.remote(), &second, shared(&redis())).await;
    let refused = one.ask(1000, 500).await;
    assert_eq!(refused.status(), 429);
    // Others are told in the background.
    let key = only_key(&bursar.url()).await;
    bursar.kill().await;
    let again = other.ask(1000, 500).await;
    assert_eq!((again.status(), again.body()), (429, refused.body()));
    let hits = (told.of(names::CACHE_HITS), knows.of(names::CACHE_HITS));
    assert_eq!((hits, knows.of(names::REDIS_FAULTS)), ((0, 1), 0));
    // A smaller one is asked for, and nobody is there to answer.
    assert_eq!(other.ask(999, 500).await.status(), 200);
    other.call().await.track(Usage::new(1, 1));
    assert_eq!(knows.of(names::FAILED_OPEN), 1);
    let ttl: i64 = command(redis::cmd("PTTL").arg(&key)).await;
    assert!((1..=60_000).contains(&ttl), "{ttl}");
}

/// The key under which the refusal of the first request is kept, once it is there: computed here as
/// the Fastify plugin computes it.
async fn only_key(service: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let parts = format!("[\"{service}\",\"acme\",\"{SONNET}\",null,null,\"standard\"]");
    let hash = sha2::Sha256::digest(parts.as_bytes());
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    let key = format!("bursar:verdict:{hash}");
    let there = async {
        while command::<i64>(redis::cmd("EXISTS").arg(&key)).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("it is shared in time");
    key
}

async fn command<T: redis::FromRedisValue>(command: &redis::Cmd) -> T {
    let client = redis::Client::open(redis()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_redis_that_is_not_there_fails_no_request() {
    let store = memory();
    limit(&store, "0.01").await;
    let bursar = Bursar::start(store.clone());
    let (tracker, counts) = tracker(bursar.remote(), quick());
    // Bound, so that nobody else is there, and never answering.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let settings = Settings::default().with_redis(url.into(), Duration::from_millis(20));
    let app = App::start(bursar.remote(), &tracker, settings).await;
    assert_eq!(app.ask(1000, 500).await.status(), 429);
    assert_eq!(app.ask(1000, 499).await.status(), 429);
    assert!(counts.of(names::REDIS_FAULTS) >= 1);
    assert_eq!(app.ask(1000, 500).await.status(), 429);
    assert_eq!(counts.of(names::CACHE_HITS), 1);
}

#[tokio::test]
async fn an_address_of_redis_is_never_shown() {
    let bursar = Bursar::start(memory());
    let (tracker, _) = tracker(bursar.remote(), quick());
    let settings = shared("not-redis://user:secret@host");
    let error = MeterLayer::new(bursar.remote(), tracker, settings).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

/// A Redis of this test's own.
struct OwnRedis(std::process::Child);

impl OwnRedis {
    async fn start(port: u16) -> Self {
        let mut command = std::process::Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]).stdout(std::process::Stdio::null());
        let redis = Self(command.spawn().expect("redis-server is installed"));
        until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()).await;
        redis
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_fails_no_request_and_is_used_again_when_it_is_back() {
    let store = memory();
    limit(&store, "0.01").await;
    let bursar = Bursar::start(store.clone());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let settings = || {
        let url = format!("redis://127.0.0.1:{port}");
        Settings::default().with_redis(url.into(), Duration::from_millis(200))
    };
    let redis = OwnRedis::start(port).await;
    let (first, told) = tracker(bursar.remote(), quick());
    let (second, knows) = tracker(bursar.remote(), quick());
    let mut one = App::start(bursar.remote(), &first, settings()).await;
    let other = App::start(bursar.remote(), &second, settings()).await;
    assert_eq!(one.ask(1000, 500).await.status(), 429);
    drop(redis);
    // Verdicts are served by the process that knows them, and by the service to all others.
    assert_eq!(one.ask(1000, 500).await.status(), 429);
    assert_eq!(told.of(names::CACHE_HITS), 1);
    assert_eq!(other.ask(1000, 500).await.status(), 429);
    assert!(knows.of(names::REDIS_FAULTS) >= 1);
    // Approvals, too: they are held and charged as ever.
    assert_eq!(one.ask(100, 50).await.status(), 200);
    one.call().await.track(Usage::new(100, 50));
    first.flush().await;
    assert_eq!(balances(&store).await, texts("0.00105", "0"));
    // It comes back, empty; what a process is refused next, others know again.
    let redis = OwnRedis::start(port).await;
    let (third, learns) = tracker(bursar.remote(), quick());
    let late = App::start(bursar.remote(), &third, settings()).await;
    let mut input = 2000;
    let shared = async {
        while learns.of(names::CACHE_HITS) == 0 {
            input += 1;
            assert_eq!(one.ask(input, 500).await.status(), 429);
            assert_eq!(late.ask(input, 500).await.status(), 429);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shared).await.expect("it is shared again");
    // Neither the service nor Redis: requests are let through.
    bursar.kill().await;
    drop(redis);
    assert_eq!(one.ask(1, 1).await.status(), 200);
}
