//! Real requests through the engine, recomputed by a program that shares nothing with it.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::support::{Database, bursar, bursar_json, data, program, sqlite};

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

#[test]
fn a_replay_at_the_traces_own_times_keeps_its_rhythm() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    // The second call soon after the first, the third long after.
    let rows = "timestamp,input_tokens,output_tokens,tenant\n\
        7.0,1,1,acme\n7.3,1,1,acme\n8.5,1,1,acme\n";
    fs::write(&trace, rows).expect("a file");
    let trace = trace.to_str().expect("a path");
    let gaps = |speed: &str| {
        let (_folder, database) = sqlite();
        bursar_json(&database, &["replay", trace, "--speed", speed]);
        let export = bursar(&database, &["ledger", "export", "--output", "json"]);
        let text = String::from_utf8_lossy(&export.stdout).into_owned();
        let entries = text.lines().map(|line| serde_json::from_str(line).expect("an entry"));
        let times: Vec<Timestamp> = entries
            .filter(|entry: &Value| entry["kind"] == "reserve")
            .map(|entry| entry["at"].as_str().expect("a time").parse().expect("a time"))
            .collect();
        assert_eq!(times.len(), 3, "{text}");
        [times[1].duration_since(times[0]), times[2].duration_since(times[1])]
            .map(|gap| gap.as_secs_f64())
    };
    let near = |gap: f64, wanted: f64| (wanted - 0.25..wanted + 1.0).contains(&gap);
    let [first, second] = gaps("1x");
    assert!(near(first, 0.3) && near(second, 1.2) && first < second, "{first} s, {second} s");
    let [first, second] = gaps("4x");
    assert!(first + second < 1.2, "{first} s, {second} s");
}

#[test]
fn that_nobody_reads_the_faults_stops_nothing() {
    let (folder, database) = sqlite();
    let file = folder.path().join("trace.csv");
    let faults = "x,1\n".repeat(10_000);
    fs::write(&file, format!("input_tokens,output_tokens\n{faults}")).expect("a file");
    let mut replay = program(&database);
    replay.arg("replay").arg(file).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut replay = replay.spawn().expect("bursar runs");
    drop(replay.stderr.take());
    assert_eq!(replay.wait().expect("its end").code(), Some(0));
}
