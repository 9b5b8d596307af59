//! `/api/v1/notify/alertmanager`: what Alertmanager sends to a webhook.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// What Alertmanager sends, version 4; what stands here is read, the rest is not
/// (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>).
#[derive(Debug, Deserialize, ToSchema)]
pub struct AlertsRequest {
    /// The alerts of a group.
    #[schema(max_items = 1000)]
    pub alerts: Vec<AlertRequest>,
}

/// One alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertRequest {
    /// `firing`, or `resolved`.
    pub status: String,
    /// What it is: `alertname`, `severity` and others.
    pub labels: BTreeMap<String, String>,
    /// What people read: `summary` or `description`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    #[schema(schema_with = schema::timestamp)]
    pub starts_at: Timestamp,
    /// Names its labels.
    #[schema(min_length = 1, max_length = 64, pattern = "^[0-9A-Za-z]+$")]
    pub fingerprint: String,
}

/// What has become of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertsNoted {
    /// Noted for the digest: those of severity `info` that fire and were not noted before.
    pub noted: u64,
    /// All others.
    pub ignored: u64,
}
