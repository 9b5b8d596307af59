//! `/api/v1/budgets`.

use budget::{Account, Budget, Line, Overflow};
use focus::{PeriodUnit, ReportType, TenantId, UserId};
use jiff::civil::Date;
use money::Money;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{ModelOrAll, Percent, Usd, schema};

/// A budget to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetRequest {
    /// Whose.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// One model, or `*`.
    #[schema(schema_with = schema::model_or_all)]
    pub model: ModelOrAll,
    /// One user within the tenant.
    #[schema(schema_with = schema::user_optional)]
    pub user_id: Option<UserId>,
    /// One report type.
    #[schema(schema_with = schema::report_type_optional)]
    pub report_type: Option<ReportType>,
    /// What may be spent in a period.
    pub limit_usd: Usd,
    /// How long a period is; `month` by default.
    #[schema(schema_with = schema::period_optional)]
    pub period: Option<PeriodUnit>,
    /// Where periods start; needed by `custom`.
    #[schema(schema_with = schema::date)]
    pub anchor: Option<Date>,
    /// The length of a custom period.
    #[schema(minimum = 1, maximum = 3660)]
    pub days: Option<u16>,
    /// Where midnight is; `UTC` by default.
    #[schema(max_length = 64)]
    pub time_zone: Option<String>,
    /// Percentages at which somebody is told; 80 and 100 by default.
    pub thresholds: Option<Vec<u16>>,
    /// `hard` (default) or `shadow`, which counts and lets through.
    #[schema(schema_with = schema::enforcement_optional)]
    pub enforcement: Option<budget::Enforcement>,
    /// What the gateway does instead of refusing: `refuse` (default) nothing, `clamp` limits the
    /// answer to what is affordable, `fallback` calls one of `fallback_models`.
    #[schema(schema_with = schema::overflow_optional)]
    pub overflow: Option<String>,
    /// The models that `fallback` tries, in this order.
    #[schema(max_items = 16)]
    pub fallback_models: Option<Vec<String>>,
}

/// What a budget becomes. Whom it covers and its period stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetUpdate {
    /// What may be spent in a period.
    pub limit_usd: Usd,
    /// Percentages at which somebody is told; as they were when absent.
    pub thresholds: Option<Vec<u16>>,
    /// `hard` or `shadow`; as it was when absent.
    #[schema(schema_with = schema::enforcement_optional)]
    pub enforcement: Option<budget::Enforcement>,
    /// `refuse`, `clamp` or `fallback`; as it was when absent.
    #[schema(schema_with = schema::overflow_optional)]
    pub overflow: Option<String>,
    /// The models that `fallback` tries, in this order.
    #[schema(max_items = 16)]
    pub fallback_models: Option<Vec<String>>,
}

/// Which budgets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BudgetQuery {
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows at most; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// A budget, and how it stands in the running period.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetView {
    /// Its id, derived from what it covers and its period.
    pub id: Uuid,
    /// Whose.
    pub tenant_id: String,
    /// One model, or `*`.
    pub model: String,
    /// One user within the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// One report type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
    /// What may be spent in a period.
    pub limit_usd: Usd,
    /// How long a period is.
    #[schema(schema_with = schema::period)]
    pub period: String,
    /// Where periods start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// The length of a custom period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u16>,
    /// Where midnight is.
    pub time_zone: String,
    /// Percentages at which somebody is told.
    pub thresholds: Vec<u16>,
    /// `hard` or `shadow`.
    #[schema(schema_with = schema::enforcement)]
    pub enforcement: String,
    /// `refuse`, `clamp` or `fallback`.
    #[schema(schema_with = schema::overflow)]
    pub overflow: String,
    /// The models that `fallback` tries, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback_models: Vec<String>,
    /// Nobody set it: it holds until a budget is set that covers the same calls.
    pub is_default: bool,
    /// When it was last changed.
    #[schema(schema_with = schema::timestamp)]
    pub updated_at: String,
    /// The running period; absent when it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<PeriodView>,
}

impl BudgetView {
    /// A budget with the account of its running period.
    pub fn new(budget: &Budget, account: Option<&Account>) -> Self {
        let (scope, rule) = (&budget.scope, &budget.rule);
        Self {
            id: budget.id.0,
            tenant_id: scope.tenant.to_string(),
            model: scope.model_or_star().to_owned(),
            user_id: scope.user.as_ref().map(ToString::to_string),
            report_type: scope.report_type.as_ref().map(ToString::to_string),
            limit_usd: Usd(budget.limit),
            period: rule.unit().to_string(),
            anchor: rule.anchor().map(|date| date.to_string()),
            days: rule.days(),
            time_zone: rule.zone().to_owned(),
            thresholds: budget.thresholds.percents().to_vec(),
            enforcement: schema::enforcement_word(budget.enforcement).to_owned(),
            overflow: schema::overflow_word(&budget.overflow).to_owned(),
            fallback_models: match &budget.overflow {
                Overflow::Fallback(models) => models.iter().map(ToString::to_string).collect(),
                Overflow::Refuse | Overflow::Clamp => Vec::new(),
            },
            is_default: budget.origin == budget::Origin::Default,
            updated_at: budget.updated_at.to_string(),
            current: account.map(|account| PeriodView::new(account, budget.limit)),
        }
    }
}

impl From<&Line> for BudgetView {
    fn from(line: &Line) -> Self {
        Self::new(&line.budget, Some(&line.account))
    }
}

/// What a budget has spent and promised in one period.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodView {
    /// The first instant of the period.
    #[schema(schema_with = schema::timestamp)]
    pub start: String,
    /// The first instant after it.
    #[schema(schema_with = schema::timestamp)]
    pub end: String,
    /// Charged.
    pub settled_usd: Usd,
    /// Promised to calls in flight.
    pub held_usd: Usd,
    /// Promised to calls of which nothing more was heard.
    pub unresolved_usd: Usd,
    /// What may still be promised under today's limit.
    pub available_usd: Usd,
    /// All that counts, of today's limit.
    pub percentage_used: Percent,
    /// Prompt tokens, cached ones included.
    pub tokens_input: u64,
    /// Completion tokens.
    pub tokens_output: u64,
    /// Thresholds that have fired.
    pub thresholds_fired: Vec<u16>,
}

impl PeriodView {
    /// An account against a limit.
    pub fn new(account: &Account, limit: Money) -> Self {
        let counted = account.counted().unwrap_or(Money::MAX);
        Self {
            start: account.id.start.to_string(),
            end: account.end.to_string(),
            settled_usd: Usd(account.settled),
            held_usd: Usd(account.held),
            unresolved_usd: Usd(account.unresolved),
            available_usd: Usd(limit.saturating_sub_to_zero(counted)),
            percentage_used: Percent::of(counted, limit),
            tokens_input: account.tokens_input,
            tokens_output: account.tokens_output,
            thresholds_fired: account.fired.clone(),
        }
    }
}

/// A page of budgets.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetList {
    /// In the order of ids.
    pub budgets: Vec<BudgetView>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A budget's periods.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetHistory {
    /// Which.
    pub budget_id: Uuid,
    /// The latest first.
    pub periods: Vec<PeriodView>,
}
