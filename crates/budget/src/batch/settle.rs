//! What becomes of a hold: settled, released, expired, resolved.

use std::sync::Arc;

use focus::{Attribution, PeriodError};
use money::Money;

use super::{Batch, reserve::lines_for};
use crate::{
    AccountId, Book, Budget, Command, Defaults, EntryKind, EscrowError, EventKind, Key, Outcome,
    Posting, Reservation, Resolution, Resolve, Settle, Standing, State,
};

/// What a reservation counts in each of its accounts at the moment.
struct Counted {
    settled: Money,
    held: Money,
    unresolved: Money,
}

fn counted(reservation: &Reservation) -> Counted {
    let zero = Money::ZERO;
    let (settled, held, unresolved) = match reservation.state {
        State::Held => (zero, reservation.hold, zero),
        State::Unresolved | State::Unpriced => (zero, zero, reservation.hold),
        State::Settled | State::Charged => (reservation.cost.unwrap_or(zero), zero, zero),
        State::Released => (zero, zero, zero),
    };
    Counted { settled, held, unresolved }
}

/// The postings that take a reservation from what it counted to what it counts now.
fn postings(before: &Counted, after: &Reservation) -> Result<Vec<Posting>, EscrowError> {
    let after_counted = counted(after);
    let less = |a: Money, b: Money| a.checked_sub(b).ok_or(EscrowError::Range);
    let settled = less(after_counted.settled, before.settled)?;
    let held = less(after_counted.held, before.held)?;
    let unresolved = less(after_counted.unresolved, before.unresolved)?;
    let posting = |account: &AccountId| Posting { account: *account, settled, held, unresolved };
    Ok(after.accounts.iter().map(posting).collect())
}

/// A reservation's call with what is named of it later.
fn merged(old: &Attribution, new: &Attribution) -> Attribution {
    Attribution {
        user: new.user.clone().or_else(|| old.user.clone()),
        report_type: new.report_type.clone().or_else(|| old.report_type.clone()),
        ..old.clone()
    }
}

/// The budgets that a reservation counts in only since its user or report type is named.
fn named_late(book: &Book, reservation: &Reservation, merged: &Attribution) -> Vec<Arc<Budget>> {
    let mut budgets = book.covering(merged);
    budgets
        .retain(|budget| !budget.scope.is_tenant_wide() && !budget.scope.covers(&reservation.call));
    budgets
}

impl Batch {
    pub(super) fn settle(&mut self, request: &Settle) -> Result<Outcome, EscrowError> {
        let Some(before) = self.reservations.get(&request.key).cloned() else {
            let call = request.call.as_ref().ok_or(EscrowError::NotFound(request.key))?;
            return self.charge_directly(request, call);
        };
        if let Some(call) = &request.call
            && (call.tenant != before.call.tenant || call.model != before.call.model)
        {
            return Err(EscrowError::Conflict(request.key));
        }
        if let (State::Settled | State::Unpriced, Some(first)) = (before.state, &before.actual) {
            let same_call = request.call.as_ref().is_none_or(|call| before.same_call(call));
            if !same_call || !first.same_content(&request.actual) {
                return Err(EscrowError::Conflict(request.key));
            }
            let priced_now = before.state == State::Unpriced && request.actual.amount.is_some();
            if !priced_now {
                return Ok(Outcome::replay(before));
            }
        }
        let mut after = Reservation::clone(&before);
        if before.state == State::Released {
            self.count_again(&mut after)?;
        }
        let added = self.attribute(&mut after, request.call.as_ref())?;
        self.close(&before, after, request, added)
    }

    /// A call that was released and has happened after all counts in the running accounts that
    /// have come into its period meanwhile, too.
    fn count_again(&mut self, reservation: &mut Reservation) -> Result<(), EscrowError> {
        let now = self.now;
        let book = self.book_of(&reservation.call.tenant)?;
        for budget in book.covering(&reservation.call) {
            let at = reservation.created_at;
            // Running accounts alone: those are at hand in every store, earlier ones by chance.
            let holds = |account: &&crate::Account| {
                account.id.budget == budget.id && account.id.start <= at && now < account.end
            };
            if let Some(account) = book.accounts().iter().find(holds)
                && !reservation.accounts.contains(&account.id)
            {
                reservation.accounts.push(account.id);
            }
        }
        Ok(())
    }

