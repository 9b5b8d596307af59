//! What becomes of holds that were answered before they were on the disk, when the power goes.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use ::budget::{
    Budget, Budgets, Escrow, EscrowError, Key, Outcome, Records, Release, ReservationFilter,
    Reserve, Settle, State, Upkeep,
    conformance::{Hands, History},
};
use focus::{Attribution, ModelName, Scope, TenantId, UserId};
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use money::Money;
use rusqlite::Connection;
use uuid::Uuid;

use super::{Sqlite, backup, quote_of};
use crate::{Moment, Options};

const START: &str = "2026-10-15T12:00:00Z";

fn now() -> Timestamp {
    START.parse().unwrap()
}

fn nanos(amount: i128) -> Money {
    Money::from_nanos(amount)
}

/// Where the thread that syncs stands: it goes on while there are permits.
#[derive(Default)]
struct Gate {
    at: Mutex<Standing>,
    moved: Condvar,
}

#[derive(Default)]
struct Standing {
    is_closed: bool,
    permits: u32,
    arrived: u32,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.at.lock().unwrap()
    }

    fn pass(&self) {
        let mut at = self.lock();
        at.arrived += 1;
        self.moved.notify_all();
        while at.is_closed && at.permits == 0 {
            at = self.moved.wait(at).unwrap();
        }
        at.permits = at.permits.saturating_sub(1);
    }

    fn close(&self) {
        *self.lock() = Standing { is_closed: true, ..Standing::default() };
    }

    fn open(&self) {
        self.lock().is_closed = false;
        self.moved.notify_all();
    }

    /// Lets one sync be, and waits for the next to be asked for.
    fn next(&self) {
        let mut at = self.lock();
        at.permits = 1;
        let until = at.arrived + 1;
        self.moved.notify_all();
        while at.arrived < until {
            at = self.moved.wait(at).unwrap();
        }
    }

    fn wait(&self) {
        let mut at = self.lock();
        while at.arrived == 0 {
            at = self.moved.wait(at).unwrap();
        }
    }
}

/// A machine: a file, what of it is on the disk, and what keeps a sync from ending.
struct Machine {
    folder: PathBuf,
    starts: u32,
    gate: Arc<Gate>,
}

impl Machine {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), starts: 0, gate: Arc::default() }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.db", self.starts))
    }

    fn disk(&self) -> PathBuf {
        self.folder.join(format!("{}.disk", self.starts))
    }

    /// Starts Bursar, whose clock stands still.
    fn open(&self) -> Sqlite {
        self.open_with(|options| options)
    }

    fn open_with(&self, change: impl FnOnce(Options) -> Options) -> Sqlite {
        let hands = Hands::at(now());
        let (file, disk, gate) = (self.file(), self.disk(), self.gate.clone());
        let fault = move |moment| {
            match moment {
                Moment::BeforeSync => gate.pass(),
                Moment::AfterSync => copy(&file, &disk),
                Moment::BeforeCommit | Moment::AfterCommit => {}
            }
            false
        };
        let options = Options {
            clock: Arc::new(move || hands.now()),
            boot: Some(format!("start {}", self.starts)),
            fault: Some(Arc::new(fault)),
            index_at_once: 50,
            ..Options::default()
        };
        let store = Sqlite::open(&self.file(), change(options)).unwrap();
        copy(&self.file(), &self.disk());
        store
    }

    /// The power goes, and comes back: what is on the disk is what is left.
    fn cut(&mut self) {
        let disk = self.disk();
        self.starts += 1;
        copy(&disk, &self.file());
        // Whatever is done by the one that has lost its power, it does to a file of its own.
        self.gate.open();
        self.gate = Arc::default();
    }

    fn covers(&self) -> Vec<i64> {
        let db = Connection::open(self.file()).unwrap();
        let mut found = db.prepare("select amount_nanos from cover order by accounts").unwrap();
        found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// The file and its log.
fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        match std::fs::copy(name(from), name(to)) {
            Ok(_) => {}
            // A file that nobody has open has no log.
            Err(error) if error.kind() == ErrorKind::NotFound && end == "-wal" => {
                let _ = std::fs::remove_file(name(to));
            }
            Err(error) => panic!("{}: {error}", name(from).display()),
        }
    }
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
    let store = machine.open();
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
    // The covers of the tenant's models share what its budget allows.
    let other = Attribution { model: ModelName::parse("other").unwrap(), ..call.clone() };
    let scope = Scope { model: Some(other.model.clone()), ..Scope::tenant(other.tenant.clone()) };
    limit(&store, scope, Money::from_dollars(10)).await;
    assert!(!is_early(&machine, &store, reserve(20, &other, nanos(1))).await);
    assert!(!is_early(&machine, &store, reserve(21, &other, nanos(1))).await);
    assert_eq!(machine.covers(), [100_000_000]);
    // Where the covers would not fit beside what counts.
    let left = 10_000_000_000 - counted(&store, "acme").await.nanos();
    assert!(!is_early(&machine, &store, ask(30, left - 99_999_999)).await);
    assert!(!is_early(&machine, &store, ask(31, 1)).await);
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

/// What a history has spent, whether or not its machine remembers.
#[derive(Default)]
struct Spent {
    held: Vec<(Key, Attribution, Money)>,
    charged: Vec<(Attribution, Money)>,
    /// Calls that were made and whose holds may be lost.
    lost: Vec<(Attribution, Money)>,
}

