//! Holding money: in every budget that covers the call, or in none.

use std::sync::Arc;

use jiff::Timestamp;
use money::Money;

use super::Batch;
use crate::{
    Account, AccountId, Book, Budget, Defaults, Enforcement, EntryKind, EscrowError, EventKind,
    Outcome, Posting, Refusal, Reservation, Reserve, Standing, State, StoreError,
};

/// Budgets with their running accounts.
pub(super) type Lines = Vec<(Arc<Budget>, Account)>;

/// How a call would count: decided without changing anything.
pub(super) struct Fit {
    pub(super) lines: Lines,
    pub(super) created: Option<Arc<Budget>>,
    pub(super) standing: Standing,
}

/// The budgets that a call counts in, their running accounts, and the default budget if the call
/// needs one made.
pub(super) fn lines_for(
    book: &Book,
    call: &focus::Attribution,
    defaults: &Defaults,
    now: Timestamp,
) -> Result<(Lines, Option<Arc<Budget>>), EscrowError> {
    let mut covering = book.covering(call);
    let created = book.default_for(call, &covering, defaults, now)?;
    covering.extend(created.clone());
    let mut lines = Vec::with_capacity(covering.len());
    for budget in covering {
        let period = book.period(&budget, now).map_err(|_| EscrowError::Range)?;
        let id = AccountId { budget: budget.id, start: period.start };
        let account =
            book.account(id).cloned().unwrap_or_else(|| Account::open(budget.id, period, now));
        lines.push((budget, account));
    }
    Ok((lines, created))
}

/// Whether the call fits every hard budget. The standing told is that of the fullest one.
pub(super) fn fit(
    book: &Book,
    request: &Reserve,
    amount: Money,
    defaults: &Defaults,
    now: Timestamp,
) -> Result<Fit, EscrowError> {
    let (lines, created) = lines_for(book, &request.call, defaults, now)?;
    let mut fullest: Option<Standing> = None;
    let mut refusal: Option<Refusal> = None;
    let mut would_refuse = false;
    for (budget, account) in &lines {
        let counted = account.counted().ok_or(EscrowError::Range)?;
        let counted = counted.checked_add(amount).ok_or(EscrowError::Range)?;
        let limit = budget.limit;
        let standing = Standing { settled: account.settled, counted, limit, would_refuse: false };
        if fullest.is_none_or(|other| is_fuller(&standing, &other)) {
            fullest = Some(standing);
        }
        if counted <= limit {
            continue;
        }
        if budget.enforcement == Enforcement::Shadow {
            would_refuse = true;
            continue;
        }
        let without_holds = account.settled.checked_add(account.unresolved);
        let by_holds = without_holds
            .and_then(|counted| counted.checked_add(amount))
            .is_some_and(|counted| counted <= limit);
        let fuller = refusal.as_ref().is_none_or(|other| is_fuller(&standing, &other.standing));
        if fuller {
            let (scope, resets_at) = (budget.scope.clone(), account.end);
            let overflow = budget.overflow.clone();
            refusal = Some(Refusal { scope, standing, resets_at, overflow, by_holds });
        }
    }
    if let Some(refusal) = refusal {
        return Err(EscrowError::Refused(Box::new(refusal)));
    }
    let standing = Standing { would_refuse, ..fullest.unwrap_or_default() };
    Ok(Fit { lines, created, standing })
}

/// Compares counted/limit without dividing; a zero limit is fuller than any other.
fn is_fuller(a: &Standing, b: &Standing) -> bool {
    match a.counted.nanos().checked_mul(b.limit.nanos()) {
        Some(left) => b.counted.nanos().checked_mul(a.limit.nanos()).is_some_and(|r| left > r),
        None => true,
    }
}

impl Book {
    /// How a reservation would stand if it were made now.
    pub fn preview(
        &self,
        request: &Reserve,
        defaults: &Defaults,
        now: Timestamp,
    ) -> Result<Standing, EscrowError> {
        let model = || EscrowError::Unpriced(request.call.model.to_string());
        let amount = request.estimate.amount.ok_or_else(model)?;
        fit(self, request, amount, defaults, now).map(|fit| fit.standing)
    }
}

