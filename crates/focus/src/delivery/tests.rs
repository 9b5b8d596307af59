use super::*;

const DATA: &str = "cur/data/BILLING_PERIOD=2026-10";
const META: &str = "cur/metadata/BILLING_PERIOD=2026-10";

fn listing(bucket: Option<&str>, files: &[(&str, u64)]) -> Listing {
    let files = files.iter().zip(0i64..);
    let at = |second| Timestamp::from_second(1_790_000_000 + second).unwrap();
    let files = files.map(|((key, bytes), second)| ((*key).to_owned(), (*bytes, at(second))));
    let bucket = bucket.map(str::to_owned);
    Listing { bucket, prefix: "out".to_owned(), files: files.collect() }
}

fn export(folder: &str, id: &str, files: &[&str]) -> Manifest {
    let key = format!("{META}/{folder}cur-Manifest.json");
    let text = serde_json::json!({"executionId": id, "dataFiles": files, "columns": []});
    Manifest::parse(&key, text.to_string().as_bytes()).unwrap().unwrap()
}

fn azure(key: &str, id: &str, submitted: &str, blobs: &[(&str, u64)]) -> Manifest {
    let blobs = blobs.iter();
    let blobs: Vec<_> = blobs
        .map(|(name, bytes)| serde_json::json!({"blobName": name, "byteCount": bytes}))
        .collect();
    let text = serde_json::json!({
        "manifestVersion": "2024-04-01",
        "dataRowCount": 3,
        "exportConfig": {"exportName": "focus", "type": "FocusCost"},
        "runInfo": {"runId": id, "submittedTime": submitted,
            "startDate": "2026-10-01T00:00:00", "endDate": "2026-10-20T00:00:00"},
        "blobs": blobs,
    });
    Manifest::parse(key, text.to_string().as_bytes()).unwrap().unwrap()
}

#[test]
fn an_export_that_overwrites_is_the_files_that_its_manifest_names() {
    let file = format!("{DATA}/cur-00001.snappy.parquet");
    let stale = format!("{DATA}/cur-00002.snappy.parquet");
    let listing = listing(Some("bills"), &[(&file, 10), (&stale, 10)]);
    let manifest = export("", "e-1", &[&format!("s3://bills/out/{file}")]);
    let chosen = executions(&listing, vec![manifest]).unwrap();
    assert_eq!(chosen.len(), 1);
    assert_eq!((&chosen[0].files, &chosen[0].ids), (&vec![file], &vec![Some("e-1".into())]));
    assert_eq!(chosen[0].months.0.to_string(), "2026-10");
}

#[test]
fn of_executions_in_folders_of_their_own_the_newest_counts() {
    let folders = ["2026-10-20T01:00:00.000Z-aa", "2026-10-21T01:00:00.000Z-bb"];
    let files = folders.map(|folder| format!("{DATA}/{folder}/cur-00001.csv.gz"));
    let listing = listing(Some("bills"), &[(&files[0], 1), (&files[1], 1)]);
    let of = |at: usize, id| {
        export(&format!("{}/", folders[at]), id, &[&format!("s3://bills/out/{}", files[at])])
    };
    let chosen = executions(&listing, vec![of(1, "bb"), of(0, "aa")]).unwrap();
    assert_eq!((chosen.len(), &chosen[0].files), (1, &vec![files[1].clone()]));
    // The one above them all tells of the newest, whatever the folders are called.
    let above = export("", "aa", &[&format!("s3://bills/out/{}", files[0])]);
    let chosen = executions(&listing, vec![of(1, "bb"), above]).unwrap();
    assert_eq!(chosen[0].ids, [Some("aa".to_owned())]);
}

