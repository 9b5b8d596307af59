//! Cases of budgets for cloud cost.

use focus::{
    Decimal, Scope,
    cost::{Basis, Dimension},
};
use jiff::SignedDuration;

use super::{Bench, call, tenant};
use crate::{CloudBudget, CloudPeriod, Crossing, Notice, Page, Thresholds, Watched};

fn budget(bench: &Bench, name: &str, limit: &str, service: &str) -> CloudBudget {
    let filter = vec![
        ("service".parse().unwrap(), service.to_owned()),
        (Dimension::Tag("owner's \"team\"".to_owned()), String::new()),
    ];
    let watched = Watched::new(filter, Basis::Effective, "EUR", CloudPeriod::Quarter).unwrap();
    let limit = Decimal::parse(limit).unwrap();
    CloudBudget::new(name, watched, limit, bench.hands.now()).unwrap()
}

pub(super) async fn a_cloud_budget_is_kept_by_its_name(bench: &Bench) {
    let store = &bench.store;
    let first = budget(bench, "lambda", "12.000000000000000001", "AWS Lambda");
    assert_eq!(store.put_cloud(first.clone()).await.unwrap(), first);
    let largest = budget(bench, "all of it … é", "1000000000000", "");
    store.put_cloud(largest.clone()).await.unwrap();
    assert_eq!(store.cloud_budgets().await.unwrap(), [largest.clone(), first.clone()]);

    bench.hands.pass(SignedDuration::from_hours(1));
    let now = bench.hands.now();
    let thresholds = Thresholds::new(vec![1, 1000]).unwrap();
    let changed = CloudBudget { thresholds, ..budget(bench, "lambda", "0", "AWS Lambda") };
    let kept = store.put_cloud(changed.clone()).await.unwrap();
    assert_eq!(kept, CloudBudget { since: first.since, ..changed });
    let other = budget(bench, "lambda", "5", "Amazon EC2");
    let kept = store.put_cloud(other.clone()).await.unwrap();
    assert_eq!((kept.since, kept.updated_at), (now, now));
    assert_eq!(store.cloud_budgets().await.unwrap(), [largest, other]);

    assert!(store.remove_cloud("lambda").await.unwrap());
    assert!(!store.remove_cloud("lambda").await.unwrap());
    assert_eq!(store.cloud_budgets().await.unwrap().len(), 1);
}

pub(super) async fn what_a_cloud_budget_has_told_it_never_tells_again(bench: &Bench) {
    let store = &bench.store;
    let budget = budget(bench, "lambda", "10", "AWS Lambda");
    store.put_cloud(budget.clone()).await.unwrap();
    let now = bench.hands.now();
    let months = budget.period(now).unwrap();
    let crossed = |spent: &str| budget.crossed(months, Decimal::parse(spent).unwrap(), now);
    assert_eq!(store.tell_cloud(Vec::new()).await.unwrap(), 0);
    assert_eq!(store.tell_cloud(crossed("8.000000000000000001")).await.unwrap(), 1);
    // What is told of AI budgets stands in the same order.
    bench.budget(Scope::tenant(tenant()), "1").await;
    bench.track(1, &call("m", None, None), Some("0.9")).await.unwrap();
    assert_eq!(store.tell_cloud(crossed("3")).await.unwrap(), 0);
    assert_eq!(store.tell_cloud(crossed("12.5")).await.unwrap(), 2);
    // The budget comes back as it was: what was told stays told.
    store.remove_cloud("lambda").await.unwrap();
    store.put_cloud(budget.clone()).await.unwrap();
    assert_eq!(store.tell_cloud(crossed("12.5")).await.unwrap(), 0);

    let told = store.events(Page::default()).await.unwrap();
    assert!(told.is_sorted_by_key(|(seq, _)| *seq));
    let told: Vec<Notice> = told.into_iter().map(|(_, notice)| notice).collect();
    let wanted = |spent: &str, kind| {
        let found = crossed(spent).into_iter().find(|event| event.kind == kind);
        Notice::Cloud(found.unwrap())
    };
    let [first, ai, all, beyond] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*first, wanted("8.000000000000000001", Crossing::Threshold { percent: 80 }));
    assert_eq!(ai.tenant(), Some(&tenant()));
    assert_eq!(*all, wanted("12.5", Crossing::Threshold { percent: 100 }));
    assert_eq!(*beyond, wanted("12.5", Crossing::Exhausted));
    // The next period is told of anew.
    bench.hands.pass(SignedDuration::from_hours(24 * 92));
    let now = bench.hands.now();
    let next = budget.crossed(budget.period(now).unwrap(), budget.limit, now);
    assert_eq!(store.tell_cloud(next).await.unwrap(), 2);
}
