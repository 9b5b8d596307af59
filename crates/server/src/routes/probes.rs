//! Is it alive, is it ready?

use std::time::Duration;

use axum::{Json, extract::State};

use crate::{fault::Fault, service::Shared};

const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", operation_id = "healthz",
    responses((status = 200, description = "Alive", body = api::Done)))]
pub(crate) async fn healthz() -> Json<api::Done> {
    Json(api::Done { success: true, message: "alive".to_owned() })
}

/// The service can decide: its store answers and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses((status = 200, description = "Ready", body = api::Done)))]
pub(crate) async fn readyz(State(state): State<Shared>) -> Result<Json<api::Done>, Fault> {
    if state.is_draining() {
        return Err(Fault::draining());
    }
    tokio::time::timeout(PING_TIMEOUT, state.store.ping())
        .await
        .map_err(|_| Fault::timeout())??;
    Ok(Json(api::Done { success: true, message: "ready".to_owned() }))
}
