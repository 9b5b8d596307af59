//! What becomes of holds that were answered before they were on the disk, when the power goes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ::budget::{
    Budget, Budgets, Escrow, EscrowError, Outcome, Records, Release, ReservationFilter, Reserve,
    Settle, State, Upkeep,
};
use focus::{Attribution, ModelName, Scope, TenantId, UserId};
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use money::Money;
use uuid::Uuid;

use super::{Sqlite, backup, quote_of};
use crate::{Moment, Options, options::boot};
use machine::{Machine, copy};

mod history;
mod machine;

const START: &str = "2026-10-15T12:00:00Z";

fn now() -> Timestamp {
    START.parse().unwrap()
}

fn nanos(amount: i128) -> Money {
    Money::from_nanos(amount)
}

fn call(tenant: &str, model: &str, user: Option<&str>) -> Attribution {
    Attribution {
        tenant: TenantId::parse(tenant).unwrap(),
        model: ModelName::parse(model).unwrap(),
        user: user.map(|user| UserId::parse(user).unwrap()),
        report_type: None,
    }
}

fn reserve(number: u128, call: &Attribution, amount: Money) -> Reserve {
    Reserve {
        key: Uuid::from_u128(number),
        call: call.clone(),
        estimate: quote_of(amount),
        timeout: None,
        covered: true,
        fresh: false,
    }
}

async fn hold(
    store: &Sqlite,
    number: u128,
    call: &Attribution,
    amount: i128,
) -> Result<Outcome, EscrowError> {
    store.reserve(reserve(number, call, nanos(amount))).await
}

async fn limit(store: &Sqlite, scope: Scope, limit: Money) {
    store.put(Budget::new(scope, limit, now()).unwrap()).await.unwrap();
}

/// What counts in a tenant's budget as a whole.
async fn counted(store: &Sqlite, tenant: &str) -> Money {
    let lines = store.status(&TenantId::parse(tenant).unwrap(), now()).await.unwrap();
    let line = lines.iter().find(|line| line.budget.scope.is_tenant_wide()).unwrap();
    line.account.counted().unwrap()
}

async fn unresolved(store: &Sqlite) -> Vec<(Attribution, Money)> {
    store.sweep(now()).await.unwrap();
    let filter = ReservationFilter { state: Some(State::Unresolved), ..Default::default() };
    let found = store.reservations(filter).await.unwrap();
    found.into_iter().map(|found| (found.call, found.hold)).collect()
}

/// A tenant with $10 whose calls are covered: two for $0.01 have been made and freed.
async fn warm(store: &Sqlite) -> Attribution {
    let call = call("acme", "m", None);
    limit(store, Scope::tenant(call.tenant.clone()), Money::from_dollars(10)).await;
    for number in 1..=2 {
        hold(store, number, &call, 10_000_000).await.unwrap();
        store.release(Release { key: Uuid::from_u128(number) }).await.unwrap();
    }
    call
}

#[tokio::test]
async fn a_hold_that_is_lost_with_the_power_counts_as_unresolved() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(folder.path());
    let store = machine.open();
    let call = warm(&store).await;
    assert_eq!(machine.covers(), [20_000_000]);
    machine.gate.close();
    hold(&store, 3, &call, 15_000_000).await.unwrap();
    machine.cut();
    drop(store);
    let store = machine.open();
    let filter = ReservationFilter { state: Some(State::Held), ..Default::default() };
    let held = store.reservations(filter).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(counted(&store, "acme").await, nanos(20_000_000));
    assert_eq!(unresolved(&store).await, [(call, nanos(20_000_000))]);
    assert_eq!(machine.covers(), [0; 0]);
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    // It is decided like any other.
    store.release(Release { key: held[0].key }).await.unwrap();
    assert_eq!(counted(&store, "acme").await, Money::ZERO);
}

#[tokio::test]
async fn a_process_that_is_killed_loses_nothing_and_holds_nothing_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    let call = warm(&store).await;
    machine.gate.close();
    hold(&store, 3, &call, 15_000_000).await.unwrap();
    // What the system has of its files; nothing of it is closed, or synced.
    let file = folder.path().join("killed.db");
    copy(&machine.file(), &file);
    machine.gate.open();
    let boot = Some("start 0".to_owned());
    let again = Sqlite::open(&file, Options { boot, ..Options::default() }).unwrap();
    let filter = ReservationFilter { state: Some(State::Held), ..Default::default() };
    let held = again.reservations(filter).await.unwrap();
    assert_eq!(held.iter().map(|held| held.key).collect::<Vec<_>>(), [Uuid::from_u128(3)]);
}

