//! A reservation: money promised to one call, and what became of it.

use std::{fmt, str::FromStr};

use focus::Attribution;
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AccountId, Quote};

/// The idempotency key of a reservation: the caller's request id.
pub type Key = Uuid;

/// What a reservation may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Money is promised, the call is in flight.
    Held,
    /// The call has happened and is charged.
    Settled,
    /// The call has not happened; the money is free again.
    Released,
    /// Nothing was heard before the time-out; the hold counts until resolved.
    Unresolved,
    /// Resolved by charging the hold. A late settle puts the true cost in its place.
    Charged,
    /// The call has happened but its model has no price yet.
    Unpriced,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Held,
        Self::Settled,
        Self::Released,
        Self::Unresolved,
        Self::Charged,
        Self::Unpriced,
    ];

    /// The state as the wire and the tables write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Unresolved => "unresolved",
            Self::Charged => "charged",
            Self::Unpriced => "unpriced",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            format!("{text:?} is none of held, settled, released, unresolved, charged, unpriced")
        })
    }
}

/// How the tightest budget of a call stood when it was decided: kept, so that a replay can answer
/// with the first result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Settled before this call.
    pub settled: Money,
    /// Settled, held and unresolved, this call included.
    pub counted: Money,
    /// The limit; zero where no budget covers the call.
    pub limit: Money,
    /// A shadow budget would have refused the call.
    pub would_refuse: bool,
}

/// Money promised to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The caller's request id.
    pub key: Key,
    /// Who pays, for what.
    pub call: Attribution,
    /// What it is now.
    pub state: State,
    /// What the call was expected to use; `None` when it was tracked without a reservation.
    pub estimate: Option<Quote>,
    /// What is held, or was.
    pub hold: Money,
    /// What the call has used.
    pub actual: Option<Quote>,
    /// What was charged.
    pub cost: Option<Money>,
    /// The accounts that it counts in.
    pub accounts: Vec<AccountId>,
    /// How things stood when it was made.
    pub standing: Standing,
    /// When it was asked for: decides its period and its price.
    pub created_at: Timestamp,
    /// When it becomes unresolved.
    pub expires_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

impl Reservation {
    /// Charged above what was held.
    pub fn overrun(&self) -> Money {
        match (self.cost, &self.estimate) {
            (Some(cost), Some(_)) => cost.saturating_sub_to_zero(self.hold),
            _ => Money::ZERO,
        }
    }

    /// Whether a request names the same call. What it leaves open, a later track may have filled.
    pub fn same_call(&self, call: &Attribution) -> bool {
        self.call.tenant == call.tenant
            && self.call.model == call.model
            && (call.user.is_none() || call.user == self.call.user)
            && (call.report_type.is_none() || call.report_type == self.call.report_type)
    }

    /// Whether the time-out has passed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == State::Held && self.expires_at <= now
    }
}
