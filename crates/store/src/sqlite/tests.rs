//! What is true of the SQLite file alone.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ::budget::{
    AccountId, Budget, BudgetId, Budgets, Escrow, EscrowError, LedgerFilter, Page, Quote, Records,
    Reserve, Settle, StoreError, Upkeep, conformance::Hands,
};
use focus::{Attribution, ModelName, PeriodUnit, Scope, TenantId};
use jiff::Timestamp;
use money::{Money, ServiceTier, TokenUsage};
use rusqlite::Connection;
use uuid::Uuid;

use super::{Sqlite, backup, load, migrations, row, upkeep};
use crate::{Moment, Options};

mod accounts;
mod cover;

const TENANTS: [&str; 3] = ["acme", "brite", "corva"];

fn open(path: &Path, index_at_once: usize) -> Sqlite {
    let start: Timestamp = "2026-10-15T12:00:00Z".parse().unwrap();
    let hands = Hands::at(start);
    let clock = Arc::new(move || hands.now());
    Sqlite::open(path, Options { clock, index_at_once, ..Options::default() }).unwrap()
}

fn call(tenant: &str) -> Attribution {
    let tenant = TenantId::parse(tenant).unwrap();
    let model = ModelName::parse("claude-3-5-sonnet-20241022").unwrap();
    Attribution { tenant, model, user: None, report_type: None }
}

fn quote(dollars: u32) -> Quote {
    quote_of(Money::from_dollars(dollars.into()))
}

fn quote_of(amount: Money) -> Quote {
    let (usage, tier) = (TokenUsage::default(), ServiceTier::Standard);
    Quote { usage, tier, amount: Some(amount), given: true, estimated: false }
}

/// A call of each tenant that is settled, and one that is held.
async fn spend(store: &Sqlite, rounds: u128) {
    for round in 0..rounds {
        for (place, tenant) in (0..).zip(TENANTS) {
            let key = Uuid::from_u128(round * 100 + place * 10 + 1);
            for key in [key, Uuid::from_u128(key.as_u128() + 1)] {
                let (call, estimate) = (call(tenant), quote(2));
                let reserve =
                    Reserve { key, call, estimate, timeout: None, covered: false, fresh: false };
                store.reserve(reserve).await.unwrap();
            }
            store.settle(Settle { key, call: None, actual: quote(1) }).await.unwrap();
        }
    }
}

