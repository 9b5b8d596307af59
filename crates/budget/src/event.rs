//! What somebody has to be told: rows of the outbox.

use focus::Scope;
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Key};

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
