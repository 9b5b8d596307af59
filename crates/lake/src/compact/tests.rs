use super::*;
use focus::cost::AsOf;

use crate::testing::{Place, Row, bill, billed, lenient, one};

fn rows(cost: &'static str) -> Vec<Row> {
    vec![
        Row::of("2026-10", "EC2", cost),
        Row { provider: "Azure", ..Row::of("2026-10", "VM", cost) },
        Row::of("2026-10", "EC2", cost),
    ]
}

/// A lake whose one import has its charges in many files: quarantine after quarantine came back.
async fn lake_of_small_files(place: &Place) -> Lake {
    let lake = place.lake().await;
    place.write("in/bill0.csv", bill(&rows("1")));
    for part in 1..4 {
        // A thread that sees its own file writes files of its own.
        place.write(&format!("in/bill{part}.csv"), bill(&rows("0.5")));
    }
    let mut text = bill(&rows("1"));
    text.push_str(
        bill(&[Row { currency: "usd", ..Row::of("2026-10", "EC2", "2") }]).lines().nth(1).unwrap(),
    );
    text.push('\n');
    place.write("in/bill0.csv", text);
    let folder = place.folder.path().join("in");
    let strict = crate::Options { on_invalid: crate::OnInvalid::Quarantine, ..lenient("aws") };
    let done = lake.ingest(&folder, &strict).await.unwrap();
    let (id, _) = done.quarantined.unwrap();
    lake.release(id, &lenient("aws")).await.unwrap();
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_makes_fewer_files_and_changes_no_sum() {
    let place = Place::new();
    let lake = lake_of_small_files(&place).await;
    assert_eq!(billed(&lake).await, "9.5");
    let done = lake.compact().await.unwrap();
    assert!(done.before > done.after, "{done:?}");
    let lake = place.lake().await;
    assert_eq!(billed(&lake).await, "9.5");
    assert_eq!(one(&lake, "select sum(BilledCost) from charges_by_day").await.to_string(), "9.5");
    assert_eq!(one(&lake, "select sum(ChargeCount) from charges_by_day").await.to_string(), "13");
    let files = lake.imports(None).await.unwrap()[0].files.len();
    assert_eq!(files, 3, "a file a provider, and one of days");
    assert_eq!(lake.compact().await.unwrap(), Compacted::default(), "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_step_compaction_changes_no_sum() {
    for steps in 0.. {
        let place = Place::new();
        lake_of_small_files(&place).await;
        let done = place.lake_that_dies_after(steps).await.compact().await;
        let lake = place.lake().await;
        assert_eq!(billed(&lake).await, "9.5", "after {steps} steps");
        if done.is_ok() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_only_what_no_kept_version_needs() {
    let place = Place::new();
    let lake = lake_of_small_files(&place).await;
    place.write("lake/data/charges/period=2026-10/orphan.parquet", "left by a killed ingest");
    let long = Duration::from_secs(86_400 * 365);
    assert_eq!(lake.sweep(long, long).await.unwrap(), Swept::default());
    let swept = lake.sweep(long, Duration::ZERO).await.unwrap();
    assert_eq!((swept.files, swept.versions), (1, 0));
    lake.compact().await.unwrap();
    assert_eq!(lake.sweep(long, Duration::ZERO).await.unwrap().files, 0, "old versions need them");
    let swept = lake.sweep(Duration::ZERO, Duration::ZERO).await.unwrap();
    assert!(swept.files > 0 && swept.versions >= 2, "{swept:?}");
    let lake = place.lake().await;
    assert_eq!(billed(&lake).await, "9.5");
    let sql = "select 1 from focus_data_table";
    assert!(lake.sql(sql, &[], Some(AsOf::Version(1))).await.is_err());
}