async fn expect_spent(store: &Sqlite, rounds: u32) {
    let now = "2026-10-15T12:00:00Z".parse().unwrap();
    for tenant in TENANTS {
        let lines = store.status(&TenantId::parse(tenant).unwrap(), now).await.unwrap();
        assert_eq!(lines.len(), 1, "{tenant}");
        assert_eq!(lines[0].account.settled, Money::from_dollars(rounds.into()), "{tenant}");
        assert_eq!(lines[0].account.held, Money::from_dollars((2 * rounds).into()), "{tenant}");
        let page = Page { after: None, limit: 1_000 };
        let filter = LedgerFilter { tenant: Some(TenantId::parse(tenant).unwrap()), page };
        let places: Vec<_> =
            store.entries(filter).await.unwrap().iter().map(|entry| entry.seq).collect();
        assert_eq!(places, (1..=u64::from(3 * rounds)).collect::<Vec<_>>(), "{tenant}");
    }
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_opens_again_at_any_stage_of_its_indexing() {
    let folder = tempfile::tempdir().unwrap();
    for index_at_once in [1, 5, 9, 17, 1_000] {
        let path = folder.path().join(format!("{index_at_once}.db"));
        let store = open(&path, index_at_once);
        spend(&store, 7).await;
        expect_spent(&store, 7).await;
        store.close().await;
        let store = open(&path, index_at_once);
        expect_spent(&store, 7).await;
        spend(&store, 9).await;
        expect_spent(&store, 9).await;
    }
}

#[tokio::test]
async fn rows_come_to_their_places_also_when_nobody_asks_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quiet.db");
    // Nine entries a round: 45 have come together, and few commands come after them.
    let store = open(&path, 45);
    spend(&store, 6).await;
    let db = Connection::open(&path).unwrap();
    let indexed = || {
        let sql = "select row_number from indexed where name = 'entry'";
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let since = Instant::now();
    while indexed() < 45 {
        assert!(since.elapsed() < Duration::from_secs(20), "{} are indexed", indexed());
        tokio::task::yield_now().await;
    }
    expect_spent(&store, 6).await;
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_of_the_tail_that_is_another_accounts_by_now_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail.db");
    let store = open(&path, 1_000);
    spend(&store, 1).await;
    let db = Connection::open(&path).unwrap();
    let sql = "select * from account_tail where row_number = 1";
    let account = load::rows(&db, sql, &[], row::account).unwrap().pop().unwrap();
    assert_eq!(load::account(&db, account.id, Some(1)).unwrap(), Some(account.clone()));
    let other = AccountId { budget: BudgetId(Uuid::from_u128(1)), ..account.id };
    assert_eq!(load::account(&db, other, Some(1)).unwrap(), None);
}

#[tokio::test]
async fn what_another_process_writes_is_seen_after_the_next_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let (here, there) = (open(&path, 1_000), open(&path, 1_000));
    spend(&here, 1).await;
    let now = "2026-10-15T12:00:00Z".parse().unwrap();
    let scope = Scope::tenant(TenantId::parse("acme").unwrap());
    there.put(Budget::new(scope.clone(), Money::from_dollars(7), now).unwrap()).await.unwrap();
    spend(&there, 2).await;
    let request = Reserve {
        key: Uuid::from_u128(1_000_000),
        call: call("acme"),
        estimate: quote(2),
        timeout: None,
        covered: false,
        fresh: false,
    };
    here.sweep(now).await.unwrap();
    // Before the writer looks, the sweep that asked for it may be done.
    here.settle(Settle { key: Uuid::from_u128(1), call: None, actual: quote(1) }).await.unwrap();
    here.check(request).await.unwrap_err();
    let id = BudgetId::of(&scope, PeriodUnit::Month);
    let lines = here.status(&scope.tenant, now).await.unwrap();
    let line = lines.iter().find(|line| line.budget.id == id).unwrap();
    assert_eq!(line.account.counted(), Some(Money::from_dollars(6)));
    assert_eq!(here.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_is_missing_in_its_index_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("indexed.db");
    let store = open(&path, 4);
    spend(&store, 8).await;
    let file = Connection::open(&path).unwrap();
    let sql = "delete from reservation_by_key where key = ?1";
    assert_eq!(file.execute(sql, [Uuid::from_u128(1)]).unwrap(), 1);
    let faults = store.verify().await.unwrap().faults;
    assert_eq!(faults, ["1 rows of reservation are missing in reservation_by_key"]);
}

#[tokio::test]
async fn a_store_whose_last_commit_failed_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(true));
    let strikes = is_full.clone();
    let fault: crate::Fault =
        Arc::new(move |moment| moment == Moment::BeforeCommit && strikes.load(Ordering::Relaxed));
    let options = Options { fault: Some(fault), ..Options::default() };
    let store = Sqlite::open(&folder.path().join("full.db"), options).unwrap();
    store.ping().await.unwrap();
    let settle = Settle { key: Uuid::from_u128(1), call: Some(call("acme")), actual: quote(1) };
    store.settle(settle.clone()).await.unwrap_err();
    store.ping().await.unwrap_err();
    is_full.store(false, Ordering::Relaxed);
    store.settle(settle).await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_does_not_take_the_log_is_written_to_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let is_broken = Arc::new(AtomicBool::new(false));
    let strikes = is_broken.clone();
    let fault: crate::Fault =
        Arc::new(move |moment| moment == Moment::BeforeSync && strikes.load(Ordering::Relaxed));
    let path = folder.path().join("broken.db");
    let store = Sqlite::open(&path, Options { fault: Some(fault), ..Options::default() }).unwrap();
    let settle = |number| Settle {
        key: Uuid::from_u128(number),
        call: Some(call("acme")),
        actual: quote(1),
    };
    store.settle(settle(1)).await.unwrap();
    is_broken.store(true, Ordering::Relaxed);
    store.settle(settle(2)).await.unwrap_err();
    is_broken.store(false, Ordering::Relaxed);
    store.settle(settle(3)).await.unwrap_err();
    store.ping().await.unwrap_err();
    store.close().await;
    let store = open(&path, 1_000);
    store.settle(settle(2)).await.unwrap();
    let now = "2026-10-15T12:00:00Z".parse().unwrap();
    let lines = store.status(&TenantId::parse("acme").unwrap(), now).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_touches_no_other_file_and_leaves_nothing_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.db");
    let store = open(&path, 1_000);
    spend(&store, 1).await;
    let mine = folder.path().join("copy.partial");
    std::fs::write(&mine, "mine").unwrap();
    backup::copy(&path, &folder.path().join("copy.db"), true).unwrap();
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    backup::copy(&mine, &folder.path().join("other.db"), true).unwrap_err();
    let files = std::fs::read_dir(folder.path()).unwrap().flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("source.db"));
    names.sort();
    assert_eq!(names, ["copy.db", "copy.partial"]);
}

#[tokio::test]
async fn a_backup_comes_to_its_end_beside_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.db");
    let store = open(&path, 1_000);
    spend(&store, 1).await;
    let file = Connection::open(&path).unwrap();
    // More than one step of the copy.
    let sql = "create table large (row blob); insert into large values (zeroblob(40000000));
        create table small (row integer)";
    file.execute_batch(sql).unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let done = is_done.clone();
    let commits = std::thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            file.execute("insert into small values (1)", []).unwrap();
        }
    });
    let (copy, told) = (folder.path().join("copy.db"), std::sync::mpsc::channel());
    std::thread::spawn(move || told.0.send(backup::copy(&path, &copy, true)));
    let copied = told.1.recv_timeout(Duration::from_secs(30));
    is_done.store(true, Ordering::Relaxed);
    commits.join().unwrap();
    copied.expect("the copy is made in time").unwrap();
}

