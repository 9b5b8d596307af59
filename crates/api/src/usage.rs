//! `/api/v1/usage`.

use budget::UsageRow;
use focus::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Instant, Usd, schema};

/// Which usage, summed how.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// Columns, a comma between two: `day`, `tenant`, `model`, `user`, `report_type`.
    pub group_by: Option<String>,
    /// From this time on: a date or an RFC 3339 time; the start of the month (UTC) by default.
    #[param(value_type = Option<String>)]
    pub from: Option<Instant>,
    /// Before this time; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<Instant>,
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
}

/// Which calls.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// From this time on: a date or an RFC 3339 time; the start of the month (UTC) by default.
    #[param(value_type = Option<String>)]
    pub from: Option<Instant>,
    /// Before this time; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<Instant>,
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
}

/// One row; what is not grouped by is absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageLine {
    /// UTC day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// User.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Report type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
    /// Calls.
    pub requests: u64,
    /// Prompt tokens, cached ones included.
    pub tokens_input: u64,
    /// Completion tokens.
    pub tokens_output: u64,
    /// What they have cost.
    pub cost_usd: Usd,
    /// Calls among them whose model has no price yet; not in `cost_usd`.
    pub unpriced: u64,
}

impl From<&UsageRow> for UsageLine {
    fn from(row: &UsageRow) -> Self {
        Self {
            day: row.day.clone(),
            tenant_id: row.tenant.as_ref().map(ToString::to_string),
            model: row.model.as_ref().map(ToString::to_string),
            user_id: row.user.as_ref().map(ToString::to_string),
            report_type: row.report_type.as_ref().map(ToString::to_string),
            requests: row.requests,
            tokens_input: row.tokens_input,
            tokens_output: row.tokens_output,
            cost_usd: Usd(row.cost),
            unpriced: row.unpriced,
        }
    }
}

/// Usage of a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageReport {
    /// Its first instant.
    #[schema(schema_with = schema::timestamp)]
    pub from: String,
    /// The first instant after it.
    #[schema(schema_with = schema::timestamp)]
    pub to: String,
    /// The rows.
    pub rows: Vec<UsageLine>,
}
