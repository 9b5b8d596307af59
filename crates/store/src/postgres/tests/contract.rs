//! The tables and functions that other services, dashboards and operators use.

use ::budget::{Budget, BudgetId, Budgets, EscrowError, Tenants, Upkeep};
use focus::{PeriodUnit, Scope};

use super::*;

const INSERT: &str = "
    insert into ai_token_budgets (tenant_id, model, monthly_limit_usd, reset_date)
    values ('acme', 'claude-3-5-sonnet-20241022', 0.0210, '2026-12-01')
    on conflict (tenant_id, model) do nothing";

#[tokio::test]
async fn a_limit_inserted_by_hand_is_obeyed_even_over_a_default_one() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let hand = database.hand().await;
    let call = call("acme");
    charge(&store, &call, "0.0105").await;
    assert_eq!(
        text(&hand, "select monthly_limit_usd from ai_token_budgets").await,
        "1000.000000000"
    );
    assert_eq!(hand.execute(INSERT, &[]).await.unwrap(), 1);
    assert_eq!(text(&hand, "select current_usage_usd from ai_token_budgets").await, "0.010500000");
    store.reserve(reserve(&call, "0.0105")).await.unwrap();
    let refused = store.reserve(reserve(&call, "0.000000001")).await;
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    assert_eq!(hand.execute(INSERT, &[]).await.unwrap(), 0, "set by hand before: it stays");
    hand.execute("update ai_token_budgets set monthly_limit_usd = 1", &[]).await.unwrap();
    store.reserve(reserve(&call, "0.5")).await.unwrap();
    hand.execute("delete from ai_token_budgets", &[]).await.unwrap();
    assert!(store.status(&call.tenant, now()).await.unwrap().is_empty());
    store.reserve(reserve(&call, "900")).await.unwrap();
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_limit_set_by_hand_has_the_id_that_the_service_gives() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let hand = database.hand().await;
    hand.execute(INSERT, &[]).await.unwrap();
    // Under its lock the first accounts are written.
    assert_eq!(text(&hand, "select tenant_id from tenant").await, "acme");
    let scope = Scope::model(tenant("acme"), call("acme").model);
    let id: Uuid = one(&hand, "select budget_id from budget").await.get(0);
    assert_eq!(id, BudgetId::of(&scope, PeriodUnit::Month).0);
    let set = Budget::new(scope, usd("7.5"), now()).unwrap();
    store.put(set.clone()).await.unwrap();
    assert_eq!(text(&hand, "select monthly_limit_usd from ai_token_budgets").await, "7.500000000");
    assert!(store.remove(set.id).await.unwrap());
    assert_eq!(text(&hand, "select count(*) from ai_token_budgets").await, "0");
    assert!(!store.remove(set.id).await.unwrap());
    let everything = Budget::new(Scope::tenant(tenant("acme")), usd("12"), now()).unwrap();
    store.put(everything).await.unwrap();
    assert_eq!(text(&hand, "select model from ai_token_budgets").await, "*");
    for bad in ["('a b', 'm', 1)", "('a', '', 1)", "('a', 'm', -1)", "('*', 'm', 1)"] {
        let sql = format!(
            "insert into ai_token_budgets (tenant_id, model, monthly_limit_usd) values {bad}"
        );
        assert!(hand.execute(&sql, &[]).await.is_err(), "{bad} was taken");
    }
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn rows_and_status_show_the_exact_usage_after_each_answer() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let hand = database.hand().await;
    hand.execute(INSERT, &[]).await.unwrap();
    let call = call("acme");
    let row = "
        select current_usage_usd || ' ' || token_count_input || ' ' || token_count_output || ' '
            || soft_limit_notified || ' ' || hard_limit_reached
        from ai_token_budgets";
    charge(&store, &call, "0.000000001").await;
    assert_eq!(text(&hand, row).await, "0.000000001 1000 500 false false");
    charge(&store, &call, "0.0168").await;
    assert_eq!(text(&hand, row).await, "0.016800001 2000 1000 true false");
    charge(&store, &call, "0.0042").await;
    assert_eq!(text(&hand, row).await, "0.021000001 3000 1500 true true");
    let status = "
        select current_usage_usd || ' ' || percentage_used || ' ' || status || ' '
            || hard_limit_reached
        from get_budget_status('acme')";
    assert_eq!(text(&hand, status).await, "0.021000001 100.00 exceeded true");
    assert_eq!(text(&hand, "select count(*) from get_budget_status('nobody')").await, "0");
    let usage = "select sum(cost_usd) || ' ' || count(*) from ai_token_usage";
    assert_eq!(text(&hand, usage).await, "0.021000001 3");
    let top = store.top(now(), 10).await.unwrap();
    assert_eq!(top[0].usage, usd("0.021000001"));
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_budget_that_comes_into_a_month_shows_what_the_month_had_spent() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let hand = database.hand().await;
    let call = call("acme");
    charge(&store, &call, "3").await;
    let everything = Budget::new(Scope::tenant(tenant("acme")), usd("4"), now()).unwrap();
    store.put(everything).await.unwrap();
    let row = "select current_usage_usd from ai_token_budgets where model = '*'";
    assert_eq!(text(&hand, row).await, "3.000000000");
    let status = "select status from get_budget_status('acme') where model = '*'";
    assert_eq!(text(&hand, status).await, "ok");
    let refused = store.reserve(reserve(&call, "1.000000001")).await;
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    store.reserve(reserve(&call, "1")).await.unwrap();
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn months_turn_by_the_clock_and_rows_follow() {
    let database = Database::make().await;
    let month = now().strftime("%Y-%m-01T00:00:00Z").to_string();
    let before = month.parse::<Timestamp>().unwrap() - jiff::SignedDuration::from_hours(1);
    let hands = Hands::at(before);
    let store = database.store(standing(&hands)).await;
    let hand = database.hand().await;
    charge(&store, &call("acme"), "5").await;
    let row = "select current_usage_usd from ai_token_budgets";
    assert_eq!(text(&hand, row).await, "5.000000000");
    let status = "select current_usage_usd from get_budget_status('acme')";
    assert_eq!(text(&hand, status).await, "0", "the new month has begun, whatever the row says");
    assert_eq!(text(&hand, "select reset_monthly_budgets()").await, "1");
    assert_eq!(text(&hand, "select reset_monthly_budgets()").await, "0");
    assert_eq!(text(&hand, row).await, "0.000000000");
    assert_eq!(text(&hand, "select reset_date > now() from ai_token_budgets").await, "true");
    let account = "select settled_usd from account";
    assert_eq!(text(&hand, account).await, "5.000000000", "the ledger is not touched");
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn usage_lands_in_its_month_and_months_are_made_ahead() {
    let database = Database::make().await;
    let hands = Hands::at("2031-05-31T23:59:59.999999Z".parse().unwrap());
    let store = database.store(standing(&hands)).await;
    let hand = database.hand().await;
    charge(&store, &call("acme"), "1").await;
    let home = "select tableoid::regclass from ai_token_usage";
    assert_eq!(text(&hand, home).await, "ai_token_usage_default");
    store.maintain(hands.now()).await.unwrap();
    assert_eq!(text(&hand, home).await, "ai_token_usage_2031_05", "moved when its month was made");
    let made = "
        select string_agg(relname, ' ' order by relname)
        from pg_class
        where relname like 'ai\\_token\\_usage\\_2031\\___'";
    let months = "ai_token_usage_2031_05 ai_token_usage_2031_06 ai_token_usage_2031_07 \
        ai_token_usage_2031_08";
    assert_eq!(text(&hand, made).await, months);
    hands.pass(jiff::SignedDuration::from_micros(1));
    charge(&store, &call("acme"), "2").await;
    let home = "select tableoid::regclass from ai_token_usage where cost_usd = 2";
    assert_eq!(text(&hand, home).await, "ai_token_usage_2031_06");
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn the_summary_is_refreshed_every_hour_by_one_replica() {
    let database = Database::make().await;
    let hands = Hands::at(now());
    let store = database.store(standing(&hands)).await;
    let other = database.store(standing(&hands)).await;
    let hand = database.hand().await;
    let rows = "select requests || ' ' || tokens || ' ' || cost_usd from ai_budget_summary";
    charge(&store, &call("acme"), "1.5").await;
    store.maintain(hands.now()).await.unwrap();
    assert_eq!(text(&hand, rows).await, "1 1500 1.500000000");
    charge(&store, &call("acme"), "1.5").await;
    other.maintain(hands.now()).await.unwrap();
    assert_eq!(text(&hand, rows).await, "1 1500 1.500000000", "an hour has not passed");
    hands.pass(jiff::SignedDuration::from_hours(1));
    other.maintain(hands.now()).await.unwrap();
    assert_eq!(text(&hand, rows).await, "2 3000 3.000000000");
    store.close().await;
    other.close().await;
    database.drop().await;
}

#[tokio::test]
async fn an_operators_open_transaction_does_not_stop_the_traffic() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let mut hand = database.hand().await;
    let call = call("acme");
    charge(&store, &call, "1").await;
    let open = hand.transaction().await.unwrap();
    open.execute("update ai_token_budgets set monthly_limit_usd = 50", &[]).await.unwrap();
    charge(&store, &call, "2").await;
    open.commit().await.unwrap();
    store.maintain(now()).await.unwrap();
    let row = "select current_usage_usd || ' of ' || monthly_limit_usd from ai_token_budgets";
    assert_eq!(text(&hand, row).await, "3.000000000 of 50.000000000");
    store.close().await;
    database.drop().await;
}

/// While it was open, what the default covered was covered by another.
#[tokio::test]
async fn a_default_set_in_a_transaction_that_was_open_before_it_misses_nothing() {
    let database = Database::make().await;
    let store = database.store(Options::default()).await;
    let mut hand = database.hand().await;
    let call = call("acme");
    let open = hand.transaction().await.unwrap();
    open.query_one("select now()", &[]).await.unwrap();
    charge(&store, &call, "1").await;
    let wide = Scope::tenant(call.tenant.clone());
    let wide = Budget::new(wide, usd("1000"), Timestamp::now()).unwrap();
    store.put(wide).await.unwrap();
    charge(&store, &call, "400").await;
    let sql = "update ai_token_budgets set monthly_limit_usd = 500 where model <> '*'";
    assert_eq!(open.execute(sql, &[]).await.unwrap(), 1);
    open.commit().await.unwrap();
    let refused = store.reserve(reserve(&call, "100")).await;
    assert!(matches!(refused, Err(EscrowError::Refused(_))), "{refused:?}");
    store.reserve(reserve(&call, "99")).await.unwrap();
    store.close().await;
    database.drop().await;
}
