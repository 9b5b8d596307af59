//! The cases: a sentence each.

use focus::{PeriodRule, PeriodUnit, Scope, UserId};
use jiff::{SignedDuration, Timestamp};
use money::Money;

use super::{
    Bench, Case, call,
    cloud::{
        a_cloud_budget_is_kept_by_its_name, what_a_cloud_budget_has_told_it_never_tells_again,
    },
    deliver::{
        a_channel_sends_no_more_than_its_pace_allows,
        a_dead_delivery_is_tried_again_when_somebody_asks,
        a_key_is_planned_once_and_a_step_is_taken_once,
        a_lease_ends_and_the_batch_goes_out_again_as_it_was,
        a_new_channel_begins_at_the_outboxs_end, senders_that_fail_and_die_lose_nothing,
        what_is_due_is_claimed_once_and_in_one_batch,
        what_was_delivered_is_forgotten_after_a_while,
    },
    kept::{
        a_budget_keeps_what_it_wants_instead_of_a_refusal,
        a_default_that_is_set_counts_what_others_covered,
        a_new_period_opens_no_account_before_its_first_call,
        a_tenants_batches_are_listed_in_both_orders, a_vendors_batch_is_kept_until_it_is_settled,
        an_estimated_charge_is_marked, open_batches_page_without_gaps,
        periods_that_overlap_after_a_change_both_count,
    },
    key, model, quote, tenant, usd,
};
use crate::{
    Budget, Enforcement, EscrowError, Event, EventKind, LedgerFilter, Page, ReservationFilter,
    Reserve, Resolution, Resolve, Settle, State, UsageGroup, UsageQuery,
};

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const ALL: &[(&str, Case)] =
            &[$((stringify!($name), |bench| Box::pin($name(bench)))),*];
    };
}

cases![
    a_reservation_holds_in_every_budget_or_in_none,
    settling_twice_returns_the_first_entry,
    the_same_key_with_other_content_changes_nothing,
    settling_above_the_hold_records_all_and_flags_it,
    an_expired_hold_counts_until_it_is_resolved,
    policy_charges_what_stays_unresolved_and_a_late_settle_corrects_it,
    a_late_settle_lands_in_the_month_of_its_request,
    thresholds_fire_once_a_period,
    a_refusal_past_the_soft_limit_marks_the_budget_once,
    shadow_budgets_refuse_nothing,
    a_default_budget_serves_until_one_is_set,
    a_budget_set_in_mid_month_counts_what_was_spent_before,
    a_default_that_is_set_counts_what_others_covered,
    periods_that_overlap_after_a_change_both_count,
    a_new_period_opens_no_account_before_its_first_call,
    a_correction_reaches_budgets_that_came_later,
    a_budget_that_is_removed_and_comes_back_misses_nothing,
    a_call_whose_user_is_named_late_counts_in_the_month_of_its_request,
    users_and_report_types_have_budgets_of_their_own,
    unpriced_calls_are_kept_and_charged_later,
    a_released_call_that_is_tracked_is_charged,
    usage_adds_up_by_every_group,
    lists_page_without_gaps,
    a_budget_keeps_what_it_wants_instead_of_a_refusal,
    an_estimated_charge_is_marked,
    a_vendors_batch_is_kept_until_it_is_settled,
    open_batches_page_without_gaps,
    a_tenants_batches_are_listed_in_both_orders,
    a_cloud_budget_is_kept_by_its_name,
    what_a_cloud_budget_has_told_it_never_tells_again,
    a_new_channel_begins_at_the_outboxs_end,
    a_key_is_planned_once_and_a_step_is_taken_once,
    what_is_due_is_claimed_once_and_in_one_batch,
    a_lease_ends_and_the_batch_goes_out_again_as_it_was,
    a_dead_delivery_is_tried_again_when_somebody_asks,
    a_channel_sends_no_more_than_its_pace_allows,
    what_was_delivered_is_forgotten_after_a_while,
    senders_that_fail_and_die_lose_nothing,
];

fn strings(a: &str, b: &str, c: &str) -> (String, String, String) {
    (a.to_owned(), b.to_owned(), c.to_owned())
}

