//! A $10 budget, $0.0105 a request, 5,000 requests at concurrency 100: exactly 952 are accepted.

use std::{
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::support::{Client, Database, Server, bursar_json, sqlite};

const MODEL: &str = "claude-3-5-sonnet-20241022";

/// Waits as a call to a model would take.
fn call_takes(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

fn accepted(servers: &[Server]) -> u32 {
    let mut client = Client::connect(servers[0].address).expect("a connection");
    let set = format!(r#"{{"tenant_id":"acme","model":"{MODEL}","monthly_limit_usd":10}}"#);
    client.post("/api/ai-budget/set", &set, 200);
    let (next, accepted) = (AtomicUsize::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for worker in 0..100 {
            let (next, accepted) = (&next, &accepted);
            scope.spawn(move || {
                let connect = |server: &Server| Client::connect(server.address).expect("connects");
                let mut clients: Vec<_> = servers.iter().map(connect).collect();
                while next.fetch_add(1, Ordering::Relaxed) < 5_000 {
                    let turn = (next.load(Ordering::Relaxed) + worker) % clients.len();
                    let key = Uuid::new_v4();
                    let check = format!(
                        r#"{{"request_id":"{key}","tenant_id":"acme","model":"{MODEL}",
                            "estimated_input_tokens":1000,"estimated_output_tokens":500}}"#
                    );
                    let (status, answer) = clients[turn]
                        .send("POST", "/api/ai-budget/check", &check)
                        .expect("answers");
                    if status == 429 {
                        continue;
                    }
                    assert_eq!(status, 200, "{answer}");
                    accepted.fetch_add(1, Ordering::Relaxed);
                    call_takes(Duration::from_millis(50));
                    let track = format!(
                        r#"{{"request_id":"{key}","tenant_id":"acme","model":"{MODEL}",
                            "prompt_tokens":1000,"completion_tokens":500}}"#
                    );
                    let other = (turn + 1) % clients.len();
                    clients[other].post("/api/ai-budget/track", &track, 200);
                }
            });
        }
    });
    accepted.into_inner()
}

fn check(database: &str, replicas: usize) {
    let servers: Vec<_> = (0..replicas).map(|_| Server::start(database)).collect();
    assert_eq!(accepted(&servers), 952);
    let mut client = Client::connect(servers[0].address).expect("a connection");
    let (_, status) = client.send("GET", "/api/ai-budget/tenant/acme", "").expect("an answer");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["budgets"][0]["current_usage_usd"].to_string(), "9.996", "{status}");
    drop(servers);
    bursar_json(database, &["ledger", "verify"]);
}

#[test]
fn a_budget_is_exact_on_sqlite() {
    let (_folder, database) = sqlite();
    check(&database, 1);
}

#[test]
fn a_budget_is_exact_on_postgres() {
    check(&Database::make().url(), 1);
}

#[test]
fn a_budget_is_exact_on_three_replicas() {
    check(&Database::make().url(), 3);
}
