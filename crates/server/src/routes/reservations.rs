//! `/api/v1/reservations`.

use api::{
    Problem, ReservationList, ReservationQuery, ReservationRequest, ReservationView,
    ResolveRequest, SettleRequest,
};
use axum::{Json as Answer, extract::State, http::StatusCode};
use budget::{Key, Outcome, Release, Reservation, ReservationFilter, Reserve, Resolve, Settle};
use focus::Attribution;
use jiff::SignedDuration;
use money::{Rounding, TokenUsage};

use super::{
    Stated,
    ai_budget::{charge, priced},
    attribution, next, page, request_id,
};
use crate::{
    auth::Caller,
    calls::Call,
    extract::{Json, Path, Query},
    fault::Fault,
    service::Shared,
};

const TIMEOUT_MOST: u32 = 86_400;

fn view(outcome: &Outcome) -> Answer<ReservationView> {
    Answer(ReservationView::from(outcome))
}

fn count(tokens: Option<api::Tokens>) -> u64 {
    tokens.unwrap_or_default().0
}

/// Holds a call's cost in every budget that covers it, or in none.
#[utoipa::path(post, path = "/api/v1/reservations", tag = "reservations", operation_id = "reserve",
    request_body = ReservationRequest,
    responses(
        (status = 201, description = "Held", body = ReservationView),
        (status = 200, description = "Held by an earlier request", body = ReservationView),
        (status = 409, description = "The request id was used with other content", body = Problem),
        (status = 429, description = "It does not fit", body = Problem),
    ))]
pub(crate) async fn reserve(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<ReservationRequest>,
) -> Result<(StatusCode, Answer<ReservationView>), Fault> {
    caller.acts_for(&request.tenant_id)?;
    let now = state.now();
    let key = request_id(request.request_id)?;
    if request.timeout_seconds.is_some_and(|seconds| !(1..=TIMEOUT_MOST).contains(&seconds)) {
        let message = format!("must be between 1 and {TIMEOUT_MOST}");
        return Err(Fault::invalid("timeout_seconds", message));
    }
    let timeout = request.timeout_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
    let counts = [
        request.estimated_input_tokens,
        request.estimated_output_tokens,
        request.cache_read_tokens,
        request.cache_write_5m_tokens,
        request.cache_write_1h_tokens,
    ];
    let stated = Stated {
        quoted: caller.quotes(request.quoted_usd)?,
        estimated: request.amount_estimated == Some(true),
        usage: usage(counts),
        tier: request.service_tier.unwrap_or_default(),
        amount: request.amount_usd.map(|amount| amount.0),
    };
    let shelf = state.prices.get();
    let (book, model) = (&shelf.book, request.model);
    let estimate =
        stated.quote(|usage, tier| Ok(Some(book.hold(model.as_str(), usage, tier, now)?)))?;
    let named = model.clone();
    let call = attribution(book, request.tenant_id, model, request.user_id, request.report_type);
    let reserve = Reserve { key, call, estimate, timeout, covered: false, fresh: false };
    let outcome = super::reserve(&state, book, &named, reserve).await;
    let outcome = outcome.map_err(|error| Fault::escrow(error, now))?;
    state.calls.remember(&outcome.reservation);
    let status = if outcome.replayed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, view(&outcome)))
}

fn usage(counts: [Option<api::Tokens>; 5]) -> TokenUsage {
    let [input, output, cache_read, cache_write_5m, cache_write_1h] = counts.map(count);
    TokenUsage { input, output, cache_read, cache_write_5m, cache_write_1h }
}

/// Reservations in the order of creation.
#[utoipa::path(get, path = "/api/v1/reservations", tag = "reservations",
    operation_id = "listReservations", params(ReservationQuery),
    responses((status = 200, description = "A page", body = ReservationList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<ReservationQuery>,
) -> Result<Answer<ReservationList>, Fault> {
    let filter = ReservationFilter {
        tenant: caller.narrow(query.tenant_id)?,
        state: query.state,
        from: query.from.map(|from| from.0),
        to: query.to.map(|to| to.0),
        page: page(query.cursor.as_deref(), query.limit)?,
    };
    let limit = filter.page.limit;
    let rows = state.store.reservations(filter).await?;
    let last = rows.last().map(|last| (last.created_at, last.key));
    Ok(Answer(ReservationList {
        reservations: rows.iter().map(Into::into).collect(),
        next_cursor: next(rows.len(), limit, last),
    }))
}

/// The reservation, where the caller may know of it.
async fn find(state: &Shared, caller: &Caller, key: Key) -> Result<Reservation, Fault> {
    let found = state.store.reservation(key).await?;
    found
        .filter(|reservation| caller.sees(&reservation.call.tenant))
        .ok_or_else(|| Fault::no_reservation(key))
}

/// What a settle is priced by, where the caller may know of it.
async fn call(state: &Shared, caller: &Caller, key: Key) -> Result<Call, Fault> {
    match state.calls.get(key) {
        Some(call) if caller.sees(&call.tenant) => Ok(call),
        _ => Ok((&find(state, caller, key).await?).into()),
    }
}

/// One reservation.
#[utoipa::path(get, path = "/api/v1/reservations/{id}", tag = "reservations",
    operation_id = "getReservation", params(("id" = uuid::Uuid, Path, description = "Its request id")),
    responses(
        (status = 200, description = "As it is now", body = ReservationView),
        (status = 404, description = "No such reservation", body = Problem),
    ))]
