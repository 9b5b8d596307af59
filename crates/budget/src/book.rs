//! A tenant's book: its budgets and their accounts, and whether a call fits.
//!
//! The tenant is the unit of consistency: all budgets that a call touches are in one book, so a
//! store that changes a book in one transaction is atomic over all of them.

use std::{collections::HashMap, sync::Arc};

use focus::{Attribution, Period, PeriodError, Scope, TenantId};
use jiff::{SignedDuration, Timestamp};
use money::Money;

use crate::{Account, AccountId, Budget, BudgetId, EntryHash, EscrowError, Origin, Resolution};

#[cfg(test)]
mod tests;

/// What holds where nobody has said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The monthly limit of a tenant and model that no budget covers; `None` refuses.
    pub limit: Option<Money>,
    /// How long a reservation waits for its settle.
    pub timeout: SignedDuration,
    /// What is done with a hold that stays unresolved.
    pub resolution: Resolution,
    /// After how long as unresolved; `None` leaves it to people.
    pub resolve_after: Option<SignedDuration>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            limit: Some(Money::from_dollars(1_000)),
            timeout: SignedDuration::from_mins(15),
            resolution: Resolution::Charge,
            resolve_after: Some(SignedDuration::from_hours(24)),
        }
    }
}

/// The end of a tenant's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub tenant: TenantId,
    /// The last entry's place; 0 before the first.
    pub seq: u64,
    /// The last entry's hash.
    pub hash: EntryHash,
}

/// A budget and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The budget.
    pub budget: Arc<Budget>,
    /// Its account in the running period.
    pub account: Account,
}

/// A tenant's budgets and accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The end of its ledger.
    pub head: Head,
    budgets: Vec<Arc<Budget>>,
    accounts: Vec<Account>,
    /// When the first period ends of those whose accounts were looked at.
    whole_until: Timestamp,
}

impl Book {
    /// The book of a tenant of which nothing is known.
    pub fn empty(tenant: TenantId) -> Self {
        let head = Head { tenant, seq: 0, hash: EntryHash::default() };
        Self::new(head, Vec::new(), Vec::new())
    }

    /// A book from what a store has kept: of each budget the running accounts and the last one.
    pub fn new(head: Head, budgets: Vec<Arc<Budget>>, accounts: Vec<Account>) -> Self {
        let mut book = Self { head, budgets, accounts, whole_until: Timestamp::MIN };
        book.budgets.sort_by_key(|budget| budget.id);
        book
    }

    /// The budgets, by id.
    pub fn budgets(&self) -> &[Arc<Budget>] {
        &self.budgets
    }

    /// The accounts at hand: those of running periods, each budget's last, and earlier ones that were
    /// brought in.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// An account at hand.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(crate) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    /// Brings in an account that the store has kept, unless it is at hand.
    pub fn bring(&mut self, account: Account) {
        if self.account(account.id).is_none() {
            self.accounts.push(account);
        }
    }

    /// Puts an account in the place of the one at hand.
    pub(crate) fn put_account(&mut self, account: Account) {
        match self.account_mut(account.id) {
            Some(place) => *place = account,
            None => self.accounts.push(account),
        }
    }

    pub(crate) fn add_budget(&mut self, budget: Arc<Budget>) {
        let place = self.budgets.partition_point(|kept| kept.id < budget.id);
        self.budgets.insert(place, budget);
    }

    /// The budget with an id.
    pub fn budget(&self, id: BudgetId) -> Option<&Arc<Budget>> {
        self.budgets.iter().find(|budget| budget.id == id)
    }

    /// Lets go of accounts of past periods, but for each budget's last: the next period may begin
    /// before its end.
    pub fn forget_past(&mut self, now: Timestamp) {
        if self.accounts.iter().all(|account| account.end > now) {
            return;
        }
        let last = self.last();
        let keeps = |account: &Account| {
            account.end > now || last.get(&account.id.budget) == Some(&account.end)
        };
        self.accounts.retain(keeps);
        self.accounts.shrink_to_fit();
    }

    /// When the last account of each budget ends.
    fn last(&self) -> HashMap<BudgetId, Timestamp> {
        let mut last = HashMap::with_capacity(self.accounts.len());
        for account in &self.accounts {
            let end = last.entry(account.id.budget).or_insert(account.end);
            *end = account.end.max(*end);
        }
        last
    }

    /// The budgets that a call counts in: those that were set, and, when none of them covers the
    /// tenant as a whole, the default ones.
    pub fn covering(&self, call: &Attribution) -> Vec<Arc<Budget>> {
        let covers = |budget: &&Arc<Budget>| budget.scope.covers(call);
        let set = |budget: &Arc<Budget>| budget.origin == Origin::Set;
        let mut all: Vec<_> = self.budgets.iter().filter(covers).cloned().collect();
        if all.iter().any(|budget| set(budget) && budget.scope.is_tenant_wide()) {
            all.retain(set);
        }
        all
    }

