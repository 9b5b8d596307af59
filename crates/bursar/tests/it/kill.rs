//! Fifty times SIGKILL under load: nothing that was answered is lost, doubled or stranded.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::support::{Client, Database, Server, bursar, bursar_json, sqlite};

const MODEL: &str = "claude-3-haiku-20240307";

#[derive(Default)]
struct Answered {
    tracked: HashSet<Uuid>,
    reserved: HashSet<Uuid>,
}

/// Tracks and reserves until told to stop; notes what was answered.
fn load(address: SocketAddr, worker: usize, stop: &AtomicBool, answered: &Mutex<Answered>) {
    let Ok(mut client) = Client::connect(address) else { return };
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = Uuid::new_v4();
        let tenant = format!("t{}", (turn + worker) % 5);
        let call = format!(r#""request_id":"{key}","tenant_id":"{tenant}","model":"{MODEL}""#);
        let tokens = r#""estimated_input_tokens":900,"estimated_output_tokens":90"#;
        let used = r#""prompt_tokens":800,"completion_tokens":80"#;
        if turn % 3 > 0 {
            let body = format!("{{{call},{tokens}}}");
            let Ok((status, answer)) = client.send("POST", "/api/ai-budget/check", &body) else {
                return;
            };
            assert_eq!(status, 200, "{answer}");
            answered.lock().expect("a lock").reserved.insert(key);
        }
        if turn % 3 < 2 {
            let body = format!("{{{call},{used}}}");
            let Ok((status, answer)) = client.send("POST", "/api/ai-budget/track", &body) else {
                return;
            };
            assert_eq!(status, 200, "{answer}");
            answered.lock().expect("a lock").tracked.insert(key);
        }
    }
}

fn check(database: &str, rounds: u64) {
    let answered = Mutex::new(Answered::default());
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let few = || answered.lock().expect("a lock").tracked.len() <= 100;
    for round in 0..4 * rounds {
        // A busy machine gets more rounds.
        if round >= rounds && !few() {
            break;
        }
        let started = Instant::now();
        let server = Server::start(database);
        assert!(started.elapsed() < Duration::from_secs(5), "a slow start");
        let server = server.answering();
        let stop = AtomicBool::new(false);
        let lives = Duration::from_millis(40 + (seed + round * 7919) % 160);
        thread::scope(|scope| {
            for worker in 0..8 {
                let (stop, answered, address) = (&stop, &answered, server.address);
                scope.spawn(move || load(address, worker, stop, answered));
            }
            let until = Instant::now() + lives;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let answered = answered.into_inner().expect("a lock");
    assert!(answered.tracked.len() > 100, "{} tracked: no load", answered.tracked.len());
    bursar_json(database, &["ledger", "verify"]);
    let mut settled: HashMap<Uuid, u32> = HashMap::new();
    let mut reserved: HashSet<Uuid> = HashSet::new();
    let export = bursar(database, &["ledger", "export", "--output", "json"]);
    assert!(export.status.success());
    for line in String::from_utf8_lossy(&export.stdout).lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("an entry");
        let Some(Ok(key)) = entry["request_id"].as_str().map(str::parse::<Uuid>) else { continue };
        match entry["kind"].as_str() {
            Some("settle") => *settled.entry(key).or_default() += 1,
            Some("reserve") => assert!(reserved.insert(key), "{key} was reserved twice"),
            _ => {}
        }
    }
    for key in &answered.tracked {
        assert_eq!(settled.get(key), Some(&1), "track {key} is not in the ledger once");
    }
    assert!(settled.values().all(|times| *times == 1), "a call was charged twice");
    for key in &answered.reserved {
        assert!(reserved.contains(key), "reservation {key} is lost");
    }
}

#[test]
fn nothing_answered_is_lost_by_fifty_kills_on_sqlite() {
    let (_folder, database) = sqlite();
    check(&database, 50);
}

#[test]
fn nothing_answered_is_lost_by_kills_on_postgres() {
    check(&Database::make().url(), 15);
}
