//! No account is lost: not when the clock goes back, and not when rows are dropped behind.

use super::*;
use ::budget::Defaults;

fn reserve(key: u128, tenant: &str, dollars: u32) -> Reserve {
    let (key, call, estimate) = (Uuid::from_u128(key), call(tenant), quote(dollars));
    Reserve { key, call, estimate, timeout: None, covered: false, fresh: false }
}

#[tokio::test]
async fn a_clock_that_goes_back_over_the_end_of_a_period_frees_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [before, after] =
        ["2026-10-31T23:59:59Z", "2026-11-01T00:00:01Z"].map(|at| at.parse::<Timestamp>().unwrap());
    let now = Arc::new(std::sync::Mutex::new(before));
    let told = now.clone();
    let clock = Arc::new(move || *told.lock().unwrap());
    let options = Options { clock, ..Options::default() };
    let store = Sqlite::open(&folder.path().join("clock.db"), options).unwrap();
    // The default limit is 1,000 dollars a month.
    store.reserve(reserve(1, "acme", 1_000)).await.unwrap();
    let settle = Settle { key: Uuid::from_u128(1), call: None, actual: quote(1_000) };
    store.settle(settle).await.unwrap();
    for (round, at) in (0..).zip([after, before, after, before]) {
        *now.lock().unwrap() = at;
        let answer = store.reserve(reserve(10 + round, "acme", 400)).await;
        assert_eq!(answer.is_ok(), at == after, "round {round}: {answer:?}");
    }
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

/// Numbers of rows in `account_tail` begin anew when nothing is left in it.
#[tokio::test]
async fn rows_of_accounts_that_are_not_in_their_place_are_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dropped.db");
    let open = || {
        let start: Timestamp = "2026-10-15T12:00:00Z".parse().unwrap();
        let hands = Hands::at(start);
        let clock = Arc::new(move || hands.now());
        let defaults = Defaults { limit: None, ..Defaults::default() };
        let options = Options { clock, defaults, index_at_once: 60, ..Options::default() };
        Sqlite::open(&path, options).unwrap()
    };
    let store = open();
    let now = "2026-10-15T12:00:00Z".parse().unwrap();
    let acme = TenantId::parse("acme").unwrap();
    let budget = Budget::new(Scope::tenant(acme.clone()), Money::from_dollars(1_000), now);
    store.put(budget.unwrap()).await.unwrap();
    let rows = Connection::open(&path).unwrap();
    let count = |sql| rows.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let left = || count("select count(*) from account_tail");
    // Nobody has set a budget for what these cost.
    let unbudgeted = async |key: u128| {
        let (key, call) = (Uuid::from_u128(key), Some(call("brite")));
        store.settle(Settle { key, call, actual: quote(1) }).await.unwrap();
    };
    for key in 1..=100 {
        store.reserve(reserve(key, "acme", 1)).await.unwrap();
    }
    for key in 1_000..1_060 {
        unbudgeted(key).await;
    }
    let since = Instant::now();
    while left() > 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "{} are left", left());
        tokio::task::yield_now().await;
    }
    // A generation without an account is full, and the next commit begins to put it in its places.
    let sql = "select max(row_number) - (select row_number from indexed where name = 'entry')
        from entry";
    for key in 2_000 + u128::try_from(count(sql)).unwrap()..2_060 {
        unbudgeted(key).await;
    }
    let reserves = (101..=120).map(|key| store.reserve(reserve(key, "acme", 1)));
    let held = futures_util::future::join_all(reserves).await;
    assert!(held.iter().all(Result::is_ok), "{held:?}");
    for key in 3_000..3_050 {
        unbudgeted(key).await;
    }
    store.close().await;
    let store = open();
    let lines = store.status(&acme, now).await.unwrap();
    assert_eq!(lines[0].account.held, Money::from_dollars(120));
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}
