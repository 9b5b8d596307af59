//! Callers that are slow or half gone, and a store that goes away and comes back.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    support::{Client, Database, Server, bursar_json, sqlite},
    vendor::{Manner, Vendor},
    way::Way,
};

const LIMITS: &str =
    "[http]\nhead_timeout = \"300ms\"\n[gateway]\nbody_timeout = \"300ms\"\ndrain = \"10s\"\n";
/// Of an answer of 1,000 tokens in and 500 out, at $3 and $15 a million.
const COST: f64 = 0.0105;

fn body(is_stream: bool) -> String {
    let messages = r#"[{"role":"user","content":"Tell me about budgets."}]"#;
    format!(
        r#"{{"model":"claude-3-5-sonnet-20241022","max_tokens":500,"stream":{is_stream},"messages":{messages}}}"#
    )
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-tenant-id: acme\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn slow_vendor(milliseconds: u64) -> Vendor {
    let latency = Duration::from_millis(milliseconds);
    Vendor::start(Manner { latency, pause: Duration::from_millis(2), is_random: false })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream
}

/// Sends text byte by byte until nobody listens; what was answered before the end.
fn trickle(mut stream: TcpStream, text: &str) -> String {
    let mut writing = stream.try_clone().expect("the same connection");
    let text = text.to_owned();
    let sending = thread::spawn(move || {
        for byte in text.into_bytes() {
            if writing.write_all(&[byte]).is_err() {
                return;
            }
            // Slow, but never silent for long.
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let (mut answer, started) = (Vec::new(), Instant::now());
    // A connection that is reset has ended, too.
    let _ = stream.read_to_end(&mut answer);
    assert!(started.elapsed() < Duration::from_secs(15), "it was let go on for too long");
    drop(stream);
    sending.join().expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A tenant's reservations, once none is held any more.
fn calls(address: SocketAddr) -> Vec<Value> {
    let mut client = Client::connect(address).expect("a gateway");
    let held = "/api/v1/reservations?state=held&tenant_id=acme";
    client.wait_for(held, |_, answer| answer.contains(r#""reservations":[]"#));
    let all = client.get("/api/v1/reservations?tenant_id=acme&limit=1000", 200);
    let all: Value = serde_json::from_str(&all).expect("JSON");
    all["reservations"].as_array().expect("a list").clone()
}

#[test]
fn a_caller_that_never_ends_its_head_or_body_is_sent_away() {
    let vendor = slow_vendor(0);
    let (folder, database) = sqlite();
    let server = Server::start_with(&database, &vendor.config(folder.path(), LIMITS));
    let whole = head(body(false).len());
    // One that waits, and one that goes on byte by byte.
    for more in ["", &"x-more: of the head".repeat(200)] {
        let mut stream = connect(server.address);
        stream.write_all(&whole.as_bytes()[..60]).expect("half a head is taken");
        let answer = trickle(stream, more);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    for more in ["", &" ".repeat(2_000)] {
        let mut stream = connect(server.address);
        stream.write_all(head(1_000_000).as_bytes()).expect("a head is taken");
        stream.write_all(b"{\"model\":").expect("half a body is taken");
        let answer = trickle(stream, more);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""type":"error""#), "{answer}");
    }
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 0);
    assert!(calls(server.address).is_empty(), "nothing is held for half a request");
    let mut client = Client::connect(server.address).expect("a gateway");
    client.tenant = "acme".to_owned();
    client.post("/v1/messages", &body(false), 200);
    // Their connections are closed; its own is the one that asks.
    client.wait_for("/metrics", |_, metrics| metrics.contains("\nbursar_http_connections 1\n"));
    assert_eq!(server.stop(), Some(0));
}

/// A vendor whose one stream never ends, and how it was left.
fn endless_vendor() -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let work = move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).expect("a request");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("a head is taken");
        let text = "x".repeat(60_000);
        let delta = format!(r#"{{"type":"text_delta","text":"{text}"}}"#);
        let event =
            format!("data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n");
        while stream.write_all(event.as_bytes()).is_ok() {}
    };
    (address, thread::spawn(work))
}

#[test]
fn a_caller_that_reads_nothing_is_sent_away_and_its_call_is_charged() {
    let (vendor, talking) = endless_vendor();
    let (folder, database) = sqlite();
    let config = folder.path().join("stall.toml");
    let text = format!(
        "data_dir = {:?}\n[http]\nstall_timeout = \"300ms\"\n[gateway]\ndrain = \"300ms\"\n\
         [upstream.vendor]\napi = \"anthropic\"\nurl = \"http://{vendor}\"\nkey = \"k\"\n",
        folder.path()
    );
    std::fs::write(&config, text).expect("a config");
    let server = Server::start_with(&database, &config);
    let mut stream = connect(server.address);
    let request = head(body(true).len()) + &body(true);
    stream.write_all(request.as_bytes()).expect("a call is taken");
    // The vendor is left, although the caller's connection is open and silent.
    let started = Instant::now();
    talking.join().expect("it is left");
    assert!(started.elapsed() < Duration::from_secs(20), "it was let go on for too long");
    let calls = calls(server.address);
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (&calls[0]["state"], &calls[0]["cost_usd"]),
        (&"settled".into(), &calls[0]["held_usd"])
    );
    drop(stream);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_vendors_minutes_are_told_apart() {
    let vendor = slow_vendor(0);
    let (folder, database) = sqlite();
    let server = Server::start_with(&database, &vendor.config(folder.path(), ""));
    let mut client = Client::connect(server.address).expect("a gateway");
    client.tenant = "acme".to_owned();
    client.post("/v1/messages", &body(false), 200);
    let metrics = client.get("/metrics", 200);
    for border in ["60", "600", "+Inf"] {
        let bucket = format!(
            "bursar_gateway_upstream_seconds_bucket{{upstream=\"vendor\",le=\"{border}\"}} 1\n"
        );
        assert!(metrics.contains(&bucket), "{bucket}{metrics}");
    }
}

#[test]
fn a_caller_that_closes_its_side_is_gone_and_its_call_is_charged() {
    let vendor = slow_vendor(300);
    let (folder, database) = sqlite();
    let server = Server::start_with(&database, &vendor.config(folder.path(), LIMITS));
    let ask_and_close = |is_stream: bool, asked: usize| {
        let mut stream = connect(server.address);
        let body = body(is_stream);
        stream.write_all(format!("{}{body}", head(body.len())).as_bytes()).expect("it is taken");
        while vendor.asked.load(Ordering::SeqCst) < asked {
            thread::yield_now();
        }
        stream.shutdown(Shutdown::Write).expect("half of a connection");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end");
        assert_eq!(String::from_utf8_lossy(&answer), "");
    };
    // While the vendor works; and as soon as it was asked, when there may be no call yet.
    for (number, is_stream) in [(1, false), (2, true)] {
        ask_and_close(is_stream, number);
    }
    (0..10).for_each(|number| ask_and_close(number % 2 == 0, 0));
    let until = Instant::now() + Duration::from_secs(20);
    let settled = loop {
        let calls = calls(server.address);
        let (settled, others): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call["state"] == "settled");
        // Of a call that was not made in time the hold is freed.
        assert!(others.iter().all(|call| call["state"] == "released"), "{others:?}");
        let served = vendor.served.lock().expect("a lock").len();
        if served >= 2 && settled.len() == served {
            break settled;
        }
        assert!(Instant::now() < until, "{served} served, {} charged", settled.len());
        thread::park_timeout(Duration::from_millis(20));
    };
    for call in settled {
        assert_eq!(call["cost_usd"].as_f64(), Some(COST), "{call}");
        assert_eq!(call["actual"]["amount_estimated"], false, "{call}");
    }
}

/// A gateway whose store is behind a way that can be cut.
struct House {
    vendor: Vendor,
    server: Server,
    way: Way,
    /// The database as the server knows it, and the server's settings.
    url: String,
    config: PathBuf,
    database: Database,
    _folder: tempfile::TempDir,
}

impl House {
    fn start(fail: &str, latency: u64) -> Self {
        let (database, vendor) = (Database::make(), slow_vendor(latency));
        let (way, url) = Way::to(&database.url());
        let folder = tempfile::tempdir().expect("a folder");
        let more = format!("[gateway]\nfail = {fail:?}\n");
        let config = vendor.config(folder.path(), &more);
        let server = Server::start_with(&url, &config).answering();
        Self { vendor, server, way, url, config, database, _folder: folder }
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(self.server.address).expect("a gateway");
        client.tenant = "acme".to_owned();
        client
    }

    /// The store is back: what was spooled is in it, once, and nothing is held.
    fn mended(self, expected: &[&str]) {
        self.way.mend();
        let mut client = self.client();
        let is_empty = |_: u16, text: &str| text.contains("\nbursar_gateway_spool_records 0\n");
        client.wait_for("/metrics", is_empty);
        // Read where nothing was ever cut.
        let reader = Server::start(&self.database.url());
        let mut states: Vec<String> = calls(reader.address)
            .iter()
            .map(|call| {
                let is_exact = call["cost_usd"].as_f64() == Some(COST);
                let cost = if is_exact { "exactly" } else { "not exactly" };
                format!("{} {cost}", call["state"].as_str().expect("a state"))
            })
            .collect();
        states.sort();
        assert_eq!(states, expected);
        bursar_json(&self.database.url(), &["ledger", "verify"]);
        // It goes on as before.
        client.post("/v1/messages", &body(false), 200);
        assert_eq!(self.server.stop(), Some(0));
    }
}

#[test]
fn a_closed_gateway_refuses_while_its_store_is_away_and_loses_nothing() {
    let house = House::start("closed", 400);
    let before = house.vendor.asked.load(Ordering::SeqCst);
    thread::scope(|scope| {
        let asking = scope
            .spawn(|| house.client().send("POST", "/v1/messages", &body(true)).expect("an answer"));
        while house.vendor.asked.load(Ordering::SeqCst) == before {
            thread::yield_now();
        }
        house.way.cut();
        let refused = house.client().post("/v1/messages", &body(false), 503);
        assert!(refused.contains("api_error"), "{refused}");
        let (status, answer) = asking.join().expect("a call");
        assert_eq!(status, 200, "what was held before goes on: {answer}");
    });
    assert_eq!(house.vendor.served.lock().expect("a lock").len(), 1);
    house.mended(&["settled exactly"]);
}

#[test]
fn an_open_gateway_serves_while_its_store_is_away_and_charges_when_it_is_back() {
    let house = House::start("open", 0);
    let mut client = house.client();
    client.post("/v1/messages", &body(false), 200);
    house.way.cut();
    for is_stream in [false, true, false] {
        client.post("/v1/messages", &body(is_stream), 200);
    }
    let metrics = client.get("/metrics", 200);
    assert!(metrics.contains("\nbursar_gateway_fail_open_total 3\n"), "{metrics}");
    assert_eq!(house.vendor.served.lock().expect("a lock").len(), 4);
    house.mended(&["settled exactly"; 4]);
}

#[test]
fn a_kill_of_an_open_gateway_whose_store_is_away_loses_no_call() {
    let mut house = House::start("open", 1000);
    house.client().post("/v1/messages", &body(false), 200);
    // It is charged beside its answer.
    while calls(house.server.address)[0]["state"] != "settled" {
        thread::yield_now();
    }
    house.way.cut();
    let mut client = house.client();
    client.post("/v1/messages", &body(false), 200);
    client.wait_for("/metrics", |_, text| text.contains("\nbursar_gateway_spool_records 1\n"));
    let before = house.vendor.asked.load(Ordering::SeqCst);
    thread::scope(|scope| {
        for number in 0..8 {
            let mut client = house.client();
            scope.spawn(move || {
                // It is killed meanwhile.
                let _ = client.send("POST", "/v1/messages", &body(number % 2 == 0));
            });
        }
        while house.vendor.asked.load(Ordering::SeqCst) < before + 8 {
            thread::yield_now();
        }
        std::mem::replace(&mut house.server, Server::start(&house.database.url())).kill();
    });
    house.way.mend();
    let server = Server::start_with(&house.url, &house.config).answering();
    let until = Instant::now() + Duration::from_secs(20);
    let calls = loop {
        let calls = calls(server.address);
        if calls.len() == 10 {
            break calls;
        }
        assert!(Instant::now() < until, "{} of 10 calls are known", calls.len());
        thread::park_timeout(Duration::from_millis(20));
    };
    let (exact, most): (Vec<_>, Vec<_>) =
        calls.into_iter().partition(|call| call["actual"]["amount_estimated"] == false);
    assert!(exact.iter().all(|call| call["cost_usd"].as_f64() == Some(COST)), "{exact:?}");
    assert!(most.iter().all(|call| call["cost_usd"].as_f64() > Some(0.0075)), "{most:?}");
    assert_eq!((exact.len(), most.len()), (2, 8));
    bursar_json(&house.database.url(), &["ledger", "verify"]);
    assert_eq!(server.stop(), Some(0));
}
