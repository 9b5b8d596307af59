//! The model: the same rules over maps, with nothing that lasts.
//!
//! What the real stores are compared with, and what tests of the doors run on. One lock; a batch is
//! one command.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Account, AccountId, Batch, Book, Budget, BudgetFilter, BudgetId, Budgets, Changes, CloudBudget,
    Command, CommandResult, Entry, EntryHash, Escrow, EscrowError, Head, Key, KeyRecord, Keys,
    Line, Notice, Opening, Outcome, Prices, Release, Reservation, Reserve, Resolve, Settle,
    Standing, State, StoreError, Tenant, Upkeep, VendorBatch, Verification, Verifier,
};
use async_trait::async_trait;
use focus::{Period, TenantId};
use jiff::Timestamp;
use money::{Money, Price};
use uuid::Uuid;

mod cloud_budget;
mod delivery;
mod records;
mod vendor_batch;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Debug, Default)]
struct Tables {
    tenants: BTreeMap<TenantId, (Tenant, u64, EntryHash)>,
    budgets: BTreeMap<BudgetId, Arc<Budget>>,
    accounts: BTreeMap<AccountId, Account>,
    entries: BTreeMap<(TenantId, u64), Entry>,
    reservations: HashMap<Key, Reservation>,
    events: Vec<Notice>,
    cloud_budgets: BTreeMap<String, CloudBudget>,
    keys: Vec<KeyRecord>,
    prices: BTreeMap<(String, String), Price>,
    prices_revision: u64,
    batches: BTreeMap<String, VendorBatch>,
    deliveries: Vec<delivery::Kept>,
    followers: BTreeMap<String, delivery::Follower>,
}

/// Budgets, accounts and the ledger in memory.
pub struct Memory {
    defaults: crate::Defaults,
    clock: Clock,
    tables: Mutex<Tables>,
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

impl Tables {
    fn book(&self, tenant: &TenantId, now: Timestamp) -> Book {
        let (seq, hash) = self.tenants.get(tenant).map_or_else(Default::default, |t| (t.1, t.2));
        let head = Head { tenant: tenant.clone(), seq, hash };
        let mine = |budget: &&Arc<Budget>| budget.scope.tenant == *tenant;
        let budgets: Vec<_> = self.budgets.values().filter(mine).cloned().collect();
        let known = |account: &&Account| budgets.iter().any(|b| b.id == account.id.budget);
        let accounts = self.accounts.values().filter(known).cloned().collect();
        let mut book = Book::new(head, budgets, accounts);
        book.forget_past(now);
        book
    }

    fn opening(&self, budget: Arc<Budget>, period: Period) -> Opening {
        let covered = self.reservations.values().filter(|reservation| {
            budget.scope.covers(&reservation.call) && period.contains(reservation.created_at)
        });
        let mut opening = Opening {
            budget: budget.clone(),
            period,
            settled: Money::ZERO,
            tokens_input: 0,
            tokens_output: 0,
            open: Vec::new(),
        };
        for reservation in covered {
            let cost = reservation.cost.unwrap_or(Money::ZERO);
            opening.settled = opening.settled.checked_add(cost).unwrap_or(opening.settled);
            if let Some(actual) = reservation.actual {
                opening.tokens_input += u64::try_from(actual.usage.prompt()).unwrap_or(u64::MAX);
                opening.tokens_output += actual.usage.output;
            }
            if !matches!(reservation.state, State::Settled | State::Released) {
                opening.open.push(reservation.clone());
            }
        }
        opening
    }

