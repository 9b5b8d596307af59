//! `/api/v1/keys`: administrators only.

use api::{KeyCreated, KeyList, KeyQuery, KeyRequest, KeyView, Problem, RotateQuery};
use axum::{Json as Answer, extract::State, http::StatusCode};
use focus::TenantId;
use jiff::SignedDuration;
use uuid::Uuid;

use super::tenants::plain;
use crate::{
    auth::{Caller, new_key},
    extract::{Json, Path, Query},
    fault::Fault,
    service::Shared,
};

const GRACE_MOST: u32 = 604_800;

/// Keys without their secrets, revoked ones too.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "listKeys",
    params(KeyQuery), responses((status = 200, description = "The keys", body = KeyList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<KeyQuery>,
) -> Result<Answer<KeyList>, Fault> {
    caller.admin()?;
    let keys = state.store.keys(query.tenant_id.as_ref()).await?;
    Ok(Answer(KeyList { keys: keys.iter().map(KeyView::from).collect() }))
}

/// Creates a key for a tenant. The secret is shown this once.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", operation_id = "createKey",
    request_body = KeyRequest,
    responses((status = 201, description = "Created", body = KeyCreated)))]
pub(crate) async fn create(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<KeyRequest>,
) -> Result<(StatusCode, Answer<KeyCreated>), Fault> {
    caller.admin()?;
    let name = plain("name", request.name, 100)?.unwrap_or_else(|| "key".to_owned());
    let created = issue(&state, request.tenant_id, name).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

async fn issue(state: &Shared, tenant: TenantId, name: String) -> Result<KeyCreated, Fault> {
    let (record, secret) = new_key(tenant, name, state.now()).map_err(|error| {
        tracing::error!("failed to get random bytes: {error}");
        Fault::internal()
    })?;
    let key = KeyView::from(&record);
    state.store.put_key(record).await?;
    Ok(KeyCreated { key, secret })
}

/// Puts a new key in a key's place and revokes the old one, at once or after a grace.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "keys", operation_id = "rotateKey",
    params(("id" = Uuid, Path, description = "The key"), RotateQuery),
    responses(
        (status = 201, description = "Created", body = KeyCreated),
        (status = 404, description = "No such key", body = Problem),
        (status = 409, description = "It was revoked", body = Problem),
    ))]
pub(crate) async fn rotate(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<RotateQuery>,
) -> Result<(StatusCode, Answer<KeyCreated>), Fault> {
    caller.admin()?;
    let grace = query.grace_seconds.unwrap_or_default();
    if grace > GRACE_MOST {
        return Err(Fault::invalid("grace_seconds", format!("must be at most {GRACE_MOST}")));
    }
    let keys = state.store.keys(None).await?;
    let known = keys.into_iter().find(|key| key.id == id);
    let known = known.ok_or_else(|| Fault::not_found(format!("no key {id}")))?;
    if known.revoked_at.is_some() {
        return Err(Fault::conflict("key_revoked", format!("key {id} was revoked")));
    }
    let created = issue(&state, known.tenant, known.name).await?;
    let at = state.now().saturating_add(SignedDuration::from_secs(grace.into()));
    state.store.revoke_key(id, at.unwrap_or_else(|_| state.now())).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

/// Revokes a key. It stays in the list.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "revokeKey",
    params(("id" = Uuid, Path, description = "The key")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "No such key", body = Problem),
    ))]
pub(crate) async fn revoke(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Fault> {
    caller.admin()?;
    if state.store.revoke_key(id, state.now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Fault::not_found(format!("no key {id}")))
    }
}
