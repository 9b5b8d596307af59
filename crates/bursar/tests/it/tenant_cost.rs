//! What a tenant may ask about cost, over HTTP: its own charges, and in which currency.

use std::path::Path;

use serde_json::Value;

use crate::support::{Client, Server, program, sqlite};

const TOKEN: &str = "an-admin-token-0123456789";
const HEADER: &str = "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingCurrency,\
    BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ProviderName,\
    PublisherName,InvoiceIssuerName,ServiceName,SubAccountId,BillingAccountId,ChargeCategory,Tags";

/// A bill of September and October: what a tenant is tagged with, or nobody.
fn bill(charges: &[(&str, &str, &str, &str)]) -> String {
    let mut text = format!("{HEADER}\n");
    for (month, service, tags, cost) in charges {
        let (start, end) = match *month {
            "2026-09" => ("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"),
            _ => ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        };
        let tags = tags.replace('"', "\"\"");
        // A sub account that is named as a tenant is none.
        text.push_str(&format!(
            "{cost},{cost},{cost},{cost},USD,{start},{end},{start},{end},AWS,AWS,AWS,{service},\
             acme,1,Usage,\"{tags}\"\n"
        ));
    }
    text
}

fn ingest(database: &str, lake: &Path, what: &str) {
    let mut command = program(database);
    command.env("BURSAR_LAKE_URL", lake).args(["cost", "ingest", what, "--lacking"]);
    let output = command.args(["--focus", "1.2"]).output().expect("bursar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_tenants_key_asks_about_its_own_charges_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let (_kept, database) = sqlite();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let acme = r#"{"tenant":"acme","team":"web"}"#;
    let charges = [
        ("2026-09", "EC2", acme, "3"),
        ("2026-10", "EC2", acme, "4.000000000000000001"),
        ("2026-10", "S3", r#"{"tenant":"beta"}"#, "10"),
        ("2026-10", "S3", "", "100"),
    ];
    ingest(&database, &lake, &file("bill.csv", &bill(&charges)));
    let rates = "From,To,Date,Rate,Source\n\
                 USD,EUR,2026-09-30,0.9,ECB\nUSD,EUR,2026-10-31,0.5,ECB\n";
    let rates = file("rates.csv", rates);
    let config =
        file("bursar.toml", &format!("admin_token = {TOKEN:?}\n[cost]\nrates = {rates:?}\n"));
    let server = Server::start_on_lake_with(&database, &lake, Path::new(&config));
    let mut client = Client::connect(server.address).expect("a connection");
    client.secret = TOKEN.to_owned();
    let all = json(&client.get("/api/v1/cost/report?by=service", 200));
    assert_eq!(all["totals"]["USD"], "117.000000000000000001");
    let key = json(&client.post("/api/v1/keys", r#"{"tenant_id":"acme"}"#, 201));
    client.secret = key["secret"].as_str().expect("a secret").to_owned();

    let report = json(&client.get("/api/v1/cost/report?by=service,tag:tenant", 200));
    assert_eq!(report["totals"]["USD"], "7.000000000000000001");
    assert_eq!(report["rows"][0][1], "acme");
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(1), "{report}");
    // Who asks for others gets nothing of theirs.
    for only in ["tag:tenant=beta", "tag:tenant=", "service=S3"] {
        let path = format!("/api/v1/cost/report?only={only}");
        assert_eq!(json(&client.get(&path, 200))["rows"], Value::Array(Vec::new()), "{only}");
    }
    let diff = json(&client.get("/api/v1/cost/diff?before=2026-09&after=2026-10", 200));
    assert_eq!(diff["rows"].as_array().map(Vec::len), Some(1), "{diff}");
    assert_eq!(diff["rows"][0][2], "3");
    assert_eq!(diff["rows"][0][3], "4.000000000000000001");
    let tags = json(&client.get("/api/v1/cost/tags?tags=team", 200));
    assert_eq!(tags["rows"][0][3], "7.000000000000000001", "{tags}");
    for path in ["/api/v1/cost/imports", "/api/v1/cost/budgets"] {
        client.get(path, 403);
    }
    client.post("/api/v1/cost/query", r#"{"sql":"select 1"}"#, 403);
    client.post("/api/v1/cost/reconcile", r#"{"lines":[]}"#, 403);

    // 3 × 0.9 + 4.000000000000000001 × 0.5, half to even.
    let euros = json(&client.get("/api/v1/cost/report?currency=EUR", 200));
    assert_eq!(euros["totals"]["EUR"], "4.7", "{euros}");
    assert_eq!(euros["rates"][1]["rate"], "0.5", "{euros}");
    assert_eq!(euros["rates"][1]["date"], "2026-10-31", "{euros}");
    let problem = client.get("/api/v1/cost/report?currency=CHF", 422);
    assert!(problem.contains("no rate from USD to CHF in 2026-10"), "{problem}");
    client.get("/api/v1/cost/report?currency=euro", 422);
    assert_eq!(server.stop(), Some(0));
}
