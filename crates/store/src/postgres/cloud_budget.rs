//! Budgets for cloud cost, and what is told of them.

use ::budget::{BudgetId, CloudBudget, CloudBudgets, CloudEvent, Crossing, StoreError, Thresholds};
use async_trait::async_trait;
use tokio_postgres::Row;

use super::{Postgres, row, save, unavailable};
use crate::watched::{amount, filter_text};

const LIST: &str = concat!(include_str!("sql/cloud_budget.sql"), "order by name");
const ONE: &str = concat!(include_str!("sql/cloud_budget.sql"), "where name = $1\nfor update");
const PUT: &str = include_str!("sql/save_cloud_budget.sql");
const TELL: &str = include_str!("sql/save_cloud_event.sql");

#[async_trait]
impl CloudBudgets for Postgres {
    async fn put_cloud(&self, budget: CloudBudget) -> Result<CloudBudget, StoreError> {
        let mut db = self.pool.get().await?;
        let step = db.transaction().await.map_err(unavailable)?;
        let before = step.query_opt(ONE, &[&budget.name]).await.map_err(unavailable)?;
        let before = before.as_ref().map(read).transpose()?;
        let budget = budget.after(before.as_ref());
        let watched = &budget.watched;
        let percents: Vec<i32> =
            budget.thresholds.percents().iter().copied().map(i32::from).collect();
        let columns: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
            &budget.name,
            &budget.id.0,
            &filter_text(watched)?,
            &watched.basis.to_string(),
            &watched.currency,
            &watched.period.as_str(),
            &budget.limit.to_string(),
            &percents,
            &budget.since,
            &budget.updated_at,
        ];
        step.execute(PUT, columns).await.map_err(unavailable)?;
        step.commit().await.map_err(unavailable)?;
        Ok(budget)
    }

    async fn remove_cloud(&self, name: &str) -> Result<bool, StoreError> {
        let sql = "delete from cloud_budget where name = $1";
        Ok(self.pool.execute(sql, &[&name]).await? > 0)
    }

    async fn cloud_budgets(&self) -> Result<Vec<CloudBudget>, StoreError> {
        self.pool.query(LIST, &[]).await?.iter().map(read).collect()
    }

    async fn tell_cloud(&self, events: Vec<CloudEvent>) -> Result<u64, StoreError> {
        let mut db = self.pool.get().await?;
        let step = db.transaction().await.map_err(unavailable)?;
        // Numbers rise in the order of commits, as those of the other events do.
        step.execute(save::EVENTS_LOCK, &[]).await.map_err(unavailable)?;
        let mut told = 0;
        for event in &events {
            let (kind, percent) = match event.kind {
                Crossing::Threshold { percent } => ("threshold", Some(i32::from(percent))),
                Crossing::Exhausted => ("exhausted", None),
            };
            let (id, watched) = (event.id.0, &event.watched);
            let start: jiff::Timestamp = event.first.start().parse().map_err(row::corrupt)?;
            let columns: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
                &event.name(),
                &kind,
                &percent,
                &id,
                &start,
                &event.budget,
                &filter_text(watched)?,
                &watched.basis.to_string(),
                &watched.currency,
                &watched.period.as_str(),
                &event.spent.to_string(),
                &event.limit.to_string(),
                &event.at,
            ];
            told += step.execute(TELL, columns).await.map_err(unavailable)?;
        }
        step.commit().await.map_err(unavailable)?;
        Ok(told)
    }
}

fn read(found: &Row) -> Result<CloudBudget, StoreError> {
    let thresholds = Thresholds::new(row::percents(found, "thresholds")?);
    Ok(CloudBudget {
        id: BudgetId(row::column(found, "budget_id")?),
        name: row::column(found, "name")?,
        watched: row::watched(found)?,
        limit: amount(row::column(found, "limit_text")?)?,
        thresholds: thresholds.map_err(row::corrupt)?,
        since: row::time(found, "since")?,
        updated_at: row::time(found, "updated_at")?,
    })
}
