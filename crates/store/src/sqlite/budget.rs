//! Budgets, kept and listed.

use std::{collections::BTreeMap, sync::Arc};

use ::budget::{Account, Budget, BudgetFilter, BudgetId, Budgets, Line, StoreError};
use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Sqlite, behind, load, row, save};

#[async_trait]
impl Budgets for Sqlite {
    async fn put(&self, budget: Budget) -> Result<Budget, StoreError> {
        let tenant = budget.scope.tenant.clone();
        let put = move |db: &rusqlite::Connection| {
            let sql = "select * from budget where budget_id = ?1";
            let before = load::rows(db, sql, &[&budget.id.0], row::budget)?.pop();
            let budget = budget.in_place_of(before.as_deref());
            save::known(db, &budget.scope.tenant, budget.updated_at)?;
            save::budget(db, &budget)?;
            Ok(budget)
        };
        self.writer.write(Some(tenant), put).await
    }

    async fn remove(&self, id: BudgetId) -> Result<bool, StoreError> {
        let sql = "select * from budget where budget_id = ?1";
        let find = move |db: &rusqlite::Connection| load::rows(db, sql, &[&id.0], row::budget);
        let Some(budget) = self.readers.read(find).await?.pop() else { return Ok(false) };
        let remove = move |db: &rusqlite::Connection| {
            save::execute(db, "delete from budget where budget_id = ?1", &[&id.0])
        };
        Ok(self.writer.write(Some(budget.scope.tenant.clone()), remove).await? > 0)
    }

    async fn list(&self, filter: BudgetFilter) -> Result<Vec<Budget>, StoreError> {
        let list = move |db: &rusqlite::Connection| {
            let sql = "select * from budget
                where budget_id > ?1 and (?2 is null or tenant_id = ?2)
                order by budget_id
                limit ?3";
            let after = filter.page.after.map_or(Uuid::nil(), |id| id.0);
            let tenant = filter.tenant.as_ref().map(TenantId::as_str);
            let limit = i64::try_from(filter.page.limit).unwrap_or(i64::MAX);
            load::rows(db, sql, &[&after, &tenant, &limit], row::budget)
        };
        let budgets = self.readers.read(list).await?;
        Ok(budgets.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Line>, StoreError> {
        let known = self.writer.books.get(tenant).filter(|book| book.is_whole(now));
        let book = match known {
            Some(book) => book,
            None => {
                let tenant = tenant.clone();
                let is_behind = self.writer.recent.concerns(&tenant);
                let view = move |db: &_| load::book_for_view(db, &tenant, now, is_behind);
                Arc::new(self.readers.read(view).await?)
            }
        };
        book.lines(now).map_err(row::corrupt)
    }

    async fn history(&self, id: BudgetId) -> Result<Vec<Account>, StoreError> {
        let read = move |db: &rusqlite::Connection| {
            let sql = "select * from account where budget_id = ?1";
            let kept = load::rows(db, sql, &[&id.0], row::account)?;
            let mut accounts: BTreeMap<_, _> =
                kept.into_iter().map(|kept| (kept.id, kept)).collect();
            accounts.extend(behind::accounts(db, Some(&[id]))?);
            Ok(accounts.into_values().rev().collect())
        };
        self.readers.read(read).await
    }
}
