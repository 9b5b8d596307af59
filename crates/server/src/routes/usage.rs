//! `/api/v1/usage`.

use api::{ExportQuery, Instant, ReservationList, ReservationQuery, UsageQuery, UsageReport};
use axum::{
    Json as Answer,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use budget::{Page, Reservation, ReservationFilter, State as Is, UsageGroup};
use focus::{PeriodRule, TenantId};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};

use super::reservations;
use crate::{auth::Caller, extract::Query, fault::Fault, service::Shared};

/// Calls that the export reads at a time.
const PAGE: usize = 1_000;

/// The stretch of time that was asked for; the running month in UTC by default.
fn stretch(
    now: Timestamp,
    from: Option<Instant>,
    to: Option<Instant>,
) -> Result<(Timestamp, Timestamp), Fault> {
    let start = || PeriodRule::default().period(now).map_or(now, |period| period.start);
    let soon = || now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(now);
    let from = from.map_or_else(start, |from| from.0);
    let to = to.map_or_else(soon, |to| to.0);
    if from >= to {
        return Err(Fault::invalid("from", "must be before to"));
    }
    Ok((from, to))
}

fn groups(text: &str) -> Result<Vec<UsageGroup>, Fault> {
    let mut groups = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let group = match word {
            "day" => UsageGroup::Day,
            "tenant" => UsageGroup::Tenant,
            "model" => UsageGroup::Model,
            "user" => UsageGroup::User,
            "report_type" => UsageGroup::ReportType,
            _ => {
                let message = "must be some of day, tenant, model, user, report_type";
                return Err(Fault::invalid("group_by", message));
            }
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// Sums of charged calls; by day and model when nothing else is asked for.
#[utoipa::path(get, path = "/api/v1/usage", tag = "records", operation_id = "usage",
    params(UsageQuery), responses((status = 200, description = "The sums", body = UsageReport)))]
pub(crate) async fn report(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> Result<Answer<UsageReport>, Fault> {
    let tenant = caller.narrow(query.tenant_id)?;
    let (from, to) = stretch(state.now(), query.from, query.to)?;
    let group_by = groups(query.group_by.as_deref().unwrap_or("day,model"))?;
    let rows = state.store.usage(budget::UsageQuery { tenant, from, to, group_by }).await?;
    Ok(Answer(UsageReport {
        from: from.to_string(),
        to: to.to_string(),
        rows: rows.iter().map(Into::into).collect(),
    }))
}

/// Calls whose model has no price yet.
#[utoipa::path(get, path = "/api/v1/usage/unpriced", tag = "records", operation_id = "unpriced",
    params(ReservationQuery),
    responses((status = 200, description = "A page", body = ReservationList)))]
pub(crate) async fn unpriced(
    state: State<Shared>,
    caller: Caller,
    Query(query): Query<ReservationQuery>,
) -> Result<Answer<ReservationList>, Fault> {
    let query = ReservationQuery { state: Some(Is::Unpriced), ..query };
    reservations::list(state, caller, Query(query)).await
}

/// The audit log of calls as CSV.
#[utoipa::path(get, path = "/api/v1/usage/export.csv", tag = "records", operation_id = "exportUsage",
    params(ExportQuery),
    responses((status = 200, description = "A row a call", body = String, content_type = "text/csv")))]
pub(crate) async fn export(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Fault> {
    let tenant: Option<TenantId> = caller.narrow(query.tenant_id)?;
    let (from, to) = stretch(state.now(), query.from, query.to)?;
    let filter = ReservationFilter {
        tenant,
        state: None,
        from: Some(from),
        to: Some(to),
        page: Page { after: None, limit: PAGE },
    };
    // The first page is read before the answer begins, so that its error has a status.
    let first = state.store.reservations(filter.clone()).await?;
    let begin = (state, filter, Some(first), true);
    let pages = stream::try_unfold(begin, |(state, mut filter, rows, is_first)| async move {
        let Some(rows) = rows else { return Ok::<_, std::io::Error>(None) };
        let text = csv_text(&rows, is_first).map_err(std::io::Error::other)?;
        let mut following = None;
        if let Some(last) = rows.last().filter(|_| rows.len() >= PAGE) {
            filter.page.after = Some((last.created_at, last.key));
            let page = state.store.reservations(filter.clone()).await;
            following = Some(page.map_err(std::io::Error::other)?);
        }
        Ok(Some((Bytes::from(text), (state, filter, following, false))))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"usage.csv\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

const COLUMNS: [&str; 14] = [
    "timestamp",
    "request_id",
    "tenant_id",
    "model",
    "user_id",
    "report_type",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "service_tier",
    "cost_usd",
    "state",
];

fn csv_text(rows: &[Reservation], with_head: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_head {
        writer.write_record(COLUMNS)?;
    }
    for row in rows.iter().filter(|row| is_call(row)) {
        let actual = row.actual.or(row.estimate);
        let usage = actual.map(|quote| quote.usage).unwrap_or_default();
        let call = &row.call;
        writer.write_record([
            row.created_at.to_string(),
            row.key.to_string(),
            harmless(call.tenant.as_str()),
            harmless(call.model.as_str()),
            harmless(call.user.as_ref().map_or("", |user| user.as_str())),
            harmless(call.report_type.as_ref().map_or("", |kind| kind.as_str())),
            usage.input.to_string(),
            usage.output.to_string(),
            usage.cache_read.to_string(),
            usage.cache_write_5m.to_string(),
            usage.cache_write_1h.to_string(),
            actual.map(|quote| quote.tier).unwrap_or_default().to_string(),
            row.cost.map(|cost| cost.fixed9()).unwrap_or_default(),
            row.state.to_string(),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn is_call(row: &Reservation) -> bool {
    matches!(row.state, Is::Settled | Is::Charged | Is::Unpriced)
}

/// A field that a spreadsheet won't take for a formula.
pub(crate) fn harmless(field: &str) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{field}")
    } else {
        field.to_owned()
    }
}
