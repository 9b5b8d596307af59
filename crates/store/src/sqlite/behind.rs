//! What was committed last and can't be found by name yet.
//!
//! A commit appends entries and reservations in the order of their arrival, and accounts to
//! `account_tail`: a few pages at the end of each, however many tenants it serves. The tables that
//! find them by name, and the accounts proper, are filled behind: once enough rows have come
//! together they are sorted, and every commit puts some of them in their places, in that order, as
//! does the writer while nobody waits. So a page takes many rows at once, and no commit does much of
//! it. Keys are random and spread over all of their index: of those many more come together.
//!
//! What is not in its place is remembered here, and read again after a failure or when another
//! process has written. Invariant: a row up to its mark in `indexed` is in its places; a later one
//! may be.

use std::time::{Duration, Instant};

use ::budget::{Account, AccountId, BudgetId, Changes, Key, StoreError};
use focus::TenantId;
use foldhash::{HashMap, HashMapExt as _};
use jiff::Timestamp;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::{load, row, unavailable};
use place::{Gathered, Task};
use work::{Tasks, Work};

mod place;
mod recent;
#[cfg(test)]
mod tests;
mod work;

pub(super) use recent::{Numbered, Place, Recent};

/// So many keys are indexed together for each two entries; with as many entries as by default this
/// fills a hash table as far as it goes.
const KEYS_FOR_TWO: usize = 7;

/// Fewer come together where it takes longer than this: what little traffic leaves is not remembered
/// for hours.
const TOGETHER_MOST: Duration = Duration::from_secs(60);
/// But no fewer than this.
const FEW: usize = 4_096;

/// What is put in its place beside the commits, when nobody waits: as much as with so many commands,
/// and not more often than this.
const COMMANDS_BESIDE: usize = 200;
const REST: Duration = Duration::from_millis(20);

/// The last rows of the tables that are appended to.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    entry: i64,
    reservation: i64,
}

/// Where a commit has put what it saved: a row for each of its changes, in their order.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) entries: Vec<i64>,
    pub(super) accounts: Vec<i64>,
    /// Also whether the row is new.
    pub(super) reservations: Vec<(i64, bool)>,
}

/// A reservation's names, and its row.
#[derive(Debug, Clone)]
struct Named {
    tenant: TenantId,
    created_at: Timestamp,
    key: Key,
    row: i64,
}

/// When rows last began to drain.
struct Turn(Instant);

impl Default for Turn {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Turn {
    /// How many have to come together until the next: `many`, or few once it has taken so long.
    fn least(&self, many: usize, longest: Duration) -> usize {
        if self.left(longest).is_zero() { many.min(FEW) } else { many }
    }

    /// What is left of that time.
    fn left(&self, longest: Duration) -> Duration {
        longest.saturating_sub(self.0.elapsed())
    }
}

/// What the writer knows of the rows that are not in their places.
#[derive(Default)]
pub(super) struct Behind {
    pub(super) recent: Recent,
    entries: Vec<(TenantId, u64, i64)>,
    reservations: Vec<Named>,
    /// The latest row of each account, and of those that are being put in their places.
    accounts: HashMap<AccountId, i64>,
    accounts_draining: HashMap<AccountId, i64>,
    last: Marks,
    places: Option<Work>,
    places_turn: Turn,
    keys: Option<Work>,
    keys_turn: Turn,
    /// When something was last put in its place beside the commits.
    beside: Turn,
}

impl Behind {
    /// The latest row of an account in `account_tail`; it may be gone, and then it is in its place.
    pub(super) fn account(&self, id: AccountId) -> Option<i64> {
        self.accounts.get(&id).or_else(|| self.accounts_draining.get(&id)).copied()
    }

    /// Puts some rows in their places, in the transaction that is open; begins once there are
    /// `many` entries, or fewer that have come together for long.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        commands: usize,
        many: usize,
    ) -> Result<(), StoreError> {
        if self.places.is_none()
            && self.entries.len() >= self.places_turn.least(many, TOGETHER_MOST)
        {
            self.places = Some(self.gather(db)?);
            self.places_turn = Turn::default();
        }
        if self.keys.is_none() {
            let many = many.saturating_mul(KEYS_FOR_TWO) / 2;
            let many = self.keys_turn.least(many, TOGETHER_MOST);
            self.keys = self.gather_keys(many)?;
            if self.keys.is_some() {
                self.keys_turn = Turn::default();
            }
        }
        let works = [&mut self.places, &mut self.keys];
        works.into_iter().flatten().try_for_each(|work| work.step(db, commands))
    }