#[tokio::test]
async fn neither_a_backup_nor_a_service_that_ends_well_has_a_cover() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(folder.path());
    let here = |options| Options { boot: boot(), ..options };
    let store = machine.open_with(here);
    let call = warm(&store).await;
    hold(&store, 3, &call, 15_000_000).await.unwrap();
    let copied = folder.path().join("backup.db");
    backup::copy(&machine.file(), &copied, true).unwrap();
    let elsewhere = Sqlite::open(&copied, Options::default()).unwrap();
    let filter = ReservationFilter { state: Some(State::Held), ..Default::default() };
    assert_eq!(elsewhere.reservations(filter).await.unwrap().len(), 1);
    store.close().await;
    drop(store);
    assert_eq!(machine.covers(), [0; 0]);
    copy(&machine.file(), &machine.disk());
    machine.cut();
    let store = machine.open();
    assert_eq!(counted(&store, "acme").await, nanos(15_000_000));
}

/// Whether a hold is answered before it is on the disk.
async fn is_early(machine: &Machine, store: &Sqlite, request: Reserve) -> bool {
    // What was committed before is on the disk, and nobody is at work.
    let key = Uuid::from_u128(request.key.as_u128() + 1_000_000);
    let (call, actual) = (Some(request.call.clone()), quote_of(Money::ZERO));
    store.settle(Settle { key, call, actual }).await.unwrap();
    while store.writer.is_at_work() {
        tokio::task::yield_now().await;
    }
    machine.gate.close();
    let asked = store.reserve(request);
    tokio::pin!(asked);
    let answered = asked.as_mut().now_or_never();
    machine.gate.open();
    match answered {
        Some(outcome) => outcome.map(|_| true).unwrap(),
        None => asked.await.map(|_| false).unwrap(),
    }
}

#[tokio::test]
async fn a_hold_is_answered_early_only_under_a_cover_that_its_budgets_allow() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    let call = warm(&store).await;
    let ask = |number, amount| reserve(number, &call, nanos(amount));
    assert!(is_early(&machine, &store, ask(10, 20_000_000)).await);
    let durable = Reserve { covered: false, ..ask(11, 1) };
    assert!(!is_early(&machine, &store, durable).await);
    // More than the cover; it is raised, but not beyond a hundredth of $10.
    assert!(!is_early(&machine, &store, ask(12, 60_000_000)).await);
    assert_eq!(machine.covers(), [100_000_000]);
    assert!(is_early(&machine, &store, ask(13, 100_000_000)).await);
    assert!(!is_early(&machine, &store, ask(14, 100_000_001)).await);
    assert_eq!(machine.covers(), [100_000_000]);
    // As long as the covers fit beside what counts.
    let left = 10_000_000_000 - counted(&store, "acme").await.nanos();
    assert!(!is_early(&machine, &store, ask(30, left - 100_000_001)).await);
    assert!(is_early(&machine, &store, ask(31, 1)).await);
    assert!(is_early(&machine, &store, ask(32, 1)).await);
    assert!(!is_early(&machine, &store, ask(33, 1)).await);
}

#[tokio::test]
async fn nothing_is_early_where_it_is_switched_off_or_the_start_of_the_machine_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let off = |options| Options { cover_percent: 0, ..options };
    let unknown = |options| Options { boot: None, ..options };
    let changes: [fn(Options) -> Options; 2] = [off, unknown];
    for (change, number) in changes.into_iter().zip([100, 200]) {
        let store = machine.open_with(change);
        let call = warm(&store).await;
        let request = reserve(number, &call, nanos(10_000_000));
        assert!(!is_early(&machine, &store, request).await);
        assert_eq!(machine.covers(), [0; 0]);
        store.close().await;
    }
}

