//! Events as the tables keep them: JSON, money in nano-dollars as text.

use budget::{AccountId, BudgetId, Event, EventKind, StoreError};
use focus::Scope;
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};

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

/// Writes an event.
pub(crate) fn to_text(event: &Event) -> Result<String, StoreError> {
    let row = Row {
        kind: event.kind,
        budget_id: event.account.budget,
        period_start: event.account.start,
        scope: event.scope.clone(),
        settled_usd: event.settled.to_string(),
        limit_usd: event.limit.to_string(),
        at: event.at,
    };
    serde_json::to_string(&row).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Reads one back.
pub(crate) fn from_text(text: &str) -> Result<Event, StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("event: {error}"));
    let row: Row = serde_json::from_str(text).map_err(|error| corrupt(&error))?;
    let money = |text: &str| text.parse::<Money>().map_err(|error| corrupt(&error));
    Ok(Event {
        kind: row.kind,
        account: AccountId { budget: row.budget_id, start: row.period_start },
        settled: money(&row.settled_usd)?,
        limit: money(&row.limit_usd)?,
        scope: row.scope,
        at: row.at,
    })
}