    /// How much is to be put in its place now that nobody waits, in commands.
    pub(super) fn due(&self) -> Option<usize> {
        self.rest().filter(Duration::is_zero).map(|_| COMMANDS_BESIDE)
    }

    /// That was tried, and is on the disk.
    pub(super) fn rested(&mut self) {
        self.beside = Turn::default();
    }

    /// How long until something is to be put in its place though nobody commits.
    pub(super) fn rest(&self) -> Option<Duration> {
        let rest = self.beside.left(REST);
        if self.places.is_some() || self.keys.is_some() {
            return Some(rest);
        }
        let counts = [self.entries.len(), self.recent.keys()];
        let come = counts.into_iter().zip([&self.places_turn, &self.keys_turn]);
        come.filter(|(count, _)| *count >= FEW)
            .map(|(_, turn)| turn.left(TOGETHER_MOST).max(rest))
            .min()
    }

    /// Begins to put everything in its places that has come together, but for keys.
    fn gather(&mut self, db: &Connection) -> Result<Work, StoreError> {
        // A command appends one entry, as a rule.
        let commands = self.entries.len();
        self.accounts_draining = std::mem::take(&mut self.accounts);
        // Beyond them are rows of the next generation: numbers begin anew when nothing is left.
        let last = self.accounts_draining.values().copied().max();
        let sql = "select min(row_number) as first from account_tail";
        let read = |found: &Row<'_>| row::column::<Option<i64>>(found, "first");
        let first = load::rows(db, sql, &[], read)?.pop().flatten();
        let rows = Gathered {
            entries: std::mem::take(&mut self.entries),
            reservations: std::mem::take(&mut self.reservations),
            heads: self.recent.drain(),
            accounts: self.accounts_draining.iter().map(|(id, row)| (*id, *row)).collect(),
            drop: first.zip(last),
            upto: self.last,
        };
        Work::begin(rows.tasks(), commands, move || Box::new(rows.sorted()))
    }

    /// Begins to put keys in their places, if there are many.
    fn gather_keys(&self, many: usize) -> Result<Option<Work>, StoreError> {
        let Some(keys) = self.recent.drain_keys(many) else { return Ok(None) };
        let count = keys.rows.len();
        let sort = move || -> Tasks {
            let mut rows: Vec<_> = keys.rows.iter().map(|(key, row)| (*key, *row)).collect();
            rows.sort_unstable();
            let tasks = rows.into_iter().map(|(key, row)| Task::Key(key, row));
            Box::new(tasks.chain([Task::Indexed("key", keys.upto)]))
        };
        // A command has one key at most.
        Work::begin(count, count, sort).map(Some)
    }

    /// The open transaction is committed: notes what it has finished and what it appended.
    pub(super) fn committed(&mut self, changes: &mut Changes, saved: Saved) {
        if self.places.take_if(|work| work.is_done).is_some() {
            self.accounts_draining = HashMap::new();
            self.recent.drained();
        }
        if self.keys.take_if(|work| work.is_done).is_some() {
            self.recent.drained_keys();
        }
        self.last.entry = saved.entries.last().copied().unwrap_or(self.last.entry);
        let entries = changes.entries.iter().zip(saved.entries);
        self.entries.extend(entries.map(|(entry, row)| (entry.tenant.clone(), entry.seq, row)));
        let accounts = changes.accounts.iter().zip(saved.accounts);
        self.accounts.extend(accounts.map(|(account, row)| (account.id, row)));
        for (reservation, (row, is_new)) in changes.reservations.drain(..).zip(saved.reservations) {
            if is_new {
                self.last.reservation = row;
                let (tenant, created_at) =
                    (reservation.call.tenant.clone(), reservation.created_at);
                self.reservations.push(Named { tenant, created_at, key: reservation.key, row });
            }
            self.recent.keep(row, is_new, reservation);
        }
        if !changes.is_empty() {
            changes.books.iter().for_each(|book| self.recent.touch(&book.head.tenant, None));
        }
        for head in &changes.heads {
            self.recent.touch(&head.tenant, Some((head.seq, head.hash)));
        }
    }

