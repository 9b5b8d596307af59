//! `/api/v1/cost/budgets`.

use api::{
    CloudBudgetList, CloudBudgetRequest, CloudBudgetUpdate, CloudBudgetView, CloudPeriodView,
    Problem,
};
use axum::{Json as Answer, extract::State, http::StatusCode};
use budget::{CloudBudget, CloudBudgetError, CloudPeriod, Watched};
use focus::cost::{Basis, CostsError, Dimension};

use super::budgets::thresholds;
use crate::{
    auth::Caller,
    extract::{Json, Path},
    fault::Fault,
    service::Shared,
};

/// Budgets for cloud cost, and how they stand in their running periods. Administrators only.
#[utoipa::path(get, path = "/api/v1/cost/budgets", tag = "cost",
    operation_id = "listCloudBudgets",
    responses((status = 200, description = "All of them", body = CloudBudgetList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
) -> Result<Answer<CloudBudgetList>, Fault> {
    caller.admin()?;
    let mut budgets = Vec::new();
    for budget in state.store.cloud_budgets().await? {
        budgets.push(view(&state, &budget).await?);
    }
    Ok(Answer(CloudBudgetList { budgets }))
}

/// The budget with its running period, where that can be asked.
async fn view(state: &Shared, budget: &CloudBudget) -> Result<CloudBudgetView, Fault> {
    let mut view = CloudBudgetView::new(budget);
    let Some(costs) = &state.costs else {
        view.unknown_because = Some("this service has no lake of bills".to_owned());
        return Ok(view);
    };
    let Some(months) = budget.period(state.now()) else { return Ok(view) };
    let version = costs.version().await?;
    match state.spent.of(&**costs, &state.questions, version, budget, months).await {
        Ok(spent) => view.current = Some(CloudPeriodView::new(budget, months, spent, version)),
        // Of a filter that the lake does not understand, the others are not to suffer.
        Err(error @ (CostsError::Question(_) | CostsError::Limit(_))) => {
            view.unknown_because = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(view)
}

async fn find(state: &Shared, name: &str) -> Result<Option<CloudBudget>, Fault> {
    let budgets = state.store.cloud_budgets().await?;
    Ok(budgets.into_iter().find(|budget| budget.name == name))
}

fn unknown(name: &str) -> Fault {
    Fault::not_found(format!("no budget {name:?} for cloud cost"))
}

/// Creates a budget for cloud cost. Administrators only.
#[utoipa::path(post, path = "/api/v1/cost/budgets", tag = "cost",
    operation_id = "createCloudBudget", request_body = CloudBudgetRequest,
    responses(
        (status = 201, description = "Created", body = CloudBudgetView),
        (status = 409, description = "There is one of this name", body = Problem),
    ))]
pub(crate) async fn create(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<CloudBudgetRequest>,
) -> Result<(StatusCode, Answer<CloudBudgetView>), Fault> {
    caller.admin()?;
    let budget = budget(request, &state)?;
    if find(&state, &budget.name).await?.is_some() {
        let message = format!(
            "budget {:?} is there; change its limit with PUT, or remove it first",
            budget.name
        );
        return Err(Fault::conflict("budget_exists", message));
    }
    let budget = state.store.put_cloud(budget).await?;
    Ok((StatusCode::CREATED, Answer(view(&state, &budget).await?)))
}

fn budget(request: CloudBudgetRequest, state: &Shared) -> Result<CloudBudget, Fault> {
    let mut filter = Vec::new();
    for (name, value) in request.filter.unwrap_or_default() {
        let dimension: Dimension =
            name.parse().map_err(|error| Fault::invalid("filter", format!("is wrong: {error}")))?;
        filter.push((dimension, value));
    }
    let basis: Basis = match request.basis {
        Some(word) => {
            word.parse().map_err(|error| Fault::invalid("basis", format!("is wrong: {error}")))?
        }
        None => Basis::default(),
    };
    let period = request.period.map(|word| word.parse()).transpose().map_err(wrong)?;
    let currency = request.currency.as_deref().unwrap_or("USD");
    let period: CloudPeriod = period.unwrap_or_default();
    let watched = Watched::new(filter, basis, currency, period).map_err(wrong)?;
    let budget = CloudBudget::new(&request.name, watched, request.limit.0, state.now());
    let mut budget = budget.map_err(wrong)?;
    if let Some(percents) = request.thresholds {
        budget.thresholds = thresholds(percents)?;
    }
    Ok(budget)
}

fn wrong(error: CloudBudgetError) -> Fault {
    let field = match error {
        CloudBudgetError::Name(_) => "name",
        CloudBudgetError::Filter(_) => "filter",
        CloudBudgetError::Currency(_) => "currency",
        CloudBudgetError::Limit(_) => "limit",
        CloudBudgetError::Period(_) => "period",
    };
    Fault::invalid(field, format!("is wrong: {error}"))
}

/// Changes the limit and thresholds of a budget for cloud cost. What was told of the running period
/// is not told again. Administrators only.
#[utoipa::path(put, path = "/api/v1/cost/budgets/{name}", tag = "cost",
    operation_id = "updateCloudBudget",
    params(("name" = String, Path, description = "The budget's name")),
    request_body = CloudBudgetUpdate,
    responses(
        (status = 200, description = "Changed", body = CloudBudgetView),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn update(
    State(state): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<CloudBudgetUpdate>,
) -> Result<Answer<CloudBudgetView>, Fault> {
    caller.admin()?;
    let mut budget = find(&state, &name).await?.ok_or_else(|| unknown(&name))?;
    budget.limit = request.limit.0;
    if let Some(percents) = request.thresholds {
        budget.thresholds = thresholds(percents)?;
    }
    budget.updated_at = state.now();
    let budget = state.store.put_cloud(budget).await?;
    Ok(Answer(view(&state, &budget).await?))
}

/// Removes a budget for cloud cost; what was told of it stays. Administrators only.
#[utoipa::path(delete, path = "/api/v1/cost/budgets/{name}", tag = "cost",
    operation_id = "deleteCloudBudget",
    params(("name" = String, Path, description = "The budget's name")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "No such budget", body = Problem),
    ))]
pub(crate) async fn remove(
    State(state): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Fault> {
    caller.admin()?;
    if state.store.remove_cloud(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name))
    }
}
