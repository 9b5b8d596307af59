//! A batch: commands carried out on books in memory, to be saved in one transaction or not at all.
//!
//! A store loads what the commands touch, runs them in order, saves the [`Changes`] and only then
//! answers. A command that is refused leaves no trace in the changes, but for the mark that a budget
//! has refused past its soft limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use focus::{Period, TenantId};
use foldhash::{HashMap, HashMapExt as _};
use jiff::{Timestamp, Unit};
use money::Money;

use crate::{
    Account, AccountId, Book, Budget, Command, Defaults, Entry, EntryHash, EntryKind, EscrowError,
    Event, EventKind, Head, Key, Outcome, Posting, Reservation, State, StoreError,
};

mod reserve;
mod settle;
#[cfg(test)]
mod tests;

/// What a running period had spent when a budget came into it.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The budget.
    pub budget: Arc<Budget>,
    /// The running period.
    pub period: Period,
    /// Charged for the calls that it covers.
    pub settled: Money,
    /// Their prompt tokens.
    pub tokens_input: u64,
    /// Their completion tokens.
    pub tokens_output: u64,
    /// The reservations that it covers, created in the period, that may still change: held,
    /// unresolved, unpriced and charged ones.
    pub open: Vec<Reservation>,
}

/// What a batch has changed: to be saved together.
#[derive(Debug, Default)]
pub struct Changes {
    /// Ledger ends that moved.
    pub heads: Vec<Head>,
    /// Default budgets that came to be.
    pub budgets: Vec<Arc<Budget>>,
    /// New entries, in order.
    pub entries: Vec<Entry>,
    /// Accounts, new or changed.
    pub accounts: Vec<Account>,
    /// Reservations, new or changed.
    pub reservations: Vec<Arc<Reservation>>,
    /// Events; a store keeps the first of each name.
    pub events: Vec<Event>,
    /// Every book of the batch as it is afterwards.
    pub books: Vec<Book>,
}

impl Changes {
    /// Whether there is nothing to save.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.entries.is_empty()
            && self.events.is_empty()
            && self.budgets.is_empty()
    }
}

/// Commands in the making. See the module's text.
#[derive(Debug)]
pub struct Batch {
    defaults: Defaults,
    now: Timestamp,
    books: HashMap<TenantId, Book>,
    reservations: HashMap<Key, Arc<Reservation>>,
    changed_reservations: BTreeSet<Key>,
    changed_accounts: BTreeMap<AccountId, TenantId>,
    changed_heads: BTreeSet<TenantId>,
    budgets: Vec<Arc<Budget>>,
    entries: Vec<Entry>,
    events: Vec<Event>,
}