#[test]
fn an_export_names_its_execution_and_its_files_as_aws_documents_it() {
    let key = format!("{META}/cur-Manifest.json");
    let file = format!("s3://bills/out/{DATA}/cur-00001.csv.gz");
    let text = serde_json::json!({
        "executionId": "2026-10-20T01:00:00.000Z-aa",
        "exportArn": "arn:aws:bcm-data-exports:us-east-1:000000000000:export/cur-bb",
        "columns": [{"name": "bill_bill_type", "type": "string"}],
        "dataFiles": [file],
        "additionalOutputFiles": [{"name": "out/cur-create-table.sql"}],
    });
    let manifest = Manifest::parse(&key, text.to_string().as_bytes()).unwrap().unwrap();
    assert_eq!(manifest.kind, Kind::DataExport);
    assert_eq!(manifest.execution.as_deref(), Some("2026-10-20T01:00:00.000Z-aa"));
    assert_eq!(manifest.files, [Named { name: file, bytes: None }]);
    // Its files are texts: what else there is, nobody has delivered.
    let objects = br#"{"executionId":"e","dataFiles":[{"s3Uri":"s3://bills/out/a.csv"}]}"#;
    let error = Manifest::parse(&key, objects).unwrap_err();
    assert!(matches!(error, ManifestError::Broken { .. }), "{error}");
}

#[test]
fn a_report_names_keys_of_its_bucket() {
    let key = "r/20261001-20261101/r-Manifest.json";
    let file = "r/20261001-20261101/9f-assembly/r-1.csv.gz";
    let text = format!(
        r#"{{"assemblyId":"9f-assembly","bucket":"bills","compression":"GZIP",
        "billingPeriod":{{"start":"20261001T000000.000Z","end":"20261101T000000.000Z"}},
        "reportKeys":["out/{file}"]}}"#
    );
    let manifest = Manifest::parse(key, text.as_bytes()).unwrap().unwrap();
    let found = listing(Some("bills"), &[(file, 5), ("r/20261001-20261101/old/r-1.csv.gz", 5)]);
    let chosen = executions(&found, vec![manifest.clone()]).unwrap();
    assert_eq!(chosen[0].files, [file]);
    // A copy in a folder may begin anywhere in the bucket.
    let copied = listing(None, &[("9f-assembly/r-1.csv.gz", 5)]);
    let chosen = executions(&copied, vec![manifest.clone()]).unwrap();
    assert_eq!(chosen[0].files, ["9f-assembly/r-1.csv.gz"]);
    let elsewhere = listing(Some("others"), &[(file, 5)]);
    let error = executions(&elsewhere, vec![manifest]).unwrap_err();
    assert!(matches!(error, ManifestError::Outside { .. }), "{error}");
}

#[test]
fn of_azures_runs_the_last_one_counts_with_the_sizes_that_it_tells() {
    let folder = "exports/focus/20261001-20261031";
    let file = format!("{folder}/run-2/part_0_0001.csv");
    let found = listing(Some("bills"), &[(&file, 7), (&format!("{folder}/run-1/p.csv"), 7)]);
    let of = |run: &str, at, file: &str, bytes| {
        azure(&format!("{folder}/{run}/manifest.json"), run, at, &[(file, bytes)])
    };
    let name = format!("costs/{file}");
    let old = of("run-1", "2026-10-20T06:12:44.1234567Z", "costs/x/run-1/p.csv", 7);
    let new = of("run-2", "2026-10-21T06:12:44.1234567Z", &name, 7);
    let chosen = executions(&found, vec![new, old.clone()]).unwrap();
    assert_eq!((&chosen[0].files, chosen[0].rows), (&vec![file], Some(3)));
    let short = of("run-2", "2026-10-21T06:12:44Z", &name, 8);
    let error = executions(&found, vec![short, old]).unwrap_err();
    assert!(error.to_string().contains("has 8 bytes, it has 7"), "{error}");
}

