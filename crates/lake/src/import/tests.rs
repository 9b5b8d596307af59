use focus::cost::{AsOf, Asked, Basis, Dimension, Month, Value};

use crate::{
    IngestError, Lake, OnInvalid, Options,
    testing::{Place, Row, bill, billed, decimal, lenient, one, sample},
};

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sample_goes_from_file_to_report_without_losing_a_digit() {
    let place = Place::new();
    let lake = place.lake().await;
    let options = Options { source: Some("sample".into()), ..Options::default() };
    let done = lake.ingest(&sample(), &options).await.unwrap();
    assert!(done.changed);
    assert_eq!(done.charges(), 1_000, "{done:#?}");
    assert_eq!(done.rows[&month("2024-10")] + done.rows[&month("2024-09")], 1_000);
    assert!(done.files[0].contains("FOCUS 1.0"), "{:?}", done.files);
    assert!(done.notes.iter().any(|note| note.contains("without a zone")), "{:?}", done.notes);

    let sums = "select count(*), sum(billedcost), sum(EFFECTIVECOST), sum(ListCost), \
                sum(ContractedCost) from Focus_Data_Table";
    let answer = lake.sql(sums, &[], None).await.unwrap();
    let row: Vec<String> = answer.rows[0].iter().map(ToString::to_string).collect();
    let want = ["1000", "20.52022672899", "14.97651418586", "20.39090575119", "14.97626039326"];
    assert_eq!(row, want);
    // The sums by day are the same sums.
    let days = "select sum(ChargeCount), sum(BilledCost), sum(EffectiveCost), sum(ListCost), \
                sum(ContractedCost) from charges_by_day";
    let days = lake.sql(days, &[], None).await.unwrap();
    assert_eq!(days.rows[0].iter().map(ToString::to_string).collect::<Vec<_>>(), want);

    let asked = Asked {
        by: vec!["service".parse().unwrap(), "region".parse().unwrap()],
        months: Some((month("2024-09"), month("2024-09"))),
        ..Asked::default()
    };
    let report = lake.report(&asked).await.unwrap();
    assert_eq!(report.totals["USD"], decimal("20.28022672899"));
    assert_eq!(report.table.rows[0][0], Value::Text("Amazon Elastic Compute Cloud".into()));
    let names: Vec<&str> = report.table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["ServiceName", "RegionId", "BillingCurrency", "BilledCost"]);
    // Stray columns are kept under a name that FOCUS allows.
    assert_eq!(one(&lake, "select count(x_Id) from focus_data_table").await, Value::Int(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_by_any_dimension_add_up_to_what_came_in() {
    let place = Place::new();
    let lake = place.lake().await;
    lake.ingest(&sample(), &Options::default()).await.unwrap();
    for by in
        ["provider", "account", "tenant", "day", "month", "charge", "tag:environment", "SkuId"]
    {
        for (basis, want) in [
            (Basis::Billed, "20.52022672899"),
            (Basis::Effective, "14.97651418586"),
            (Basis::List, "20.39090575119"),
            (Basis::Contracted, "14.97626039326"),
        ] {
            let by: Dimension = by.parse().unwrap();
            let asked = Asked { by: vec![by], basis, top: Some(3), ..Asked::default() };
            let report = lake.report(&asked).await.unwrap();
            assert_eq!(report.totals["USD"], decimal(want), "{asked:?}");
            let lines = crate::report::totals(&report.table).unwrap();
            assert_eq!(lines, report.totals, "cut to the top, the sum stays: {asked:?}");
            assert!(report.table.rows.len() <= 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ingesting_again_changes_nothing() {
    let place = Place::new();
    let lake = place.lake().await;
    let path = place.write("bill.csv", bill(&[Row::of("2026-10", "EC2", "1.5")]));
    let first = lake.ingest(&path, &lenient("aws")).await.unwrap();
    let again = lake.ingest(&path, &lenient("aws")).await.unwrap();
    assert!(first.changed && !again.changed);
    assert_eq!(again.version, 1);
    assert_eq!(billed(&lake).await, "1.5");
    // A named execution is known by its name, whatever the file is called or holds.
    let named = Options { execution: Some("run-7".into()), ..lenient("azure") };
    assert!(lake.ingest(&path, &named).await.unwrap().changed);
    let other = place.write("other.csv", bill(&[Row::of("2026-10", "EC2", "9")]));
    assert!(!lake.ingest(&other, &named).await.unwrap().changed);
    assert_eq!(billed(&lake).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restated_month_takes_the_place_of_the_old_one_and_the_old_one_stays_readable() {
    let place = Place::new();
    let lake = place.lake().await;
    let old = [Row::of("2026-09", "EC2", "1"), Row::of("2026-10", "EC2", "2")];
    let new = [Row::of("2026-10", "EC2", "5"), Row::of("2026-10", "S3", "0.25")];
    let path = place.write("bill.csv", bill(&old));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    let path = place.write("bill.csv", bill(&new));
    let done = lake.ingest(&path, &lenient("aws")).await.unwrap();
    assert_eq!(done.replaced.into_iter().collect::<Vec<_>>(), [month("2026-10")]);
    assert_eq!(billed(&lake).await, "6.25");
    let sql = "select sum(BilledCost) from focus_data_table";
    let before = lake.sql(sql, &[], Some(AsOf::Version(1))).await.unwrap();
    assert_eq!(before.rows[0][0].to_string(), "3");
    let history = lake.history().await.unwrap();
    let at = lake.sql(sql, &[], Some(AsOf::Instant(history[0].at))).await.unwrap();
    assert_eq!(at.rows[0][0].to_string(), "3");
    let error = lake.sql(sql, &[], Some(AsOf::Version(9))).await.unwrap_err().to_string();
    assert!(error.contains("does not keep version 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn currencies_are_never_added() {
    let place = Place::new();
    let lake = place.lake().await;
    let rows =
        [Row { currency: "EUR", ..Row::of("2026-10", "EC2", "2") }, Row::of("2026-10", "EC2", "3")];
    let path = place.write("bill.csv", bill(&rows));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    let asked = Asked { by: vec!["service".parse().unwrap()], ..Asked::default() };
    let report = lake.report(&asked).await.unwrap();
    assert_eq!(report.table.rows.len(), 2);
    assert_eq!(report.totals["EUR"], decimal("2"));
    assert_eq!(report.totals["USD"], decimal("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_step_the_lake_shows_the_old_month_or_the_new_one() {
    let old = [Row::of("2026-09", "EC2", "1"), Row::of("2026-10", "EC2", "2")];
    let new = [
        Row::of("2026-09", "EC2", "10"),
        Row { provider: "Azure", ..Row::of("2026-10", "VM", "20") },
    ];
    let (mut olds, mut news) = (0, 0);
    for steps in 0.. {
        let place = Place::new();
        let path = place.write("bill.csv", bill(&old));
        place.lake().await.ingest(&path, &lenient("aws")).await.unwrap();
        let path = place.write("bill.csv", bill(&new));
        let dying = place.lake_that_dies_after(steps).await;
        let done = dying.ingest(&path, &lenient("aws")).await;
        // Whoever comes next, in a process of its own.
        let lake = place.lake().await;
        match billed(&lake).await.as_str() {
            "3" => olds += 1,
            "30" => news += 1,
            other => panic!("after {steps} steps the lake shows {other}"),
        }
        let days = one(&lake, "select sum(BilledCost) from charges_by_day").await.to_string();
        assert_eq!(days, billed(&lake).await, "the sums by day are of the same version");
        // And the ingest goes through when it is tried again.
        lake.ingest(&path, &lenient("aws")).await.unwrap();
        assert_eq!(billed(&lake).await, "30");
        if done.is_ok() {
            break;
        }
    }
    assert!(olds > 8 && news > 0, "{olds} old, {news} new");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ingests_at_once_both_count() {
    let place = Place::new();
    let one_path = place.write("one.csv", bill(&[Row::of("2026-10", "EC2", "1")]));
    let two_path = place.write("two.csv", bill(&[Row::of("2026-10", "EC2", "2")]));
    let (first, second) = (place.lake().await, place.lake().await);
    let (one_options, two_options) = (lenient("one"), lenient("two"));
    let (a, b) =
        tokio::join!(first.ingest(&one_path, &one_options), second.ingest(&two_path, &two_options));
    let mut versions = [a.unwrap().version, b.unwrap().version];
    versions.sort_unstable();
    assert_eq!(versions, [1, 2]);
    assert_eq!(billed(&place.lake().await).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_execution_from_two_processes_counts_once() {
    let place = Place::new();
    let path = place.write("bill.csv", bill(&[Row::of("2026-10", "EC2", "1")]));
    let lakes: Vec<Lake> = vec![place.lake().await, place.lake().await, place.lake().await];
    let tasks = lakes.into_iter().map(|lake| {
        let path = path.clone();
        tokio::spawn(async move { lake.ingest(&path, &lenient("aws")).await.unwrap().changed })
    });
    let mut changed = 0;
    for task in tasks.collect::<Vec<_>>() {
        changed += usize::from(task.await.unwrap());
    }
    assert_eq!(changed, 1);
    assert_eq!(billed(&place.lake().await).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_no_charges_go_into_quarantine_and_come_out_again() {
    let place = Place::new();
    let lake = place.lake().await;
    let mut text = bill(&[
        Row::of("2026-10", "EC2", "1"),
        Row::of("2026-10", "EC2", "NaN"),
        Row::of("2026-10", "EC2", "1e400"),
    ]);
    text.push_str("1,2,3\n");
    let path = place.write("bill.csv", &text);
    let done = lake.ingest(&path, &lenient("aws")).await.unwrap();
    let (id, rows) = done.quarantined.unwrap();
    assert_eq!((done.charges(), rows), (1, 3));
    let kept = lake.quarantined(id, 0, 10).await.unwrap();
    assert_eq!(kept.iter().map(|one| one.row).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(kept[0].reasons[0].say.contains("\"NaN\" is no decimal number"), "{kept:?}");
    assert!(kept[1].reasons[0].say.contains("more than 20 digits"), "{kept:?}");
    assert!(kept[2].reasons[0].say.contains("3 fields under"), "{kept:?}");
    assert_eq!(kept[2].record, [Some("1".into()), Some("2".into()), Some("3".into())]);
    // They can't be charges, so they stay; nothing is lost or doubled on the way.
    let back = lake.release(id, &lenient("aws")).await.unwrap();
    assert_eq!(back.quarantined.unwrap().1, 3);
    assert_eq!(lake.quarantines().await.unwrap().len(), 1);
    assert_eq!(billed(&lake).await, "1");
    let gone = lake.release(id, &lenient("aws")).await.unwrap_err();
    assert!(matches!(gone, IngestError::NoQuarantine(_)), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_a_rule_are_accepted_quarantined_or_refused_as_wanted() {
    let rows =
        [Row::of("2026-10", "EC2", "1"), Row { currency: "usd", ..Row::of("2026-10", "S3", "2") }];
    for (on_invalid, want) in
        [(OnInvalid::Accept, "3"), (OnInvalid::Quarantine, "1"), (OnInvalid::Refuse, "0")]
    {
        let place = Place::new();
        let lake = place.lake().await;
        let path = place.write("bill.csv", bill(&rows));
        let options = Options { on_invalid, ..lenient("aws") };
        let done = lake.ingest(&path, &options).await;
        assert_eq!(billed(&lake).await, want, "{on_invalid:?}: {done:?}");
        match (on_invalid, done) {
            (OnInvalid::Refuse, Err(error)) => {
                assert!(error.to_string().contains("row 2"), "{error}");
                assert_eq!(lake.version().await.unwrap(), 0);
            }
            (OnInvalid::Accept, Ok(done)) => {
                assert!(done.tally.rules.values().any(|count| *count == 1), "{done:#?}");
            }
            (OnInvalid::Quarantine, Ok(done)) => {
                let (id, rows) = done.quarantined.unwrap();
                assert_eq!(rows, 1);
                let accept = Options { on_invalid: OnInvalid::Accept, ..lenient("aws") };
                let back = lake.release(id, &accept).await.unwrap();
                assert_eq!(back.charges(), 1);
                assert_eq!(billed(&lake).await, "3");
                assert!(lake.quarantines().await.unwrap().is_empty());
                let asked = Asked { by: vec!["service".parse().unwrap()], ..Asked::default() };
                let totals = lake.report(&asked).await.unwrap().totals;
                assert_eq!((totals["USD"], totals["usd"]), (decimal("1"), decimal("2")));
            }
            (on_invalid, done) => panic!("{on_invalid:?}: {done:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_bills_are_refused_with_what_to_do() {
    let good = bill(&[Row::of("2026-10", "EC2", "1")]);
    let gz = {
        use std::io::Write;
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(good.repeat(50).as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let twice = good.replacen("BilledCost", "EffectiveCost", 1);
    let open = format!("{good}\"never closed\n{}", "x\n".repeat(50));
    let long = format!("{good}{}\n", "y".repeat(10 << 20));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("semicolons.csv", good.replace(',', ";").into(), "parted by ';'"),
        ("twice.csv", twice.into(), "are both named"),
        ("cut.csv.gz", gz[..gz.len() / 2].to_vec(), "deliver the file again"),
        ("cut.parquet", b"PAR1 and no end".to_vec(), "not a whole Parquet file"),
        ("open.csv", open.into(), "line 3: a quote opens here and never closes"),
        ("long.csv", long.into(), "line 3: a record of over"),
        ("utf16.csv", vec![0xff, 0xfe, b'B', 0], "UTF-16"),
        ("page.csv", b"<html>\n<body>".to_vec(), "no column of FOCUS"),
        ("empty.csv", Vec::new(), "is empty"),
        ("image.csv", vec![0x89, b'P', 0, 0], "neither CSV nor Parquet"),
        ("bill.zip", b"PK\x03\x04".to_vec(), "zip archive"),
    ];
    for (name, bytes, want) in cases {
        let place = Place::new();
        let lake = place.lake().await;
        let path = place.write(name, bytes);
        let error = lake.ingest(&path, &lenient("aws")).await.unwrap_err().to_string();
        assert!(error.contains(want) && error.contains(name), "{name}: {error}");
        assert_eq!(lake.version().await.unwrap(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_lacks_a_mandatory_column_is_not_half_read() {
    let place = Place::new();
    let lake = place.lake().await;
    let path = place.write("bill.csv", bill(&[Row::of("2026-10", "EC2", "1")]));
    let strict = Options { lacking: false, ..lenient("aws") };
    let error = lake.ingest(&path, &strict).await.unwrap_err().to_string();
    assert!(error.contains("missing:") && error.contains("nothing of it was read"), "{error}");
    assert_eq!(lake.version().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_file_that_grows_beyond_measure_is_refused() {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let line = bill(&[Row::of("2026-10", "EC2", "1")]);
    writer.write_all(line.as_bytes()).unwrap();
    let blank = vec![b'\n'; 1 << 20];
    for _ in 0..80 {
        writer.write_all(&blank).unwrap();
    }
    let place = Place::new();
    let path = place.write("bomb.csv.gz", writer.finish().unwrap());
    let lake = place.lake().await;
    let error = lake.ingest(&path, &lenient("aws")).await.unwrap_err().to_string();
    assert!(error.contains("unpacks to over 300 times its size"), "{error}");
    assert_eq!(lake.version().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_delivery_and_a_drifted_header_is_told() {
    let place = Place::new();
    let lake = place.lake().await;
    place.write("export/a.csv", bill(&[Row::of("2026-09", "EC2", "1")]));
    place.write("export/2026/b.csv", bill(&[Row::of("2026-10", "EC2", "2")]));
    place.write("export/README.md", "hello");
    place.write("export/_SUCCESS", "");
    let folder = place.folder.path().join("export");
    let done = lake.ingest(&folder, &lenient("aws")).await.unwrap();
    assert_eq!((done.files.len(), done.skipped.len()), (2, 2));
    assert_eq!(billed(&lake).await, "3");
    let drifted = bill(&[Row::of("2026-10", "EC2", "4")]).replace("x_Team", "x_Squad");
    let path = place.write("drifted.csv", drifted);
    let done = lake.ingest(&path, &lenient("aws")).await.unwrap();
    let told = done.notes.iter().find(|note| note.starts_with("schema drifted")).unwrap();
    assert!(told.contains("new: x_Squad") && told.contains("gone: x_Team"), "{told}");
    let teams = "select count(x_Team), count(x_Squad) from focus_data_table";
    let answer = lake.sql(teams, &[], None).await.unwrap();
    assert_eq!(answer.rows[0], [Value::Int(1), Value::Int(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_charges_with_all_of_some_values_are_added_up() {
    let place = Place::new();
    let lake = place.lake().await;
    let rows = [
        Row { tags: r#"{"team":"blue"}"#, ..Row::of("2026-10", "EC2", "1.5") },
        Row::of("2026-10", "EC2", "2"),
        Row { tags: r#"{"team":"blue"}"#, ..Row::of("2026-10", "O'S3", "4") },
    ];
    let path = place.write("bill.csv", bill(&rows));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    for (only, cost) in [
        (vec![("service", "EC2")], Some("3.5")),
        (vec![("service", "O'S3")], Some("4")),
        (vec![("service", "EC2"), ("tag:team", "blue")], Some("1.5")),
        (vec![("tag:team", "")], Some("2")),
        (vec![("month", "2026-10"), ("service", "")], None),
    ] {
        let only = only.into_iter().map(|(dimension, value)| {
            let dimension: Dimension = dimension.parse().unwrap();
            (dimension, value.to_owned())
        });
        let asked = Asked { only: only.collect(), ..Asked::default() };
        let report = lake.report(&asked).await.unwrap();
        assert_eq!(report.totals.get("USD").copied(), cost.map(decimal), "{:?}", asked.only);
    }
}
