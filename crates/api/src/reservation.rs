//! `/api/v1/reservations`.

use budget::{Quote, Reservation, Resolution, State};
use focus::{ModelName, ReportType, TenantId, UserId};
use money::{ServiceTier, TokenUsage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Instant, Tokens, Usd, schema};

/// Hold money for a call: its tokens, or an amount instead of them.
#[derive(Debug, Deserialize, ToSchema)]
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
    pub user_id: Option<UserId>,
    /// What for.
    #[schema(schema_with = schema::report_type_optional)]
    pub report_type: Option<ReportType>,
    /// Prompt tokens, those of a cache apart.
    pub estimated_input_tokens: Option<Tokens>,
    /// Completion tokens at most.
    pub estimated_output_tokens: Option<Tokens>,
    /// Prompt tokens read from a cache.
    pub cache_read_tokens: Option<Tokens>,
    /// Prompt tokens written to a five-minute cache.
    pub cache_write_5m_tokens: Option<Tokens>,
    /// Prompt tokens written to a one-hour cache.
    pub cache_write_1h_tokens: Option<Tokens>,
    /// The vendor's service tier.
    #[schema(schema_with = schema::service_tier)]
    pub service_tier: Option<ServiceTier>,
    /// What to hold, instead of tokens.
    pub amount_usd: Option<Usd>,
    /// How long to wait for a settle.
    #[schema(minimum = 1, maximum = 86400)]
    pub timeout_seconds: Option<u32>,
}

/// What a call has used: its tokens, or an amount instead of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// Prompt tokens, those of a cache apart.
    pub prompt_tokens: Option<Tokens>,
    /// Completion tokens.
    pub completion_tokens: Option<Tokens>,
    /// Prompt tokens read from a cache.
    pub cache_read_tokens: Option<Tokens>,
    /// Prompt tokens written to a five-minute cache.
    pub cache_write_5m_tokens: Option<Tokens>,
    /// Prompt tokens written to a one-hour cache.
    pub cache_write_1h_tokens: Option<Tokens>,
    /// The vendor's service tier.
    #[schema(schema_with = schema::service_tier)]
    pub service_tier: Option<ServiceTier>,
    /// What it has cost, instead of tokens.
    pub amount_usd: Option<Usd>,
}

/// What to do with an unresolved hold.
#[derive(Debug, Deserialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
    pub amount_estimated: bool,
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
        }
    }
}

/// A reservation as it is now.
#[derive(Debug, Serialize, ToSchema)]
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
    pub held_usd: Usd,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
    /// Charged above the hold.
    pub overrun_usd: Usd,
    /// What was expected; absent when the call was tracked without a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated: Option<Amounts>,
    /// What was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Amounts>,
    /// The budgets that it counts in.
    pub budgets: Vec<Uuid>,
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
            created_at: reservation.created_at.to_string(),
            expires_at: reservation.expires_at.to_string(),
            updated_at: reservation.updated_at.to_string(),
            replayed: false,
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