#[test]
fn weeks_of_a_month_are_one_execution_and_overlaps_none() {
    let of = |days: &str| {
        let key = format!("e/{days}/r/manifest.json");
        azure(&key, days, "2026-10-21T06:00:00Z", &[(&format!("c/e/{days}/r/p.csv"), 1)])
    };
    let days = ["20261001-20261007", "20261008-20261014", "20261101-20261107"];
    let keys = days.map(|days| format!("e/{days}/r/p.csv"));
    let files: Vec<_> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let found = listing(None, &files);
    let chosen = executions(&found, days.map(of).to_vec()).unwrap();
    assert_eq!(chosen.iter().map(|one| one.files.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(chosen[0].rows, Some(6));
    let crossing = [of(days[0]), of("20261005-20261009")].to_vec();
    let error = executions(&found, crossing).unwrap_err();
    assert!(matches!(error, ManifestError::Overlap { .. }), "{error}");
}

#[test]
fn what_a_manifest_may_not_name_is_refused() {
    let file = format!("{DATA}/a.csv");
    let listing = listing(Some("bills"), &[(&file, 1)]);
    for (name, want) in [
        ("s3://other/out/x.csv".to_owned(), "outside of what is ingested"),
        ("s3://bills/secret/x.csv".to_owned(), "outside of what is ingested"),
        (format!("s3://bills/out/../out/{file}"), "outside of what is ingested"),
        (format!("s3://bills/out//{file}"), "outside of what is ingested"),
        ("s3://bills".to_owned(), "outside of what is ingested"),
        ("s3://bills/outside.csv".to_owned(), "outside of what is ingested"),
        (format!("s3://bills/out/{DATA}/b.csv"), "which is not there"),
    ] {
        let error = executions(&listing, vec![export("", "e", &[&name])]).unwrap_err();
        assert!(error.to_string().contains(want), "{name}: {error}");
    }
}

#[test]
fn manifests_that_are_cut_off_or_somebody_elses_are_told_apart() {
    let key = format!("{META}/cur-Manifest.json");
    assert_eq!(Manifest::parse("manifest.json", br#"{"name":"app","icons":[]}"#), Ok(None));
    for text in [
        &br#"{"executionId":"a","dataFiles":["#[..],
        br#"{"dataFiles":[1]}"#,
        br#"{"dataFiles":[],"blobs":[]}"#,
        br#"{"blobs":[{"blobName":"x"}]}"#,
    ] {
        let error = Manifest::parse(&key, text).unwrap_err();
        assert!(error.to_string().contains("deliver it again"), "{error}");
    }
    let error = Manifest::parse("x-Manifest.json", br#"{"dataFiles":[]}"#).unwrap_err();
    assert!(error.to_string().contains("which billing period"), "{error}");
    let many = serde_json::json!({ "dataFiles": vec!["a"; FILES_MAX + 1] });
    let error = Manifest::parse(&key, many.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, ManifestError::TooLarge { .. }), "{error}");
}

#[test]
fn two_exports_of_one_month_are_not_added_up() {
    let of = |root: &str| {
        let key = format!("{root}/metadata/BILLING_PERIOD=2026-10/x-Manifest.json");
        Manifest::parse(&key, br#"{"executionId":"e","dataFiles":[]}"#).unwrap().unwrap()
    };
    let error = executions(&Listing::default(), vec![of("a"), of("b")]).unwrap_err();
    assert!(matches!(error, ManifestError::Several { .. }), "{error}");
}

#[test]
fn a_folder_that_is_named_like_an_instant_need_not_be_one() {
    let text = br#"{"executionId":"e","dataFiles":[]}"#;
    for folder in ["20261015T018203Z", "20261015T250000Z", "20261015T-10000Z", "20261015T000099Z"] {
        let key = format!("{META}/{folder}-aa/cur-Manifest.json");
        let manifest = Manifest::parse(&key, text).unwrap().unwrap();
        assert_eq!(manifest.written, None, "{folder}");
    }
    let key = format!("{META}/20261015T010203Z-aa/cur-Manifest.json");
    let manifest = Manifest::parse(&key, text).unwrap().unwrap();
    assert_eq!(manifest.written, Some("2026-10-15T01:02:03Z".parse().unwrap()));
}

#[test]
fn the_last_month_of_the_calendar_is_refused_in_words() {
    let key = "cur/metadata/BILLING_PERIOD=9999-12/cur-Manifest.json";
    let error = Manifest::parse(key, br#"{"executionId":"e","dataFiles":[]}"#).unwrap_err();
    assert!(error.to_string().contains("which billing period"), "{error}");
}
