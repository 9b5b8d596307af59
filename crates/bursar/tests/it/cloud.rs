//! Costs of the clouds as a running service tells them: API and metrics against the command line.

use std::{collections::BTreeMap, path::Path};

use focus::Decimal;
use serde_json::Value;

use crate::support::{Client, Server, data, program, sqlite};

const BILLED: &str = "20.52022672899";

fn ingest(lake: &Path, path: &Path, source: &str) {
    let mut command = program("sqlite:///nowhere.db");
    command.env("BURSAR_LAKE_URL", lake).args(["cost", "ingest"]).arg(path);
    let output = command.args(["--source", source]).output().expect("bursar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn ask(client: &mut Client, path: &str) -> Value {
    serde_json::from_str(&client.get(path, 200)).expect("JSON")
}

fn sum<'a>(amounts: impl IntoIterator<Item = &'a str>) -> String {
    let zero = Decimal::default();
    let add = |sum: Decimal, text| {
        sum.checked_add(Decimal::parse(text).expect("an amount")).expect("a sum")
    };
    amounts.into_iter().fold(zero, add).to_string()
}

fn costs(answer: &Value) -> Vec<&str> {
    let rows = answer["rows"].as_array().expect("rows");
    rows.iter()
        .map(|row| row.as_array().and_then(|row| row.last()?.as_str()).expect("a cost"))
        .collect()
}

/// The samples of a metric whose labels contain a text.
fn samples<'a>(text: &'a str, metric: &str, label: &str) -> Vec<&'a str> {
    let head = format!("{metric}{{");
    let lines = text.lines().filter(|line| line.starts_with(&head) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()).collect()
}

#[test]
fn a_service_tells_what_the_official_sample_costs_wherever_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let (_kept, database) = sqlite();
    let server = Server::start_on_lake(&database, &lake);
    let mut client = Client::connect(server.address).expect("a connection");
    assert_eq!(ask(&mut client, "/api/v1/cost/report")["rows"], Value::Array(Vec::new()));

    // What comes in while it runs is seen.
    ingest(&lake, &data().join("focus/focus-1.0-sample.csv"), "aws");
    let report = ask(&mut client, "/api/v1/cost/report?by=service,region&limit=1000");
    assert_eq!(report["totals"]["USD"], BILLED);
    assert_eq!(sum(costs(&report)), BILLED);
    let first = ask(&mut client, "/api/v1/cost/report?by=resource&limit=100");
    let mut all: Vec<String> = costs(&first).into_iter().map(str::to_owned).collect();
    let mut cursor = first["next_cursor"].as_str().map(str::to_owned);
    assert!(cursor.is_some(), "one page for all resources");
    while let Some(next) = cursor {
        let path = format!("/api/v1/cost/report?by=resource&limit=100&cursor={next}");
        let page = ask(&mut client, &path);
        all.extend(costs(&page).into_iter().map(str::to_owned));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(sum(all.iter().map(String::as_str)), BILLED, "over {} rows", all.len());
    let tags = ask(&mut client, "/api/v1/cost/tags");
    assert_eq!(tags["columns"][0]["name"], "Tag");
    let imports = ask(&mut client, "/api/v1/cost/imports");
    assert_eq!(imports["imports"][0]["source"], "aws");
    let body = r#"{"sql":"select count(*) from focus_data_table where ChargeCategory = ?",
                   "params":["Usage"]}"#;
    let count: Value =
        serde_json::from_str(&client.post("/api/v1/cost/query", body, 200)).expect("JSON");
    assert!(count["rows"][0][0].as_i64().is_some_and(|count| count > 0), "{count}");
    for (path, field) in [
        ("/api/v1/cost/report?by=nothing", "by"),
        ("/api/v1/cost/report?month=2026-13", "month"),
        ("/api/v1/cost/report?from=2024-10&to=2024-09", "from"),
        ("/api/v1/cost/report?only=service", "only"),
        ("/api/v1/cost/report?cursor=!", "cursor"),
        ("/api/v1/cost/diff?before=x&after=2024-09", "before"),
    ] {
        let problem: Value = serde_json::from_str(&client.get(path, 422)).expect("JSON");
        assert_eq!(problem["field"], field, "{path}: {problem}");
    }
    client.post("/api/v1/cost/query", r#"{"sql":"drop table focus_data_table"}"#, 422);

    // Metrics follow by themselves, and add up to the same.
    client.wait_for("/metrics", |_, text| text.contains("aws_cost_monthly_usd{"));
    let text = client.get("/metrics", 200);
    assert_eq!(sum(samples(&text, "cloud_cost_monthly", "currency=\"USD\"")), BILLED);
    let aws = ask(&mut client, "/api/v1/cost/report?by=service&only=provider=AWS&limit=1000");
    let aws = aws["totals"]["USD"].as_str().expect("a total");
    assert_eq!(sum(samples(&text, "aws_cost_monthly_usd", "")), aws);
    assert_eq!(samples(&text, "cloud_cost_last_ingest_timestamp_seconds", "aws").len(), 1);
    let days = ask(&mut client, "/api/v1/cost/report?by=day&only=provider=AWS&limit=1000");
    let mut by_day: BTreeMap<&str, &str> = BTreeMap::new();
    for row in days["rows"].as_array().expect("rows") {
        by_day.insert(row[0].as_str().expect("a day"), row[2].as_str().expect("a cost"));
    }
    let (_, last) = by_day.last_key_value().expect("a day");
    assert_eq!(sum(samples(&text, "aws_cost_daily_usd", "")), sum([*last]));
}

