//! Rows that somebody else holds, and who waits for them.

use std::time::{Duration, Instant};

use ::budget::{Budget, Budgets, EscrowError, Release, StoreError, Upkeep};
use focus::Scope;

use super::*;

/// How far `ai_token_budgets` may be behind what was answered.
const BEHIND_MOST: Duration = Duration::from_secs(1);

const HOLD: &str = "select 1 from ai_token_budgets where tenant_id = 'acme' for update";

/// Whether a tenant's row shows what its calls have cost.
async fn is_up_to_date(hand: &Client, tenant: &str) -> bool {
    let sql = format!(
        "select current_usage_usd = (
            select sum(cost_usd)
            from ai_token_usage
            where tenant_id = '{tenant}'
        )
        from ai_token_budgets
        where tenant_id = '{tenant}'"
    );
    one(hand, &sql).await.get(0)
}

#[tokio::test]
async fn a_row_that_an_operator_holds_delays_no_answer_and_no_other_row() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let (hand, mut operator) = (database.hand().await, database.hand().await);
    let (held, free) = (call("acme"), call("bolt"));
    charge(&store, &held, "1").await;
    let open = operator.transaction().await.unwrap();
    open.execute(HOLD, &[]).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        tokio::join!(charge(&store, &held, "0.001"), charge(&store, &free, "0.001"));
        while !is_up_to_date(&hand, "bolt").await {}
        assert!(asked.elapsed() < BEHIND_MOST, "{:?}", asked.elapsed());
        assert!(!is_up_to_date(&hand, "acme").await, "it is held");
    }
    open.commit().await.unwrap();
    let freed = Instant::now();
    while !is_up_to_date(&hand, "acme").await {}
    assert!(freed.elapsed() < BEHIND_MOST, "{:?}", freed.elapsed());
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_limit_that_waits_for_an_operator_keeps_no_call_waiting() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let mut operator = database.hand().await;
    let call = call("acme");
    charge(&store, &call, "1").await;
    let open = operator.transaction().await.unwrap();
    open.execute(HOLD, &[]).await.unwrap();
    let scope = Scope::model(call.tenant.clone(), call.model.clone());
    let set = store.put(Budget::new(scope, usd("7"), now()).unwrap());
    let traffic = async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            charge(&store, &call, "0.001").await;
            assert!(asked.elapsed() < BEHIND_MOST, "{:?}", asked.elapsed());
        }
        open.commit().await.unwrap();
    };
    let (set, ()) = tokio::join!(set, traffic);
    set.unwrap();
    let hand = database.hand().await;
    assert_eq!(text(&hand, "select monthly_limit_usd from ai_token_budgets").await, "7.000000000");
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn the_last_dollar_is_decided_on_under_the_lock_of_its_tenant() {
    let database = Database::make().await;
    let (one, two) =
        (database.store(Options::default()).await, database.store(Options::default()).await);
    let (hand, mut third) = (database.hand().await, database.hand().await);
    let (held, free) = (call("acme"), call("bolt"));
    for call in [&held, &free] {
        let limit = Budget::new(Scope::tenant(call.tenant.clone()), usd("3"), now()).unwrap();
        one.put(limit).await.unwrap();
        charge(&one, call, "1").await;
    }
    // As another replica does it: the tenant's row first, then what the call costs.
    let open = third.transaction().await.unwrap();
    let lock = "select 1 from tenant where tenant_id = 'acme' for update";
    open.execute(lock, &[]).await.unwrap();
    let waiting = one.reserve(reserve(&held, "2"));
    let meanwhile = async {
        let waits = "
            select exists (
                select 1
                from pg_stat_activity
                where wait_event_type = 'Lock'
                    and application_name = 'bursar'
                    and datname = current_database()
            )";
        while text(&hand, waits).await != "true" {}
        let asked = Instant::now();
        one.reserve(reserve(&free, "1.5")).await.unwrap();
        // The batch that met the lock has waited for it; those after it know better.
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        for _ in 0..20 {
            let asked = Instant::now();
            one.reserve(reserve(&free, "0.01")).await.unwrap();
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
        two.reserve(reserve(&free, "0.3")).await.unwrap();
        let spend = "
            update account
            set settled_usd = settled_usd + 0.000000001
            where budget_id = (select budget_id from budget where tenant_id = 'acme')";
        assert_eq!(open.execute(spend, &[]).await.unwrap(), 1);
        open.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(waiting, meanwhile);
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    let last = reserve(&held, "1.999999999");
    two.reserve(last).await.unwrap();
    one.close().await;
    two.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_release_does_not_overtake_its_reserve() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let mut operator = database.hand().await;
    let (held, free) = (call("acme"), call("bolt"));
    charge(&store, &held, "1").await;
    let open = operator.transaction().await.unwrap();
    let lock = "select 1 from tenant where tenant_id = 'acme' for update";
    open.execute(lock, &[]).await.unwrap();
    let request = reserve(&held, "2");
    let release = Release { key: request.key };
    let meanwhile = async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1_500) {
            charge(&store, &free, "0.001").await;
        }
        // The reserve is set aside by now.
        let letting_go = async {
            for _ in 0..3 {
                charge(&store, &free, "0.001").await;
            }
            open.commit().await.unwrap();
        };
        tokio::join!(store.release(release), letting_go).0
    };
    let (reserved, released) = tokio::join!(store.reserve(request), meanwhile);
    assert!(reserved.is_ok() && released.is_ok(), "{reserved:?} {released:?}");
    let lines = store.status(&held.tenant, now()).await.unwrap();
    assert_eq!(lines[0].account.held, Money::ZERO);
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_limit_that_an_operator_has_not_committed_keeps_its_own_tenant_waiting_alone() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let mut operator = database.hand().await;
    let (held, free) = (call("acme"), call("bolt"));
    charge(&store, &free, "1").await;
    let open = operator.transaction().await.unwrap();
    let insert = "
        insert into ai_token_budgets (tenant_id, model, monthly_limit_usd)
        values ('acme', 'claude-3-5-sonnet-20241022', 3)";
    open.execute(insert, &[]).await.unwrap();
    // It would make a default budget of the same name.
    let waiting = store.reserve(reserve(&held, "4"));
    let meanwhile = async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            charge(&store, &free, "0.001").await;
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
        open.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(waiting, meanwhile);
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    store.reserve(reserve(&held, "3")).await.unwrap();
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_limit_that_an_operator_commits_while_a_default_waits_for_it_decides() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let (hand, mut operator) = (database.hand().await, database.hand().await);
    for tenant in ["acme", "bolt", "cube"] {
        let open = operator.transaction().await.unwrap();
        let insert = format!(
            "insert into ai_token_budgets (tenant_id, model, monthly_limit_usd)
            values ('{tenant}', 'claude-3-5-sonnet-20241022', 3)"
        );
        open.execute(&insert, &[]).await.unwrap();
        let waiting = store.reserve(reserve(&call(tenant), "4"));
        let meanwhile = async {
            let waits = "select exists (
                select
                from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'
            )";
            while !one(&hand, waits).await.get::<_, bool>(0) {}
            open.commit().await.unwrap();
        };
        let (refused, ()) = tokio::join!(waiting, meanwhile);
        assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
        store.reserve(reserve(&call(tenant), "3")).await.unwrap();
    }
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_its_tenants_own_trouble() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    charge(&store, &call("acme"), "1").await;
    let hand = database.hand().await;
    let sql = "update budget set zone = 'Nowhere/Else' where tenant_id = 'acme'";
    assert_eq!(hand.execute(sql, &[]).await.unwrap(), 1);
    drop(store);
    let store = database.store(Options::default()).await;
    let ask = |number: usize| {
        let tenant = if number.is_multiple_of(2) { "acme" } else { "bolt" };
        store.reserve(reserve(&call(tenant), "0.01"))
    };
    let results = futures_util::future::join_all((0..40).map(ask)).await;
    for (number, result) in results.into_iter().enumerate() {
        let is_corrupt = matches!(result, Err(EscrowError::Store(StoreError::Corrupt(_))));
        assert_eq!((is_corrupt, result.is_ok()), (number % 2 == 0, number % 2 == 1), "{number}");
    }
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn what_names_a_key_of_a_held_tenant_delays_nobody_else() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let (hand, mut third) = (database.hand().await, database.hand().await);
    let (held, free) = (call("acme"), call("bolt"));
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.push(store.reserve(reserve(&held, "1")).await.unwrap().reservation.key);
    }
    charge(&store, &free, "1").await;
    let open = third.transaction().await.unwrap();
    let lock = "select 1 from tenant where tenant_id = 'acme' for update";
    open.execute(lock, &[]).await.unwrap();
    let waiting = store.reserve(reserve(&held, "2"));
    let meanwhile = async {
        let waits = "select exists (
            select
            from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
        )";
        while !one(&hand, waits).await.get::<_, bool>(0) {}
        // Behind those who wait for a moment, until it is set aside.
        charge(&store, &free, "0.001").await;
        let asked = Instant::now();
        let mut releases = futures_util::stream::FuturesUnordered::new();
        for key in &keys {
            releases.push(store.release(Release { key: *key }));
            let next = futures_util::StreamExt::next(&mut releases);
            tokio::select! {
                released = next => panic!("{released:?}"),
                _ = charge(&store, &free, "0.001") => {}
            }
        }
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        open.commit().await.unwrap();
        while let Some(released) = futures_util::StreamExt::next(&mut releases).await {
            released.unwrap();
        }
    };
    let (reserved, ()) = tokio::join!(waiting, meanwhile);
    reserved.unwrap();
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}
