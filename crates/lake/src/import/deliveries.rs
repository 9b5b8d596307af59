//! Tests: deliveries of exports, in folders and in buckets, whole and broken.

use std::{path::Path, time::Duration};

use crate::{
    Limits, Options,
    testing::{
        Place, Row, bill, billed, lenient,
        s3::{Fault, S3},
    },
};

const OCTOBER: &str = "BILLING_PERIOD=2026-10";
const SEPTEMBER: &str = "BILLING_PERIOD=2026-09";

fn charges(month: &'static str, billed: &str) -> String {
    bill(&[Row::of(month, "EC2", billed)])
}

fn export(id: &str, files: &[String]) -> String {
    let files: Vec<_> = files.iter().map(|file| format!("s3://bills/{file}")).collect();
    serde_json::json!({"executionId": id, "dataFiles": files}).to_string()
}

/// A delivery of AWS Data Exports that overwrites.
fn deliver(put: &dyn Fn(&str, String), period: &str, id: &str, bills: &[String]) {
    let names = (1..).map(|number| format!("out/cur/data/{period}/cur-{number:05}.csv"));
    let named: Vec<(String, &String)> = names.zip(bills).collect();
    for (name, bill) in &named {
        put(name, (*bill).clone());
    }
    let files: Vec<_> = named.into_iter().map(|(name, _)| name).collect();
    put(&format!("out/cur/metadata/{period}/cur-Manifest.json"), export(id, &files));
}

/// Nothing is waited for longer than a test may take.
fn hasty() -> Options {
    let limits =
        Limits { request_time: Duration::from_millis(500), retries: 2, ..Limits::default() };
    Options { limits, ..lenient("aws") }
}

