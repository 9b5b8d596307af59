//! The gateway as a process, under load: never above the limit, little left, nothing lost by kills.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    support::{Client, Database, Server, bursar_json, sqlite},
    vendor::{INPUT, Manner, Vendor},
};

const MODEL: &str = "claude-3-5-sonnet-20241022";
/// Nano-dollars a token: $3 and $15 a million.
const RATES: (u64, u64) = (3_000, 15_000);
const REQUESTS: usize = 5_000;
const WORKERS: usize = 100;

/// A request of about a thousand tokens.
fn body(is_stream: bool, limit: Option<u64>) -> String {
    let limit = limit.map_or(String::new(), |limit| format!(r#""max_tokens":{limit},"#));
    let text = "the budget of a month, ".repeat(160);
    format!(
        r#"{{"model":"{MODEL}",{limit}"stream":{is_stream},"messages":[{{"role":"user","content":"{text}"}}]}}"#
    )
}

fn cost(output: u64) -> u64 {
    INPUT * RATES.0 + output * RATES.1
}

/// How a flood is made, and what must come of it.
struct Flood {
    is_stream: bool,
    limit: Option<u64>,
    is_random: bool,
    wait: &'static str,
}

/// Sends requests at all gateways; how many were served, and their cost by what the vendor notes.
fn flood(gateways: &[SocketAddr], vendor: &Vendor, flood: &Flood, requests: usize) -> (usize, u64) {
    let (next, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let body = body(flood.is_stream, flood.limit);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, served, body) = (&next, &served, &body);
            let address = gateways[worker % gateways.len()];
            scope.spawn(move || {
                let mut client = Client::connect(address).expect("a gateway");
                client.tenant = "acme".to_owned();
                while next.fetch_add(1, Ordering::Relaxed) < requests {
                    let (status, answer) =
                        client.send("POST", "/v1/messages", body).expect("an answer");
                    match status {
                        200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                        429 => {}
                        _ => panic!("{status}: {answer}"),
                    }
                }
            });
        }
    });
    let spent = vendor.served.lock().expect("a lock").iter().map(|(_, _, out)| cost(*out)).sum();
    (served.into_inner(), spent)
}

/// What the ledger has charged, in nano-dollars, once nothing is held any more.
fn charged(address: SocketAddr) -> u64 {
    let mut client = Client::connect(address).expect("a gateway");
    client.wait_for("/api/v1/budgets?tenant_id=acme", |_, answer| {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        answer["budgets"][0]["current"]["held_usd"].as_f64() == Some(0.0)
    });
    let answer = client.get("/api/v1/budgets?tenant_id=acme", 200);
    let spent = answer.split(r#""settled_usd":"#).nth(1).expect("a balance");
    let digits: String =
        spent.chars().take_while(|sign| sign.is_ascii_digit() || *sign == '.').collect();
    let (whole, part) = digits.split_once('.').unwrap_or((&digits, ""));
    format!("{whole}{part:0<9}").parse().expect("an amount")
}

fn check(databases: &[&str], folder: &Path, case: &Flood) -> (usize, u64) {
    let manner = Manner {
        latency: Duration::from_millis(50),
        pause: Duration::from_millis(5),
        is_random: case.is_random,
    };
    let vendor = Vendor::start(manner);
    bursar_json(databases[0], &["budget", "set", "acme", "10"]);
    let more = format!("[gateway]\nwait = {:?}\n", case.wait);
    let config = vendor.config(folder, &more);
    let gateways: Vec<Server> =
        databases.iter().map(|url| Server::start_with(url, &config)).collect();
    let addresses: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.address).collect();
    let (served, spent) = flood(&addresses, &vendor, case, REQUESTS);
    assert_eq!(vendor.served.lock().expect("a lock").len(), served, "all that was served arrived");
    assert!(spent <= 10_000_000_000, "never above the limit: {spent}");
    assert_eq!(charged(addresses[0]), spent, "the ledger has what the vendor has billed");
    bursar_json(databases[0], &["ledger", "verify"]);
    (served, 10_000_000_000 - spent)
}

const PLAIN: Flood = Flood { is_stream: false, limit: Some(500), is_random: false, wait: "2s" };
const STREAM: Flood = Flood { is_stream: true, ..PLAIN };

#[test]
fn ten_dollars_serve_952_calls_and_not_one_more() {
    for case in [PLAIN, STREAM] {
        let (folder, database) = sqlite();
        let (served, left) = check(&[&database], folder.path(), &case);
        assert_eq!((served, left), (952, 4_000_000));
    }
}

#[test]
fn two_gateways_on_one_postgres_serve_952_calls_together() {
    for case in [PLAIN, STREAM] {
        let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::make());
        let url = database.url();
        let (served, _) = check(&[&url, &url], folder.path(), &case);
        assert_eq!(served, 952);
    }
}

#[test]
fn without_waiting_no_more_is_left_than_was_in_flight() {
    let (folder, database) = sqlite();
    let (served, left) = check(&[&database], folder.path(), &Flood { wait: "0s", ..PLAIN });
    assert!(served <= 952);
    // A hold is 1,000 tokens of output and at most 4,000 of prompt.
    assert!(left <= WORKERS as u64 * cost(1_000), "{left}");
}

