//! How the service starts, answers and ends.

use std::process::Command;

use crate::support::{Client, Server, bursar_json, sqlite};

#[test]
fn a_service_that_is_told_to_stop_ends_with_0_and_has_kept_all() {
    let (_folder, database) = sqlite();
    let server = Server::start(&database);
    let mut client = Client::connect(server.address).expect("a connection");
    let set = r#"{"tenant_id":"acme","model":"*","monthly_limit_usd":500}"#;
    client.post("/api/ai-budget/set", set, 200);
    assert_eq!(server.stop(), Some(0));
    let budgets = bursar_json(&database, &["budget", "list"]).to_string();
    assert!(budgets.contains("acme"), "{budgets}");
}

#[test]
fn a_public_address_without_a_token_is_refused() {
    let (_folder, database) = sqlite();
    let output = Command::new(env!("CARGO_BIN_EXE_bursar"))
        .arg("serve")
        .env("BURSAR_DATABASE_URL", &database)
        .env("BURSAR_LISTEN", "0.0.0.0:0")
        .env_remove("BURSAR_ADMIN_TOKEN")
        .output()
        .expect("bursar runs");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("BURSAR_ADMIN_TOKEN"), "{errors}");
}

#[test]
fn garbage_is_answered_with_4xx_in_the_problem_form() {
    let (_folder, database) = sqlite();
    let server = Server::start(&database);
    let key = "5f0c4ab1-9d0e-4a9b-8a55-0d6a1cf1f0aa";
    let track = |tokens: &str| {
        format!(
            r#"{{"request_id":"{key}","tenant_id":"acme","model":"claude-3-haiku-20240307",
                "prompt_tokens":{tokens},"completion_tokens":1}}"#
        )
    };
    let bodies = [
        track("-1"),
        track("1.5"),
        track("1e30"),
        track("\"1\""),
        track("null"),
        track("99999999999999999999"),
        track("1").replace(key, "not-a-uuid"),
        track("1").replace("acme", ""),
        track("1").replace("acme", "a b"),
        "{".to_owned(),
        "[]".to_owned(),
        String::new(),
        format!("{{\"x\":\"{}\"}}", "y".repeat(2 << 20)),
    ];
    for body in bodies {
        let mut client = Client::connect(server.address).expect("a connection");
        // A body over the limit may be answered while it is still being sent.
        let Ok((status, answer)) = client.send("POST", "/api/ai-budget/track", &body) else {
            assert!(body.len() > 1 << 20, "{body}");
            continue;
        };
        assert!((400..500).contains(&status), "{status} for {:.200}: {answer}", body);
        let problem: serde_json::Value = serde_json::from_str(&answer).expect("a problem");
        for field in ["error", "message", "code"] {
            assert!(problem[field].is_string(), "{answer}");
        }
    }
}