impl Spent {
    fn in_scope(&self, scope: &Scope) -> Money {
        let held = self.held.iter().map(|(_, call, amount)| (call, amount));
        let others = self.charged.iter().chain(&self.lost).map(|(call, amount)| (call, amount));
        let inside = held.chain(others).filter(|(call, _)| scope.covers(call));
        nanos(inside.map(|(_, amount)| amount.nanos()).sum())
    }

    /// Every budget counts all that was spent, and no more than its limit.
    async fn expect_covered(&self, store: &Sqlite, place: &str) {
        for tenant in ["acme", "brite"] {
            let tenant = TenantId::parse(tenant).unwrap();
            for line in store.status(&tenant, now()).await.unwrap() {
                let counted = line.account.counted().unwrap();
                let spent = self.in_scope(&line.budget.scope);
                let what = format!("{place}, {}: {counted} of {spent}", line.budget.scope);
                assert!(spent <= counted, "{what}");
                assert!(counted <= line.budget.limit, "{what}");
            }
        }
        let faults = store.verify().await.unwrap().faults;
        assert_eq!(faults, Vec::<String>::new(), "{place}");
    }
}

/// Calls like those of a gateway, on a machine whose power goes again and again just before a sync.
async fn history(seed: u64, folder: &Path) -> usize {
    let mut machine = Machine::new(folder);
    let mut random = History::new(seed);
    let mut spent = Spent::default();
    let mut number = 0;
    let mut lost = 0;
    let percent = [1, 10, 100][usize::try_from(seed % 3).unwrap()];
    for round in 0..10 {
        let place = format!("seed {seed}, round {round}");
        let store = machine.open_with(|options| Options { cover_percent: percent, ..options });
        spent.expect_covered(&store, &place).await;
        if round == 0 {
            for (tenant, model, dollars) in
                [("acme", None, 2), ("acme", Some("m"), 1), ("brite", None, 3)]
            {
                let tenant = TenantId::parse(tenant).unwrap();
                let model = model.map(|model| ModelName::parse(model).unwrap());
                let scope = Scope { model, ..Scope::tenant(tenant) };
                limit(&store, scope, Money::from_dollars(dollars)).await;
            }
        }
        let mut next = |random: &mut History| {
            number += 1;
            let tenant = ["acme", "brite"][usize::try_from(random.number(2)).unwrap()];
            let model = ["m", "n"][usize::try_from(random.number(2)).unwrap()];
            let user = (random.number(2) == 0).then_some("ada");
            let amount = nanos(1_000_000 + i128::from(random.number(9_000_000)));
            reserve(number, &call(tenant, model, user), amount)
        };
        for _ in 0..random.number(20) {
            let many: Vec<_> = (0..=random.number(4)).map(|_| next(&mut random)).collect();
            let results = join_all(many.iter().map(|one| store.reserve(one.clone()))).await;
            for (one, result) in many.into_iter().zip(results) {
                if result.is_ok() {
                    spent.held.push((one.key, one.call, one.estimate.amount.unwrap()));
                }
            }
            while spent.held.len() > 5 {
                let at = usize::try_from(random.number(5)).unwrap();
                let (key, call, amount) = spent.held.swap_remove(at);
                if random.number(3) == 0 {
                    // Lost holds of the rounds before are not known any more.
                    let _ = store.release(Release { key }).await;
                } else {
                    let cost = nanos(amount.nanos() / 2);
                    let (actual, named) = (quote_of(cost), Some(call.clone()));
                    store.settle(Settle { key, call: named, actual }).await.unwrap();
                    spent.charged.push((call, cost));
                }
            }
        }
        while store.writer.is_at_work() {
            tokio::task::yield_now().await;
        }
        // One may be committed by whoever asks, the others share a commit.
        machine.gate.close();
        let first = next(&mut random);
        let others: Vec<_> = (0..random.number(5)).map(|_| next(&mut random)).collect();
        let mut asked: Vec<_> = std::iter::once(&first)
            .chain(&others)
            .map(|one| Box::pin(store.reserve(one.clone())))
            .collect();
        let mut made = vec![None; asked.len()];
        poll_all(&mut asked, &mut made);
        tokio::task::yield_now().await;
        machine.gate.wait();
        if !others.is_empty() && random.number(3) > 0 {
            machine.gate.next();
            poll_all(&mut asked, &mut made);
        }
        for (one, made) in std::iter::once(first).chain(others).zip(made) {
            if made == Some(true) {
                lost += 1;
                spent.lost.push((one.call, one.estimate.amount.unwrap()));
            }
        }
        drop(asked);
        machine.cut();
        drop(store);
    }
    lost
}

/// Polls what is not answered; notes whether it was granted.
fn poll_all<F>(asked: &mut [std::pin::Pin<Box<F>>], made: &mut [Option<bool>])
where
    F: Future<Output = Result<Outcome, EscrowError>> + ?Sized,
{
    for (asked, made) in asked.iter_mut().zip(made) {
        if made.is_none() {
            *made = asked.as_mut().now_or_never().map(|result| result.is_ok());
        }
    }
}

#[tokio::test]
async fn whenever_the_power_goes_every_call_that_was_made_counts_and_no_limit_is_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let mut early = 0;
    for seed in 0..9 {
        let folder = folder.path().join(seed.to_string());
        std::fs::create_dir(&folder).unwrap();
        early += history(seed, &folder).await;
    }
    assert!(early > 50, "{early}");
}
