use super::*;
use crate::context;

fn span(now: &str) -> Span {
    Span::at(now.parse().unwrap()).unwrap()
}

fn bills(seed: u64, now: &str) -> Vec<Vec<u8>> {
    let bill = |cloud: &Cloud| cloud.bill(Random::new(seed), span(now)).unwrap();
    CLOUDS.iter().map(bill).collect()
}

#[test]
fn the_same_seed_and_day_make_the_same_bills() {
    let now = "2026-11-24T10:00:00Z";
    assert_eq!(bills(7, now), bills(7, now));
    assert_ne!(bills(7, now), bills(8, now));
}

#[tokio::test(flavor = "multi_thread")]
async fn bills_break_no_rule_and_one_budget_is_passed_whatever_day_it_is() {
    for now in ["2026-11-24T10:00:00Z", "2026-11-01T00:00:00.000001Z", "2028-02-29T12:00:00Z"] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lake").display().to_string();
        let lake = Lake::open(&place, Default::default()).await.unwrap();
        let url = format!("sqlite://{}", folder.path().join("bursar.db").display());
        let store = context::open(&url, store::Options::default()).await.unwrap();
        for (cloud, bill) in CLOUDS.iter().zip(bills(1, now)) {
            let path = folder.path().join("bill.csv");
            std::fs::write(&path, bill).unwrap();
            let options = Options { source: Some(cloud.source.into()), ..Options::default() };
            let done = lake.ingest(&path, &options).await.unwrap();
            assert!(done.tally.rules.is_empty(), "{}: {:?}", cloud.source, done.tally);
            assert!(done.notes.is_empty(), "{:?}", done.notes);
        }
        fill(&lake, &store, 1, span(now)).await.unwrap();
        let month = Month::of(span(now).now).unwrap();
        let mut percents = Vec::new();
        for budget in store.cloud_budgets().await.unwrap() {
            let report = lake.report(&budget.watched.asked((month, month))).await.unwrap();
            let percent = budget.percent(report.totals["USD"]).unwrap();
            percents.push((budget.name.clone(), percent / 100));
        }
        percents.sort();
        let [(_, compute), (_, databases)] = percents.as_slice() else { panic!("{percents:?}") };
        assert!((126..=130).contains(compute) && (84..=88).contains(databases), "{percents:?}");
        store.close().await;
    }
}
