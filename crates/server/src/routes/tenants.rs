//! `/api/v1/tenants`.

use api::{Problem, TenantList, TenantQuery, TenantRequest, TenantView};
use axum::{Json as Answer, extract::State, http::StatusCode};
use budget::{Page, Tenant, Tier};
use focus::{Scope, TenantId};

use super::{ai_budget::set_monthly, next, page};
use crate::{
    auth::Caller,
    extract::{Json, Path, Query},
    fault::Fault,
    service::Shared,
};

/// Tenants in the order of ids.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", operation_id = "listTenants",
    params(TenantQuery), responses((status = 200, description = "A page", body = TenantList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Answer<TenantList>, Fault> {
    let page: Page<TenantId> = page(query.cursor.as_deref(), query.limit)?;
    if let Caller::Tenant(own) = &caller {
        let own = state.store.tenant(own).await?;
        let tenants = own.iter().map(Into::into).collect();
        return Ok(Answer(TenantList { tenants, next_cursor: None }));
    }
    let limit = page.limit;
    let rows = state.store.tenants(page).await?;
    let last = rows.last().map(|last| last.id.clone());
    Ok(Answer(TenantList {
        tenants: rows.iter().map(Into::into).collect(),
        next_cursor: next(rows.len(), limit, last),
    }))
}

/// Creates or changes a tenant; a tier also sets its monthly budget. Administrators only.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", operation_id = "putTenant",
    request_body = TenantRequest,
    responses(
        (status = 201, description = "Created", body = TenantView),
        (status = 200, description = "Changed", body = TenantView),
    ))]
pub(crate) async fn put(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<TenantRequest>,
) -> Result<(StatusCode, Answer<TenantView>), Fault> {
    caller.admin()?;
    let name = plain("name", request.name, 200)?;
    let admin_email = plain("admin_email", request.admin_email, 254)?;
    if admin_email.as_deref().is_some_and(|email| !is_address(email)) {
        return Err(Fault::invalid("admin_email", "must be an e-mail address"));
    }
    let agreed = request.custom_limit_usd.map(|agreed| agreed.0);
    if agreed.is_some() && request.tier != Some(Tier::Custom) {
        return Err(Fault::invalid("custom_limit_usd", "needs the tier custom"));
    }
    let wrong = |error| Fault::invalid("custom_limit_usd", format!("is wrong: {error}"));
    let limit = request.tier.map(|tier| tier.limit(agreed)).transpose().map_err(wrong)?;
    let (id, created_at) = (request.tenant_id, state.now());
    let known = state.store.tenant(&id).await?.is_some();
    let tenant = Tenant { id, name, tier: request.tier, admin_email, created_at };
    let tenant = state.store.put_tenant(tenant).await?;
    if let Some(limit) = limit {
        set_monthly(&state, Scope::tenant(tenant.id.clone()), limit).await?;
    }
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Answer(TenantView::from(&tenant))))
}

/// A line of text for people.
pub(super) fn plain(
    field: &str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, Fault> {
    let Some(text) = text else { return Ok(None) };
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        let message = format!("must be 1 to {most} characters without control characters");
        return Err(Fault::invalid(field, message));
    }
    Ok(Some(text))
}

fn is_address(text: &str) -> bool {
    let has_space = text.chars().any(char::is_whitespace);
    text.split_once('@').is_some_and(|(user, host)| {
        !has_space && !user.is_empty() && !host.is_empty() && !host.contains('@')
    })
}

/// One tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "tenants", operation_id = "getTenant",
    params(("id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 404, description = "No such tenant", body = Problem),
    ))]
pub(crate) async fn show(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<TenantId>,
) -> Result<Answer<TenantView>, Fault> {
    caller.acts_for(&id)?;
    let tenant = state.store.tenant(&id).await?;
    let tenant = tenant.ok_or_else(|| Fault::not_found(format!("no tenant {id}")))?;
    Ok(Answer(TenantView::from(&tenant)))
}