fn bucket() -> &'static Path {
    Path::new("s3://bills/out")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_a_bucket_holds_what_a_folder_holds() {
    let (place, s3) = (Place::new(), S3::start());
    let lake = place.lake_beside(&s3).await;
    let large = bill(&vec![Row::of("2026-10", "EC2", "0.5"); 120_000]);
    assert!(large.len() > 16 << 20, "it is fetched in several ranges");
    s3.put("out/a.csv", large);
    s3.put("out/b/c.csv", charges("2026-09", "1.25"));
    s3.put("out/README.md", "hello");
    s3.put("out/_SUCCESS", "");
    s3.put("outside.csv", charges("2026-08", "7"));
    let done = lake.ingest(bucket(), &lenient("aws")).await.unwrap();
    assert_eq!((done.files.len(), done.skipped.len()), (2, 2), "{:?}", done.skipped);
    assert_eq!(billed(&lake).await, "60001.25");
    // Listed as before: nothing is read, in this process or another.
    s3.requests("");
    let again = place.lake_beside(&s3).await.ingest(bucket(), &lenient("aws")).await.unwrap();
    assert_eq!((again.changed, &again.execution), (false, &done.execution));
    assert_eq!(s3.requests("/bills/out/"), 0);
    // One object may be named itself.
    let one = lake.ingest(Path::new("s3://bills/out/b/c.csv"), &lenient("one")).await.unwrap();
    assert_eq!(one.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_came_again_unchanged_are_fetched_once_more_and_change_nothing() {
    let (place, s3) = (Place::new(), S3::start());
    let lake = place.lake_beside(&s3).await;
    s3.put("out/a.csv", charges("2026-10", "1"));
    lake.ingest(bucket(), &lenient("aws")).await.unwrap();
    s3.put("out/a.csv", charges("2026-10", "1"));
    assert!(!lake.ingest(bucket(), &lenient("aws")).await.unwrap().changed);
    s3.requests("");
    assert!(!lake.ingest(bucket(), &lenient("aws")).await.unwrap().changed);
    assert_eq!(s3.requests("/bills/out/"), 0, "it is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exports_periods_come_in_by_their_manifests_and_restate_alone() {
    let (place, s3) = (Place::new(), S3::start());
    let lake = place.lake_beside(&s3).await;
    let put = |key: &str, text: String| s3.put(key, text);
    // One execution has both periods, as in a month's first days.
    let parts = [charges("2026-10", "2"), charges("2026-10", "4")];
    deliver(&put, OCTOBER, "e-1", &parts);
    deliver(&put, SEPTEMBER, "e-1", &[charges("2026-09", "1")]);
    let done = lake.ingest(bucket(), &lenient("aws")).await.unwrap();
    assert_eq!((done.version, billed(&lake).await), (2, "7".to_owned()));
    // The next one has one file fewer; what it has left behind is not of it.
    deliver(&put, OCTOBER, "e-2", &parts[..1]);
    s3.requests("");
    let done = lake.ingest(bucket(), &lenient("aws")).await.unwrap();
    assert_eq!(done.replaced.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-10"]);
    assert_eq!(billed(&lake).await, "3");
    assert_eq!(s3.requests("2026-09/cur-0"), 0, "September is as it was");
    assert!(done.skipped.iter().any(|one| one.path.ends_with("cur-00002.csv")), "{done:?}");
    // The same again reads manifests alone, whoever asks.
    let other = place.lake_beside(&s3).await;
    assert!(!other.ingest(bucket(), &lenient("aws")).await.unwrap().changed);
    assert_eq!(s3.requests("/data/"), 0);
    let imports = lake.imports(None).await.unwrap();
    let executions: Vec<_> = imports.iter().map(|import| import.execution.as_str()).collect();
    assert_eq!(executions, ["e-1", "e-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_layouts_in_a_folder_work_the_same() {
    let place = Place::new();
    let lake = place.lake().await;
    let put = |key: &str, text: String| drop(place.write(&format!("copy/{key}"), text));
    deliver(&put, OCTOBER, "e-1", &[charges("2026-10", "2")]);
    // A legacy report that keeps every version, beside its manifest.
    let report = |assembly: &str| {
        serde_json::json!({"assemblyId": assembly, "bucket": "elsewhere", "compression": "GZIP",
            "billingPeriod": {"start": "20260901T000000.000Z", "end": "20261001T000000.000Z"},
            "reportKeys": [format!("r/20260901-20261001/{assembly}/r-1.csv")]})
    };
    for (assembly, cost) in [("aa", "100"), ("bb", "1")] {
        let folder = "reports/r/20260901-20261001";
        put(&format!("{folder}/{assembly}/r-1.csv"), charges("2026-09", cost));
        put(&format!("{folder}/{assembly}/r-Manifest.json"), report(assembly).to_string());
        put(&format!("{folder}/r-Manifest.json"), report(assembly).to_string());
    }
    let folder = place.folder.path().join("copy");
    for (path, cost) in [("out", "2"), ("reports", "3")] {
        lake.ingest(&folder.join(path), &lenient(path)).await.unwrap();
        assert_eq!(billed(&lake).await, cost);
    }
    let again = lake.ingest(&folder.join("reports"), &lenient("reports")).await.unwrap();
    assert_eq!((again.changed, again.execution.as_str()), (false, "bb"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_azures_runs_the_newest_counts_and_has_the_rows_that_it_tells() {
    let place = Place::new();
    let lake = place.lake().await;
    let run = |id: &str, day: u8, cost: &str, rows: u64| {
        let folder = format!("copy/focus/20261001-20261031/2026102{day}0600/{id}");
        let text = charges("2026-10", cost);
        let manifest = serde_json::json!({
            "manifestVersion": "2024-04-01", "dataRowCount": rows,
            "exportConfig": {"exportName": "focus", "type": "FocusCost"},
            "runInfo": {"runId": id, "submittedTime": format!("2026-10-2{day}T06:12:44.1234567Z"),
                "startDate": "2026-10-01T00:00:00", "endDate": format!("2026-10-2{day}T00:00:00")},
            "blobs": [{"blobName": format!("costs/x/{id}/part_0_0001.csv"),
                "byteCount": text.len(), "dataRowCount": rows}]
        });
        place.write(&format!("{folder}/part_0_0001.csv"), text);
        place.write(&format!("{folder}/manifest.json"), manifest.to_string());
    };
    let folder = place.folder.path().join("copy");
    run("run-1", 0, "5", 1);
    run("run-2", 1, "8", 1);
    let done = lake.ingest(&folder, &lenient("azure")).await.unwrap();
    assert_eq!((done.execution.as_str(), billed(&lake).await), ("run-2", "8".to_owned()));
    run("run-3", 2, "9", 2);
    let error = lake.ingest(&folder, &lenient("azure")).await.unwrap_err().to_string();
    assert!(error.contains("tells of 2 rows, its files have 1"), "{error}");
    assert_eq!(billed(&lake).await, "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_not_whole_is_refused_and_nothing_of_it_comes_in() {
    let (place, s3) = (Place::new(), S3::start());
    let lake = place.lake_beside(&s3).await;
    let key = format!("out/cur/metadata/{OCTOBER}/cur-Manifest.json");
    let there = format!("out/cur/data/{OCTOBER}/cur-00001.csv");
    s3.put(&there, charges("2026-10", "1"));
    for (text, want) in [
        (export("e", &[there.clone(), format!("{there}2")]), "cur-00001.csv2, which is not there"),
        (export("e", &["secret/bill.csv".to_owned()]), "outside of what is ingested"),
        (export("e", &["out/../secret.csv".to_owned()]), "outside of what is ingested"),
        (export("e", std::slice::from_ref(&there))[..40].to_owned(), "no whole JSON"),
        (export("e", &[]), "name no file yet"),
    ] {
        s3.put(&key, text);
        let error = lake.ingest(bucket(), &lenient("aws")).await.unwrap_err().to_string();
        assert!(error.contains(want), "{want}: {error}");
        assert_eq!(lake.version().await.unwrap(), 0);
    }
    // Of two executions the first is whole; the second's file is cut off.
    let put = |key: &str, text: String| s3.put(key, text);
    deliver(&put, SEPTEMBER, "e-1", &[charges("2026-09", "1")]);
    deliver(&put, OCTOBER, "e-1", &[format!("{}\"cut o", charges("2026-10", "5"))]);
    let error = lake.ingest(bucket(), &lenient("aws")).await.unwrap_err().to_string();
    assert!(error.contains("the 1 executions before it are in the lake"), "{error}");
    assert!(error.contains("s3://bills/out/cur/data/BILLING_PERIOD=2026-10/cur-0"), "{error}");
    assert_eq!(billed(&lake).await, "1");
    deliver(&put, OCTOBER, "e-2", &[charges("2026-10", "2")]);
    s3.requests("");
    lake.ingest(bucket(), &lenient("aws")).await.unwrap();
    assert_eq!((s3.requests("2026-09/cur-0"), billed(&lake).await), (0, "3".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_does_wrong_is_endured_or_told_and_never_half_ingested() {
    let slow = Fault::Slow(Duration::from_secs(2));
    for (part, fault, times, want) in [
        ("list-type", Fault::Status(403), 9, Some("the key needs s3:ListBucket")),
        ("a.csv", Fault::Status(403), 9, Some("the store denies it")),
        ("list-type", Fault::Status(404), 9, Some("there is no such bucket")),
        ("a.csv", Fault::Status(404), 9, Some("was replaced while it was read")),
        ("a.csv", Fault::Status(500), 99, Some("failed or did not answer in time")),
        ("list-type", Fault::Status(503), 99, Some("failed or did not answer in time")),
        ("a.csv", slow, 99, Some("failed or did not answer in time")),
        ("a.csv", Fault::Reset, 99, Some("failed or did not answer in time")),
        ("a.csv", Fault::Replaced, 1, Some("was replaced while it was read")),
        ("a.csv", Fault::Status(500), 2, None),
        ("a.csv", Fault::Reset, 1, None),
        ("list-type", slow, 1, None),
    ] {
        let (place, s3) = (Place::new(), S3::start());
        let lake = place.lake_beside(&s3).await;
        s3.put("out/a.csv", charges("2026-10", "1"));
        s3.put("out/b.csv", charges("2026-10", "2"));
        s3.fail(part, fault, times);
        let started = std::time::Instant::now();
        let done = lake.ingest(bucket(), &hasty()).await;
        assert!(started.elapsed() < Duration::from_secs(10), "{part} {fault:?}");
        match want {
            None => assert_eq!((done.is_ok(), billed(&lake).await), (true, "3".to_owned())),
            Some(want) => {
                let error = done.unwrap_err().to_string();
                assert!(error.contains(want), "{part} {fault:?}: {error}");
                assert!(error.contains("s3://bills/out"), "{part} {fault:?}: {error}");
                assert_eq!(lake.version().await.unwrap(), 0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_no_whole_bills_are_refused_by_their_names() {
    let packed = {
        use std::io::Write;
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(charges("2026-10", "1").repeat(99).as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    for (name, bytes, want) in [
        ("cut.csv.gz", packed[..packed.len() / 2].to_vec(), "deliver the file again"),
        ("cut.parquet", b"PAR1 and no end".to_vec(), "not a whole Parquet file"),
        ("empty.csv", Vec::new(), "is empty"),
        ("bill.csv", b"PK\x03\x04".to_vec(), "zip archive"),
    ] {
        let (place, s3) = (Place::new(), S3::start());
        let lake = place.lake_beside(&s3).await;
        s3.put(&format!("out/{name}"), bytes);
        let error = lake.ingest(bucket(), &lenient("aws")).await.unwrap_err().to_string();
        assert!(
            error.contains(want) && error.contains(&format!("s3://bills/out/{name}")),
            "{error}"
        );
        assert_eq!(lake.version().await.unwrap(), 0, "{name}");
    }
    let (place, s3) = (Place::new(), S3::start());
    let lake = place.lake_beside(&s3).await;
    s3.put("out/a.csv", charges("2026-10", "1"));
    let limits = Limits { spool_bytes: 10, ..Limits::default() };
    let options = Options { limits, ..lenient("aws") };
    let error = lake.ingest(bucket(), &options).await.unwrap_err().to_string();
    assert!(error.contains("over the limit of 10"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_step_each_period_is_as_before_or_as_after_and_the_next_turn_goes_on() {
    let mut between = 0;
    for steps in 0.. {
        let place = Place::new();
        let put = |key: &str, text: String| drop(place.write(&format!("copy/{key}"), text));
        let folder = place.folder.path().join("copy");
        deliver(&put, SEPTEMBER, "e-1", &[charges("2026-09", "1")]);
        deliver(&put, OCTOBER, "e-1", &[charges("2026-10", "2")]);
        place.lake().await.ingest(&folder, &lenient("aws")).await.unwrap();
        deliver(&put, SEPTEMBER, "e-2", &[charges("2026-09", "10")]);
        deliver(&put, OCTOBER, "e-2", &[charges("2026-10", "20")]);
        let dying = place.lake_that_dies_after(steps).await;
        let done = dying.ingest(&folder, &lenient("aws")).await;
        let lake = place.lake().await;
        match billed(&lake).await.as_str() {
            "3" | "30" => {}
            "12" => between += 1,
            other => panic!("after {steps} steps the lake shows {other}"),
        }
        let had = lake.version().await.unwrap();
        lake.ingest(&folder, &lenient("aws")).await.unwrap();
        assert_eq!((billed(&lake).await.as_str(), lake.version().await.unwrap()), ("30", 4));
        assert!(had >= 2);
        if done.is_ok() {
            break;
        }
    }
    assert!(between > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_files_are_as_they_were_is_not_read_again() {
    let place = Place::new();
    let lake = place.lake().await;
    place.write("export/a.csv", charges("2026-10", "1"));
    let folder = place.folder.path().join("export");
    settle(&lake, &folder).await;
    let first = lake.ingest(&folder, &lenient("aws")).await.unwrap();
    assert!(lake.imports(None).await.unwrap()[0].listing.is_some());
    let again = lake.ingest(&folder, &lenient("aws")).await.unwrap();
    assert_eq!((again.changed, &again.execution), (false, &first.execution));
    // Written again, it has another listing, whatever it holds: it is read, and is the same.
    place.write("export/a.csv", charges("2026-10", "1"));
    assert!(!lake.ingest(&folder, &lenient("aws")).await.unwrap().changed);
    place.write("export/a.csv", charges("2026-10", "2"));
    assert!(lake.ingest(&folder, &lenient("aws")).await.unwrap().changed);
}

/// Waits until the files of a folder are old enough to be known by their times.
async fn settle(lake: &crate::Lake, folder: &Path) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let delivery = crate::source::Delivery::list(folder, lake.settings(), Limits::default());
        if delivery.await.unwrap().parts[0].listing.is_some() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "they never settle");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_writes_is_refused_and_not_waited_for() {
    let place = Place::new();
    let lake = place.lake().await;
    let path = place.folder.path().join("pipe.csv");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let error = lake.ingest(&path, &lenient("aws")).await.unwrap_err().to_string();
    assert!(error.contains("is no regular file"), "{error}");
}