impl Batch {
    pub(super) fn reserve(&mut self, request: &Reserve) -> Result<Outcome, EscrowError> {
        if let Some(first) = self.reservations.get(&request.key) {
            let same = first.same_call(&request.call)
                && first.estimate.is_some_and(|quote| quote.same_content(&request.estimate));
            return if same {
                Ok(Outcome::replay(first.clone()))
            } else {
                Err(EscrowError::Conflict(request.key))
            };
        }
        let call = request.call.clone();
        let amount =
            request.estimate.amount.ok_or_else(|| EscrowError::Unpriced(call.model.to_string()))?;
        if amount.is_negative() {
            return Err(EscrowError::Range);
        }
        let (now, defaults) = (self.now, self.defaults.clone());
        let timeout = request.timeout.unwrap_or(defaults.timeout);
        let expires_at = now.checked_add(timeout).map_err(|_| EscrowError::Range)?;
        let fit = match fit(self.book_of(&call.tenant)?, request, amount, &defaults, now) {
            Ok(fit) => fit,
            Err(error) => {
                if let EscrowError::Refused(refusal) = &error {
                    self.mark_exhausted(refusal, &call)?;
                }
                return Err(error);
            }
        };
        let held = |(_, account): &(Arc<Budget>, Account)| Posting {
            account: account.id,
            settled: Money::ZERO,
            held: amount,
            unresolved: Money::ZERO,
        };
        let postings: Vec<_> = fit.lines.iter().map(held).collect();
        self.open_accounts(&call.tenant, fit.lines, fit.created)?;
        let accounts = postings.iter().map(|posting| posting.account).collect();
        self.record(&call.tenant, EntryKind::Reserve, request.key, amount, postings)?;
        Ok(self.keep(Reservation {
            key: request.key,
            call,
            state: State::Held,
            estimate: Some(request.estimate),
            hold: amount,
            actual: None,
            cost: None,
            accounts,
            standing: fit.standing,
            created_at: now,
            expires_at,
            updated_at: now,
        }))
    }

    /// Puts the accounts of a call, and the default budget it needs, into the book.
    pub(super) fn open_accounts(
        &mut self,
        tenant: &focus::TenantId,
        lines: Lines,
        created: Option<Arc<Budget>>,
    ) -> Result<(), EscrowError> {
        let book = self.book_of(tenant)?;
        for (_, account) in lines {
            book.bring(account);
        }
        if let Some(budget) = created {
            book.add_budget(budget.clone());
            self.budgets.push(budget);
        }
        Ok(())
    }

    /// Marks the budget that has refused, once a period, when its soft limit had been passed: a
    /// tenant that asks for too much at once is not yet out of budget.
    fn mark_exhausted(
        &mut self,
        refusal: &Refusal,
        call: &focus::Attribution,
    ) -> Result<(), EscrowError> {
        let now = self.now;
        let book = self.book_of(&call.tenant)?;
        let Some(budget) =
            book.covering(call).into_iter().find(|budget| budget.scope == refusal.scope)
        else {
            return Ok(());
        };
        let corrupt = |_| EscrowError::Store(StoreError::Corrupt("a period".to_owned()));
        let start = book.period(&budget, now).map_err(corrupt)?.start;
        let id = AccountId { budget: budget.id, start };
        let Some(account) = book.account_mut(id) else { return Ok(()) };
        let spent = account.settled.checked_add(account.unresolved).unwrap_or(account.settled);
        let past_soft = spent.nanos() > 0
            && spent.nanos() * 100 >= budget.limit.nanos() * i128::from(budget.thresholds.soft());
        if account.exhausted || !past_soft {
            return Ok(());
        }
        account.exhausted = true;
        let settled = account.settled;
        self.tell(EventKind::Exhausted, &budget, id, settled);
        Ok(())
    }
}
