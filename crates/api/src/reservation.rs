//! `/api/v1/reservations`.

use budget::{AccountId, Outcome, Quote, Reservation, Resolution, Standing, State};
use focus::{ModelName, ReportType, TenantId, UserId};
use money::{ServiceTier, TokenUsage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Instant, Tokens, Usd, number, schema};

/// Hold money for a call: its tokens, or an amount.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationRequest {
    /// Names the call; a repeated id changes nothing.
    pub request_id: Uuid,
    /// Who pays.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// With which model.
    #[schema(schema_with = schema::model)]
    pub model: ModelName,
    /// Who within the tenant.
    #[schema(schema_with = schema::user_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// What for.
    #[schema(schema_with = schema::report_type_optional)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<ReportType>,
    /// Prompt tokens, those of a cache apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_input_tokens: Option<Tokens>,
    /// Completion tokens at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_output_tokens: Option<Tokens>,
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
    /// What to hold. Tokens beside it are kept, not priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_usd: Option<Usd>,
    /// What the tokens cost by the caller's own prices, which are then not asked here.
    /// Administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoted_usd: Option<Usd>,
    /// The amount is what was seen of the call, not what its vendor has reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_estimated: Option<bool>,
    /// How long to wait for a settle.
    #[schema(minimum = 1, maximum = 86400)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// What a call has used: its tokens, or an amount.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// Prompt tokens, those of a cache apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<Tokens>,
    /// Completion tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<Tokens>,
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
    /// What it has cost. Tokens beside it are counted, not priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_usd: Option<Usd>,
    /// What the tokens cost by the caller's own prices, which are then not asked here.
    /// Administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoted_usd: Option<Usd>,
    /// The amount is what was seen of the call, not what its vendor has reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_estimated: Option<bool>,
    /// Who pays; with `model`, the call is charged even where nothing was reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
    /// With which model; needed with `tenant_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::model_optional)]
    pub model: Option<ModelName>,
    /// Who within the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::user_optional)]
    pub user_id: Option<UserId>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::report_type_optional)]
    pub report_type: Option<ReportType>,
}

/// What to do with an unresolved hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// `charge` takes it for spent, `release` for not spent.
    #[schema(schema_with = schema::resolution)]
    pub resolution: Resolution,
}

/// Which reservations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReservationQuery {
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
    /// Those in one state.
    #[param(schema_with = schema::state_optional)]
    pub state: Option<State>,
    /// Created then or later: a date or an RFC 3339 time.
    #[param(value_type = Option<String>)]
    pub from: Option<Instant>,
    /// Created before.
    #[param(value_type = Option<String>)]
    pub to: Option<Instant>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows at most; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// What was estimated or used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Amounts {
    /// Prompt tokens, those of a cache apart.
    pub input_tokens: u64,
    /// Completion tokens.
    pub output_tokens: u64,
    /// Prompt tokens read from a cache.
    pub cache_read_tokens: u64,
    /// Prompt tokens written to a five-minute cache.
    pub cache_write_5m_tokens: u64,
    /// Prompt tokens written to a one-hour cache.
    pub cache_write_1h_tokens: u64,
    /// The vendor's service tier.
    pub service_tier: String,
    /// The caller named the amount itself.
    pub amount_given: bool,
    /// The amount is what was seen of the call, not what its vendor has reported.
    #[serde(default)]
    pub amount_estimated: bool,
    /// What it costs; absent while the model has no price.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub amount_usd: Option<Usd>,
}

impl From<&Quote> for Amounts {
    fn from(quote: &Quote) -> Self {
        let TokenUsage { input, output, cache_read, cache_write_5m, cache_write_1h } = quote.usage;
        Self {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: cache_read,
            cache_write_5m_tokens: cache_write_5m,
            cache_write_1h_tokens: cache_write_1h,
            service_tier: quote.tier.as_str().to_owned(),
            amount_given: quote.given,
            amount_estimated: quote.estimated,
            amount_usd: quote.amount.map(Usd),
        }
    }
}

