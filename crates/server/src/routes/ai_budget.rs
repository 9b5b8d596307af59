//! `/api/ai-budget/…`.

use api::{
    CheckRequest, CheckResponse, Consumer, Done, Health, Percent, Problem, SetRequest,
    TenantStatus, TopConsumers, TrackRequest, TrackResponse, Usd,
};
use axum::{Json as Answer, extract::State};
use budget::{
    Budget, BudgetId, Enforcement, EscrowError, Key, Line, Origin, Outcome, Reservation, Reserve,
    Settle, Standing, State as Is,
};
use focus::{Attribution, ModelName, PeriodUnit, Scope, TenantId};
use jiff::Timestamp;
use money::{Money, PriceError, Rounding, TokenUsage};
use uuid::Uuid;

use super::{Stated, attribution, canonical, in_force, renamed, request_id};
use crate::{
    auth::Caller,
    extract::{Json, Path},
    fault::Fault,
    service::Shared,
};

const TOP: usize = 10;

/// Liveness.
#[utoipa::path(get, path = "/api/ai-budget/health", tag = "ai-budget", operation_id = "health",
    responses((status = 200, description = "Alive", body = Health)))]
pub(crate) async fn health() -> Answer<Health> {
    Answer(Health { status: "healthy".to_owned(), service: "ai-budget".to_owned() })
}

/// May this request be made? With a `request_id`, its cost is held until it is tracked.
#[utoipa::path(post, path = "/api/ai-budget/check", tag = "ai-budget", operation_id = "check",
    request_body = CheckRequest,
    responses(
        (status = 200, description = "It fits", body = CheckResponse),
        (status = 409, description = "The request id was used with other content", body = Problem),
        (status = 429, description = "It does not fit", body = Problem),
    ))]
pub(crate) async fn check(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<CheckRequest>,
) -> Result<Answer<CheckResponse>, Fault> {
    caller.acts_for(&request.tenant_id)?;
    let now = state.now();
    let shelf = state.prices.get();
    let tokens = |tokens: Option<api::Tokens>| tokens.unwrap_or_default().0;
    let stated = Stated {
        quoted: caller.quotes(request.quoted_usd)?,
        estimated: false,
        usage: TokenUsage {
            input: request.estimated_input_tokens.0,
            output: request.estimated_output_tokens.0,
            cache_read: tokens(request.cache_read_tokens),
            cache_write_5m: tokens(request.cache_write_5m_tokens),
            cache_write_1h: tokens(request.cache_write_1h_tokens),
        },
        tier: request.service_tier.unwrap_or_default(),
        amount: request.amount_usd.map(|amount| amount.0),
    };
    let (book, model) = (&shelf.book, request.model);
    let estimate =
        stated.quote(|usage, tier| Ok(Some(book.hold(model.as_str(), usage, tier, now)?)))?;
    let named = model.clone();
    let call = attribution(book, request.tenant_id, model, request.user_id, request.report_type);
    let is_exact = request.exact == Some(true);
    let answer = |standing: &Standing, reservation: Option<&Reservation>| {
        let counted_usd = is_exact.then_some(Usd(standing.counted));
        Answer(CheckResponse { counted_usd, ..allowed(standing, reservation) })
    };
    let fault = |error| Fault::escrow(error, now);
    let Some(key) = request.request_id else {
        let reserve = Reserve {
            key: Uuid::nil(),
            call,
            estimate,
            timeout: None,
            covered: false,
            fresh: false,
        };
        let standing = state.store.check(reserve).await.map_err(fault)?;
        return Ok(answer(&standing, None));
    };
    let reserve = Reserve {
        key: request_id(key)?,
        call,
        estimate,
        timeout: None,
        covered: false,
        fresh: false,
    };
    let outcome = super::reserve(&state, book, &named, reserve).await;
    let Outcome { reservation, .. } = outcome.map_err(fault)?;
    Ok(answer(&reservation.standing, Some(&reservation)))
}

