//! Cost Explorer through the command line and the service, against one that computes its answers
//! from the official sample.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::json;

use crate::{
    explorer::{ACCOUNT, Explorer, KEY, Manner, SECRET},
    support::{Client, Server, data, program, sqlite},
};

const BILLED: &str = "20.52022672899";
const EFFECTIVE: &str = "14.97651418586";

/// A lake, the folder of the count of calls, and the sample as if it were of now.
struct House {
    folder: tempfile::TempDir,
    bill: PathBuf,
}

impl House {
    fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bill = folder.path().join("bill.csv");
        fs::write(&bill, recent()).expect("a file");
        Self { folder, bill }
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// `bursar cost`, with keys and an endpoint as AWS's own programs are told.
    fn command(&self, explorer: &Explorer, lake: &Path, arguments: &[&str]) -> Command {
        let mut command = program("sqlite:///nowhere.db");
        self.environment(&mut command, explorer);
        command.env("BURSAR_LAKE_URL", lake).arg("cost").args(arguments);
        command
    }

    fn environment(&self, command: &mut Command, explorer: &Explorer) {
        let endpoint = format!("http://{}", explorer.address);
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL_COST_EXPLORER", endpoint.as_str()),
            ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ] {
            command.env(name, value);
        }
        command.env("BURSAR_DATA_DIR", self.folder.path().join("data"));
    }

    fn run(&self, explorer: &Explorer, arguments: &[&str]) -> Output {
        self.command(explorer, &self.lake(), arguments).output().expect("bursar runs")
    }

    /// Runs to a good end; the records of the answer.
    fn rows(&self, explorer: &Explorer, arguments: &[&str]) -> Vec<csv::StringRecord> {
        self.rows_of(explorer, &self.lake(), arguments)
    }

    fn rows_of(
        &self,
        explorer: &Explorer,
        lake: &Path,
        arguments: &[&str],
    ) -> Vec<csv::StringRecord> {
        let arguments = [arguments, &["--output", "csv"]].concat();
        let output = self.command(explorer, lake, &arguments).output().expect("bursar runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bursar cost {arguments:?}: {errors}");
        let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
        reader.records().collect::<Result<_, _>>().expect("CSV")
    }

    /// What was refused or has failed, and how it was told.
    fn fails(&self, explorer: &Explorer, arguments: &[&str]) -> String {
        let output = self.run(explorer, arguments);
        assert!(!output.status.success(), "bursar cost {arguments:?} went well");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// The sample: its two months are the last one and this one, and no month is too short for it.
fn recent() -> String {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let this = today.first_of_month();
    let last = this.yesterday().expect("a day").first_of_month();
    let next = this.last_of_month().tomorrow().expect("a day");
    let month = |day: Date| day.to_string()[..7].to_owned();
    let sample = data().join("focus/focus-1.0-sample.csv");
    let mut reader = csv::Reader::from_path(sample).expect("the sample");
    let headers = reader.headers().expect("a header").clone();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&headers).expect("a record");
    for record in reader.records() {
        let record = record.expect("a record");
        let fields = headers.iter().zip(&record).map(|(header, text)| {
            let is_date = header.ends_with("PeriodStart") || header.ends_with("PeriodEnd");
            if !is_date {
                return text.to_owned();
            }
            let moved = match &text[..7] {
                "2024-09" => month(last),
                "2024-10" => month(this),
                "2024-11" => month(next),
                other => panic!("the sample has {other}"),
            };
            let day: u8 = text[8..10].parse().expect("a day");
            format!("{moved}-{:02}{}", day.min(28), &text[10..])
        });
        writer.write_record(fields).expect("a record");
    }
    String::from_utf8(writer.into_inner().expect("a file")).expect("UTF-8")
}

fn sorted(mut rows: Vec<csv::StringRecord>) -> Vec<Vec<String>> {
    rows.sort_by(|a, b| a.iter().cmp(b.iter()));
    rows.iter().map(|row| row.iter().map(str::to_owned).collect()).collect()
}

fn sum(rows: &[csv::StringRecord], column: usize) -> String {
    let add = |sum: focus::Decimal, row: &csv::StringRecord| {
        let value = focus::Decimal::parse(&row[column]).expect("an amount");
        sum.checked_add(value).expect("a sum")
    };
    rows.iter().fold(focus::Decimal::default(), add).to_string()
}

const INGEST: [&str; 2] = ["ingest", "cost-explorer"];