async fn a_reservation_holds_in_every_budget_or_in_none(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    bench.budget(Scope::model(tenant(), model("m")), "3").await;
    let m = call("m", None, None);
    bench.reserve(1, &m, "2").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("0", "2", "0"));
    assert_eq!(bench.balances(Some("m")).await, strings("0", "2", "0"));
    let refused = bench.reserve(2, &m, "1.000000001").await;
    let Err(EscrowError::Refused(refusal)) = refused else { panic!("accepted: {refused:?}") };
    assert_eq!(refusal.scope.model, Some(model("m")));
    assert!(refusal.by_holds);
    assert_eq!(bench.balances(None).await, strings("0", "2", "0"));
    bench.reserve(3, &m, "1").await.unwrap();
    bench.release(1).await.unwrap();
    assert_eq!(bench.balances(Some("m")).await, strings("0", "1", "0"));
    let check = Reserve {
        key: key(9),
        call: m,
        estimate: quote(1, Some("2")),
        timeout: None,
        covered: false,
        fresh: false,
    };
    let standing = bench.store.check(check).await.unwrap();
    assert_eq!((standing.counted, standing.limit), (usd("3"), usd("3")));
}

async fn settling_twice_returns_the_first_entry(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    let held = bench.reserve(1, &m, "2").await.unwrap();
    assert!(bench.reserve(1, &m, "2").await.unwrap().replayed);
    let first = bench.settle(1, "1.5").await.unwrap();
    let again = bench.settle(1, "1.5").await.unwrap();
    assert!(again.replayed);
    assert_eq!(first.reservation, again.reservation);
    assert_eq!(
        held.reservation.standing,
        bench.reserve(1, &m, "2").await.unwrap().reservation.standing
    );
    assert_eq!(bench.balances(None).await, strings("1.5", "0", "0"));
    let tracked = bench.track(2, &m, Some("0.25")).await.unwrap();
    assert_eq!(bench.track(2, &m, Some("0.25")).await.unwrap().reservation, tracked.reservation);
    assert_eq!(bench.balances(None).await, strings("1.75", "0", "0"));
    let entries = bench.store.entries(LedgerFilter::default()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), vec![1, 2, 3]);
}

async fn the_same_key_with_other_content_changes_nothing(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.reserve(1, &m, "2").await.unwrap();
    let other = Reserve {
        key: key(1),
        call: m.clone(),
        estimate: quote(7, Some("2")),
        timeout: None,
        covered: true,
        fresh: false,
    };
    assert!(matches!(bench.store.reserve(other).await, Err(EscrowError::Conflict(_))));
    assert!(matches!(
        bench.track(1, &call("other", None, None), Some("1")).await,
        Err(EscrowError::Conflict(_))
    ));
    bench.settle(1, "1").await.unwrap();
    let actual = quote(91, Some("1"));
    let settle = Settle { key: key(1), call: None, actual };
    assert!(matches!(bench.store.settle(settle).await, Err(EscrowError::Conflict(_))));
    assert!(matches!(bench.release(1).await, Err(EscrowError::State { .. })));
    assert!(matches!(bench.settle(5, "1").await, Err(EscrowError::NotFound(_))));
    assert_eq!(bench.balances(None).await, strings("1", "0", "0"));
}

async fn settling_above_the_hold_records_all_and_flags_it(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.reserve(1, &m, "2").await.unwrap();
    let settled = bench.settle(1, "10.5").await.unwrap();
    assert_eq!(settled.reservation.overrun(), usd("8.5"));
    assert_eq!(bench.balances(None).await, strings("10.5", "0", "0"));
    assert!(matches!(bench.reserve(2, &m, "0.000000001").await, Err(EscrowError::Refused(_))));
    let events = told(bench).await;
    assert!(events.iter().any(|event| event.kind == EventKind::Overrun { key: key(1) }));
}

async fn an_expired_hold_counts_until_it_is_resolved(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.reserve(1, &m, "6").await.unwrap();
    bench.reserve(2, &m, "3").await.unwrap();
    bench.hands.pass(SignedDuration::from_mins(16));
    assert_eq!(bench.store.sweep(bench.hands.now()).await.unwrap(), 2);
    assert_eq!(bench.balances(None).await, strings("0", "0", "9"));
    assert!(matches!(bench.reserve(3, &m, "2").await, Err(EscrowError::Refused(_))));
    let open = ReservationFilter { state: Some(State::Unresolved), ..Default::default() };
    assert_eq!(bench.store.reservations(open).await.unwrap().len(), 2);
    bench.settle(1, "4").await.unwrap();
    let release = Resolve { key: key(2), resolution: Resolution::Release };
    bench.store.resolve(release.clone()).await.unwrap();
    assert!(bench.store.resolve(release).await.unwrap().replayed);
    assert_eq!(bench.balances(None).await, strings("4", "0", "0"));
}

