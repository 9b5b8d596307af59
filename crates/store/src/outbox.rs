//! Events as SQLite keeps them: JSON, amounts as text.

use budget::{AccountId, BudgetId, CloudEvent, Crossing, Event, EventKind, Notice, StoreError};
use focus::{Decimal, Scope, cost::Month};
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};

use crate::watched::{Columns, filter_text};

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    kind: EventKind,
    budget_id: BudgetId,
    period_start: Timestamp,
    scope: Scope,
    settled_usd: String,
    limit_usd: String,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct CloudRow {
    #[serde(flatten)]
    kind: Crossing,
    budget_id: BudgetId,
    cloud_budget: String,
    filter: String,
    basis: String,
    currency: String,
    period: String,
    first_month: Month,
    spent: Decimal,
    limit: Decimal,
    at: Timestamp,
}

/// Writes a notice.
pub(crate) fn to_text(notice: &Notice) -> Result<String, StoreError> {
    match notice {
        Notice::Ai(event) => {
            let row = Row {
                kind: event.kind,
                budget_id: event.account.budget,
                period_start: event.account.start,
                scope: event.scope.clone(),
                settled_usd: event.settled.to_string(),
                limit_usd: event.limit.to_string(),
                at: event.at,
            };
            serde_json::to_string(&row).map_err(corrupt)
        }
        Notice::Cloud(event) => {
            let watched = &event.watched;
            let row = CloudRow {
                kind: event.kind,
                budget_id: event.id,
                cloud_budget: event.budget.clone(),
                filter: filter_text(watched)?,
                basis: watched.basis.to_string(),
                currency: watched.currency.clone(),
                period: watched.period.to_string(),
                first_month: event.first,
                spent: event.spent,
                limit: event.limit,
                at: event.at,
            };
            serde_json::to_string(&row).map_err(corrupt)
        }
    }
}

/// Reads one back: what is told of a tenant's budget, or of one for cloud cost.
pub(crate) fn from_text(text: &str, of_tenant: bool) -> Result<Notice, StoreError> {
    if of_tenant { ai(text).map(Notice::Ai) } else { cloud(text).map(Notice::Cloud) }
}

fn ai(text: &str) -> Result<Event, StoreError> {
    let row: Row = serde_json::from_str(text).map_err(corrupt)?;
    let money = |text: &str| text.parse::<Money>().map_err(corrupt);
    Ok(Event {
        kind: row.kind,
        account: AccountId { budget: row.budget_id, start: row.period_start },
        settled: money(&row.settled_usd)?,
        limit: money(&row.limit_usd)?,
        scope: row.scope,
        at: row.at,
    })
}

fn cloud(text: &str) -> Result<CloudEvent, StoreError> {
    let row: CloudRow = serde_json::from_str(text).map_err(corrupt)?;
    let columns = Columns {
        filter: &row.filter,
        basis: &row.basis,
        currency: &row.currency,
        period: &row.period,
    };
    Ok(CloudEvent {
        watched: columns.read()?,
        kind: row.kind,
        id: row.budget_id,
        budget: row.cloud_budget,
        first: row.first_month,
        spent: row.spent,
        limit: row.limit,
        at: row.at,
    })
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("event: {error}"))
}