#[test]
fn what_it_tells_is_to_the_last_digit_what_the_bill_says_by_day_service_and_region() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner { page: 50, ..Manner::default() });
    let periods = house.rows(&explorer, &INGEST);
    assert_eq!((sum(&periods, 3), sum(&periods, 4)), (BILLED.into(), EFFECTIVE.into()));
    let (calls, throttled) = explorer.calls();
    assert!(calls > 5 && throttled == 0, "{calls} calls");

    // The bill itself, in a lake of its own.
    let beside = house.folder.path().join("beside");
    let bill = house.bill.to_str().expect("a path");
    house.rows_of(&explorer, &beside, &["ingest", bill]);
    for basis in ["billed", "effective"] {
        for by in ["day,service,region", "day", "service,region", "service"] {
            let report = ["report", "--by", by, "--basis", basis];
            let told = sorted(house.rows(&explorer, &report));
            let billed = sorted(house.rows_of(&explorer, &beside, &report));
            assert_eq!(told, billed, "by {by}, {basis}");
        }
    }
    let by = ["report", "--by", "provider,account"];
    let rows = house.rows(&explorer, &by);
    assert_eq!((rows.len(), &rows[0][0], &rows[0][1]), (1, "AWS", ACCOUNT));

    // The same again: another query, no other version.
    assert_eq!(house.rows(&explorer, &INGEST).len(), 0);
    assert_eq!(house.rows(&explorer, &["history"]).len(), 1);
    assert_eq!(explorer.calls().0, 2 * calls);
}

#[test]
fn a_restated_day_takes_the_former_ones_place() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner::default());
    house.rows(&explorer, &INGEST);
    // A week later AWS has counted half of the rows.
    let text = recent();
    let half: Vec<&str> = text.lines().take(501).collect();
    let restated = house.folder.path().join("restated.csv");
    fs::write(&restated, half.join("\n")).expect("a file");
    explorer.change(&restated, Manner::default());
    house.rows(&explorer, &INGEST);
    let beside = house.folder.path().join("beside");
    house.rows_of(&explorer, &beside, &["ingest", restated.to_str().expect("a path")]);
    let report = ["report", "--by", "day,service,region"];
    let billed = house.rows_of(&explorer, &beside, &report);
    let first = billed[0][0][..7].to_owned();
    // What has no costs any more in the answer, this month perhaps, stays as it was told.
    let told: Vec<_> = house.rows(&explorer, &report);
    let of = |rows: Vec<csv::StringRecord>| {
        sorted(rows.into_iter().filter(|row| row[0].starts_with(&first)).collect())
    };
    assert_eq!(of(told), of(billed));
    let before = house.rows(&explorer, &["report", "--by", "day", "--as-of", "1"]);
    assert_eq!(sum(&before, 2), BILLED);
}

#[test]
fn a_throttled_call_is_made_again() {
    let house = House::build();
    let manner = Manner { page: 100, throttle_every: 2, ..Manner::default() };
    let explorer = Explorer::start(&house.bill, manner);
    let periods = house.rows(&explorer, &INGEST);
    assert_eq!(sum(&periods, 3), BILLED);
    let (calls, throttled) = explorer.calls();
    assert_eq!(throttled, calls / 2);
    assert!(throttled >= 4, "{throttled} of {calls} calls");
}

#[test]
fn no_more_paid_calls_are_made_than_may_be_also_by_the_next_process() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner { page: 50, ..Manner::default() });
    for _ in 0..2 {
        let mut command = house.command(&explorer, &house.lake(), &INGEST);
        let output = command.env("BURSAR_AWS_CALLS_MOST", "3").output().expect("bursar runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("3 paid calls were made on ") && said.contains("aws.calls_most"));
        assert_eq!(explorer.calls().0, 3);
    }
    assert_eq!(house.rows(&explorer, &["imports"]).len(), 0);
}

#[test]
fn of_an_answer_with_a_failing_page_nothing_comes_in() {
    let house = House::build();
    let broken = Manner { page: 100, broken_page: Some(3), ..Manner::default() };
    let explorer = Explorer::start(&house.bill, broken);
    let said = house.fails(&explorer, &INGEST);
    let wanted = "AWS Cost Explorer refused GetCostAndUsage with DataUnavailableException";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(house.rows(&explorer, &["history"]).len(), 0);

    explorer.change(&house.bill, Manner::default());
    house.rows(&explorer, &INGEST);
    explorer.change(&house.bill, broken);
    house.fails(&explorer, &INGEST);
    let rows = house.rows(&explorer, &["report", "--by", "service"]);
    assert_eq!((sum(&rows, 2), house.rows(&explorer, &["history"]).len()), (BILLED.into(), 1));
}