async fn policy_charges_what_stays_unresolved_and_a_late_settle_corrects_it(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    bench.reserve(1, &call("m", None, None), "6").await.unwrap();
    bench.hands.pass(SignedDuration::from_mins(16));
    bench.store.sweep(bench.hands.now()).await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(25));
    assert_eq!(bench.store.sweep(bench.hands.now()).await.unwrap(), 1);
    assert_eq!(bench.balances(None).await, strings("6", "0", "0"));
    bench.settle(1, "2.5").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("2.5", "0", "0"));
}

async fn a_late_settle_lands_in_the_month_of_its_request(bench: &Bench) {
    let budget = bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.hands.pass(SignedDuration::from_hours(16 * 24 + 11));
    bench.reserve(1, &m, "6").await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(2));
    assert_eq!(bench.balances(None).await, strings("0", "0", "0"));
    bench.reserve(2, &m, "9").await.unwrap();
    bench.settle(1, "5").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("0", "9", "0"));
    let history = bench.store.history(budget.id).await.unwrap();
    let settled: Vec<_> = history.iter().map(|account| account.settled).collect();
    assert_eq!(settled, vec![Money::ZERO, usd("5")]);
}

async fn told(bench: &Bench) -> Vec<Event> {
    let notices = bench.store.events(Page::default()).await.unwrap();
    notices.iter().filter_map(|(_, notice)| notice.as_ai().cloned()).collect()
}

async fn fired(bench: &Bench) -> Vec<u16> {
    let events = told(bench).await;
    let percent = |kind| match kind {
        EventKind::Threshold { percent } => Some(percent),
        _ => None,
    };
    events.iter().filter_map(|event| percent(event.kind)).collect()
}

async fn thresholds_fire_once_a_period(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.track(1, &m, Some("7.999999999")).await.unwrap();
    assert_eq!(fired(bench).await, Vec::<u16>::new());
    bench.track(2, &m, Some("0.000000001")).await.unwrap();
    bench.track(2, &m, Some("0.000000001")).await.unwrap();
    bench.track(3, &m, Some("0.1")).await.unwrap();
    assert_eq!(fired(bench).await, vec![80]);
    bench.track(4, &m, Some("5")).await.unwrap();
    assert_eq!(fired(bench).await, vec![80, 100]);
    bench.budget(Scope::tenant(tenant()), "20").await;
    bench.track(5, &m, Some("6")).await.unwrap();
    assert_eq!(fired(bench).await, vec![80, 100]);
    bench.hands.pass(SignedDuration::from_hours(24 * 31));
    bench.track(6, &m, Some("17")).await.unwrap();
    assert_eq!(fired(bench).await, vec![80, 100, 80]);
}

async fn a_refusal_past_the_soft_limit_marks_the_budget_once(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    assert!(bench.reserve(1, &m, "11").await.is_err());
    assert!(!bench.line(None).await.account.exhausted);
    bench.track(2, &m, Some("9.5")).await.unwrap();
    assert!(bench.reserve(3, &m, "0.6").await.is_err());
    assert!(bench.reserve(4, &m, "0.6").await.is_err());
    assert!(bench.line(None).await.account.exhausted);
    bench.reserve(5, &m, "0.5").await.unwrap();
    let events = told(bench).await;
    let exhausted = events.iter().filter(|event| event.kind == EventKind::Exhausted);
    assert_eq!(exhausted.count(), 1);
}

async fn shadow_budgets_refuse_nothing(bench: &Bench) {
    let budget = bench.budget(Scope::tenant(tenant()), "1").await;
    let budget = Budget { enforcement: Enforcement::Shadow, ..budget };
    bench.store.put(budget).await.unwrap();
    let outcome = bench.reserve(1, &call("m", None, None), "5").await.unwrap();
    assert!(outcome.reservation.standing.would_refuse);
    bench.settle(1, "5").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("5", "0", "0"));
}

async fn a_default_budget_serves_until_one_is_set(bench: &Bench) {
    let m = call("m", None, None);
    assert!(matches!(bench.reserve(1, &m, "1000.1").await, Err(EscrowError::Refused(_))));
    bench.reserve(2, &m, "1000").await.unwrap();
    assert_eq!(bench.line(Some("m")).await.budget.limit, usd("1000"));
    bench.release(2).await.unwrap();
    bench.budget(Scope::tenant(tenant()), "5000").await;
    bench.reserve(3, &m, "4000").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("0", "4000", "0"));
}

