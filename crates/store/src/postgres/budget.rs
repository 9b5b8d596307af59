//! Budgets, kept and listed. Those of a tenant and model by month are rows of `ai_token_budgets`.

use std::sync::Arc;

use ::budget::{
    Account, Budget, BudgetFilter, BudgetId, Budgets, Enforcement, Line, Origin, StoreError,
};
use async_trait::async_trait;
use focus::{PeriodUnit, TenantId};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Postgres,
    batch::{Failure, Tries},
    pool::Pool,
    row,
    row::nanos,
};

const LIST: &str = concat!(
    include_str!("sql/budget.sql"),
    "where budget_id > $1
    and ($2::text is null or tenant_id = $2)
order by budget_id
limit $3"
);
const ONE: &str = concat!(include_str!("sql/budget.sql"), "where budget_id = $1");
const HISTORY: &str = concat!(
    include_str!("sql/account.sql"),
    "where a.budget_id = $1
order by a.period_start desc"
);

/// An operator's open transaction is waited for in several short tries: no connection is kept.
const BEGIN: &str = "set local bursar.writing = 'on'; set local lock_timeout = '500ms'";
const ROW: &str = "select 1 from ai_token_budgets where tenant_id = $1 and model = $2 for update";

#[async_trait]
impl Budgets for Postgres {
    async fn put(&self, budget: Budget) -> Result<Budget, StoreError> {
        let mut tries = Tries::default();
        let since = loop {
            match put(&self.pool, &budget).await {
                Ok(since) => break since,
                Err(failure) => tries.again(failure).await?,
            }
        };
        self.books.invalidate(&budget.scope.tenant);
        Ok(Budget { since, ..budget })
    }

    async fn remove(&self, id: BudgetId) -> Result<bool, StoreError> {
        let Some(found) = self.pool.query(ONE, &[&id.0]).await?.pop() else { return Ok(false) };
        let budget = row::budget(&found)?;
        let mut tries = Tries::default();
        let removed = loop {
            match remove(&self.pool, &budget).await {
                Ok(removed) => break removed,
                Err(failure) => tries.again(failure).await?,
            }
        };
        self.books.invalidate(&budget.scope.tenant);
        Ok(removed)
    }

    async fn list(&self, filter: BudgetFilter) -> Result<Vec<Budget>, StoreError> {
        let after = filter.page.after.map_or(Uuid::nil(), |id| id.0);
        let tenant = filter.tenant.as_ref().map(TenantId::as_str);
        let limit = i64::try_from(filter.page.limit).unwrap_or(i64::MAX);
        let found = self.pool.query(LIST, &[&after, &tenant, &limit]).await?;
        found.iter().map(|found| row::budget(found).map(Arc::unwrap_or_clone)).collect()
    }

    async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Line>, StoreError> {
        self.book(tenant, now).await?.lines(now).map_err(row::corrupt)
    }

    async fn history(&self, id: BudgetId) -> Result<Vec<Account>, StoreError> {
        let found = self.pool.query(HISTORY, &[&id.0]).await?;
        found.iter().map(row::account).collect()
    }
}

/// Whether the budget is also a row of `ai_token_budgets`.
fn is_shown(budget: &Budget) -> bool {
    budget.rule.unit() == PeriodUnit::Month && budget.scope.is_tenant_wide()
}

async fn put(pool: &Pool, budget: &Budget) -> Result<Timestamp, Failure> {
    let (scope, rule) = (&budget.scope, &budget.rule);
    let (tenant, model) = (scope.tenant.as_str(), scope.model_or_star());
    let user = scope.user.as_ref().map(|user| user.as_str());
    let kind = scope.report_type.as_ref().map(|kind| kind.as_str());
    let limit = nanos(budget.limit)?;
    let days = rule.days().map(i32::from);
    let percents: Vec<i32> = budget.thresholds.percents().iter().copied().map(i32::from).collect();
    let enforcement = match budget.enforcement {
        Enforcement::Hard => "hard",
        Enforcement::Shadow => "shadow",
    };
    let overflow = budget.overflow.to_string();
    let origin = match budget.origin {
        Origin::Set => "set",
        Origin::Default => "default",
    };
    let mut db = pool.writer().await?;
    let step = db.transaction().await?;
    step.batch_execute(BEGIN).await?;
    if is_shown(budget) {
        // Whoever holds the row is waited for before the tenant is locked: its calls go on.
        step.execute(ROW, &[&tenant, &model]).await?;
    }
    let known = include_str!("sql/save_tenant_known.sql");
    step.execute(known, &[&tenant, &budget.updated_at]).await?;
    let lock = "select 1 from tenant where tenant_id = $1 for update";
    step.execute(lock, &[&tenant]).await?;
    if is_shown(budget) {
        let row = include_str!("sql/save_limit.sql");
        let ends = rule.period(budget.updated_at).map_err(row::corrupt)?.end;
        step.execute(row, &[&tenant, &model, &limit, &ends, &budget.updated_at]).await?;
    }
    let columns: super::pool::Parameters<'_> = &[
        &budget.id.0,
        &tenant,
        &model,
        &user,
        &kind,
        &limit,
        &rule.unit().as_str(),
        &rule.anchor(),
        &days,
        &rule.zone(),
        &percents,
        &enforcement,
        &overflow,
        &origin,
        &budget.since,
        &budget.updated_at,
    ];
    let kept = step.query_one(include_str!("sql/save_budget.sql"), columns).await?;
    let since = row::time(&kept, "since")?;
    if is_shown(budget) {
        let ids: &[Uuid] = &[budget.id.0];
        step.execute("select bursar_project($1, $2)", &[&ids, &budget.updated_at]).await?;
    }
    step.commit().await?;
    Ok(since)
}

async fn remove(pool: &Pool, budget: &Budget) -> Result<bool, Failure> {
    let mut db = pool.writer().await?;
    let step = db.transaction().await?;
    step.batch_execute(BEGIN).await?;
    if is_shown(budget) {
        let row = "delete from ai_token_budgets where tenant_id = $1 and model = $2";
        let (tenant, model) = (budget.scope.tenant.as_str(), budget.scope.model_or_star());
        step.execute(row, &[&tenant, &model]).await?;
    }
    let removed = step.execute("delete from budget where budget_id = $1", &[&budget.id.0]).await?;
    step.commit().await?;
    Ok(removed > 0)
}