fn allowed(standing: &Standing, reservation: Option<&Reservation>) -> CheckResponse {
    CheckResponse {
        allowed: true,
        current_usage_usd: Usd(standing.settled),
        monthly_limit_usd: Usd(standing.limit),
        counted_usd: None,
        percentage_used: Percent::of(standing.counted, standing.limit),
        request_id: reservation.map(|reservation| reservation.key),
        held_usd: reservation.map(|reservation| Usd(reservation.hold)),
        expires_at: reservation.map(|reservation| reservation.expires_at.to_string()),
        would_refuse: standing.would_refuse,
    }
}

/// Records what a call has used, exactly once for each `request_id`.
#[utoipa::path(post, path = "/api/ai-budget/track", tag = "ai-budget", operation_id = "track",
    request_body = TrackRequest,
    responses(
        (status = 200, description = "Recorded", body = TrackResponse),
        (status = 409, description = "The request id was used with other content", body = Problem),
    ))]
pub(crate) async fn track(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<TrackRequest>,
) -> Result<Answer<TrackResponse>, Fault> {
    caller.acts_for(&request.tenant_id)?;
    let now = state.now();
    let key = request_id(request.request_id)?;
    let tokens = |tokens: Option<api::Tokens>| tokens.unwrap_or_default().0;
    let stated = Stated {
        quoted: None,
        estimated: false,
        usage: TokenUsage {
            input: request.prompt_tokens.0,
            output: request.completion_tokens.0,
            cache_read: tokens(request.cache_read_tokens),
            cache_write_5m: tokens(request.cache_write_5m_tokens),
            cache_write_1h: tokens(request.cache_write_1h_tokens),
        },
        tier: request.service_tier.unwrap_or_default(),
        amount: None,
    };
    let call = Attribution {
        tenant: request.tenant_id,
        model: request.model,
        user: request.user_id,
        report_type: request.report_type,
    };
    let outcome = charge(&state, key, call, stated, now).await?;
    Ok(Answer(tracked(&outcome.reservation)))
}

/// Charges a call whether it was reserved or not; `named` has the model as its caller names it.
pub(super) async fn charge(
    state: &Shared,
    key: Key,
    named: Attribution,
    stated: Stated,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    let shelf = state.prices.get();
    let book = &shelf.book;
    let Attribution { tenant, model: named, user, report_type } = named;
    let call = attribution(book, tenant, named.clone(), user, report_type);
    let model = &call.model;
    let at = if shelf.is_dated(model.as_str()) || shelf.is_dated(named.as_str()) {
        state.store.reservation(key).await?.map_or(now, |reservation| reservation.created_at)
    } else {
        now
    };
    let quote = |model: &ModelName, at| {
        stated.quote(|usage, tier| {
            priced(book.charge(model.as_str(), usage, tier, at, Rounding::HalfEven))
        })
    };
    let settle = Settle { key, call: Some(call.clone()), actual: quote(&named, at)? };
    let mut outcome = state.settle(settle).await;
    if let Err(EscrowError::Conflict(_)) = outcome
        && let Some(known) = renamed(state, book, key, &named, model).await?
    {
        let actual = quote(&known.call.model, known.created_at)?;
        let call = Some(Attribution { model: known.call.model, ..call });
        outcome = state.settle(Settle { key, call, actual }).await;
    }
    outcome.map_err(|error| Fault::escrow(error, now))
}

/// A charge; nothing for a model without a price, whose call has happened all the same.
pub(super) fn priced(charge: Result<Money, PriceError>) -> Result<Option<Money>, Fault> {
    match charge {
        Ok(amount) => Ok(Some(amount)),
        Err(error @ PriceError::Overflow { .. }) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn tracked(reservation: &Reservation) -> TrackResponse {
    let model = &reservation.call.model;
    if reservation.state != Is::Unpriced {
        let message = "usage recorded".to_owned();
        return TrackResponse { success: true, message, cost_usd: reservation.cost.map(Usd) };
    }
    let message = format!(
        "usage kept as unpriced: model {model} has no price yet and is charged once \
         `bursar prices import` brings one"
    );
    TrackResponse { success: true, message, cost_usd: None }
}

/// Sets a tenant's monthly limit for one model or, as `*`, for all. Administrators only.
#[utoipa::path(post, path = "/api/ai-budget/set", tag = "ai-budget", operation_id = "set",
    request_body = SetRequest,
    responses((status = 200, description = "Set", body = Done)))]
