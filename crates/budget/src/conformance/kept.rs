//! Cases of what a store keeps beside balances.

use focus::{ModelName, PeriodRule, PeriodUnit, Scope, TenantId};
use jiff::SignedDuration;

use super::{Bench, call, key, model, quote, tenant, usd};
use crate::{
    Budget, BudgetFilter, EscrowError, Overflow, Page, Quote, Settle, VendorBatch, VendorHold,
    VendorOrder,
};

pub(super) async fn a_budget_keeps_what_it_wants_instead_of_a_refusal(bench: &Bench) {
    let fallback = Overflow::Fallback(vec![model("n"), model("provider/o")]);
    for overflow in [Overflow::Clamp, fallback, Overflow::Refuse] {
        let budget = bench.budget(Scope::tenant(tenant()), "1").await;
        let wanted = crate::Budget { overflow: overflow.clone(), ..budget };
        bench.store.put(wanted).await.unwrap();
        let listed = bench.store.list(BudgetFilter::default()).await.unwrap();
        assert_eq!(listed[0].overflow, overflow);
        let refused = bench.reserve(1, &call("m", None, None), "2").await;
        let Err(EscrowError::Refused(refusal)) = refused else { panic!("accepted: {refused:?}") };
        assert_eq!(refusal.overflow, overflow);
    }
}

/// While a budget covers the tenant as a whole, its defaults count nothing.
pub(super) async fn a_default_that_is_set_counts_what_others_covered(bench: &Bench) {
    let m = call("m", None, None);
    let next = || bench.hands.pass(SignedDuration::from_secs(1));
    bench.track(1, &m, Some("1")).await.unwrap();
    next();
    bench.budget(Scope::tenant(tenant()), "1000").await;
    bench.track(2, &m, Some("400")).await.unwrap();
    bench.reserve(3, &m, "50").await.unwrap();
    next();
    bench.budget(Scope::model(tenant(), model("m")), "500").await;
    let refused = bench.reserve(4, &m, "50").await;
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    bench.reserve(5, &m, "49").await.unwrap();
    let account = bench.line(Some("m")).await.account;
    assert_eq!((account.settled, account.held), (usd("401"), usd("99")));
}

/// The old period goes on to its end; the new one began before that.
pub(super) async fn periods_that_overlap_after_a_change_both_count(bench: &Bench) {
    let m = call("m", None, None);
    let budget = bench.budget(Scope::tenant(tenant()), "100").await;
    bench.track(1, &m, Some("1")).await.unwrap();
    let anchor = "2026-01-20".parse().expect("a date");
    let rule = PeriodRule::new(PeriodUnit::Month, Some(anchor), None, "UTC").expect("a rule");
    let updated_at = bench.hands.now();
    bench.store.put(Budget { rule, since: updated_at, updated_at, ..budget }).await.unwrap();
    // From the 15th to the 25th, and then into November.
    bench.hands.pass(SignedDuration::from_hours(10 * 24));
    bench.track(2, &m, Some("40")).await.unwrap();
    bench.reserve(3, &m, "10").await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(8 * 24));
    let refused = bench.reserve(4, &m, "51").await;
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    bench.reserve(5, &m, "50").await.unwrap();
    let account = bench.line(None).await.account;
    let october: jiff::Timestamp = "2026-10-20T00:00:00Z".parse().expect("an instant");
    assert_eq!(account.id.start, october);
}

pub(super) async fn an_estimated_charge_is_marked(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    for (number, estimated) in [(1, true), (2, false)] {
        bench.reserve(number, &m, "2").await.unwrap();
        let actual = Quote { given: true, estimated, ..quote(1, Some("1")) };
        let settle = Settle { key: key(number), call: None, actual };
        bench.store.settle(settle).await.unwrap();
        let kept = bench.store.reservation(key(number)).await.unwrap().unwrap();
        assert_eq!(kept.actual.unwrap().estimated, estimated);
        assert_eq!(kept.cost, Some(usd("1")));
    }
}

pub(super) async fn a_vendors_batch_is_kept_until_it_is_settled(bench: &Bench) {
    let batch = |id| batch(bench, id);
    let (first, second) = (batch("b-1"), batch("b-2"));
    bench.store.put_batch(first.clone()).await.unwrap();
    bench.hands.pass(SignedDuration::from_secs(1));
    let second = VendorBatch { created_at: bench.hands.now(), ..second };
    bench.store.put_batch(second.clone()).await.unwrap();
    bench.store.put_batch(batch("b-1")).await.unwrap();
    assert_eq!(bench.store.batch("b-1").await.unwrap(), Some(first.clone()));
    assert_eq!(bench.store.batch("b-3").await.unwrap(), None);
    let open = bench.store.open_batches(Page::first(10)).await.unwrap();
    assert_eq!(open, [first, second.clone()]);
    let at = bench.hands.now();
    bench.store.settle_batch("b-1", at).await.unwrap();
    bench.hands.pass(SignedDuration::from_secs(1));
    bench.store.settle_batch("b-1", bench.hands.now()).await.unwrap();
    let settled = bench.store.batch("b-1").await.unwrap().unwrap();
    assert_eq!(settled.settled_at, Some(at));
    assert_eq!(bench.store.open_batches(Page::first(10)).await.unwrap(), [second]);
}