async fn a_budget_set_in_mid_month_counts_what_was_spent_before(bench: &Bench) {
    let m = call("m", None, None);
    bench.track(1, &m, Some("300")).await.unwrap();
    bench.reserve(2, &m, "100").await.unwrap();
    bench.track(3, &call("n", None, None), Some("7")).await.unwrap();
    bench.hands.pass(SignedDuration::from_secs(1));
    bench.budget(Scope::tenant(tenant()), "500").await;
    assert_eq!(bench.balances(None).await, strings("307", "100", "0"));
    assert!(matches!(bench.reserve(4, &m, "93.1").await, Err(EscrowError::Refused(_))));
    bench.reserve(5, &m, "93").await.unwrap();
    bench.settle(2, "50").await.unwrap();
    bench.release(5).await.unwrap();
    assert_eq!(bench.balances(None).await, strings("357", "0", "0"));
}

async fn users_and_report_types_have_budgets_of_their_own(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "100").await;
    let ada = Scope { user: Some(UserId::parse("ada").unwrap()), ..Scope::tenant(tenant()) };
    let daily = PeriodRule::calendar(PeriodUnit::Day).unwrap();
    let budget = Budget::with_rule(ada, usd("2"), daily, bench.hands.now()).unwrap();
    let ada_budget = bench.store.put(budget).await.unwrap();
    let by_ada = call("m", Some("ada"), Some("weekly"));
    bench.reserve(1, &by_ada, "1.5").await.unwrap();
    assert!(matches!(bench.reserve(2, &by_ada, "1").await, Err(EscrowError::Refused(_))));
    bench.reserve(3, &call("m", Some("bob"), None), "50").await.unwrap();
    // A check that did not name the user is tracked with her name: it counts in her budget, too.
    bench.reserve(4, &call("m", None, None), "0.4").await.unwrap();
    bench.track(4, &by_ada, Some("0.3")).await.unwrap();
    let history = bench.store.history(ada_budget.id).await.unwrap();
    assert_eq!((history[0].settled, history[0].held), (usd("0.3"), usd("1.5")));
    bench.hands.pass(SignedDuration::from_hours(13));
    bench.reserve(5, &by_ada, "2").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("0.3", "53.5", "0"));
}

async fn unpriced_calls_are_kept_and_charged_later(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let new = call("new-model", None, None);
    let request = Reserve {
        key: key(1),
        call: new.clone(),
        estimate: quote(1, None),
        timeout: None,
        covered: true,
        fresh: false,
    };
    assert!(matches!(bench.store.reserve(request).await, Err(EscrowError::Unpriced(_))));
    let kept = bench.track(2, &new, None).await.unwrap();
    assert_eq!(kept.reservation.state, State::Unpriced);
    assert!(bench.track(2, &new, None).await.unwrap().replayed);
    assert_eq!(bench.balances(None).await, strings("0", "0", "0"));
    let charged = bench.track(2, &new, Some("3")).await.unwrap();
    assert_eq!(charged.reservation.state, State::Settled);
    assert_eq!(bench.balances(None).await, strings("3", "0", "0"));
}

async fn a_released_call_that_is_tracked_is_charged(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "10").await;
    let m = call("m", None, None);
    bench.reserve(1, &m, "2").await.unwrap();
    bench.release(1).await.unwrap();
    assert!(bench.release(1).await.unwrap().replayed);
    bench.track(1, &m, Some("1")).await.unwrap();
    assert_eq!(bench.balances(None).await, strings("1", "0", "0"));
}

async fn usage_adds_up_by_every_group(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "100").await;
    for (number, (name, user)) in [("m", "ada"), ("m", "bob"), ("n", "ada")].iter().enumerate() {
        let call = call(name, Some(user), Some("weekly"));
        bench.track(number as u64, &call, Some("1.25")).await.unwrap();
    }
    bench.track(9, &call("new", None, None), None).await.unwrap();
    let query = |group_by| UsageQuery {
        tenant: Some(tenant()),
        from: Timestamp::UNIX_EPOCH,
        to: bench.hands.now() + SignedDuration::from_secs(1),
        group_by,
    };
    for (group, rows) in [
        (vec![], 1),
        (vec![UsageGroup::Model], 3),
        (vec![UsageGroup::User], 3),
        (vec![UsageGroup::Day, UsageGroup::Tenant, UsageGroup::ReportType], 2),
    ] {
        let found = bench.store.usage(query(group)).await.unwrap();
        assert_eq!(found.len(), rows, "{found:?}");
        let sum = |value: fn(&crate::UsageRow) -> i128| found.iter().map(value).sum::<i128>();
        assert_eq!(sum(|row| row.cost.nanos()), usd("3.75").nanos());
        assert_eq!(sum(|row| i128::from(row.requests)), 4);
        assert_eq!(sum(|row| i128::from(row.unpriced)), 1);
        assert_eq!(sum(|row| i128::from(row.tokens_input)), 360);
    }
    let top = bench.store.top(bench.hands.now(), 10).await.unwrap();
    assert_eq!((top.len(), top[0].usage), (1, usd("3.75")));
}