pub(crate) async fn set(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<SetRequest>,
) -> Result<Answer<Done>, Fault> {
    caller.admin()?;
    let shelf = state.prices.get();
    let model = request.model.0.map(|model| canonical(&shelf.book, model));
    let scope = Scope { tenant: request.tenant_id, model, user: None, report_type: None };
    let limit = request.monthly_limit_usd.0;
    set_monthly(&state, scope.clone(), limit).await?;
    Ok(Answer(Done { success: true, message: format!("{scope} may spend {limit} USD a month") }))
}

/// Puts a hard monthly limit, in place of the one there is.
pub(super) async fn set_monthly(state: &Shared, scope: Scope, limit: Money) -> Result<(), Fault> {
    let now = state.now();
    let id = BudgetId::of(&scope, PeriodUnit::Month);
    let lines = state.store.status(&scope.tenant, now).await?;
    let known = lines.into_iter().find(|line| line.budget.id == id);
    let wrong = |error| Fault::invalid("monthly_limit_usd", format!("is wrong: {error}"));
    let fresh = Budget::new(scope, limit, now).map_err(wrong)?;
    let budget = match known {
        Some(line) if line.budget.origin == Origin::Set => Budget {
            limit,
            enforcement: Enforcement::Hard,
            updated_at: now,
            ..Budget::clone(&line.budget)
        },
        _ => fresh,
    };
    state.store.put(budget).await?;
    Ok(())
}

/// How a tenant's budgets stand. A tenant that nobody knows has none.
#[utoipa::path(get, path = "/api/ai-budget/tenant/{id}", tag = "ai-budget",
    operation_id = "tenantStatus", params(("id" = String, Path, description = "The tenant")),
    responses((status = 200, description = "Its budgets", body = TenantStatus)))]
pub(crate) async fn tenant(
    State(state): State<Shared>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Answer<TenantStatus>, Fault> {
    caller.acts_for(&tenant)?;
    let now: Timestamp = state.now();
    let lines = in_force(state.store.status(&tenant, now).await?);
    let (usage, limit) = totals(&lines);
    Ok(Answer(TenantStatus {
        tenant_id: tenant.to_string(),
        budgets: lines.iter().map(Into::into).collect(),
        total_usage_usd: Usd(usage),
        total_limit_usd: Usd(limit),
    }))
}

/// What a tenant has spent and may spend: by its budget over all models, or else by those of the
/// models together. Monthly budgets come before others.
fn totals(lines: &[Line]) -> (Money, Money) {
    let mut wide: Vec<&Line> =
        lines.iter().filter(|line| line.budget.scope.is_tenant_wide()).collect();
    wide.sort_by_key(|line| line.budget.rule.unit() != PeriodUnit::Month);
    if let Some(all) = wide.iter().find(|line| line.budget.scope.model.is_none()) {
        return (all.account.settled, all.budget.limit);
    }
    wide.sort_by_key(|line| line.budget.scope.clone());
    wide.dedup_by(|a, b| a.budget.scope == b.budget.scope);
    let sum = |amount: fn(&Line) -> Money| {
        let sum = wide.iter().try_fold(Money::ZERO, |sum, line| sum.checked_add(amount(line)));
        sum.unwrap_or(Money::MAX)
    };
    (sum(|line| line.account.settled), sum(|line| line.budget.limit))
}

/// The ten tenants that have spent most this month. Administrators only.
#[utoipa::path(get, path = "/api/ai-budget/top-consumers", tag = "ai-budget",
    operation_id = "topConsumers",
    responses((status = 200, description = "The highest first", body = TopConsumers)))]
pub(crate) async fn top_consumers(
    State(state): State<Shared>,
    caller: Caller,
) -> Result<Answer<TopConsumers>, Fault> {
    caller.admin()?;
    let consumers = state.store.top(state.now(), TOP).await?;
    let consumers = consumers.into_iter().map(|one| Consumer {
        tenant_id: one.tenant.to_string(),
        total_usage_usd: Usd(one.usage),
        total_input_tokens: one.tokens_input,
        total_output_tokens: one.tokens_output,
    });
    Ok(Answer(TopConsumers { consumers: consumers.collect() }))
}
