//! An operator's commands on the database of a running service: it obeys them soon.

use std::fs;

use serde_json::Value;

use crate::support::{Client, Database, Server, bursar, bursar_json, sqlite};

const TOKEN: &str = "the-admin-token-of-a-test";
const KEY: &str = "5f0c4ab1-9d0e-4a9b-8a55-0d6a1cf1f0aa";

fn import_price(database: &str, model: &str, dollars: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prices.json");
    let prices = format!(
        r#"{{"{model}":{{"litellm_provider":"openai","mode":"chat",
            "input_cost_per_token":{dollars}e-6,"output_cost_per_token":{dollars}e-6}}}}"#
    );
    fs::write(&file, prices).expect("a file");
    let file = file.to_str().expect("a path");
    bursar_json(database, &["prices", "import", file, "--effective-from", "2020-01-01"]);
}

fn a_price_reaches_the_service(database: &str) {
    let server = Server::start(database);
    let mut client = Client::connect(server.address).expect("a connection");
    let call = format!(r#""tenant_id":"acme","model":"brand-new","request_id":"{KEY}""#);
    let track = format!(r#"{{{call},"prompt_tokens":1000000,"completion_tokens":0}}"#);
    let kept = client.post("/api/ai-budget/track", &track, 200);
    assert!(kept.contains("unpriced"), "{kept}");
    let check = r#"{"tenant_id":"acme","model":"brand-new","estimated_input_tokens":1000000,
        "estimated_output_tokens":0}"#;
    client.post("/api/ai-budget/check", check, 422);

    import_price(database, "brand-new", "2.5");
    client.wait_for(&format!("/api/v1/reservations/{KEY}"), |status, answer| {
        status == 200 && answer.contains(r#""state":"settled""#)
    });
    let status: Value =
        serde_json::from_str(&client.get("/api/ai-budget/tenant/acme", 200)).expect("JSON");
    assert_eq!(status["total_usage_usd"].to_string(), "2.5", "{status}");
    client.post("/api/ai-budget/check", check, 200);
    // It is counted a moment after it is charged.
    let cost = r#"ai_token_usage_cost_usd{tenant_id="acme",model="brand-new",report_type=""} 2.5"#;
    client.wait_for("/metrics", |_, answer| answer.contains(cost));

    // A price that changes reaches it as well.
    import_price(database, "brand-new", "4");
    client.wait_for("/api/v1/prices/brand-new", |_, answer| answer.contains(r#""input":"4""#));
    bursar_json(database, &["ledger", "verify"]);
}

#[test]
fn a_price_imported_beside_it_reaches_the_service_and_charges_what_waited_on_sqlite() {
    let (_folder, database) = sqlite();
    a_price_reaches_the_service(&database);
}

#[test]
fn a_price_imported_beside_it_reaches_the_service_and_charges_what_waited_on_postgres() {
    a_price_reaches_the_service(&Database::make().url());
}

fn with_secret(server: &Server, secret: &str) -> Client {
    let mut client = Client::connect(server.address).expect("a connection");
    client.secret = secret.to_owned();
    client
}

/// The id and the secret of a key that a command has made.
fn made(report: &Value) -> (String, String) {
    let text = |name: &str| report[0][name].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

fn keys_are_obeyed(database: &str) {
    const PATH: &str = "/api/ai-budget/tenant/acme";
    let server = Server::start_locked(database, TOKEN);
    with_secret(&server, "").get(PATH, 401);
    with_secret(&server, TOKEN).get(PATH, 200);
    let (id, secret) = made(&bursar_json(database, &["key", "create", "acme"]));
    let mut first = with_secret(&server, &secret);
    first.get(PATH, 200);
    first.get("/api/ai-budget/tenant/rival", 403);

    // With a grace both work, without one the old key ends.
    let (id, secret) = made(&bursar_json(database, &["key", "rotate", &id, "--grace", "1h"]));
    let mut second = with_secret(&server, &secret);
    second.get(PATH, 200);
    first.get(PATH, 200);
    let (id, secret) = made(&bursar_json(database, &["key", "rotate", &id, "--grace", "0s"]));
    let mut third = with_secret(&server, &secret);
    third.get(PATH, 200);
    second.wait_for(PATH, |status, _| status == 401);

    assert!(bursar(database, &["key", "revoke", &id]).status.success());
    third.wait_for(PATH, |status, _| status == 401);
    assert!(!bursar(database, &["key", "rotate", &id]).status.success());
    with_secret(&server, TOKEN).get(PATH, 200);
}

#[test]
fn keys_made_rotated_and_revoked_beside_it_are_obeyed_on_sqlite() {
    let (_folder, database) = sqlite();
    keys_are_obeyed(&database);
}

#[test]
fn keys_made_rotated_and_revoked_beside_it_are_obeyed_on_postgres() {
    keys_are_obeyed(&Database::make().url());
}

#[test]
fn a_database_in_use_is_not_restored_over() {
    let (folder, database) = sqlite();
    let file = folder.path().join("copy.db");
    let file = file.to_str().expect("a path");
    let server = Server::start(&database);
    bursar_json(&database, &["budget", "set", "acme", "10"]);
    assert!(bursar(&database, &["backup", file]).status.success());
    bursar_json(&database, &["budget", "set", "acme", "20"]);
    let refused = bursar(&database, &["restore", file, "--force"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("is in use; stop the service first"), "{said}");
    let limit = || bursar_json(&database, &["budget", "list"])[0]["limit_usd"].to_string();
    assert_eq!(limit(), "20");

    assert_eq!(server.stop(), Some(0));
    let restored = bursar(&database, &["restore", file, "--force"]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(limit(), "10");
    // A damaged one is in nobody's use.
    fs::write(database.trim_start_matches("sqlite://"), "no database").expect("a file");
    assert!(bursar(&database, &["restore", file, "--force"]).status.success());
    assert_eq!(limit(), "10");
}

#[test]
fn a_limit_beside_a_tier_that_has_its_own_is_refused() {
    let (_folder, database) = sqlite();
    let set = ["budget", "set", "acme", "60000", "--tier"];
    let refused = bursar(&database, &[&set[..], &["starter"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("the tier starter has a limit of its own"), "{said}");
    let agreed = bursar_json(&database, &[&set[..], &["custom"]].concat());
    assert_eq!(agreed[0]["limit_usd"].to_string(), "60000");
}