    fn save(&mut self, changes: Changes, now: Timestamp) {
        for head in changes.heads {
            self.known(&head.tenant, now);
            if let Some(row) = self.tenants.get_mut(&head.tenant) {
                (row.1, row.2) = (head.seq, head.hash);
            }
        }
        self.budgets.extend(changes.budgets.into_iter().map(|budget| (budget.id, budget)));
        self.accounts.extend(changes.accounts.into_iter().map(|account| (account.id, account)));
        let place = |entry: Entry| ((entry.tenant.clone(), entry.seq), entry);
        self.entries.extend(changes.entries.into_iter().map(place));
        let by_key =
            |reservation: Arc<Reservation>| (reservation.key, Arc::unwrap_or_clone(reservation));
        self.reservations.extend(changes.reservations.into_iter().map(by_key));
        for event in changes.events {
            self.tell(Notice::Ai(event));
        }
    }

    /// Whether it was not told before.
    fn tell(&mut self, notice: Notice) -> bool {
        let is_new = self.events.iter().all(|kept| kept.name() != notice.name());
        if is_new {
            self.events.push(notice);
        }
        is_new
    }

    fn known(&mut self, tenant: &TenantId, now: Timestamp) {
        self.tenants.entry(tenant.clone()).or_insert_with(|| {
            let id = tenant.clone();
            let row = Tenant { id, name: None, tier: None, admin_email: None, created_at: now };
            (row, 0, EntryHash::default())
        });
    }

    fn calls(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Reservation> {
        let counts =
            |r: &&Reservation| matches!(r.state, State::Settled | State::Charged | State::Unpriced);
        let period = Period { start: from, end: to };
        self.reservations.values().filter(counts).filter(move |r| period.contains(r.created_at))
    }
}

impl Memory {
    /// An empty store.
    pub fn new(defaults: crate::Defaults, clock: Clock) -> Self {
        Self { defaults, clock, tables: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, command: &Command) -> CommandResult {
        let mut tables = self.lock();
        let mut batch = Batch::new(self.defaults.clone(), (self.clock)());
        let now = batch.now();
        let reservation = tables.reservations.get(&command.key()).cloned();
        let of_reservation = reservation.as_ref().map(|r| r.call.tenant.clone());
        let of_command = command.call().map(|call| call.tenant.clone());
        for tenant in of_reservation.into_iter().chain(of_command) {
            if batch.book(&tenant).is_some() {
                continue;
            }
            let mut book = tables.book(&tenant, now);
            let unopened =
                book.unopened(now).map_err(|error| EscrowError::Store(corrupt(error)))?;
            batch.add_book(book);
            for (budget, period) in unopened {
                batch.open(tables.opening(budget, period))?;
            }
        }
        if let Some(reservation) = reservation {
            let tenant = reservation.call.tenant.clone();
            batch.add_reservation(reservation);
            let missing = batch.missing(command);
            for id in missing.map_err(|error| EscrowError::Store(corrupt(error)))? {
                if let Some((account, book)) = tables.accounts.get(&id).zip(batch.book_mut(&tenant))
                {
                    book.bring(account.clone());
                }
            }
        }
        let result = batch.run(command);
        tables.save(batch.finish(), now);
        result
    }

    fn view(&self, tenant: &TenantId, now: Timestamp) -> Result<Book, StoreError> {
        let tables = self.lock();
        let mut book = tables.book(tenant, now);
        for (budget, period) in book.unopened(now).map_err(corrupt)? {
            book.show(&tables.opening(budget, period), now);
        }
        Ok(book)
    }
}

#[async_trait]
impl Escrow for Memory {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        let now = (self.clock)();
        self.view(&request.call.tenant, now)?.preview(&request, &self.defaults, now)
    }

    async fn reserve(&self, request: Reserve) -> Result<Outcome, EscrowError> {
        self.run(&Command::Reserve(request))
    }

    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError> {
        self.run(&Command::Settle(request))
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        self.run(&Command::Release(request))
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        self.run(&Command::Resolve(request))
    }
}

#[async_trait]
impl Budgets for Memory {
    async fn put(&self, budget: Budget) -> Result<Budget, StoreError> {
        let mut tables = self.lock();
        let before = tables.budgets.get(&budget.id).cloned();
        let budget = budget.in_place_of(before.as_deref());
        tables.known(&budget.scope.tenant, budget.updated_at);
        tables.budgets.insert(budget.id, Arc::new(budget.clone()));
        Ok(budget)
    }

