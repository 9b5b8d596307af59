//! What can be asked of a tenant's book, and what is answered.

use std::sync::Arc;

use focus::{Attribution, Scope};
use jiff::{SignedDuration, Timestamp};
use money::{Money, ServiceTier, TokenUsage};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Key, Overflow, Reservation, Standing, State, StoreError};

/// An amount and what it was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Tokens by class.
    pub usage: TokenUsage,
    /// The vendor's service tier.
    pub tier: ServiceTier,
    /// What they cost; `None` when the model has no price.
    #[serde(skip)]
    pub amount: Option<Money>,
    /// The caller named the amount itself; prices were not asked.
    pub given: bool,
    /// The amount is what was seen of the call, not what its vendor has reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Quote {
    /// Whether two requests say the same. A computed amount is not part of what was said: prices
    /// may have changed between a request and its replay.
    pub fn same_content(&self, other: &Self) -> bool {
        self.usage == other.usage
            && self.tier == other.tier
            && self.given == other.given
            && (!self.given || self.amount == other.amount)
    }
}

/// Hold money for a call in every budget that covers it, or in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The caller's request id.
    pub key: Key,
    /// Who pays, for what.
    pub call: Attribution,
    /// The most that it may cost.
    pub estimate: Quote,
    /// How long to wait for a settle; the store's default when `None`.
    pub timeout: Option<SignedDuration>,
    /// Answer as soon as the hold is committed and something on the disk stands in for it, where a
    /// store knows such a thing; else once it is on the disk itself.
    pub covered: bool,
    /// The key was made for this call and has not been told to anybody: nothing is held under it
    /// yet, so that a store need not look.
    pub fresh: bool,
}

/// Record what a call has cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The reservation's key.
    pub key: Key,
    /// `Some`: charge it even where nothing was reserved under the key.
    pub call: Option<Attribution>,
    /// What was used.
    pub actual: Quote,
}

/// Free what a call that did not happen had held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The reservation's key.
    pub key: Key,
}

/// What to do with an unresolved hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// Take it for spent.
    #[default]
    Charge,
    /// Take it for not spent.
    Release,
}

/// Decide an unresolved reservation by hand or by policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// The reservation's key.
    pub key: Key,
    /// What to do with its hold.
    pub resolution: Resolution,
}

/// One change to a tenant's book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// See [`Reserve`].
    Reserve(Reserve),
    /// See [`Settle`].
    Settle(Settle),
    /// See [`Release`].
    Release(Release),
    /// See [`Resolve`].
    Resolve(Resolve),
    /// The time-out has passed.
    Expire(Key),
}

impl Command {
    /// The reservation that it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Reserve(reserve) => reserve.key,
            Self::Settle(settle) => settle.key,
            Self::Release(release) => release.key,
            Self::Resolve(resolve) => resolve.key,
            Self::Expire(key) => *key,
        }
    }

    /// Who makes the call, where the command itself says so.
    pub fn call(&self) -> Option<&Attribution> {
        match self {
            Self::Reserve(reserve) => Some(&reserve.call),
            Self::Settle(settle) => settle.call.as_ref(),
            _ => None,
        }
    }
}

/// What a command has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The reservation as it is now.
    pub reservation: Arc<Reservation>,
    /// The command had been carried out before; nothing changed.
    pub replayed: bool,
    /// The command is the first that has said what the call used.
    pub first_use: bool,
}

impl Outcome {
    /// What the command led to when it was carried out before.
    pub(crate) fn replay(reservation: Arc<Reservation>) -> Self {
        Self { reservation, replayed: true, first_use: false }
    }
}

/// A request that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The budget that it does not fit.
    pub scope: Scope,
    /// How that budget would stand with it.
    pub standing: Standing,
    /// When its next period starts.
    pub resets_at: Timestamp,
    /// What that budget wants done instead.
    pub overflow: Overflow,
    /// It would fit if the calls in flight cost nothing: trying again soon may help.
    pub by_holds: bool,
}

/// Why a command was not carried out. None of these has changed a balance.
#[derive(Debug, Error)]
pub enum EscrowError {
    /// A hard budget does not cover it.
    #[error("budget exceeded for {}", .0.scope)]
    Refused(Box<Refusal>),
    /// No budget covers it, and the default is to refuse.
    #[error("no budget covers model {} of tenant {}", .0.model, .0.tenant)]
    NoBudget(Box<Attribution>),
    /// The model has no price.
    #[error("model {0} has no price")]
    Unpriced(String),
    /// The key was used before with other content.
    #[error("request id {0} was used before with other content")]
    Conflict(Key),
    /// Nothing is known under the key.
    #[error("no reservation {0}")]
    NotFound(Key),
    /// The reservation is past that.
    #[error("reservation {key} is {state}")]
    State {
        /// Which.
        key: Key,
        /// What it is.
        state: State,
    },
    /// A balance would leave the range that accounts can hold.
    #[error("the amount is out of range")]
    Range,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Clone for EscrowError {
    fn clone(&self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::NoBudget(call) => Self::NoBudget(call.clone()),
            Self::Unpriced(model) => Self::Unpriced(model.clone()),
            Self::Conflict(key) => Self::Conflict(*key),
            Self::NotFound(key) => Self::NotFound(*key),
            Self::State { key, state } => Self::State { key: *key, state: *state },
            Self::Range => Self::Range,
            Self::Store(error) => Self::Store(error.clone()),
        }
    }
}

/// Outcome of one command in a batch.
pub type CommandResult = Result<Outcome, EscrowError>;
