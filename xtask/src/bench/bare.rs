//! The baseline: axum that parses the same bodies and answers the same shapes, and decides nothing.

use std::net::SocketAddr;

use anyhow::Result;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where to listen.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
        Ok(axum::serve(listener, router()).await?)
    })
}

fn router() -> Router {
    Router::new()
        .route("/api/ai-budget/health", get(|| async { "" }))
        // Setting a limit is never measured; with it the benchmark runs against the baseline itself.
        .route("/api/ai-budget/set", post(|| async { "" }))
        .route("/api/ai-budget/check", post(check))
        .route("/api/v1/reservations", post(reserve))
        .route("/api/v1/reservations/{request_id}/settle", post(settle))
}

#[derive(Deserialize)]
struct Check {
    tenant_id: String,
    model: String,
    estimated_input_tokens: u64,
    estimated_output_tokens: u64,
}

#[derive(Serialize)]
struct Checked {
    allowed: bool,
    current_usage_usd: f64,
    monthly_limit_usd: f64,
    percentage_used: f64,
}

/// Uses every field, so that none is parsed in vain.
async fn check(Json(check): Json<Check>) -> Json<Checked> {
    let tokens = check.estimated_input_tokens + check.estimated_output_tokens;
    Json(Checked {
        allowed: !check.tenant_id.is_empty() && !check.model.is_empty(),
        current_usage_usd: tokens as f64 * 0.000_007,
        monthly_limit_usd: 1_000.0,
        percentage_used: 0.5,
    })
}

#[derive(Deserialize)]
struct Reserve {
    request_id: Uuid,
    tenant_id: String,
    model: String,
    estimated_input_tokens: u64,
    estimated_output_tokens: u64,
}

#[derive(Serialize)]
struct Reserved {
    request_id: Uuid,
    tenant_id: String,
    model: String,
    status: &'static str,
    held_usd: f64,
}

async fn reserve(Json(reserve): Json<Reserve>) -> (StatusCode, Json<Reserved>) {
    let tokens = reserve.estimated_input_tokens + reserve.estimated_output_tokens;
    let reserved = Reserved {
        request_id: reserve.request_id,
        tenant_id: reserve.tenant_id,
        model: reserve.model,
        status: "held",
        held_usd: tokens as f64 * 0.000_007,
    };
    (StatusCode::CREATED, Json(reserved))
}

#[derive(Deserialize)]
struct Settle {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Serialize)]
struct Settled {
    request_id: Uuid,
    status: &'static str,
    cost_usd: f64,
}

async fn settle(Path(request_id): Path<Uuid>, Json(settle): Json<Settle>) -> Json<Settled> {
    let tokens = settle.prompt_tokens + settle.completion_tokens;
    Json(Settled { request_id, status: "settled", cost_usd: tokens as f64 * 0.000_007 })
}