#[tokio::test]
async fn what_another_process_may_have_replaced_covers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    let call = warm(&store).await;
    let other = Sqlite::open(&machine.file(), Options::default()).unwrap();
    other.release(Release { key: Uuid::from_u128(404) }).await.unwrap_err();
    limit(&other, Scope::tenant(call.tenant.clone()), Money::from_dollars(9)).await;
    assert!(!is_early(&machine, &store, reserve(10, &call, nanos(10_000_000))).await);
    assert!(is_early(&machine, &store, reserve(11, &call, nanos(10_000_000))).await);
}

#[tokio::test]
async fn a_copy_of_a_dead_machines_file_holds_what_it_may_lack() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    warm(&store).await;
    let copied = folder.path().join("backup.db");
    backup::copy(&machine.disk(), &copied, true).unwrap();
    let options = Options { clock: Arc::new(now), ..Options::default() };
    let elsewhere = Sqlite::open(&copied, options).unwrap();
    assert_eq!(unresolved(&elsewhere).await.len(), 1);
}

#[tokio::test]
async fn covers_that_are_known_no_more_are_not_held_beside_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    let first = warm(&store).await;
    assert_eq!(machine.covers(), [20_000_000]);
    let model = ModelName::parse("other").unwrap();
    let other = Attribution { model: model.clone(), ..first };
    let scope = Scope { model: Some(model), ..Scope::tenant(other.tenant.clone()) };
    limit(&store, scope, Money::from_dollars(10)).await;
    hold(&store, 10, &other, 30_000_000).await.unwrap();
    assert_eq!(machine.covers(), [60_000_000]);
}

#[tokio::test]
async fn covers_that_are_raised_together_share_what_their_budget_allows() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let store = machine.open();
    let first = warm(&store).await;
    let mut calls = Vec::new();
    for name in ["one", "two", "three"] {
        let model = ModelName::parse(name).unwrap();
        let scope = Scope { model: Some(model.clone()), ..Scope::tenant(first.tenant.clone()) };
        limit(&store, scope, Money::from_dollars(10)).await;
        calls.push(Attribution { model, ..first.clone() });
    }
    hold(&store, 10, &first, 10_000_000).await.unwrap();
    machine.gate.close();
    let together =
        (0..).zip(&calls).map(|(number, call)| hold(&store, 20 + number, call, 40_000_000));
    let together = join_all(together);
    tokio::pin!(together);
    // The first may be committed alone; the others are, while it is synced, asked for together.
    assert!(together.as_mut().now_or_never().is_none());
    machine.gate.open();
    assert!(together.await.iter().all(Result::is_ok));
    let covers = machine.covers();
    assert!(covers.iter().sum::<i64>() <= 100_000_000, "{covers:?}");
}

#[tokio::test]
async fn what_was_lost_counts_in_its_own_period() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(folder.path());
    let store = machine.open();
    warm(&store).await;
    machine.cut();
    drop(store);
    let later: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let store = machine.open_with(|options| Options { clock: Arc::new(move || later), ..options });
    assert_eq!(counted(&store, "acme").await, nanos(20_000_000));
    let lines = store.status(&TenantId::parse("acme").unwrap(), later).await.unwrap();
    assert_eq!(lines[0].account.counted(), Some(Money::ZERO));
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_log_that_the_disk_has_refused_counts_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path());
    let is_refused = Arc::new(AtomicBool::new(false));
    let refuses = is_refused.clone();
    let fault: crate::Fault =
        Arc::new(move |moment| moment == Moment::BeforeSync && refuses.load(Ordering::SeqCst));
    let store = machine.open_with(|options| Options { fault: Some(fault), ..options });
    let call = warm(&store).await;
    is_refused.store(true, Ordering::SeqCst);
    hold(&store, 10, &call, 10_000_000).await.unwrap();
    while store.ping().await.is_ok() {
        tokio::task::yield_now().await;
    }
    hold(&store, 11, &call, 10_000_000).await.unwrap_err();
    store.close().await;
    drop(store);
    let note = folder.path().join("0.db-refused");
    assert!(note.exists());
    let store = machine.open();
    assert!(!note.exists());
    assert_eq!(unresolved(&store).await, [(call, nanos(20_000_000))]);
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_is_found_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.db");
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let file = folder.path().join("there/bursar.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let store = Sqlite::open(&link, Options::default()).unwrap();
    warm(&store).await;
    assert!(folder.path().join("there/bursar.db-wal").exists());
}
