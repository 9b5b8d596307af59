//! Budgets for cloud cost, and what is told of them.

use ::budget::{BudgetId, CloudBudget, CloudBudgets, CloudEvent, Notice, StoreError, Thresholds};
use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::{Sqlite, load, row, save};
use crate::watched::{Columns, amount, filter_text};

#[async_trait]
impl CloudBudgets for Sqlite {
    async fn put_cloud(&self, budget: CloudBudget) -> Result<CloudBudget, StoreError> {
        let put = move |db: &Connection| {
            let sql = "select * from cloud_budget where name = ?1";
            let before = load::rows(db, sql, &[&budget.name], read)?.pop();
            let budget = budget.after(before.as_ref());
            write(db, &budget)?;
            Ok(budget)
        };
        self.writer.write(None, put).await
    }

    async fn remove_cloud(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let remove = move |db: &Connection| {
            save::execute(db, "delete from cloud_budget where name = ?1", &[&name])
        };
        Ok(self.writer.write(None, remove).await? > 0)
    }

    async fn cloud_budgets(&self) -> Result<Vec<CloudBudget>, StoreError> {
        let sql = "select * from cloud_budget order by name";
        self.readers.read(move |db| load::rows(db, sql, &[], read)).await
    }

    async fn tell_cloud(&self, events: Vec<CloudEvent>) -> Result<u64, StoreError> {
        let tell = move |db: &Connection| {
            let mut told = 0;
            for event in events {
                told += save::notice(db, &Notice::Cloud(event))? as u64;
            }
            Ok(told)
        };
        self.writer.write(None, tell).await
    }
}

fn write(db: &Connection, budget: &CloudBudget) -> Result<(), StoreError> {
    let sql = "insert or replace into cloud_budget (name, budget_id, filter, basis, currency,
            period, limit_amount, thresholds, since, updated_at)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let watched = &budget.watched;
    save::execute(
        db,
        sql,
        &[
            &budget.name,
            &budget.id.0,
            &filter_text(watched)?,
            &watched.basis.to_string(),
            &watched.currency,
            &watched.period.as_str(),
            &budget.limit.to_string(),
            &row::percents_text(budget.thresholds.percents()),
            &budget.since.as_microsecond(),
            &budget.updated_at.as_microsecond(),
        ],
    )?;
    Ok(())
}

fn read(found: &Row<'_>) -> Result<CloudBudget, StoreError> {
    let text = |name: &str| row::column::<String>(found, name);
    let (filter, basis) = (text("filter")?, text("basis")?);
    let (currency, period) = (text("currency")?, text("period")?);
    let columns = Columns { filter: &filter, basis: &basis, currency: &currency, period: &period };
    Ok(CloudBudget {
        id: BudgetId(row::column(found, "budget_id")?),
        name: text("name")?,
        watched: columns.read()?,
        limit: amount(&text("limit_amount")?)?,
        thresholds: Thresholds::new(row::percents(&text("thresholds")?)?).map_err(row::corrupt)?,
        since: row::time(found, "since")?,
        updated_at: row::time(found, "updated_at")?,
    })
}