#[test]
fn what_an_export_has_brought_is_not_counted_twice() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner::default());
    // The export of another account does not matter, of the same one it does.
    let bill = house.bill.to_str().expect("a path");
    house.rows(&explorer, &["ingest", bill, "--source", "others"]);
    house.rows(&explorer, &INGEST);
    house.rows(&explorer, &INGEST);
    let text = recent().replace("1234567890123", ACCOUNT);
    let export = house.folder.path().join("export.csv");
    fs::write(&export, text).expect("a file");
    let export = export.to_str().expect("a path");
    house.rows(&explorer, &["ingest", export, "--source", "aws-main"]);
    let said = house.fails(&explorer, &INGEST);
    assert!(said.contains(&format!("account {ACCOUNT}")), "{said}");
    assert!(said.contains("would count twice") && said.contains("aws-main"), "{said}");
    assert_eq!(house.rows(&explorer, &["history"]).len(), 3);
}

#[test]
fn accounts_are_filtered_by_and_what_is_for_it_alone_is_refused_elsewhere() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner::default());
    // Cost Explorer's accounts have 12 digits; none of the sample's has.
    let arguments = [INGEST.as_slice(), &["--accounts", "210987654321"]].concat();
    let output = house.run(&explorer, &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("knows of no costs from"), "{said}");
    let bill = house.bill.to_str().expect("a path");
    let said = house.fails(&explorer, &["ingest", bill, "--profile", "x"]);
    assert!(said.contains("for `cost-explorer` alone"), "{said}");
    let said = house.fails(&explorer, &["ingest", "cost-explorer", "--on-invalid", "refuse"]);
    assert!(said.contains("tells no quantities and prices"), "{said}");
    let said = house.fails(&explorer, &["ingest", "cost-explorer", "--accounts", "12"]);
    assert!(said.contains("an account of AWS, of 12 digits"), "{said}");
    let said = house.fails(&explorer, &["ingest", "cost-explorer", "--from", "2001-01"]);
    assert!(said.contains("ValidationException: You haven't enabled historical data"), "{said}");
}

#[test]
fn wrong_keys_and_none_are_told_with_what_to_do() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner::default());
    let mut command = house.command(&explorer, &house.lake(), &INGEST);
    let output = command.env("AWS_SECRET_ACCESS_KEY", "another").output().expect("bursar runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("refused GetCallerIdentity with InvalidSignatureException"), "{said}");
    let mut command = house.command(&explorer, &house.lake(), &INGEST);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let output = command.output().expect("bursar runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no AWS credentials") && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}

#[test]
fn a_service_takes_it_in_as_a_source_and_tells_its_calls() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner { page: 100, ..Manner::default() });
    let (_kept, database) = sqlite();
    let config = house.folder.path().join("bursar.toml");
    fs::write(&config, "[cost.source.explorer]\npath = \"cost-explorer\"\n").expect("a file");
    let mut command = program(&database);
    house.environment(&mut command, &explorer);
    command.env("BURSAR_LAKE_URL", house.lake()).arg("--config").arg(&config);
    let server = Server::start_as(command);
    let mut client = Client::connect(server.address).expect("a connection");
    client.wait_for("/metrics", |_, text| text.contains("aws_cost_monthly_usd{"));
    let text = client.get("/metrics", 200);
    let calls = explorer.calls().0;
    for line in [
        format!("bursar_aws_requests_total{{api=\"cost-explorer\",result=\"ok\"}} {calls}"),
        format!("bursar_aws_paid_calls_today {calls}"),
        "bursar_aws_paid_calls_most 100".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let report = client.get("/api/v1/cost/report?by=service&limit=1", 200);
    assert!(report.contains(BILLED), "{report}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_one_on_loopback_refuses_what_the_real_one_refuses() {
    let house = House::build();
    let explorer = Explorer::start(&house.bill, Manner::default());
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let (start, end) = (today.first_of_month(), today.tomorrow().expect("a day"));
    let group = |key: &str| json!({ "Type": "DIMENSION", "Key": key });
    let question = json!({
        "TimePeriod": { "Start": start, "End": end },
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [group("SERVICE"), group("REGION")],
    });
    assert_eq!(explorer.ask(&question).0, 200);
    for (field, value) in [
        ("GroupBy", json!([group("SERVICE"), group("REGION"), group("LINKED_ACCOUNT")])),
        ("GroupBy", json!([group("COLOUR")])),
        ("TimePeriod", json!({ "Start": end, "End": end })),
        ("TimePeriod", json!({ "Start": "2001-01-01", "End": end })),
        ("TimePeriod", json!({ "Start": start, "End": "2999-01-01" })),
        ("TimePeriod", json!({ "Start": "soon", "End": end })),
        ("Metrics", json!([])),
        ("NextPageToken", json!("another")),
    ] {
        let mut wrong = question.clone();
        wrong[field] = value;
        let (status, answer) = explorer.ask(&wrong);
        assert_eq!(status, 400, "{wrong}");
        assert!(answer["__type"].as_str().is_some_and(|kind| kind.contains('#')), "{answer}");
    }
}