/// It comes again every second, whatever the file has grown to.
#[tokio::test]
async fn the_sweep_reads_what_is_open_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swept.db");
    drop(open(&path, 1_000));
    let file = Connection::open(&path).unwrap();
    for (sql, index) in [(upkeep::DUE, "reservation_held"), (upkeep::OLD, "reservation_unresolved")]
    {
        let mut statement = file.prepare(&format!("explain query plan {sql}")).unwrap();
        let plan: Vec<String> =
            statement.query_map([1, 1, 0], |row| row.get("detail")).unwrap().flatten().collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains(&format!("SEARCH reservation USING INDEX {index} ")), "{plan:?}");
    }
}

/// The schema before kept what was committed last in tails of the tables.
#[tokio::test]
async fn a_file_of_the_schema_before_opens_with_all_that_its_tails_held() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new.db"), folder.path().join("old.db"));
    let store = open(&new, 1_000);
    spend(&store, 4).await;
    store.close().await;
    let file = Connection::open(&old).unwrap();
    migrations::take(&file, 0..2).unwrap();
    file.execute("attach ?1 as new", [new.to_str().unwrap()]).unwrap();
    file.execute_batch(include_str!("tests/before.sql")).unwrap();
    drop(file);
    let store = open(&old, 1_000);
    expect_spent(&store, 4).await;
    let told = store.events(Page::default()).await.unwrap();
    let [(7, ::budget::Notice::Ai(event))] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((event.scope.tenant.as_str(), event.settled), ("acme", Money::from_dollars(8)));
    spend(&store, 5).await;
    expect_spent(&store, 5).await;
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_its_tenants_own_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corrupt.db");
    let store = open(&path, 1_000);
    spend(&store, 1).await;
    store.close().await;
    let file = Connection::open(&path).unwrap();
    let sql = "update budget set zone = 'Nowhere/Else' where tenant_id = 'acme'";
    assert_eq!(file.execute(sql, []).unwrap(), 1);
    drop(file);
    let store = open(&path, 1_000);
    let ask = |number: u128| {
        let tenant = if number.is_multiple_of(2) { "acme" } else { "bolt" };
        let (key, call, estimate) = (Uuid::from_u128(10_000 + number), call(tenant), quote(1));
        store.reserve(Reserve { key, call, estimate, timeout: None, covered: false, fresh: false })
    };
    // They wait for each other, and are committed together.
    let results = futures_util::future::join_all((0..40).map(ask)).await;
    for (number, result) in results.into_iter().enumerate() {
        let is_corrupt = matches!(result, Err(EscrowError::Store(StoreError::Corrupt(_))));
        assert_eq!((is_corrupt, result.is_ok()), (number % 2 == 0, number % 2 == 1), "{number}");
    }
    let settle = Settle { key: Uuid::from_u128(10_001), call: None, actual: quote(1) };
    store.settle(settle).await.unwrap();
}

/// However many holds of a tenant nobody can end: those of others run out after them.
#[tokio::test]
async fn a_sweep_goes_on_behind_what_it_can_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stuck.db");
    let store = open(&path, 1_000);
    let hold = |number: u128, tenant| {
        let (key, call, estimate) = (Uuid::from_u128(number), call(tenant), quote(1));
        store.reserve(Reserve { key, call, estimate, timeout: None, covered: false, fresh: false })
    };
    hold(1, "acme").await.unwrap();
    hold(2, "bolt").await.unwrap();
    store.close().await;
    let file = Connection::open(&path).unwrap();
    let columns: Vec<String> = file
        .prepare("select name from pragma_table_info('reservation')")
        .and_then(|mut sql| sql.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    let columns = columns.iter().filter(|name| *name != "row_number" && *name != "key");
    let columns = columns.map(String::as_str).collect::<Vec<_>>().join(", ");
    let copies = format!(
        "with recursive n(n) as (select 1 union all select n + 1 from n where n < 5000)
        insert into reservation (key, {columns})
        select randomblob(16), {columns} from n, reservation where tenant_id = 'acme';
        update reservation set expires_at = iif(tenant_id = 'acme', 1, 2);
        update budget set zone = 'Nowhere/Else' where tenant_id = 'acme'"
    );
    file.execute_batch(&copies).unwrap();
    drop(file);
    let store = open(&path, 1_000);
    let swept = store.sweep("2026-10-15T12:00:00Z".parse().unwrap()).await;
    assert!(matches!(swept, Err(StoreError::Corrupt(_))), "{swept:?}");
    let left = store.reservation(Uuid::from_u128(2)).await.unwrap().unwrap();
    assert_eq!(left.state, ::budget::State::Unresolved);
}