async fn lists_page_without_gaps(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "100").await;
    for number in 0..7 {
        bench.reserve(number, &call("m", None, None), "1").await.unwrap();
        if number % 3 == 0 {
            bench.hands.pass(SignedDuration::from_secs(1));
        }
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after, limit: 2 };
        let rows = bench
            .store
            .reservations(ReservationFilter { page, ..Default::default() })
            .await
            .unwrap();
        let Some(last) = rows.last() else { break };
        after = Some((last.created_at, last.key));
        seen.extend(rows.iter().map(|reservation| reservation.key));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..7).map(key).collect::<Vec<_>>());
    let (mut places, mut after) = (Vec::new(), None);
    loop {
        let filter = LedgerFilter { tenant: None, page: Page { after, limit: 3 } };
        let rows = bench.store.entries(filter).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = Some((last.tenant.clone(), last.seq));
        places.extend(rows.iter().map(|entry| entry.seq));
    }
    assert_eq!(places, (1..=7).collect::<Vec<_>>());
}

async fn a_correction_reaches_budgets_that_came_later(bench: &Bench) {
    let m = call("m", None, None);
    bench.reserve(1, &m, "6").await.unwrap();
    bench.reserve(2, &m, "3").await.unwrap();
    bench.release(2).await.unwrap();
    bench.hands.pass(SignedDuration::from_mins(16));
    bench.store.sweep(bench.hands.now()).await.unwrap();
    let charge = Resolve { key: key(1), resolution: Resolution::Charge };
    bench.store.resolve(charge).await.unwrap();
    bench.budget(Scope::tenant(tenant()), "50").await;
    bench.reserve(3, &m, "1").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("6", "1", "0"));
    bench.settle(1, "2").await.unwrap();
    bench.settle(2, "2.5").await.unwrap();
    assert_eq!(bench.balances(None).await, strings("4.5", "1", "0"));
}

async fn a_budget_that_is_removed_and_comes_back_misses_nothing(bench: &Bench) {
    let m = call("m", None, None);
    let budget = bench.budget(Scope::tenant(tenant()), "10").await;
    bench.track(1, &m, Some("3")).await.unwrap();
    bench.reserve(2, &m, "1").await.unwrap();
    bench.reserve(3, &m, "0.5").await.unwrap();
    assert!(bench.store.remove(budget.id).await.unwrap());
    bench.settle(3, "0.25").await.unwrap();
    bench.track(4, &m, Some("4")).await.unwrap();
    bench.reserve(5, &m, "2").await.unwrap();
    bench.hands.pass(SignedDuration::from_secs(1));
    bench.budget(Scope::tenant(tenant()), "10").await;
    assert_eq!(bench.balances(None).await, strings("7.25", "3", "0"));
    assert!(matches!(bench.reserve(6, &m, "0.1").await, Err(EscrowError::Refused(_))));
    bench.settle(2, "1").await.unwrap();
    bench.release(5).await.unwrap();
    assert_eq!(bench.balances(None).await, strings("8.25", "0", "0"));
    assert_eq!(bench.store.verify().await.unwrap().faults, Vec::<String>::new());
}

async fn a_call_whose_user_is_named_late_counts_in_the_month_of_its_request(bench: &Bench) {
    bench.budget(Scope::tenant(tenant()), "100").await;
    let ada = Scope { user: Some(UserId::parse("ada").unwrap()), ..Scope::tenant(tenant()) };
    let budget = bench.budget(ada, "10").await;
    let by_ada = call("m", Some("ada"), None);
    bench.track(1, &by_ada, Some("1")).await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(16 * 24 + 11));
    bench.reserve(2, &call("m", None, None), "2").await.unwrap();
    bench.hands.pass(SignedDuration::from_hours(2));
    bench.track(2, &by_ada, Some("1.5")).await.unwrap();
    bench.track(3, &by_ada, Some("0.25")).await.unwrap();
    let history = bench.store.history(budget.id).await.unwrap();
    let settled: Vec<_> = history.iter().map(|account| account.settled).collect();
    assert_eq!(settled, vec![usd("0.25"), usd("2.5")]);
}
