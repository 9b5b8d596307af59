use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    Ingested, Lake, LakeOptions, Limits, OnInvalid, Options,
    fault::Faults,
    testing::{Place, Row, bill, billed, lenient, one, s3::S3},
};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn bucket() -> &'static Path {
    Path::new("s3://bills/out")
}

/// Three files of a charge each, over two months; together they cost 7.
fn delivered() -> S3 {
    let s3 = S3::start();
    for (name, (month, cost)) in
        NAMES.into_iter().zip([("2026-09", "1"), ("2026-10", "2"), ("2026-10", "4")])
    {
        s3.put(&format!("out/{name}.csv"), bill(&[Row::of(month, "EC2", cost)]));
    }
    s3
}

/// Every file is a stretch of its own.
fn in_stretches() -> Options {
    Options { limits: Limits { stretch_bytes: 1, ..Limits::default() }, ..lenient("aws") }
}

async fn dying(place: &Place, s3: &S3, steps: i64) -> Lake {
    let options = LakeOptions { storage: s3.settings(), ..LakeOptions::default() };
    Lake::open_with(&place.url(), options, Faults::after(steps)).await.unwrap()
}

fn records(place: &Place) -> Vec<PathBuf> {
    let folder = fs::read_dir(place.folder.path().join("lake/stretch")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

/// A lake whose ingest died when so many stretches were written down and nothing was committed.
async fn cut_off_after(stretches: usize, s3: &S3) -> Place {
    for steps in 0.. {
        let place = Place::new();
        let done = dying(&place, s3, steps).await.ingest(bucket(), &in_stretches()).await;
        assert!(done.is_err(), "it never died behind {stretches} stretches");
        if records(&place).len() == stretches {
            assert_eq!(place.lake().await.version().await.unwrap(), 0);
            return place;
        }
    }
    unreachable!()
}

async fn ingested(place: &Place, s3: &S3, options: &Options) -> (Lake, Ingested) {
    let lake = place.lake_beside(s3).await;
    let done = lake.ingest(bucket(), options).await.unwrap();
    (lake, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_step_the_next_ingest_reads_only_what_was_not_finished() {
    let mut resumed = BTreeSet::new();
    for steps in 0.. {
        let (place, s3) = (Place::new(), delivered());
        let lake = dying(&place, &s3, steps).await;
        let first = lake.ingest(bucket(), &in_stretches()).await;
        let had = place.lake().await.version().await.unwrap();
        let shown = billed(&place.lake().await).await;
        assert_eq!(shown, if had == 0 { "0" } else { "7" }, "after {steps} steps");
        s3.requests("");
        let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
        let fetched = s3.requests("/bills/out/");
        if had == 0 {
            assert_eq!(done.resumed + fetched as u64, 3, "after {steps} steps: {done:#?}");
            assert_eq!((done.charges(), done.files.len()), (3, 3), "{done:#?}");
            assert!(records(&place).is_empty(), "the commit names their files now");
            resumed.insert(done.resumed);
        } else {
            assert_eq!((done.changed, fetched), (false, 0));
        }
        assert_eq!((billed(&lake).await.as_str(), lake.version().await.unwrap()), ("7", 1));
        let days = one(&lake, "select sum(BilledCost) from charges_by_day").await.to_string();
        assert_eq!(days, "7");
        assert!(!lake.ingest(bucket(), &in_stretches()).await.unwrap().changed);
        if first.is_ok() {
            break;
        }
    }
    assert_eq!(resumed, BTreeSet::from([0, 1, 2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_at_once_or_behind_a_cut_the_lake_holds_the_same() {
    let s3 = delivered();
    let place = cut_off_after(2, &s3).await;
    let (_, behind) = ingested(&place, &s3, &in_stretches()).await;
    let others = [Place::new(), Place::new()];
    let (_, whole) = ingested(&others[0], &s3, &in_stretches()).await;
    assert_eq!((behind.resumed, whole.resumed), (2, 0));
    assert_eq!(Ingested { resumed: 0, ..behind }, whole);
    let (lake, small) = ingested(&others[1], &s3, &lenient("aws")).await;
    assert_eq!((small.rows, small.sums), (whole.rows, whole.sums));
    assert_eq!(billed(&lake).await, "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_or_another_setting_begins_anew() {
    let quarantine = Options { on_invalid: OnInvalid::Quarantine, ..in_stretches() };
    let limits = Limits { stretch_bytes: 2, ..Limits::default() };
    let elsewhere = Options { source: Some("other".into()), ..in_stretches() };
    let changed = [
        quarantine,
        Options { limits, ..in_stretches() },
        elsewhere,
        Options { execution: Some("run-7".into()), ..in_stretches() },
    ];
    for options in changed {
        let s3 = delivered();
        let place = cut_off_after(2, &s3).await;
        let (lake, done) = ingested(&place, &s3, &options).await;
        assert_eq!((done.resumed, billed(&lake).await.as_str()), (0, "7"));
    }
    let s3 = delivered();
    let place = cut_off_after(2, &s3).await;
    s3.put("out/c.csv", bill(&[Row::of("2026-10", "EC2", "40")]));
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, billed(&lake).await.as_str()), (0, "43"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_one_stretch_writes_nothing_down() {
    for steps in 0.. {
        let (place, s3) = (Place::new(), delivered());
        let done = dying(&place, &s3, steps).await.ingest(bucket(), &lenient("aws")).await;
        assert!(records(&place).is_empty(), "after {steps} steps");
        if done.is_ok() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ingests_at_once_behind_the_same_cut_count_once() {
    let s3 = delivered();
    let place = cut_off_after(1, &s3).await;
    let (one, two) = (place.lake_beside(&s3).await, place.lake_beside(&s3).await);
    let options = in_stretches();
    let (one, two) = tokio::join!(one.ingest(bucket(), &options), two.ingest(bucket(), &options));
    assert_eq!(u8::from(one.unwrap().changed) + u8::from(two.unwrap().changed), 1);
    let lake = place.lake().await;
    assert_eq!((billed(&lake).await.as_str(), lake.version().await.unwrap()), ("7", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_cut_off_ingest_kept_apart_stay_apart() {
    let s3 = delivered();
    for name in ["a", "c"] {
        let rows = [Row::of("2026-10", "EC2", "1"), Row::of("2026-10", "EC2", "NaN")];
        s3.put(&format!("out/{name}.csv"), bill(&rows));
    }
    let place = cut_off_after(1, &s3).await;
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, done.charges()), (2, 3));
    let quarantines = lake.quarantines().await.unwrap();
    assert_eq!(quarantines.iter().map(|one| one.rows).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(done.tally.rules["kind of BilledCost"], 2, "{done:#?}");
    for one in quarantines {
        assert_eq!(lake.quarantined(one.id, 0, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_what_may_be_resumed_and_takes_what_nobody_came_back_to() {
    let s3 = delivered();
    let place = cut_off_after(2, &s3).await;
    let now = Duration::ZERO;
    place.lake().await.sweep(now, now).await.unwrap();
    assert_eq!(records(&place).len(), 2);
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, billed(&lake).await.as_str()), (2, "7"));

    let place = cut_off_after(2, &s3).await;
    let age = |days: u64| {
        for record in records(&place) {
            let at = SystemTime::now() - Duration::from_secs(days * 86_400);
            File::options().write(true).open(record).unwrap().set_modified(at).unwrap();
        }
    };
    age(8);
    place.lake().await.sweep(now, now).await.unwrap();
    assert_eq!(records(&place).len(), 2, "an ingest that took them over may still commit");
    age(10);
    let swept = place.lake().await.sweep(now, now).await.unwrap();
    assert!(records(&place).is_empty() && swept.files > 4, "{swept:?}");
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, billed(&lake).await.as_str()), (0, "7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_broken_or_whose_files_are_gone_is_as_good_as_none() {
    let s3 = delivered();
    let place = cut_off_after(2, &s3).await;
    let last = records(&place).into_iter().max().unwrap();
    fs::write(last, "{").unwrap();
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, billed(&lake).await.as_str()), (1, "7"));
    let place = cut_off_after(2, &s3).await;
    fs::remove_dir_all(place.folder.path().join("lake/data")).unwrap();
    let (lake, done) = ingested(&place, &s3, &in_stretches()).await;
    assert_eq!((done.resumed, billed(&lake).await.as_str()), (0, "7"));
}