pub(crate) async fn show(
    State(state): State<Shared>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Result<Answer<ReservationView>, Fault> {
    let reservation = find(&state, &caller, key).await?;
    Ok(Answer(ReservationView::from(&reservation)))
}

/// Charges what the call has cost, at the price of the time when it was reserved. With `tenant_id`
/// and `model`, also where nothing was reserved.
#[utoipa::path(post, path = "/api/v1/reservations/{id}/settle", tag = "reservations",
    operation_id = "settle", params(("id" = uuid::Uuid, Path, description = "Its request id")),
    request_body = SettleRequest,
    responses(
        (status = 200, description = "Charged", body = ReservationView),
        (status = 404, description = "No such reservation", body = Problem),
        (status = 409, description = "It was settled otherwise or released", body = Problem),
    ))]
pub(crate) async fn settle(
    State(state): State<Shared>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(request): Json<SettleRequest>,
) -> Result<Answer<ReservationView>, Fault> {
    let counts = [
        request.prompt_tokens,
        request.completion_tokens,
        request.cache_read_tokens,
        request.cache_write_5m_tokens,
        request.cache_write_1h_tokens,
    ];
    let stated = Stated {
        quoted: caller.quotes(request.quoted_usd)?,
        estimated: request.amount_estimated == Some(true),
        usage: usage(counts),
        tier: request.service_tier.unwrap_or_default(),
        amount: request.amount_usd.map(|amount| amount.0),
    };
    if let Some(named) = named(&caller, &request)? {
        let outcome = charge(&state, request_id(key)?, named, stated, state.now()).await?;
        return Ok(view(&outcome));
    }
    let call = call(&state, &caller, key).await?;
    let shelf = state.prices.get();
    let actual = stated.quote(|usage, tier| {
        let model = call.model.as_str();
        priced(shelf.book.charge(model, usage, tier, call.created_at, Rounding::HalfEven))
    })?;
    let settle = Settle { key, call: None, actual };
    let outcome = state.settle(settle).await.map_err(|error| Fault::escrow(error, state.now()))?;
    Ok(view(&outcome))
}

/// The call that a settle names, where it does.
fn named(caller: &Caller, request: &SettleRequest) -> Result<Option<Attribution>, Fault> {
    let (user, report_type) = (request.user_id.clone(), request.report_type.clone());
    match (request.tenant_id.clone(), request.model.clone()) {
        (Some(tenant), Some(model)) => {
            caller.acts_for(&tenant)?;
            Ok(Some(Attribution { tenant, model, user, report_type }))
        }
        (None, None) if user.is_none() && report_type.is_none() => Ok(None),
        (None, _) => Err(Fault::invalid("tenant_id", "is missing beside what names the call")),
        (_, None) => Err(Fault::invalid("model", "is missing beside what names the call")),
    }
}

/// Frees the hold of a call that did not happen.
#[utoipa::path(post, path = "/api/v1/reservations/{id}/release", tag = "reservations",
    operation_id = "release", params(("id" = uuid::Uuid, Path, description = "Its request id")),
    responses(
        (status = 200, description = "Freed", body = ReservationView),
        (status = 404, description = "No such reservation", body = Problem),
        (status = 409, description = "It was settled", body = Problem),
    ))]
pub(crate) async fn release(
    State(state): State<Shared>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Result<Answer<ReservationView>, Fault> {
    if caller != Caller::Admin {
        find(&state, &caller, key).await?;
    }
    let outcome = state.store.release(Release { key }).await;
    Ok(view(&outcome.map_err(|error| Fault::escrow(error, state.now()))?))
}

/// Decides an unresolved hold by hand. Administrators only.
#[utoipa::path(post, path = "/api/v1/reservations/{id}/resolve", tag = "reservations",
    operation_id = "resolve", params(("id" = uuid::Uuid, Path, description = "Its request id")),
    request_body = ResolveRequest,
    responses(
        (status = 200, description = "Decided", body = ReservationView),
        (status = 404, description = "No such reservation", body = Problem),
        (status = 409, description = "It is not unresolved", body = Problem),
    ))]
pub(crate) async fn resolve(
    State(state): State<Shared>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(request): Json<ResolveRequest>,
) -> Result<Answer<ReservationView>, Fault> {
    caller.admin()?;
    let resolve = Resolve { key, resolution: request.resolution };
    let outcome = state.store.resolve(resolve).await;
    Ok(view(&outcome.map_err(|error| Fault::escrow(error, state.now()))?))
}
