//! The audit log as CSV, while calls go on.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::support::{Client, Database, Server, bursar, bursar_json, sqlite};

/// More than two of the service's pages.
const CALLS: usize = 2_500;

/// Calls that are settled.
fn settled(database: &str) -> HashSet<Uuid> {
    let export = bursar(database, &["ledger", "export", "--output", "json"]);
    assert!(export.status.success());
    let text = String::from_utf8_lossy(&export.stdout).into_owned();
    let entries = text.lines().map(|line| serde_json::from_str(line).expect("an entry"));
    let settled = entries.filter(|entry: &serde_json::Value| entry["kind"] == "settle");
    let key =
        |entry: serde_json::Value| entry["request_id"].as_str().and_then(|key| key.parse().ok());
    settled.map(|entry| key(entry).expect("a key")).collect()
}

/// The keys of the exported rows; none may come twice, and each row is whole and in order.
fn export(client: &mut Client) -> HashSet<Uuid> {
    let text = client.get("/api/v1/usage/export.csv", 200);
    let mut lines = text.lines();
    let columns = lines.next().expect("a head").split(',').count();
    let (mut keys, mut last) = (HashSet::new(), Timestamp::MIN);
    for line in lines {
        let fields: Vec<_> = line.split(',').collect();
        assert_eq!(fields.len(), columns, "{line}");
        assert!(keys.insert(fields[1].parse().expect("a key")), "{line} comes twice");
        let time = fields[0].parse().expect("a time");
        assert!(time >= last, "{line} comes after {last}");
        last = time;
    }
    keys
}

/// Checks and tracks until told to stop.
fn load(address: SocketAddr, stop: &AtomicBool, tracked: &AtomicU64) {
    let mut client = Client::connect(address).expect("a connection");
    while !stop.load(Ordering::Relaxed) {
        let call = format!(
            r#""request_id":"{}","tenant_id":"t1","model":"claude-3-haiku-20240307""#,
            Uuid::new_v4()
        );
        let estimate = r#""estimated_input_tokens":10,"estimated_output_tokens":1"#;
        client.post("/api/ai-budget/check", &format!("{{{call},{estimate}}}"), 200);
        let used = r#""prompt_tokens":10,"completion_tokens":1"#;
        client.post("/api/ai-budget/track", &format!("{{{call},{used}}}"), 200);
        tracked.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(database: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trace = "input_tokens,output_tokens\n".to_owned();
    for number in 0..CALLS {
        writeln!(trace, "{},1", 1 + number % 7).expect("text");
    }
    let file = folder.path().join("trace.csv");
    fs::write(&file, trace).expect("a file");
    // Many calls at a time: they share commits, and so the instant of their request.
    let replayed = bursar_json(database, &["replay", file.to_str().expect("a path")]);
    assert_eq!(replayed["summary"]["accepted"], CALLS, "{replayed}");
    let before = settled(database);
    assert_eq!(before.len(), CALLS);

    let server = Server::start(database);
    let (stop, tracked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| load(server.address, &stop, &tracked));
        }
        let mut client = Client::connect(server.address).expect("a connection");
        for _ in 0..10 {
            let started = tracked.load(Ordering::Relaxed);
            let found = export(&mut client);
            let lost: Vec<_> = before.difference(&found).collect();
            assert!(lost.is_empty(), "{} calls are not in the export: {lost:?}", lost.len());
            while tracked.load(Ordering::Relaxed) == started {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut client = Client::connect(server.address).expect("a connection");
    assert_eq!(export(&mut client), settled(database));
}

#[test]
fn an_export_has_every_call_once_while_calls_go_on_on_sqlite() {
    let (_folder, database) = sqlite();
    check(&database);
}

#[test]
fn an_export_has_every_call_once_while_calls_go_on_on_postgres() {
    check(&Database::make().url());
}
