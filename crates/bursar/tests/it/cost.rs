//! Bills through the command line: the official sample in, its exact totals out.

use std::{fs, path::Path, process::Output};

use crate::support::{Client, Server, data, program, sqlite};

/// What the sample's columns add up to, digit by digit.
const BILLED: &str = "20.52022672899";
const EFFECTIVE: &str = "14.97651418586";

fn cost(lake: &Path, arguments: &[&str]) -> Output {
    cost_of("sqlite:///nowhere.db", lake, arguments)
}

fn cost_of(database: &str, lake: &Path, arguments: &[&str]) -> Output {
    let mut command = program(database);
    command.env("BURSAR_LAKE_URL", lake).arg("cost").args(arguments);
    command.output().expect("bursar runs")
}

/// The records of an answer; fails when the run has failed.
fn rows(lake: &Path, arguments: &[&str]) -> Vec<csv::StringRecord> {
    let output = cost(lake, &[arguments, &["--output", "csv"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bursar cost {arguments:?}: {errors}");
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    reader.records().collect::<Result<_, _>>().expect("CSV")
}

fn sum(rows: &[csv::StringRecord], column: usize) -> String {
    let zero = focus::Decimal::default();
    let add = |sum: focus::Decimal, row: &csv::StringRecord| {
        let value = focus::Decimal::parse(&row[column]).expect("an amount");
        sum.checked_add(value).expect("a sum")
    };
    rows.iter().fold(zero, add).to_string()
}

#[test]
fn the_official_sample_adds_up_whatever_it_is_split_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let sample = data().join("focus/focus-1.0-sample.csv");
    let sample = sample.to_str().expect("a path");
    let periods = rows(&lake, &["ingest", sample, "--source", "sample"]);
    assert_eq!((sum(&periods, 2), sum(&periods, 3)), ("1000".into(), BILLED.into()));
    assert_eq!(sum(&periods, 4), EFFECTIVE);

    for by in ["service,region", "day", "account,subaccount", "category,charge", "resource"] {
        let lines = rows(&lake, &["report", "--by", by]);
        let last = lines[0].len() - 1;
        assert_eq!(sum(&lines, last), BILLED, "by {by}");
        let lines = rows(&lake, &["report", "--by", by, "--basis", "effective"]);
        assert_eq!(sum(&lines, last), EFFECTIVE, "by {by}");
    }
    let top = rows(&lake, &["top", "-n", "3"]);
    assert_eq!((top.len(), sum(&top, 2)), (4, BILLED.into()));

    let question =
        "select count(*), sum(BilledCost) from focus_data_table where ChargeCategory = ?";
    let usage = rows(&lake, &["query", question, "--param", "Usage"]);
    let others = rows(&lake, &["query", &question.replace('=', "<>"), "--param", "Usage"]);
    let both = [usage[0].clone(), others[0].clone()];
    assert_eq!((sum(&both, 0), sum(&both, 1)), ("1000".into(), BILLED.into()));
}

#[test]
fn every_number_is_a_number_in_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let question = "select 1 as whole, 0.10 as exact, cast('0.1' as double) as float";
    let output = cost(&folder.path().join("lake"), &["query", question, "--output", "json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let numbers = ["whole", "exact", "float"].map(|name| rows[0][name].is_number());
    assert_eq!(numbers, [true; 3], "{text}");
}

#[test]
fn the_same_bill_again_changes_nothing_and_another_replaces_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let sample = data().join("focus/focus-1.0-sample.csv");
    let path = sample.to_str().expect("a path");
    rows(&lake, &["ingest", path, "--source", "aws"]);
    assert_eq!(rows(&lake, &["ingest", path, "--source", "aws"]).len(), 0);
    assert_eq!(rows(&lake, &["history"]).len(), 1);

    // A restated export of September: the first five hundred rows alone. October's one row stays.
    let text = fs::read_to_string(&sample).expect("the sample");
    let restated = folder.path().join("restated.csv");
    let half: Vec<&str> = text.lines().take(501).collect();
    fs::write(&restated, half.join("\n")).expect("a file");
    rows(&lake, &["ingest", restated.to_str().expect("a path"), "--source", "aws"]);
    let count = ["query", "select count(*) from focus_data_table"];
    assert_eq!(&rows(&lake, &count)[0][0], "501");
    let before = rows(&lake, &[count.as_slice(), &["--as-of", "1"]].concat());
    assert_eq!(&before[0][0], "1000");
}

#[test]
fn of_an_export_the_current_execution_counts_and_what_it_lacks_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, export) = (folder.path().join("lake"), folder.path().join("export"));
    let sample = fs::read_to_string(data().join("focus/focus-1.0-sample.csv")).expect("a sample");
    let lines: Vec<&str> = sample.lines().collect();
    let period = "BILLING_PERIOD=2024-09";
    let deliver = |execution: &str, files: usize, rows: usize| {
        let put = |path: String, text: String| {
            let path = export.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        let names = (0..files).map(|at| format!("data/{period}/{execution}/part-{at}.csv"));
        for name in names.clone() {
            put(name, lines[..=rows].join("\n"));
        }
        let named: Vec<String> = names.map(|name| format!("s3://bills/x/{name}")).collect();
        let manifest = serde_json::json!({"executionId": execution, "dataFiles": named});
        put(format!("metadata/{period}/x-Manifest.json"), manifest.to_string());
    };
    let at = export.to_str().expect("a path");
    let ingest = ["ingest", at, "--source", "aws", "--lacking"];
    let count = ["query", "select count(*) from focus_data_table"];
    for (execution, files, rows_now) in [("one", 2, 50), ("two", 1, 30)] {
        deliver(execution, files, rows_now);
        rows(&lake, &ingest);
        assert_eq!(rows(&lake, &count)[0][0], (files * rows_now).to_string(), "{execution}");
    }
    assert_eq!(rows(&lake, &ingest).len(), 0);
    deliver("three", 2, 20);
    fs::remove_file(export.join(format!("data/{period}/three/part-1.csv"))).expect("removed");
    let output = cost(&lake, &ingest);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("three/part-1.csv, which is not there"), "{errors}");
    assert_eq!(&rows(&lake, &count)[0][0], "30");
}