    /// Accounts that a command counts in and that are not at hand: those of its reservation, and of
    /// the period of its request where a settle first names whose call it was. A store brings in
    /// those that it has kept, once the book and the reservation are here.
    pub fn missing(&self, command: &Command) -> Result<Vec<AccountId>, PeriodError> {
        let Some(reservation) = self.reservations.get(&command.key()) else {
            return Ok(Vec::new());
        };
        let Some(book) = self.book(&reservation.call.tenant) else { return Ok(Vec::new()) };
        let mut late = Vec::new();
        if let Command::Settle(Settle { call: Some(call), .. }) = command
            && *call != reservation.call
        {
            for budget in named_late(book, reservation, &merged(&reservation.call, call)) {
                let period = book.period(&budget, reservation.created_at)?;
                late.push(AccountId { budget: budget.id, start: period.start });
            }
        }
        let accounts = reservation.accounts.iter().copied().chain(late);
        Ok(accounts.filter(|id| book.account(*id).is_none()).collect())
    }

    /// A track may name the user and report type that the reservation did not: the call then counts
    /// in their budgets, too, in the period of its request. Returns the accounts that it did not
    /// count in before.
    fn attribute(
        &mut self,
        reservation: &mut Reservation,
        call: Option<&Attribution>,
    ) -> Result<Vec<AccountId>, EscrowError> {
        let Some(call) = call.filter(|call| **call != reservation.call) else {
            return Ok(Vec::new());
        };
        let differs = |first: bool, second: bool, same: bool| first && second && !same;
        let (old, new) = (&reservation.call, call);
        let user = differs(old.user.is_some(), new.user.is_some(), old.user == new.user);
        let kinds = (&old.report_type, &new.report_type);
        let kind = differs(kinds.0.is_some(), kinds.1.is_some(), kinds.0 == kinds.1);
        if user || kind {
            return Err(EscrowError::Conflict(reservation.key));
        }
        let merged = merged(old, new);
        let (now, mut added) = (self.now, Vec::new());
        let book = self.book_of(&merged.tenant)?;
        for budget in named_late(book, reservation, &merged) {
            let at = reservation.created_at;
            let period = book.period(&budget, at).map_err(|_| EscrowError::Range)?;
            if period.end <= budget.since {
                // It came in a later period.
                continue;
            }
            book.bring(crate::Account::open(budget.id, period, now));
            added.push(AccountId { budget: budget.id, start: period.start });
        }
        reservation.call = merged;
        Ok(added)
    }

    fn charge_directly(
        &mut self,
        request: &Settle,
        call: &Attribution,
    ) -> Result<Outcome, EscrowError> {
        let now = self.now;
        // The call has happened: where unknown calls are refused it is charged to no budget, but
        // recorded all the same.
        let limit = self.defaults.limit;
        let defaults = Defaults { limit: limit.or(Some(Money::ZERO)), ..self.defaults.clone() };
        let book = self.book_of(&call.tenant)?;
        let (mut lines, mut created) = lines_for(book, call, &defaults, now)?;
        if limit.is_none()
            && let Some(budget) = created.take()
        {
            lines.retain(|(line, _)| line.id != budget.id);
        }
        let standing = lines.first().map_or_else(Standing::default, |(budget, account)| Standing {
            settled: account.settled,
            counted: account.counted().unwrap_or(account.settled),
            limit: budget.limit,
            would_refuse: false,
        });
        let accounts = lines.iter().map(|(_, account)| account.id).collect();
        self.open_accounts(&call.tenant, lines, created)?;
        let before = Reservation {
            key: request.key,
            call: call.clone(),
            state: State::Released,
            estimate: None,
            hold: Money::ZERO,
            actual: None,
            cost: None,
            accounts,
            standing,
            created_at: now,
            expires_at: now,
            updated_at: now,
        };
        self.close(&before.clone(), before, request, Vec::new())
    }