    async fn remove(&self, id: BudgetId) -> Result<bool, StoreError> {
        Ok(self.lock().budgets.remove(&id).is_some())
    }

    async fn list(&self, filter: BudgetFilter) -> Result<Vec<Budget>, StoreError> {
        let tables = self.lock();
        let after = |budget: &&Arc<Budget>| filter.page.after.is_none_or(|id| budget.id > id);
        let mine = |budget: &&Arc<Budget>| {
            filter.tenant.as_ref().is_none_or(|tenant| budget.scope.tenant == *tenant)
        };
        let rows = tables.budgets.values().filter(after).filter(mine).take(filter.page.limit);
        Ok(rows.map(|budget| Budget::clone(budget)).collect())
    }

    async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Line>, StoreError> {
        self.view(tenant, now)?.lines(now).map_err(corrupt)
    }

    async fn history(&self, id: BudgetId) -> Result<Vec<Account>, StoreError> {
        let tables = self.lock();
        let mine = tables.accounts.values().rev().filter(|account| account.id.budget == id);
        Ok(mine.cloned().collect())
    }
}

#[async_trait]
impl Keys for Memory {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.lock().keys.push(key);
        Ok(())
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let mut tables = self.lock();
        let Some(key) = tables.keys.iter_mut().find(|key| key.id == id) else { return Ok(false) };
        key.revoked_at = Some(key.revoked_at.map_or(at, |before| before.min(at)));
        Ok(true)
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let tables = self.lock();
        let mine = |key: &&KeyRecord| tenant.is_none_or(|tenant| key.tenant == *tenant);
        Ok(tables.keys.iter().filter(mine).cloned().collect())
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.lock().keys.iter().find(|key| key.hash == hash).cloned())
    }
}

#[async_trait]
impl Prices for Memory {
    async fn put_prices(&self, prices: Vec<Price>) -> Result<(), StoreError> {
        let mut tables = self.lock();
        tables.prices_revision += 1;
        for price in prices {
            let name = (price.model.to_string(), price.effective_from.to_string());
            tables.prices.insert(name, price);
        }
        Ok(())
    }

    async fn prices(&self) -> Result<Vec<Price>, StoreError> {
        Ok(self.lock().prices.values().cloned().collect())
    }

    async fn prices_revision(&self) -> Result<u64, StoreError> {
        Ok(self.lock().prices_revision)
    }
}

#[async_trait]
impl Upkeep for Memory {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let defaults = &self.defaults;
        let before = defaults.resolve_after.and_then(|after| now.checked_sub(after).ok());
        let resolution = defaults.resolution;
        let rows: Vec<_> = self.lock().reservations.values().cloned().collect();
        let command = |r: &Reservation| {
            let old = before.is_some_and(|before| r.updated_at <= before);
            match r.state {
                State::Held if r.is_due(now) => Some(Command::Expire(r.key)),
                State::Unresolved if old => {
                    Some(Command::Resolve(Resolve { key: r.key, resolution }))
                }
                _ => None,
            }
        };
        let mut swept = 0;
        for command in rows.iter().filter_map(command) {
            swept += u64::from(self.run(&command).is_ok());
        }
        Ok(swept)
    }

    async fn maintain(&self, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        let tables = self.lock();
        let mut verifier = Verifier::default();
        tables.entries.values().for_each(|entry| verifier.entry(entry));
        for (tenant, (_, seq, hash)) in &tables.tenants {
            verifier.head(&Head { tenant: tenant.clone(), seq: *seq, hash: *hash });
        }
        tables.accounts.values().for_each(|account| verifier.account(account));
        tables.reservations.values().for_each(|reservation| verifier.reservation(reservation));
        Ok(verifier.finish())
    }

    async fn close(&self) {}
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("tables", &self.tables).finish_non_exhaustive()
    }
}