impl Batch {
    /// An empty batch at an instant, which is cut to the microsecond that databases keep.
    pub fn new(defaults: Defaults, now: Timestamp) -> Self {
        Self {
            defaults,
            now: now.round(Unit::Microsecond).unwrap_or(now),
            books: HashMap::new(),
            reservations: HashMap::new(),
            changed_reservations: BTreeSet::new(),
            changed_accounts: BTreeMap::new(),
            changed_heads: BTreeSet::new(),
            budgets: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The batch's instant.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Brings in a tenant's book. Every tenant that a command names needs one.
    pub fn add_book(&mut self, book: Book) {
        self.books.insert(book.head.tenant.clone(), book);
    }

    /// A book as it is at this point of the batch.
    pub fn book(&self, tenant: &TenantId) -> Option<&Book> {
        self.books.get(tenant)
    }

    /// A book to bring earlier accounts into.
    pub fn book_mut(&mut self, tenant: &TenantId) -> Option<&mut Book> {
        self.books.get_mut(tenant)
    }

    /// Brings in a reservation that exists under a command's key, unless it is here already: then
    /// it may have changed since.
    pub fn add_reservation(&mut self, reservation: impl Into<Arc<Reservation>>) {
        let reservation = reservation.into();
        self.reservations.entry(reservation.key).or_insert(reservation);
    }

    /// Opens the account of a budget that came into a running period; of one that came back into
    /// it, brings the account it had up to what was spent meanwhile. Before any `run`.
    pub fn open(&mut self, opening: Opening) -> Result<(), EscrowError> {
        let tenant = opening.budget.scope.tenant.clone();
        let now = self.now;
        let mut account = Account::open(opening.budget.id, opening.period, now);
        let id = account.id;
        if let Some(before) = self.book_of(&tenant)?.account(id) {
            // One of another period that began with this one ends with it from now on.
            account = Account { opened_at: now, end: account.end, ..before.clone() };
        }
        account.tokens_input = opening.tokens_input;
        account.tokens_output = opening.tokens_output;
        let amount = opening.settled.checked_sub(account.settled).ok_or(EscrowError::Range)?;
        let (mut held, mut unresolved) = (Money::ZERO, Money::ZERO);
        for reservation in opening.open {
            let reservation =
                self.reservations.entry(reservation.key).or_insert_with(|| reservation.into());
            if reservation.accounts.contains(&id) {
                continue;
            }
            Arc::make_mut(reservation).accounts.push(id);
            let add = |sum: Money| sum.checked_add(reservation.hold).ok_or(EscrowError::Range);
            match reservation.state {
                State::Held => held = add(held)?,
                State::Unresolved | State::Unpriced => unresolved = add(unresolved)?,
                // Its charge is in what is settled; a late settle will correct it here, too.
                _ => {}
            }
            self.changed_reservations.insert(reservation.key);
        }
        let posting = Posting { account: id, settled: amount, held, unresolved };
        self.book_of(&tenant)?.put_account(account);
        self.changed_accounts.insert(id, tenant.clone());
        if [amount, held, unresolved].iter().all(|amount| amount.is_zero()) {
            return Ok(());
        }
        self.record(&tenant, EntryKind::Open, Key::nil(), amount, vec![posting])?;
        self.fire_thresholds(&opening.budget, id)
    }

    /// Carries out one command. An error leaves balances as they were.
    pub fn run(&mut self, command: &Command) -> Result<Outcome, EscrowError> {
        match command {
            Command::Reserve(reserve) => self.reserve(reserve),
            Command::Settle(settle) => self.settle(settle),
            Command::Release(release) => self.release(release.key),
            Command::Resolve(resolve) => self.resolve(resolve),
            Command::Expire(key) => self.expire(*key),
        }
    }

    /// What has to be saved.
    pub fn finish(mut self) -> Changes {
        let reservations = self
            .changed_reservations
            .iter()
            .filter_map(|key| self.reservations.remove(key))
            .collect();
        let accounts = self
            .changed_accounts
            .iter()
            .filter_map(|(id, tenant)| self.books.get(tenant)?.account(*id).cloned())
            .collect();
        let heads = self
            .changed_heads
            .iter()
            .filter_map(|tenant| Some(self.books.get(tenant)?.head.clone()))
            .collect();
        Changes {
            heads,
            budgets: self.budgets,
            entries: self.entries,
            accounts,
            reservations,
            events: self.events,
            books: self.books.into_values().collect(),
        }
    }

    fn book_of(&mut self, tenant: &TenantId) -> Result<&mut Book, EscrowError> {
        self.books.get_mut(tenant).ok_or_else(|| {
            EscrowError::Store(StoreError::Corrupt(format!("no book of tenant {tenant}")))
        })
    }

    fn existing(&self, key: Key) -> Result<Arc<Reservation>, EscrowError> {
        self.reservations.get(&key).cloned().ok_or(EscrowError::NotFound(key))
    }

    fn keep(&mut self, mut reservation: Reservation) -> Outcome {
        reservation.updated_at = self.now;
        let reservation = Arc::new(reservation);
        self.changed_reservations.insert(reservation.key);
        self.reservations.insert(reservation.key, reservation.clone());
        Outcome { reservation, replayed: false, first_use: false }
    }

    /// Posts to the accounts and appends the entry: both, or neither.
    fn record(
        &mut self,
        tenant: &TenantId,
        kind: EntryKind,
        key: Key,
        amount: Money,
        postings: Vec<Posting>,
    ) -> Result<(), EscrowError> {
        let now = self.now;
        let book = self.book_of(tenant)?;
        // One name for all that is kept of a tenant.
        let tenant = book.head.tenant.clone();
        let mut posted = Vec::with_capacity(postings.len());
        for posting in &postings {
            let mut account = book.account(posting.account).cloned().ok_or_else(|| {
                let budget = posting.account.budget;
                EscrowError::Store(StoreError::Corrupt(format!("no account of budget {budget}")))
            })?;
            account.post(posting).ok_or(EscrowError::Range)?;
            posted.push(account);
        }
        for account in posted {
            if let Some(place) = book.account_mut(account.id) {
                *place = account;
            }
        }
        let mut entry = Entry {
            tenant: tenant.clone(),
            seq: book.head.seq + 1,
            at: now,
            kind,
            key,
            amount,
            postings,
            hash: EntryHash::default(),
        };
        entry.hash = entry.expected_hash(book.head.hash);
        (book.head.seq, book.head.hash) = (entry.seq, entry.hash);
        for posting in &entry.postings {
            self.changed_accounts.insert(posting.account, tenant.clone());
        }
        self.changed_heads.insert(tenant);
        self.entries.push(entry);
        Ok(())
    }

    /// Fires the thresholds that what is settled has reached and that have not fired yet.
    fn fire_thresholds(&mut self, budget: &Arc<Budget>, id: AccountId) -> Result<(), EscrowError> {
        let mut fired = Vec::new();
        if let Some(account) = self.book_of(&budget.scope.tenant)?.account_mut(id) {
            for percent in budget.thresholds.percents() {
                let reached = account.settled.nanos() > 0
                    && account.settled.nanos() * 100 >= budget.limit.nanos() * i128::from(*percent);
                if reached && !account.fired.contains(percent) {
                    account.fired.push(*percent);
                    fired.push((EventKind::Threshold { percent: *percent }, account.settled));
                }
            }
        }
        for (kind, settled) in fired {
            self.tell(kind, budget, id, settled);
        }
        Ok(())
    }

    fn tell(&mut self, kind: EventKind, budget: &Budget, account: AccountId, settled: Money) {
        let scope = budget.scope.clone();
        let (limit, at) = (budget.limit, self.now);
        self.changed_accounts.insert(account, scope.tenant.clone());
        self.events.push(Event { kind, account, scope, settled, limit, at });
    }

    fn tell_all(&mut self, kind: EventKind, reservation: &Reservation) -> Result<(), EscrowError> {
        for id in &reservation.accounts {
            let book = self.book_of(&reservation.call.tenant)?;
            let settled = book.account(*id).map_or(Money::ZERO, |account| account.settled);
            if let Some(budget) = book.budget(id.budget).cloned() {
                self.tell(kind, &budget, *id, settled);
            }
        }
        Ok(())
    }
}