    /// What is known may differ from the file.
    pub(super) fn forget(&mut self) {
        self.recent.forget();
        *self = Self { recent: self.recent.clone(), ..Self::default() };
    }

    /// Reads everything that may not be in its place, in a transaction that keeps others from
    /// writing.
    pub(super) fn rebuild(&mut self, db: &Connection) -> Result<(), StoreError> {
        self.forget();
        let mut tenants = HashMap::new();
        let sql = "select row_number, tenant_id, seq, hash
            from entry
            where row_number > (select row_number from indexed where name = 'entry')
            order by row_number";
        let entry = |found: &Row<'_>| -> Result<_, StoreError> {
            let tenant: TenantId = row::parsed(found, "tenant_id")?;
            let place = (row::count(found, "seq")?, row::hash(found, "hash")?);
            Ok((tenant, place, row::column::<i64>(found, "row_number")?))
        };
        for (tenant, place, row) in load::rows(db, sql, &[], entry)? {
            self.entries.push((tenant.clone(), place.0, row));
            tenants.insert(tenant, Some(place));
        }
        let sql = "select row_number, tenant_id, created_at, key
            from reservation
            where row_number > (select row_number from indexed where name = 'reservation')
            order by row_number";
        self.reservations = load::rows(db, sql, &[], |found| {
            Ok(Named {
                tenant: row::parsed(found, "tenant_id")?,
                created_at: row::time(found, "created_at")?,
                key: row::column(found, "key")?,
                row: row::column(found, "row_number")?,
            })
        })?;
        let sql = "select t.row_number, t.budget_id, t.period_start, b.tenant_id
            from account_tail as t
            left join budget as b on b.budget_id = t.budget_id
            order by t.row_number";
        let account = |found: &Row<'_>| -> Result<_, StoreError> {
            let budget = BudgetId(row::column::<Uuid>(found, "budget_id")?);
            let id = AccountId { budget, start: row::time(found, "period_start")? };
            let tenant: Option<TenantId> = row::maybe_parsed(found, "tenant_id")?;
            Ok((id, tenant, row::column::<i64>(found, "row_number")?))
        };
        for (id, tenant, row) in load::rows(db, sql, &[], account)? {
            self.accounts.insert(id, row);
            if let Some(tenant) = tenant {
                tenants.entry(tenant).or_default();
            }
        }
        for (table, last) in
            [("entry", &mut self.last.entry), ("reservation", &mut self.last.reservation)]
        {
            let sql = format!("select coalesce(max(row_number), 0) as last from {table}");
            let read = |found: &Row<'_>| row::column::<i64>(found, "last");
            *last = load::rows(db, &sql, &[], read)?.pop().unwrap_or_default();
        }
        self.rebuild_keys(db)?;
        self.recent.complete(tenants);
        Ok(())
    }

    /// Reads the keys that are not known yet.
    fn rebuild_keys(&self, db: &Connection) -> Result<(), StoreError> {
        let sql = "select row_number, key
            from reservation
            where row_number > max(?1, (select row_number from indexed where name = 'key'))
            order by row_number";
        let key = |found: &Row<'_>| -> Result<(i64, Key), StoreError> {
            Ok((row::column(found, "row_number")?, row::column(found, "key")?))
        };
        self.recent.read_keys(load::rows(db, sql, &[&self.recent.last_key()], key)?);
        Ok(())
    }
}

/// The accounts of budgets that are not in their place, as they are now; of all budgets where none
/// is named.
pub(super) fn accounts(
    db: &Connection,
    budgets: Option<&[BudgetId]>,
) -> Result<HashMap<AccountId, Account>, StoreError> {
    let mut found = HashMap::new();
    let mut statement =
        db.prepare_cached("select * from account_tail order by row_number").map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    while let Some(row) = rows.next().map_err(unavailable)? {
        let budget = BudgetId(row::column::<Uuid>(row, "budget_id")?);
        if budgets.is_none_or(|budgets| budgets.contains(&budget)) {
            let account = row::account(row)?;
            found.insert(account.id, account);
        }
    }
    Ok(found)
}