    fn close(
        &mut self,
        before: &Reservation,
        mut after: Reservation,
        request: &Settle,
        added: Vec<AccountId>,
    ) -> Result<Outcome, EscrowError> {
        let key = request.key;
        after.actual = Some(request.actual);
        let kind = match request.actual.amount {
            Some(cost) if cost.is_negative() => return Err(EscrowError::Range),
            Some(cost) => {
                (after.state, after.cost) = (State::Settled, Some(cost));
                EntryKind::Settle
            }
            None => {
                (after.state, after.cost) = (State::Unpriced, None);
                EntryKind::Unpriced
            }
        };
        let mut all = postings(&counted(before), &after)?;
        let nothing = Counted { settled: Money::ZERO, held: Money::ZERO, unresolved: Money::ZERO };
        after.accounts = added;
        all.extend(postings(&nothing, &after)?);
        after.accounts = all.iter().map(|posting| posting.account).collect();
        let amount = after.cost.unwrap_or(Money::ZERO);
        self.record(&after.call.tenant, kind, key, amount, all)?;
        let first_use = before.actual.is_none();
        if first_use {
            self.count_tokens(&after)?;
        }
        for id in &after.accounts {
            if let Some(budget) = self.book_of(&after.call.tenant)?.budget(id.budget).cloned() {
                self.fire_thresholds(&budget, *id)?;
            }
        }
        if !after.overrun().is_zero() {
            self.tell_all(EventKind::Overrun { key }, &after)?;
        }
        Ok(Outcome { first_use, ..self.keep(after) })
    }

    fn count_tokens(&mut self, reservation: &Reservation) -> Result<(), EscrowError> {
        let Some(actual) = reservation.actual else { return Ok(()) };
        let prompt = u64::try_from(actual.usage.prompt()).map_err(|_| EscrowError::Range)?;
        let book = self.book_of(&reservation.call.tenant)?;
        for id in &reservation.accounts {
            if let Some(account) = book.account_mut(*id) {
                account.tokens_input = account.tokens_input.saturating_add(prompt);
                account.tokens_output = account.tokens_output.saturating_add(actual.usage.output);
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self, key: Key) -> Result<Outcome, EscrowError> {
        let before = self.existing(key)?;
        match before.state {
            State::Released => Ok(Outcome::replay(before)),
            State::Held | State::Unresolved => {
                self.change(&before, State::Released, None, EntryKind::Release)
            }
            state => Err(EscrowError::State { key, state }),
        }
    }

    pub(super) fn expire(&mut self, key: Key) -> Result<Outcome, EscrowError> {
        let before = self.existing(key)?;
        if !before.is_due(self.now) {
            return Ok(Outcome::replay(before));
        }
        let outcome = self.change(&before, State::Unresolved, None, EntryKind::Expire)?;
        self.tell_all(EventKind::Unresolved { key }, &outcome.reservation)?;
        Ok(outcome)
    }

    pub(super) fn resolve(&mut self, request: &Resolve) -> Result<Outcome, EscrowError> {
        let key = request.key;
        let before = self.existing(key)?;
        let hold = before.hold;
        match (before.state, request.resolution) {
            (State::Charged, Resolution::Charge) | (State::Released, Resolution::Release) => {
                Ok(Outcome::replay(before))
            }
            (State::Unresolved, Resolution::Charge) => {
                let charged =
                    self.change(&before, State::Charged, Some(hold), EntryKind::Resolve)?;
                for id in &charged.reservation.accounts {
                    let book = self.book_of(&charged.reservation.call.tenant)?;
                    if let Some(budget) = book.budget(id.budget).cloned() {
                        self.fire_thresholds(&budget, *id)?;
                    }
                }
                Ok(charged)
            }
            (State::Unresolved, Resolution::Release) => {
                self.change(&before, State::Released, None, EntryKind::Resolve)
            }
            (state, _) => Err(EscrowError::State { key, state }),
        }
    }

    fn change(
        &mut self,
        before: &Reservation,
        state: State,
        cost: Option<Money>,
        kind: EntryKind,
    ) -> Result<Outcome, EscrowError> {
        let mut after = before.clone();
        (after.state, after.cost) = (state, cost);
        let all = postings(&counted(before), &after)?;
        self.record(&after.call.tenant, kind, after.key, cost.unwrap_or(after.hold), all)?;
        Ok(self.keep(after))
    }
}