#[test]
fn bills_are_taken_in_and_watched_as_the_config_file_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_kept, database) = sqlite();
    // The sample as if it were of this month.
    let (exports, now) = (folder.path().join("exports"), jiff::Timestamp::now());
    std::fs::create_dir(&exports).expect("a folder");
    let sample = std::fs::read_to_string(data().join("focus/focus-1.0-sample.csv"));
    let month = now.to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
    let next = month.last_of_month().tomorrow().expect("a day");
    let (this, next) = (&month.to_string()[..7], &next.to_string()[..7]);
    let sample = sample.expect("a file").replace("2024-10", next).replace("2024-09", this);
    std::fs::write(exports.join("bill.csv"), sample).expect("a file");
    let lake = folder.path().join("lake");
    let config = folder.path().join("bursar.toml");
    let text = format!(
        "[cost.source.main]\npath = {exports:?}\nevery = \"1s\"\n\
         [cost.budget.whole]\nlimit = 16.5\n"
    );
    std::fs::write(&config, text).expect("a file");
    let server = Server::start_on_lake_with(&database, &lake, &config);
    let mut client = Client::connect(server.address).expect("a connection");
    client.wait_for("/api/v1/events", |_, text| text.contains("\"whole\""));
    client.wait_for("/metrics", |_, text| text.contains("cloud_cost_budget_spent{"));
    client.wait_for("/metrics", |_, text| text.contains("month=\"current\""));
    let text = client.get("/metrics", 200);
    let spent = samples(&text, "cloud_cost_budget_spent", "budget=\"whole\"");
    let current = samples(&text, "cloud_cost_monthly", "month=\"current\"");
    let whole = sum(current);
    assert_eq!(spent, std::slice::from_ref(&whole));
    let tenants = samples(&text, "cloud_cost_tenant_monthly", "month=\"current\"");
    assert_eq!(sum(tenants), whole);
    assert_eq!(samples(&text, "aws_budget_monthly_limit_usd", "whole"), ["16.5"]);
    assert_eq!(samples(&text, "bursar_cost_ingest_failures_total", "main"), ["0"]);
    // Ingested again and again, it is still the first version.
    assert_eq!(ask(&mut client, "/api/v1/cost/report")["version"], 1);
    assert_eq!(server.stop(), Some(0));
}
