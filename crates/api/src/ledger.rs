//! `/api/v1/ledger` and `/api/v1/events`.

use budget::Entry;
use focus::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{EventView, Usd, schema};

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows at most; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// One change to a tenant's balances.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// Whose ledger.
    pub tenant_id: String,
    /// Its place there, from 1 without gaps.
    pub seq: u64,
    /// When it was committed.
    #[schema(schema_with = schema::timestamp)]
    pub at: String,
    /// What it records.
    pub kind: String,
    /// The reservation that it is about; absent for an opened account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The hold or the charge.
    pub amount_usd: Usd,
    /// What changed in which account.
    pub postings: Vec<PostingView>,
    /// SHA-256 over the entry before and this one.
    pub hash: String,
}

/// A change to one account. Amounts may be negative.
#[derive(Debug, Serialize, ToSchema)]
pub struct PostingView {
    /// The budget.
    pub budget_id: Uuid,
    /// The first instant of the period.
    #[schema(schema_with = schema::timestamp)]
    pub period_start: String,
    /// Added to what is settled.
    pub settled_usd: Usd,
    /// Added to what is held.
    pub held_usd: Usd,
    /// Added to what is unresolved.
    pub unresolved_usd: Usd,
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        let posting = |posting: &budget::Posting| PostingView {
            budget_id: posting.account.budget.0,
            period_start: posting.account.start.to_string(),
            settled_usd: Usd(posting.settled),
            held_usd: Usd(posting.held),
            unresolved_usd: Usd(posting.unresolved),
        };
        Self {
            tenant_id: entry.tenant.to_string(),
            seq: entry.seq,
            at: entry.at.to_string(),
            kind: entry.kind.as_str().to_owned(),
            request_id: (!entry.key.is_nil()).then_some(entry.key),
            amount_usd: Usd(entry.amount),
            postings: entry.postings.iter().map(posting).collect(),
            hash: entry.hash.to_string(),
        }
    }
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ledger {
    /// In the order of tenant and place.
    pub entries: Vec<EntryView>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows at most; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// In the order of writing.
    pub events: Vec<EventView>,
    /// Asks for what comes after; present even when nothing has come yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