    /// The default budget for a call that no tenant-wide budget covers.
    pub fn default_for(
        &self,
        call: &Attribution,
        covering: &[Arc<Budget>],
        defaults: &Defaults,
        now: Timestamp,
    ) -> Result<Option<Arc<Budget>>, EscrowError> {
        if covering.iter().any(|budget| budget.scope.is_tenant_wide()) {
            return Ok(None);
        }
        let Some(limit) = defaults.limit else {
            return Err(EscrowError::NoBudget(Box::new(call.clone())));
        };
        let scope = Scope::model(call.tenant.clone(), call.model.clone());
        let budget = Budget::new(scope, limit, now).map_err(|_| EscrowError::Range)?;
        Ok(Some(Arc::new(Budget { origin: Origin::Default, ..budget })))
    }

    /// The running period of a budget. Reads it from the account at hand where there is one.
    pub fn period(&self, budget: &Budget, now: Timestamp) -> Result<Period, PeriodError> {
        let running = |account: &&Account| {
            account.id.budget == budget.id && account.id.start <= now && now < account.end
        };
        match self.accounts.iter().find(running) {
            Some(account) => Ok(Period { start: account.id.start, end: account.end }),
            None => budget.rule.period(now),
        }
    }

    /// The running accounts by their budgets.
    fn running(&self, now: Timestamp) -> HashMap<BudgetId, &Account> {
        let mut running = HashMap::with_capacity(self.accounts.len());
        for account in &self.accounts {
            if account.id.start <= now && now < account.end {
                running.entry(account.id.budget).or_insert(account);
            }
        }
        running
    }

    /// Every budget with its account of the running period, by model, user and report type.
    pub fn lines(&self, now: Timestamp) -> Result<Vec<Line>, PeriodError> {
        let mut lines = Vec::with_capacity(self.budgets.len());
        let running = self.running(now);
        for budget in &self.budgets {
            let account = match running.get(&budget.id) {
                Some(account) => Account::clone(account),
                None => Account::open(budget.id, budget.rule.period(now)?, now),
            };
            lines.push(Line { budget: budget.clone(), account });
        }
        lines.sort_by(|a, b| a.budget.scope.cmp(&b.budget.scope));
        Ok(lines)
    }

    /// Whether [`Self::unopened`] has looked at every running period.
    pub fn is_whole(&self, now: Timestamp) -> bool {
        now < self.whole_until
    }

    /// Budgets whose running period has begun without an account of theirs that counts: they began
    /// later than it, came back into it, or had other periods, the last of which went on into it.
    /// What it has spent by now has to be brought in before they can decide. As a rule there are
    /// none, and the account is opened by its first call. They are told once for each period.
    pub fn unopened(&mut self, now: Timestamp) -> Result<Vec<(Arc<Budget>, Period)>, PeriodError> {
        let mut unopened = Vec::new();
        if self.is_whole(now) {
            return Ok(unopened);
        }
        let (running, last) = (self.running(now), self.last());
        let mut whole_until = Timestamp::MAX;
        for budget in self.budgets.iter().filter(|budget| budget.origin == Origin::Set) {
            let (period, opened_at) = match running.get(&budget.id) {
                Some(account) => {
                    let period = Period { start: account.id.start, end: account.end };
                    (period, Some(account.opened_at))
                }
                None => (budget.rule.period(now)?, None),
            };
            whole_until = whole_until.min(period.end);
            let is_late = period.start < budget.since;
            let has_missed = match opened_at {
                Some(opened_at) => is_late && opened_at < budget.since,
                None => is_late || last.get(&budget.id).is_some_and(|end| period.start < *end),
            };
            if has_missed {
                unopened.push((budget.clone(), period));
            }
        }
        self.whole_until = whole_until;
        Ok(unopened)
    }
}

impl Book {
    /// Shows an opening in a book that is only looked at.
    pub fn show(&mut self, opening: &crate::Opening, now: Timestamp) {
        let mut account = Account::open(opening.budget.id, opening.period, now);
        if let Some(before) = self.account(account.id) {
            (account.fired, account.exhausted) = (before.fired.clone(), before.exhausted);
        }
        account.settled = opening.settled;
        account.tokens_input = opening.tokens_input;
        account.tokens_output = opening.tokens_output;
        for reservation in &opening.open {
            let bucket = match reservation.state {
                crate::State::Held => &mut account.held,
                crate::State::Unresolved | crate::State::Unpriced => &mut account.unresolved,
                _ => continue,
            };
            *bucket = bucket.checked_add(reservation.hold).unwrap_or(*bucket);
        }
        self.put_account(account);
    }
}