#[test]
fn an_invoice_that_differs_by_a_cent_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let sample = data().join("focus/focus-1.0-sample.csv");
    rows(&lake, &["ingest", sample.to_str().expect("a path")]);
    let question = "select InvoiceId, BillingCurrency, sum(BilledCost) from focus_data_table \
                    group by 1, 2";
    let known = rows(&lake, &["query", question]);
    let invoice = folder.path().join("invoices.csv");
    let write = |amount: &str| {
        let text = format!("InvoiceId,BillingCurrency,Amount\n{},USD,{amount}\n", &known[0][0]);
        fs::write(&invoice, text).expect("a file");
        let path = invoice.to_str().expect("a path");
        cost(&lake, &["reconcile", "--invoice", path]).status.code()
    };
    assert_eq!(known.len(), 1, "the sample has one invoice id");
    assert_eq!(write("20.52"), Some(0));
    assert_eq!(write("20.53"), Some(3));
}

#[test]
fn what_can_not_be_read_is_told_with_its_place_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let bad = folder.path().join("bad.csv");
    for (text, said) in
        [("BilledCost;ServiceName\n1;x\n", "bad.csv"), ("", "bad.csv"), ("a,b\n1,2\n", "bad.csv")]
    {
        fs::write(&bad, text).expect("a file");
        let output = cost(&lake, &["ingest", bad.to_str().expect("a path")]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text:?}: {errors}");
        assert!(errors.contains(said), "{text:?}: {errors}");
    }
    assert_eq!(rows(&lake, &["imports"]).len(), 0);
    let output = cost(&lake, &["query", "drop table focus_data_table"]);
    assert_eq!(output.status.code(), Some(1));
    let output = cost(&lake, &["report", "--by", "no_such_thing"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_the_ledger_has_charged_stands_beside_the_clouds_to_the_nano_dollar() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let (_folder, database) = sqlite();
    let server = Server::start(&database);
    let mut client = Client::connect(server.address).expect("a connection");
    let track = |client: &mut Client, tenant: &str, prompt: u64, cached: u64| {
        let body = format!(
            r#"{{"tenant_id":"{tenant}","model":"claude-3-5-sonnet-20241022",
                "request_id":"{}","prompt_tokens":{prompt},"completion_tokens":7,
                "cache_read_tokens":{cached}}}"#,
            uuid::Uuid::now_v7()
        );
        client.post("/api/ai-budget/track", &body, 200);
    };
    for prompt in 1..=20 {
        track(&mut client, "acme", prompt, 3);
        track(&mut client, "beta", 1_000 * prompt, 0);
    }
    let spent = |client: &mut Client, tenant: &str| {
        let status = client.get(&format!("/api/ai-budget/tenant/{tenant}"), 200);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        status["total_usage_usd"].to_string()
    };
    let (acme, beta) = (spent(&mut client, "acme"), spent(&mut client, "beta"));

    for _ in 0..2 {
        let output = cost_of(&database, &lake, &["ingest", "ledger", "--on-invalid", "refuse"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let sample = data().join("focus/focus-1.0-sample.csv");
    rows(&lake, &["ingest", sample.to_str().expect("a path")]);
    let lines = rows(&lake, &["report", "--by", "tenant"]);
    let of = |tenant: &str| {
        let line = lines.iter().find(|line| &line[0] == tenant).expect("a tenant's line");
        focus::Decimal::parse(&line[2])
    };
    assert_eq!(of("acme"), focus::Decimal::parse(&acme), "acme: {acme}");
    assert_eq!(of("beta"), focus::Decimal::parse(&beta), "beta: {beta}");
    // The second time nothing had changed; then came the sample.
    assert_eq!(rows(&lake, &["history"]).len(), 2);
}

#[test]
fn a_cloud_budget_tells_a_threshold_once_however_often_bills_are_restated() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let (_database, url) = sqlite();
    // The sample is of 2024: a budget of this year is to hold it.
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    let sample = data().join("focus/focus-1.0-sample.csv");
    let sample = fs::read_to_string(sample).expect("the sample").replace("2024-", &year);
    let file = folder.path().join("bill.csv");
    let ingest = |text: &str| {
        fs::write(&file, text).expect("a file");
        rows(&lake, &["ingest", file.to_str().expect("a path"), "--source", "aws"]);
    };
    let set = |name: &str, limit: &str| {
        let service = "service=Amazon Elastic Compute Cloud";
        let arguments = ["budget", "set", name, limit, "--only", service, "--period", "year"];
        let output = cost_of(&url, &lake, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // Starts the service and waits until it has told of this budget, and so of all; those told.
    let told = |marker: &str| {
        let server = Server::start_on_lake(&url, &lake);
        let mut client = Client::connect(server.address).expect("a connection");
        client.wait_for("/api/v1/events", |_, answer| answer.contains(marker));
        let events = client.get("/api/v1/events", 200);
        let events: serde_json::Value = serde_json::from_str(&events).expect("JSON");
        let told = events["events"].as_array().expect("a list").iter();
        let of_ec2 = told.filter(|event| event["cloud"]["budget"] == "ec2");
        let percents: Vec<String> = of_ec2.map(|event| event["percent"].to_string()).collect();
        assert_eq!(server.stop(), Some(0));
        percents
    };

    ingest(&sample);
    set("ec2", "18");
    let listed = cost_of(&url, &lake, &["budget", "list", "--output", "csv"]);
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(listed.contains(",warning,USD,18,16.0416930505,89.12,80 100"), "{listed}");
    assert_eq!(told("ec2"), ["80"]);
    // A restated bill says less, a further one as much as before.
    let half: Vec<&str> = sample.lines().take(501).collect();
    ingest(&half.join("\n"));
    set("less", "0.01");
    assert_eq!(told("less"), ["80"]);
    ingest(&sample);
    set("again", "0.01");
    assert_eq!(told("again"), ["80"]);

    let remove = ["budget", "remove", "ec2"];
    assert_eq!(cost_of(&url, &lake, &remove).status.code(), Some(0));
    assert_eq!(cost_of(&url, &lake, &remove).status.code(), Some(4));
}
