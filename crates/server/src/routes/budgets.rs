//! `/api/v1/budgets`.

use std::collections::HashMap;

use api::{
    BudgetHistory, BudgetList, BudgetQuery, BudgetRequest, BudgetUpdate, BudgetView, PeriodView,
    Problem,
};
use axum::{Json as Answer, extract::State, http::StatusCode};
use budget::{Budget, BudgetFilter, BudgetId, Line, Origin, Overflow, Thresholds};
use focus::{ModelName, PeriodError, PeriodRule, PeriodUnit, Scope, TenantId};
use uuid::Uuid;

use super::{canonical, find_budget, next, page};
use crate::{
    auth::Caller,
    extract::{Json, Path, Query},
    fault::Fault,
    service::Shared,
};

/// Years in which custom periods may start.
const ANCHORS: std::ops::RangeInclusive<i16> = 1970..=2200;

/// Budgets with their running periods, in the order of ids.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "budgets", operation_id = "listBudgets",
    params(BudgetQuery), responses((status = 200, description = "A page", body = BudgetList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<BudgetQuery>,
) -> Result<Answer<BudgetList>, Fault> {
    let tenant = caller.narrow(query.tenant_id)?;
    let filter = BudgetFilter { tenant, page: page(query.cursor.as_deref(), query.limit)? };
    let limit = filter.page.limit;
    let rows = state.store.list(filter).await?;
    let mut lines: HashMap<TenantId, Vec<Line>> = HashMap::new();
    let now = state.now();
    let mut budgets = Vec::with_capacity(rows.len());
    for budget in &rows {
        let tenant = &budget.scope.tenant;
        if !lines.contains_key(tenant) {
            lines.insert(tenant.clone(), state.store.status(tenant, now).await?);
        }
        let line = lines.get(tenant).and_then(|lines| find(lines, budget.id));
        budgets.push(BudgetView::new(budget, line.map(|line| &line.account)));
    }
    let last = rows.last().map(|last| last.id);
    Ok(Answer(BudgetList { next_cursor: next(rows.len(), limit, last), budgets }))
}

fn find(lines: &[Line], id: BudgetId) -> Option<&Line> {
    lines.iter().find(|line| line.budget.id == id)
}

/// The budget with its running period.
async fn view(state: &Shared, budget: &Budget) -> Result<BudgetView, Fault> {
    let lines = state.store.status(&budget.scope.tenant, state.now()).await?;
    Ok(BudgetView::new(budget, find(&lines, budget.id).map(|line| &line.account)))
}

/// The budget, where the caller may know of it.
async fn known(state: &Shared, caller: &Caller, id: Uuid) -> Result<Budget, Fault> {
    let found = find_budget(state, BudgetId(id)).await?;
    found
        .filter(|budget| caller.sees(&budget.scope.tenant))
        .ok_or_else(|| Fault::not_found(format!("no budget {id}")))
}

/// Creates a budget. Administrators only.
#[utoipa::path(post, path = "/api/v1/budgets", tag = "budgets", operation_id = "createBudget",
    request_body = BudgetRequest,
    responses(
        (status = 201, description = "Created", body = BudgetView),
        (status = 409, description = "There is one for these calls and periods", body = Problem),
    ))]
pub(crate) async fn create(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<BudgetRequest>,
) -> Result<(StatusCode, Answer<BudgetView>), Fault> {
    caller.admin()?;
    let shelf = state.prices.get();
    let scope = Scope {
        tenant: request.tenant_id,
        model: request.model.0.map(|model| canonical(&shelf.book, model)),
        user: request.user_id,
        report_type: request.report_type,
    };
    if request.anchor.is_some_and(|anchor| !ANCHORS.contains(&anchor.year())) {
        return Err(Fault::invalid("anchor", "must be between 1970 and 2200"));
    }
    let unit = request.period.unwrap_or(PeriodUnit::Month);
    let zone = request.time_zone.as_deref().unwrap_or("UTC");
    let rule = PeriodRule::new(unit, request.anchor, request.days, zone).map_err(|error| {
        let field = match error {
            PeriodError::Zone(_) => "time_zone",
            PeriodError::Custom if request.anchor.is_none() => "anchor",
            PeriodError::Custom => "days",
            PeriodError::Unit(_) | PeriodError::Range(_) => "period",
        };
        Fault::unprocessable("invalid_period", error).about(field)
    })?;
    let mut budget = Budget::with_rule(scope, request.limit_usd.0, rule, state.now())
        .map_err(|error| Fault::invalid("limit_usd", format!("is wrong: {error}")))?;
    if let Some(percents) = request.thresholds {
        budget.thresholds = thresholds(percents)?;
    }
    budget.enforcement = request.enforcement.unwrap_or_default();
    if let Some(overflow) = overflow(request.overflow, request.fallback_models)? {
        budget.overflow = overflow;
    }
    let id = budget.id;
    if find_budget(&state, id).await?.is_some_and(|known| known.origin == Origin::Set) {
        let message = format!("budget {id} covers these calls; change it with PUT");
        return Err(Fault::conflict("budget_exists", message));
    }
    let budget = state.store.put(budget).await?;
    Ok((StatusCode::CREATED, Answer(view(&state, &budget).await?)))
}