pub(super) async fn open_batches_page_without_gaps(bench: &Bench) {
    // Two were made at the same moment.
    for (id, seconds) in [("b-4", 1), ("b-2", 0), ("b-1", 0), ("b-3", 1)] {
        bench.hands.pass(SignedDuration::from_secs(seconds));
        bench.store.put_batch(batch(bench, id)).await.unwrap();
    }
    let (mut page, mut found) = (Page::first(2), Vec::new());
    loop {
        let open = bench.store.open_batches(page).await.unwrap();
        let Some(last) = open.last() else { break };
        page = Page { after: Some(last.place()), limit: 2 };
        // What is settled on the way moves nothing.
        bench.store.settle_batch(&open[0].id, bench.hands.now()).await.unwrap();
        found.extend(open.into_iter().map(|batch| batch.id));
    }
    assert_eq!(found, ["b-1", "b-2", "b-4", "b-3"]);
}

pub(super) async fn a_tenants_batches_are_listed_in_both_orders(bench: &Bench) {
    let brite = TenantId::parse("brite").unwrap();
    for (id, seconds) in [("b-4", 1), ("b-2", 0), ("b-1", 0), ("b-3", 1)] {
        bench.hands.pass(SignedDuration::from_secs(seconds));
        bench.store.put_batch(batch(bench, id)).await.unwrap();
        let other = VendorBatch { tenant: brite.clone(), ..batch(bench, &format!("{id}-b")) };
        bench.store.put_batch(other).await.unwrap();
    }
    bench.store.settle_batch("b-1", bench.hands.now()).await.unwrap();
    for (order, expected) in [
        (VendorOrder::Newest, ["b-3", "b-4", "b-2", "b-1"]),
        (VendorOrder::Oldest, ["b-1", "b-2", "b-4", "b-3"]),
    ] {
        let (mut page, mut found) = (Page::first(3), Vec::new());
        loop {
            let mine = bench.store.batches_of(&tenant(), order, page).await.unwrap();
            let Some(last) = mine.last() else { break };
            page = Page { after: Some(last.place()), limit: 3 };
            found.extend(mine.into_iter().map(|batch| batch.id));
        }
        assert_eq!(found, expected);
    }
    // What is not charged yet is not forgotten.
    for id in ["b-1", "b-2"] {
        bench.store.forget_batch(id).await.unwrap();
    }
    let mine = bench.store.batches_of(&tenant(), VendorOrder::Oldest, Page::first(9)).await;
    let mine: Vec<_> = mine.unwrap().into_iter().map(|batch| batch.id).collect();
    assert_eq!(mine, ["b-2", "b-4", "b-3"]);
}

fn batch(bench: &Bench, id: &str) -> VendorBatch {
    VendorBatch {
        id: id.to_owned(),
        tenant: tenant(),
        upstream: "vendor".to_owned(),
        holds: vec![VendorHold {
            key: key(7),
            call: call("m", Some("u"), None),
            models: vec![ModelName::parse("m-latest").unwrap().to_string()],
        }],
        created_at: bench.hands.now(),
        settled_at: None,
    }
}

/// Nothing was spent in it: its accounts come with the calls that they count.
pub(super) async fn a_new_period_opens_no_account_before_its_first_call(bench: &Bench) {
    let all = bench.budget(Scope::tenant(tenant()), "100").await;
    let other = bench.budget(Scope::model(tenant(), model("n")), "100").await;
    bench.track(1, &call("n", None, None), Some("1")).await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(30 * 24));
    bench.track(2, &call("m", None, None), Some("2")).await.unwrap();
    let now = bench.hands.now();
    let opened =
        |accounts: Vec<crate::Account>| accounts.iter().filter(|account| account.end > now).count();
    assert_eq!(opened(bench.store.history(all.id).await.unwrap()), 1);
    assert_eq!(opened(bench.store.history(other.id).await.unwrap()), 0);
    assert_eq!(bench.line(None).await.account.settled, usd("2"));
    assert_eq!(bench.line(Some("n")).await.account.settled, usd("0"));
}