#[test]
fn answers_of_any_length_leave_less_than_one_call() {
    let random = Flood { is_random: true, ..PLAIN };
    for case in [Flood { is_stream: true, ..random }, random] {
        let (folder, database) = sqlite();
        let (_, left) = check(&[&database], folder.path(), &case);
        assert!(left < 2_500 * RATES.0 + 500 * RATES.1, "{left}");
    }
}

#[test]
fn calls_without_a_limit_leave_less_than_the_models_longest_answer() {
    let (folder, database) = sqlite();
    let case = Flood { limit: None, is_random: true, ..PLAIN };
    let (_, left) = check(&[&database], folder.path(), &case);
    assert!(left < 2_500 * RATES.0 + 8_192 * RATES.1, "{left}");
}

/// Streams until told to stop.
fn load(address: SocketAddr, body: &str, stop: &AtomicBool) {
    let Ok(mut client) = Client::connect(address) else { return };
    client.tenant = "acme".to_owned();
    while !stop.load(Ordering::Relaxed) {
        if client.send("POST", "/v1/messages", body).is_err() {
            return;
        }
    }
}

#[test]
fn fifty_kills_lose_no_call_that_was_served_and_count_none_twice() {
    let manner = Manner {
        latency: Duration::from_millis(5),
        pause: Duration::from_millis(4),
        is_random: true,
    };
    let vendor = Vendor::start(manner);
    let (folder, database) = sqlite();
    let config = vendor.config(folder.path(), "");
    bursar_json(&database, &["budget", "set", "acme", "1000000"]);
    let body = Arc::new(body(true, Some(500)));
    let few = || vendor.served.lock().expect("a lock").len() <= 200;
    for round in 0..200_u64 {
        // A busy machine gets more rounds.
        if round >= 50 && !few() {
            break;
        }
        let server = Server::start_with(&database, &config);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..16 {
                let (stop, body, address) = (&stop, &body, server.address);
                scope.spawn(move || load(address, body, stop));
            }
            let until = Instant::now() + Duration::from_millis(120 + round * 7919 % 240);
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    bursar_json(&database, &["ledger", "verify"]);
    let calls = reservations(&database, &config);
    let served = vendor.served.lock().expect("a lock").clone();
    assert!(served.len() > 200, "{} served: no load", served.len());
    let mut known = HashMap::new();
    for call in &calls {
        let key: Uuid = call["request_id"].as_str().expect("a key").parse().expect("a UUID");
        assert!(known.insert(key, call).is_none(), "{key} is there twice");
    }
    let mut settled = 0;
    for (key, _, output) in served {
        let call = known.get(&key).unwrap_or_else(|| panic!("{key} was served and is lost"));
        match call["state"].as_str() {
            Some("settled") => {
                settled += 1;
                assert!(is_covered(call, output), "{call}");
            }
            Some("held" | "unresolved") => {
                let held = call["held_usd"].as_f64().expect("an amount");
                assert!(held * 1e9 >= cost(output) as f64, "{call}");
            }
            _ => panic!("{call}"),
        }
    }
    assert!(settled > 20, "{settled} settled");
}

/// Whether a settled call was charged what the vendor billed; one that a kill of the vendor's
/// connection cut short is an estimate.
fn is_covered(call: &Value, output: u64) -> bool {
    let charged = call["cost_usd"].as_f64().expect("an amount");
    let exact = (charged * 1e9 - cost(output) as f64).abs() < 0.5;
    exact || call["actual"]["amount_estimated"] == true
}

fn reservations(database: &str, config: &Path) -> Vec<Value> {
    let server = Server::start_with(database, config);
    let mut client = Client::connect(server.address).expect("a service");
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/reservations?limit=1000{cursor}");
        let page: Value = serde_json::from_str(&client.get(&path, 200)).expect("JSON");
        all.extend(page["reservations"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn a_gateway_alone_answers_calls_and_probes_and_nothing_else() {
    let manner = Manner { latency: Duration::ZERO, pause: Duration::ZERO, is_random: false };
    let vendor = Vendor::start(manner);
    let (folder, database) = sqlite();
    let config = vendor.config(folder.path(), "");
    let server = Server::start_gateway(&database, &config);
    let mut client = Client::connect(server.address).expect("a gateway");
    client.tenant = "acme".to_owned();
    client.post("/v1/messages", &body(false, Some(5)), 200);
    client.get("/healthz", 200);
    client.get("/metrics", 200);
    client.get("/api/v1/budgets", 404);
    client.get("/", 404);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_call_in_flight_is_finished_when_the_service_is_told_to_stop() {
    let manner =
        Manner { latency: Duration::from_millis(300), pause: Duration::ZERO, is_random: false };
    let vendor = Vendor::start(manner);
    let (folder, database) = sqlite();
    let config = vendor.config(folder.path(), "");
    let server = Server::start_with(&database, &config);
    let address = server.address;
    let answered = Mutex::new(None);
    thread::scope(|scope| {
        let answered = &answered;
        scope.spawn(move || {
            let mut client = Client::connect(address).expect("a gateway");
            client.tenant = "acme".to_owned();
            let answer = client.send("POST", "/v1/messages", &body(false, Some(5)));
            *answered.lock().expect("a lock") = answer.ok();
        });
        while vendor.asked.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert_eq!(server.stop(), Some(0));
    });
    let answered = answered.into_inner().expect("a lock").expect("an answer");
    assert_eq!(answered.0, 200, "{}", answered.1);
    let calls = reservations(&database, &config);
    assert_eq!(calls[0]["state"], "settled");
}
