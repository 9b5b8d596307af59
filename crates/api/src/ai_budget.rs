//! `/api/ai-budget/…`: the shapes that existing clients speak. Fields may only be added.

use budget::Line;
use focus::{ModelName, ReportType, TenantId, UserId};
use money::{Money, ServiceTier};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{ModelOrAll, Percent, Tokens, Usd, number, schema};

/// May this request be made?
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckRequest {
    /// Who pays.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// With which model.
    #[schema(schema_with = schema::model)]
    pub model: ModelName,
    /// Prompt tokens, those of a cache apart.
    pub estimated_input_tokens: Tokens,
    /// Completion tokens at most.
    pub estimated_output_tokens: Tokens,
    /// Makes the check a reservation that `track` with the same id settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// Who within the tenant.
    #[schema(schema_with = schema::user_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// What for.
    #[schema(schema_with = schema::report_type_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<ReportType>,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<Tokens>,
    /// Prompt tokens written to a five-minute cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m_tokens: Option<Tokens>,
    /// Prompt tokens written to a one-hour cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<Tokens>,
    /// The vendor's service tier.
    #[schema(schema_with = schema::service_tier)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// What it costs at most. Tokens beside it are kept, not priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_usd: Option<Usd>,
    /// What the tokens cost by the caller's own prices, which are then not asked here.
    /// Administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoted_usd: Option<Usd>,
    /// Asks for `counted_usd`, of which `percentage_used` is the rounded part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<bool>,
}

/// The request fits.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckResponse {
    /// Always true; a request that does not fit is answered 429.
    pub allowed: bool,
    /// Charged in the running period before this request.
    #[serde(deserialize_with = "number::answered")]
    pub current_usage_usd: Usd,
    /// The limit of the period.
    #[serde(deserialize_with = "number::answered")]
    pub monthly_limit_usd: Usd,
    /// Charged and promised in the running period, with this request; answered where it is asked for.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub counted_usd: Option<Usd>,
    /// All that counts against the limit with this request.
    pub percentage_used: Percent,
    /// The reservation made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// What is held for it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub held_usd: Option<Usd>,
    /// When the hold becomes unresolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// A shadow budget would have refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub would_refuse: bool,
}

/// What a call has used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrackRequest {
    /// Names the call; a repeated id changes nothing.
    pub request_id: Uuid,
    /// Who pays.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// With which model.
    #[schema(schema_with = schema::model)]
    pub model: ModelName,
    /// Prompt tokens, those of a cache apart.
    pub prompt_tokens: Tokens,
    /// Completion tokens.
    pub completion_tokens: Tokens,
    /// What for.
    #[schema(schema_with = schema::report_type_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<ReportType>,
    /// Who within the tenant.
    #[schema(schema_with = schema::user_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<Tokens>,
    /// Prompt tokens written to a five-minute cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m_tokens: Option<Tokens>,
    /// Prompt tokens written to a one-hour cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<Tokens>,
    /// The vendor's service tier.
    #[schema(schema_with = schema::service_tier)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
}

/// The call is recorded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrackResponse {
    /// Always true.
    pub success: bool,
    /// What was done.
    pub message: String,
    /// What was charged; absent while the model has no price.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub cost_usd: Option<Usd>,
}

/// A monthly limit.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetRequest {
    /// Whose.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// One model, or `*`.
    #[schema(schema_with = schema::model_or_all)]
    pub model: ModelOrAll,
    /// What may be spent in a month.
    pub monthly_limit_usd: Usd,
}

/// It is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub success: bool,
    /// What was done.
    pub message: String,
}

/// Liveness.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `healthy`.
    pub status: String,
    /// Always `ai-budget`.
    pub service: String,
}

/// One budget of a tenant and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetLine {
    /// The model, or `*`.
    pub model: String,
    /// The limit of the period.
    pub monthly_limit_usd: Usd,
    /// Charged in the running period.
    pub current_usage_usd: Usd,
    /// What is charged, of the limit.
    pub percentage_used: Percent,
    /// Prompt tokens, cached ones included.
    pub token_count_input: u64,
    /// Completion tokens.
    pub token_count_output: u64,
    /// When the next period starts.
    pub reset_date: String,
    /// `ok`, `warning` from the soft limit on, `exceeded` from the limit on.
    pub status: String,
    /// The soft limit was passed in this period and somebody is told.
    pub soft_limit_notified: bool,
    /// Requests are refused.
    pub hard_limit_reached: bool,
    /// The budget's id.
    pub budget_id: Uuid,
    /// Promised to calls in flight.
    pub held_usd: Usd,
    /// Promised to calls of which nothing more was heard.
    pub unresolved_usd: Usd,
    /// What may still be promised.
    pub available_usd: Usd,
    /// When the running period started.
    pub period_start: String,
    /// `day`, `week`, `month`, `quarter`, `year` or `custom`.
    pub period: String,
    /// `hard` or `shadow`.
    pub enforcement: String,
    /// The user that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The report type that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
}

impl From<&Line> for BudgetLine {
    fn from(line: &Line) -> Self {
        let (budget, account) = (&line.budget, &line.account);
        let (limit, settled) = (budget.limit, account.settled);
        let counted = account.counted().unwrap_or(Money::MAX);
        let used = Percent::of(settled, limit);
        let reached = settled >= limit;
        let warned = used.hundredths >= i128::from(budget.thresholds.soft()) * 100;
        Self {
            model: budget.scope.model_or_star().to_owned(),
            monthly_limit_usd: Usd(limit),
            current_usage_usd: Usd(settled),
            percentage_used: used,
            token_count_input: account.tokens_input,
            token_count_output: account.tokens_output,
            reset_date: account.end.to_string(),
            status: if reached {
                "exceeded"
            } else if warned {
                "warning"
            } else {
                "ok"
            }
            .to_owned(),
            soft_limit_notified: account.fired.contains(&budget.thresholds.soft()),
            hard_limit_reached: reached || account.exhausted,
            budget_id: budget.id.0,
            held_usd: Usd(account.held),
            unresolved_usd: Usd(account.unresolved),
            available_usd: Usd(limit.saturating_sub_to_zero(counted)),
            period_start: account.id.start.to_string(),
            period: budget.rule.unit().to_string(),
            enforcement: schema::enforcement_word(budget.enforcement).to_owned(),
            user_id: budget.scope.user.as_ref().map(ToString::to_string),
            report_type: budget.scope.report_type.as_ref().map(ToString::to_string),
        }
    }
}

/// How a tenant stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantStatus {
    /// Who.
    pub tenant_id: String,
    /// One entry a budget.
    pub budgets: Vec<BudgetLine>,
    /// Charged over all models.
    pub total_usage_usd: Usd,
    /// The limit over all models, or the sum of the models' limits.
    pub total_limit_usd: Usd,
}

/// A tenant and what it has spent this month.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consumer {
    /// Who.
    pub tenant_id: String,
    /// Charged.
    pub total_usage_usd: Usd,
    /// Prompt tokens.
    pub total_input_tokens: u64,
    /// Completion tokens.
    pub total_output_tokens: u64,
}

/// The tenants that spend most.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopConsumers {
    /// The highest first.
    pub consumers: Vec<Consumer>,
}
