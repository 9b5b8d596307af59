//! An account: what one budget has spent and promised in one period.

use focus::Period;
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};

use crate::BudgetId;

/// Names an account. The period is part of the name, so no job has to turn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId {
    /// Whose account.
    pub budget: BudgetId,
    /// The first instant of its period.
    pub start: Timestamp,
}

/// A change to one account. Amounts may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// What changes.
    pub account: AccountId,
    /// Added to what is settled.
    pub settled: Money,
    /// Added to what is held.
    pub held: Money,
    /// Added to what is unresolved.
    pub unresolved: Money,
}

/// Balances of one budget in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// The first instant after its period.
    pub end: Timestamp,
    /// When it came to be, or was last brought up to what its period had spent.
    pub opened_at: Timestamp,
    /// Charged: the calls have happened and their cost is known.
    pub settled: Money,
    /// Promised to calls in flight.
    pub held: Money,
    /// Promised to calls of which nothing more was heard; counts until resolved.
    pub unresolved: Money,
    /// Prompt tokens of the settled calls, cached ones included.
    pub tokens_input: u64,
    /// Completion tokens of the settled calls.
    pub tokens_output: u64,
    /// The thresholds that have fired in this period.
    pub fired: Vec<u16>,
    /// A request was refused when the soft limit had been passed.
    pub exhausted: bool,
}

impl Account {
    /// An account of which nothing has been spent.
    pub fn open(budget: BudgetId, period: Period, now: Timestamp) -> Self {
        Self {
            id: AccountId { budget, start: period.start },
            end: period.end,
            opened_at: now,
            settled: Money::ZERO,
            held: Money::ZERO,
            unresolved: Money::ZERO,
            tokens_input: 0,
            tokens_output: 0,
            fired: Vec::new(),
            exhausted: false,
        }
    }

    /// All that counts against the limit: settled, held and unresolved.
    pub fn counted(&self) -> Option<Money> {
        self.settled.checked_add(self.held)?.checked_add(self.unresolved)
    }

    /// Adds a posting's amounts; `None`, and nothing changed, when a balance would leave its range.
    #[must_use]
    pub fn post(&mut self, posting: &Posting) -> Option<()> {
        let settled = self.settled.checked_add(posting.settled)?;
        let held = self.held.checked_add(posting.held)?;
        let unresolved = self.unresolved.checked_add(posting.unresolved)?;
        let total = settled.checked_add(held)?.checked_add(unresolved)?;
        total.to_i64_nanos()?;
        (self.settled, self.held, self.unresolved) = (settled, held, unresolved);
        Some(())
    }
}