pub(super) fn thresholds(percents: Vec<u16>) -> Result<Thresholds, Fault> {
    Thresholds::new(percents)
        .map_err(|error| Fault::invalid("thresholds", format!("is wrong: {error}")))
}

fn overflow(word: Option<String>, models: Option<Vec<String>>) -> Result<Option<Overflow>, Fault> {
    let Some(word) = word else {
        return match models {
            None => Ok(None),
            Some(_) => Err(Fault::invalid("fallback_models", "needs overflow: fallback")),
        };
    };
    let models = models.unwrap_or_default();
    if let Some(name) = models.iter().find(|name| ModelName::parse(name).is_err()) {
        return Err(Fault::invalid("fallback_models", format!("has no model's name: {name:?}")));
    }
    let text = std::iter::once(word).chain(models).collect::<Vec<_>>().join(" ");
    let wrong = |error| Fault::invalid("overflow", format!("is wrong: {error}"));
    text.parse().map(Some).map_err(wrong)
}

/// One budget with its running period.
#[utoipa::path(get, path = "/api/v1/budgets/{id}", tag = "budgets", operation_id = "getBudget",
    params(("id" = Uuid, Path, description = "The budget")),
    responses(
        (status = 200, description = "As it is now", body = BudgetView),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn show(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<BudgetView>, Fault> {
    let budget = known(&state, &caller, id).await?;
    Ok(Answer(view(&state, &budget).await?))
}

/// Changes a budget's limit, thresholds or enforcement. Administrators only.
#[utoipa::path(put, path = "/api/v1/budgets/{id}", tag = "budgets", operation_id = "updateBudget",
    params(("id" = Uuid, Path, description = "The budget")), request_body = BudgetUpdate,
    responses(
        (status = 200, description = "Changed", body = BudgetView),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn update(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<BudgetUpdate>,
) -> Result<Answer<BudgetView>, Fault> {
    caller.admin()?;
    let mut budget = known(&state, &caller, id).await?;
    budget.limit = request.limit_usd.0;
    if let Some(percents) = request.thresholds {
        budget.thresholds = thresholds(percents)?;
    }
    budget.enforcement = request.enforcement.unwrap_or(budget.enforcement);
    if let Some(overflow) = overflow(request.overflow, request.fallback_models)? {
        budget.overflow = overflow;
    }
    budget.origin = Origin::Set;
    budget.updated_at = state.now();
    let budget = state.store.put(budget).await?;
    Ok(Answer(view(&state, &budget).await?))
}

/// Removes a budget; its ledger stays. Administrators only.
#[utoipa::path(delete, path = "/api/v1/budgets/{id}", tag = "budgets",
    operation_id = "deleteBudget", params(("id" = Uuid, Path, description = "The budget")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn remove(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Fault> {
    caller.admin()?;
    if state.store.remove(BudgetId(id)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Fault::not_found(format!("no budget {id}")))
    }
}

/// A budget's periods, the latest first.
#[utoipa::path(get, path = "/api/v1/budgets/{id}/history", tag = "budgets",
    operation_id = "budgetHistory", params(("id" = Uuid, Path, description = "The budget")),
    responses(
        (status = 200, description = "Its periods", body = BudgetHistory),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn history(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<BudgetHistory>, Fault> {
    let budget = known(&state, &caller, id).await?;
    let accounts = state.store.history(budget.id).await?;
    let periods = accounts.iter().map(|account| PeriodView::new(account, budget.limit));
    Ok(Answer(BudgetHistory { budget_id: id, periods: periods.collect() }))
}
