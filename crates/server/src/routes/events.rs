//! `/api/v1/events`.

use api::{Cursor, EventList, EventQuery, EventView};
use axum::{Json as Answer, extract::State};
use budget::{Notice, Page};

use super::page;
use crate::{auth::Caller, extract::Query, fault::Fault, service::Shared};

/// What somebody has to be told, in the order of writing. The cursor of the last page asks for
/// what comes after it.
#[utoipa::path(get, path = "/api/v1/events", tag = "records", operation_id = "listEvents",
    params(EventQuery), responses((status = 200, description = "A page", body = EventList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<EventQuery>,
) -> Result<Answer<EventList>, Fault> {
    let page: Page<u64> = page(query.cursor.as_deref(), query.limit)?;
    let before = page.after;
    let rows = state.store.events(page).await?;
    let last = rows.last().map(|(seq, _)| *seq).or(before);
    // What is told of cloud cost is the operator's.
    let may_see = |notice: &Notice| match notice.tenant() {
        Some(tenant) => caller.sees(tenant),
        None => caller.admin().is_ok(),
    };
    let seen = rows.iter().filter(|(_, notice)| may_see(notice));
    Ok(Answer(EventList {
        events: seen.map(|(seq, notice)| EventView::new(*seq, notice)).collect(),
        next_cursor: last.map(|last| last.encode()),
    }))
}
