//! What somebody has to be told: rows of the outbox.

use focus::{Scope, TenantId};
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};

use crate::{AccountId, CloudEvent, Key};

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventKind {
    /// A charge has crossed this percentage of the limit.
    Threshold {
        /// The percentage.
        percent: u16,
    },
    /// A request was refused when the soft limit had been passed.
    Exhausted,
    /// A call has cost more than was held for it.
    Overrun {
        /// The reservation.
        key: Key,
    },
    /// A reservation was never settled.
    Unresolved {
        /// The reservation.
        key: Key,
    },
}

impl EventKind {
    /// The reservation that it is about.
    pub fn reservation(self) -> Option<Key> {
        match self {
            Self::Threshold { .. } | Self::Exhausted => None,
            Self::Overrun { key } | Self::Unresolved { key } => Some(key),
        }
    }
}

/// A thing to tell, written in the commit that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The account that it is about.
    pub account: AccountId,
    /// What the budget covers.
    pub scope: Scope,
    /// Settled in the account then.
    pub settled: Money,
    /// The limit then.
    pub limit: Money,
    /// When.
    pub at: Timestamp,
}

impl Event {
    /// Names the event. Of events with one name a store keeps the first alone.
    pub fn name(&self) -> String {
        let AccountId { budget, start } = self.account;
        match self.kind {
            EventKind::Threshold { percent } => format!("{budget}/{start}/threshold/{percent}"),
            EventKind::Exhausted => format!("{budget}/{start}/exhausted"),
            EventKind::Overrun { key } => format!("{budget}/{start}/overrun/{key}"),
            EventKind::Unresolved { key } => format!("{budget}/{start}/unresolved/{key}"),
        }
    }
}

/// A row of the outbox: what is told of either kind of budget, in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Of a tenant's budget for AI.
    Ai(Event),
    /// Of a budget for cloud cost.
    Cloud(CloudEvent),
}

impl Notice {
    /// Names it. Of notices with one name a store keeps the first alone.
    pub fn name(&self) -> String {
        match self {
            Self::Ai(event) => event.name(),
            Self::Cloud(event) => event.name(),
        }
    }

    /// The tenant that it concerns; none where it is the operator's alone.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Ai(event) => Some(&event.scope.tenant),
            Self::Cloud(_) => None,
        }
    }

    /// When it was found out.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Ai(event) => event.at,
            Self::Cloud(event) => event.at,
        }
    }

    /// As what is told of AI budgets, where it is.
    pub fn as_ai(&self) -> Option<&Event> {
        match self {
            Self::Ai(event) => Some(event),
            Self::Cloud(_) => None,
        }
    }
}
