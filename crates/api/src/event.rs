//! `/api/v1/events`: what somebody has to be told.

use std::collections::BTreeMap;

use budget::{CloudEvent, Crossing, Event, EventKind, Notice};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Amount, Usd, cloud_budget::filter, schema};

/// Something that somebody has to be told: of a tenant's budget for AI, which has a `tenant_id`, or
/// of one for cloud cost, which has `cloud`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct EventView {
    /// Its place in the order of writing.
    pub seq: u64,
    /// `threshold`, `exhausted`, `overrun` or `unresolved`.
    pub kind: String,
    /// The threshold that was crossed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u16>,
    /// The reservation that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The budget.
    pub budget_id: Uuid,
    /// The first instant of the period.
    #[schema(schema_with = schema::timestamp)]
    pub period_start: String,
    /// Whose budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its model, or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Its report type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
    /// Charged in the period then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_usd: Option<Usd>,
    /// The limit then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_usd: Option<Usd>,
    /// What a budget for cloud cost says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<CloudEventView>,
    /// When it was found out.
    #[schema(schema_with = schema::timestamp)]
    pub at: String,
}

/// What a budget for cloud cost says.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudEventView {
    /// Its name.
    pub budget: String,
    /// Values by dimension, all of which a charge has to have to count.
    pub filter: BTreeMap<String, String>,
    /// Which cost.
    #[schema(schema_with = schema::basis)]
    pub basis: String,
    /// The currency.
    pub currency: String,
    /// How long a period is.
    #[schema(schema_with = schema::cloud_period)]
    pub period: String,
    /// The first billing month of the period, as `2026-10`.
    pub month_first: String,
    /// The last billing month.
    pub month_last: String,
    /// Spent in the period then.
    pub spent: Amount,
    /// The limit then.
    pub limit: Amount,
}

impl EventView {
    /// A notice at its place.
    pub fn new(seq: u64, notice: &Notice) -> Self {
        match notice {
            Notice::Ai(event) => Self::ai(seq, event),
            Notice::Cloud(event) => Self::cloud(seq, event),
        }
    }

    fn ai(seq: u64, event: &Event) -> Self {
        let (kind, percent, request_id) = match event.kind {
            EventKind::Threshold { percent } => ("threshold", Some(percent), None),
            EventKind::Exhausted => ("exhausted", None, None),
            EventKind::Overrun { key } => ("overrun", None, Some(key)),
            EventKind::Unresolved { key } => ("unresolved", None, Some(key)),
        };
        let scope = &event.scope;
        Self {
            seq,
            kind: kind.to_owned(),
            percent,
            request_id,
            budget_id: event.account.budget.0,
            period_start: event.account.start.to_string(),
            tenant_id: Some(scope.tenant.to_string()),
            model: Some(scope.model_or_star().to_owned()),
            user_id: scope.user.as_ref().map(ToString::to_string),
            report_type: scope.report_type.as_ref().map(ToString::to_string),
            settled_usd: Some(Usd(event.settled)),
            limit_usd: Some(Usd(event.limit)),
            cloud: None,
            at: event.at.to_string(),
        }
    }

    fn cloud(seq: u64, event: &CloudEvent) -> Self {
        let (kind, percent) = match event.kind {
            Crossing::Threshold { percent } => ("threshold", Some(percent)),
            Crossing::Exhausted => ("exhausted", None),
        };
        let (watched, (first, last)) = (&event.watched, event.months());
        Self {
            seq,
            kind: kind.to_owned(),
            percent,
            budget_id: event.id.0,
            period_start: first.start(),
            cloud: Some(CloudEventView {
                budget: event.budget.clone(),
                filter: filter(watched),
                basis: watched.basis.to_string(),
                currency: watched.currency.clone(),
                period: watched.period.to_string(),
                month_first: first.to_string(),
                month_last: last.to_string(),
                spent: Amount(event.spent),
                limit: Amount(event.limit),
            }),
            at: event.at.to_string(),
            ..Self::default()
        }
    }
}
