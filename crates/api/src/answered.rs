//! Answers read back into what they were written from: what a client of the service needs.

use budget::{AccountId, BudgetId, Outcome, Quote, Reservation, Standing};
use focus::{Attribution, ModelName, NameError, ReportType, TenantId, UserId};
use money::{TokenUsage, UnknownTier};
use thiserror::Error;

use crate::{AccountName, Amounts, CheckResponse, ReservationView, StandingView};

/// Why an answer makes no sense: something else than Bursar has given it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// A name that can't be one.
    #[error("a name {0}")]
    Name(#[from] NameError),
    /// A moment that is none.
    #[error("{0:?} is no time")]
    Time(String),
    /// A reservation can't be that.
    #[error("{0}")]
    State(String),
    /// There is no such service tier.
    #[error(transparent)]
    Tier(#[from] UnknownTier),
}

/// Reads a moment as answers write it.
pub fn moment(text: &str) -> Result<jiff::Timestamp, Unreadable> {
    text.parse().map_err(|_| Unreadable::Time(text.to_owned()))
}

impl CheckResponse {
    /// How the fullest budget would stand; nothing where it was not asked for exactly.
    pub fn standing(&self) -> Option<Standing> {
        Some(Standing {
            settled: self.current_usage_usd.0,
            counted: self.counted_usd?.0,
            limit: self.monthly_limit_usd.0,
            would_refuse: self.would_refuse,
        })
    }
}

impl From<&StandingView> for Standing {
    fn from(view: &StandingView) -> Self {
        Self {
            settled: view.current_usage_usd.0,
            counted: view.counted_usd.0,
            limit: view.limit_usd.0,
            would_refuse: view.would_refuse,
        }
    }
}

impl TryFrom<&AccountName> for AccountId {
    type Error = Unreadable;

    fn try_from(name: &AccountName) -> Result<Self, Unreadable> {
        Ok(Self { budget: BudgetId(name.budget_id), start: moment(&name.period_start)? })
    }
}

impl TryFrom<&Amounts> for Quote {
    type Error = Unreadable;

    fn try_from(amounts: &Amounts) -> Result<Self, Unreadable> {
        Ok(Self {
            usage: TokenUsage {
                input: amounts.input_tokens,
                output: amounts.output_tokens,
                cache_read: amounts.cache_read_tokens,
                cache_write_5m: amounts.cache_write_5m_tokens,
                cache_write_1h: amounts.cache_write_1h_tokens,
            },
            tier: amounts.service_tier.parse()?,
            amount: amounts.amount_usd.map(|amount| amount.0),
            given: amounts.amount_given,
            estimated: amounts.amount_estimated,
        })
    }
}

impl TryFrom<&ReservationView> for Reservation {
    type Error = Unreadable;

    fn try_from(view: &ReservationView) -> Result<Self, Unreadable> {
        let call = Attribution {
            tenant: TenantId::parse(&view.tenant_id)?,
            model: ModelName::parse(&view.model)?,
            user: view.user_id.as_deref().map(UserId::parse).transpose()?,
            report_type: view.report_type.as_deref().map(ReportType::parse).transpose()?,
        };
        Ok(Self {
            key: view.request_id,
            call,
            state: view.state.parse().map_err(Unreadable::State)?,
            estimate: view.estimated.as_ref().map(Quote::try_from).transpose()?,
            hold: view.held_usd.0,
            actual: view.actual.as_ref().map(Quote::try_from).transpose()?,
            cost: view.cost_usd.map(|cost| cost.0),
            accounts: view.accounts.iter().map(AccountId::try_from).collect::<Result<_, _>>()?,
            standing: Standing::from(&view.standing),
            created_at: moment(&view.created_at)?,
            expires_at: moment(&view.expires_at)?,
            updated_at: moment(&view.updated_at)?,
        })
    }
}

impl TryFrom<&ReservationView> for Outcome {
    type Error = Unreadable;

    fn try_from(view: &ReservationView) -> Result<Self, Unreadable> {
        let reservation = Reservation::try_from(view)?.into();
        Ok(Self { reservation, replayed: view.replayed, first_use: view.first_use })
    }
}

#[cfg(test)]
mod tests;
