//! Pages for people. They are whole in themselves: nothing is fetched from elsewhere.

use std::sync::LazyLock;

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{fault::Fault, openapi};

static DOCUMENT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| openapi::document().to_json());

/// The OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi() -> Result<Response, Fault> {
    let text = DOCUMENT.as_ref().map_err(|error| {
        tracing::error!("failed to write the OpenAPI document: {error}");
        Fault::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}

/// The budgets, live.
#[utoipa::path(get, path = "/", tag = "operations", operation_id = "budgetsPage",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn budgets() -> Result<Response, Fault> {
    page(include_str!("page/budgets.html"))
}

/// The API, to read.
#[utoipa::path(get, path = "/docs", tag = "operations", operation_id = "docsPage",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn docs() -> Result<Response, Fault> {
    page(include_str!("page/docs.html"))
}

/// A page whose own script and style may run, and nothing else.
fn page(text: &str) -> Result<Response, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Fault::internal())?;
    let nonce = URL_SAFE_NO_PAD.encode(bytes);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).map_err(|_| Fault::internal())?;
    let mut response = Html(text.replace("{{nonce}}", &nonce)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
