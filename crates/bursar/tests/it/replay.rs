//! Real requests through the engine, recomputed by a program that shares nothing with it.

use std::{fmt::Write as _, fs, process::Command};

use serde_json::Value;

use crate::support::{Database, bursar_json, data, sqlite};

/// Adds up each tenant's requests with exact decimals.
const PYTHON: &str = r#"
import csv, decimal, json, sys
sums = {}
for row in csv.DictReader(open(sys.argv[1])):
    tokens = decimal.Decimal(row["input_tokens"]) * 3 + decimal.Decimal(row["output_tokens"]) * 15
    sums[row["tenant"]] = sums.get(row["tenant"], 0) + tokens / 1000000
print(json.dumps({tenant: format(total, "f") for tenant, total in sums.items()}))
"#;

/// The trace with a tenant in each row: some have many requests, some few.
fn with_tenants(folder: &std::path::Path) -> std::path::PathBuf {
    let trace = data().join("llm-traces/azure-2023-conv.csv");
    let trace = fs::read_to_string(trace).expect("the trace");
    let mut text = "timestamp,input_tokens,output_tokens,tenant\n".to_owned();
    for (number, line) in trace.lines().skip(1).enumerate() {
        let tenant = (number * number) % 23 % 12;
        writeln!(text, "{},t{tenant}", line.trim()).expect("text");
    }
    let file = folder.join("trace.csv");
    fs::write(&file, text).expect("a file");
    file
}

fn nanos(value: &str) -> i128 {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let part = format!("{part:0<9}");
    assert_eq!(part.len(), 9, "{value} has a part below the nano-dollar");
    whole.parse::<i128>().expect("digits") * 1_000_000_000 + part.parse::<i128>().expect("digits")
}

fn check(database: &str, limited: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = with_tenants(folder.path());
    let trace = trace.to_str().expect("a path");
    let python = Command::new("python3").args(["-c", PYTHON, trace]).output().expect("python3");
    let sums: Value = serde_json::from_slice(&python.stdout).expect("sums");
    let all = bursar_json(database, &["replay", trace]);
    assert_eq!(all["summary"]["accepted"], 19_366, "{all}");
    for tenant in all["tenants"].as_array().expect("tenants") {
        let name = tenant["tenant_id"].as_str().expect("a name");
        let expected = nanos(sums[name].as_str().expect("a sum"));
        assert_eq!(nanos(&tenant["ledger_usd"].to_string()), expected, "{tenant}");
    }
    let some = bursar_json(limited, &["replay", trace, "--limit-percent", "60"]);
    for tenant in some["tenants"].as_array().expect("tenants") {
        let spent = nanos(&tenant["ledger_usd"].to_string());
        let limit = nanos(&tenant["limit_usd"].to_string());
        assert!(spent <= limit, "{tenant}");
        assert!(spent * 100 > limit * 95, "{tenant}: much is left unspent");
    }
    for database in [database, limited] {
        bursar_json(database, &["ledger", "verify"]);
    }
}

#[test]
fn real_requests_add_up_on_sqlite() {
    let (_one, database) = sqlite();
    let (_two, limited) = sqlite();
    check(&database, &limited);
}

#[test]
fn real_requests_add_up_on_postgres() {
    let (database, limited) = (Database::make(), Database::make());
    check(&database.url(), &limited.url());
}