/// An account that a reservation counts in: a budget in one period.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountName {
    /// The budget.
    pub budget_id: Uuid,
    /// The first instant of the period.
    #[schema(schema_with = schema::timestamp)]
    pub period_start: String,
}

/// How the fullest budget of a call stood when it was decided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// Charged before this call.
    #[serde(deserialize_with = "number::answered")]
    pub current_usage_usd: Usd,
    /// Charged and promised, this call included.
    #[serde(deserialize_with = "number::answered")]
    pub counted_usd: Usd,
    /// The limit of the period; 0 where no budget covers the call.
    #[serde(deserialize_with = "number::answered")]
    pub limit_usd: Usd,
    /// A shadow budget would have refused.
    pub would_refuse: bool,
}

/// A reservation as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReservationView {
    /// Its key.
    pub request_id: Uuid,
    /// Who pays.
    pub tenant_id: String,
    /// With which model, by its canonical name.
    pub model: String,
    /// Who within the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
    /// What it is now.
    #[schema(schema_with = schema::state)]
    pub state: String,
    /// What is held, or was.
    #[serde(deserialize_with = "number::answered")]
    pub held_usd: Usd,
    /// What was charged.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub cost_usd: Option<Usd>,
    /// Charged above the hold.
    #[serde(deserialize_with = "number::answered")]
    pub overrun_usd: Usd,
    /// What was expected; absent when the call was tracked without a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated: Option<Amounts>,
    /// What was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Amounts>,
    /// The budgets that it counts in.
    pub budgets: Vec<Uuid>,
    /// The accounts that it counts in: those budgets in the period of its request.
    pub accounts: Vec<AccountName>,
    /// How things stood when it was made.
    pub standing: StandingView,
    /// When it was asked for: decides its period and its price.
    #[schema(schema_with = schema::timestamp)]
    pub created_at: String,
    /// When it becomes unresolved.
    #[schema(schema_with = schema::timestamp)]
    pub expires_at: String,
    /// When its state last changed.
    #[schema(schema_with = schema::timestamp)]
    pub updated_at: String,
    /// The request had been carried out before; nothing changed.
    pub replayed: bool,
    /// The request is the first that has said what the call used.
    pub first_use: bool,
}

impl From<&AccountId> for AccountName {
    fn from(account: &AccountId) -> Self {
        Self { budget_id: account.budget.0, period_start: account.start.to_string() }
    }
}

impl From<&Standing> for StandingView {
    fn from(standing: &Standing) -> Self {
        Self {
            current_usage_usd: Usd(standing.settled),
            counted_usd: Usd(standing.counted),
            limit_usd: Usd(standing.limit),
            would_refuse: standing.would_refuse,
        }
    }
}

impl From<&Outcome> for ReservationView {
    fn from(outcome: &Outcome) -> Self {
        let view = Self::from(&*outcome.reservation);
        Self { replayed: outcome.replayed, first_use: outcome.first_use, ..view }
    }
}

impl From<&Reservation> for ReservationView {
    fn from(reservation: &Reservation) -> Self {
        let call = &reservation.call;
        Self {
            request_id: reservation.key,
            tenant_id: call.tenant.to_string(),
            model: call.model.to_string(),
            user_id: call.user.as_ref().map(ToString::to_string),
            report_type: call.report_type.as_ref().map(ToString::to_string),
            state: reservation.state.to_string(),
            held_usd: Usd(reservation.hold),
            cost_usd: reservation.cost.map(Usd),
            overrun_usd: Usd(reservation.overrun()),
            estimated: reservation.estimate.as_ref().map(Amounts::from),
            actual: reservation.actual.as_ref().map(Amounts::from),
            budgets: reservation.accounts.iter().map(|account| account.budget.0).collect(),
            accounts: reservation.accounts.iter().map(AccountName::from).collect(),
            standing: StandingView::from(&reservation.standing),
            created_at: reservation.created_at.to_string(),
            expires_at: reservation.expires_at.to_string(),
            updated_at: reservation.updated_at.to_string(),
            replayed: false,
            first_use: false,
        }
    }
}

/// A page of reservations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationList {
    /// In the order of creation.
    pub reservations: Vec<ReservationView>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
