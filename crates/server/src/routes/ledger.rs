//! `/api/v1/ledger`.

use api::{Ledger, LedgerQuery};
use axum::{Json as Answer, extract::State};
use budget::LedgerFilter;

use super::{next, page};
use crate::{auth::Caller, extract::Query, fault::Fault, service::Shared};

/// Entries in the order of tenant and place.
#[utoipa::path(get, path = "/api/v1/ledger", tag = "records", operation_id = "listLedger",
    params(LedgerQuery), responses((status = 200, description = "A page", body = Ledger)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<LedgerQuery>,
) -> Result<Answer<Ledger>, Fault> {
    let tenant = caller.narrow(query.tenant_id)?;
    let filter = LedgerFilter { tenant, page: page(query.cursor.as_deref(), query.limit)? };
    let limit = filter.page.limit;
    let rows = state.store.entries(filter).await?;
    let last = rows.last().map(|last| (last.tenant.clone(), last.seq));
    Ok(Answer(Ledger {
        entries: rows.iter().map(Into::into).collect(),
        next_cursor: next(rows.len(), limit, last),
    }))
}
