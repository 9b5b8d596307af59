//! What was committed last and can't be found by name yet.
//!
//! A commit appends entries and reservations in the order of their arrival, and accounts to
//! `account_tail`: a few pages at the end of each, however many tenants it serves. The tables that
//! find them by name, and the accounts proper, are filled behind: once enough rows have come
//! together they are sorted, and every commit puts some of them in their places, in that order. So a
//! page takes many rows at once, and no commit does much of it.
//!
//! What is not in its place is remembered here, and read again after a failure or when another
//! process has written. Invariant: a row up to `indexed` is in its places; a later one may be.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread, vec,
};

use ::budget::{Account, AccountId, BudgetId, Changes, EntryHash, Key, Reservation, StoreError};
use focus::TenantId;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::{load, row, unavailable};
use place::{Gathered, Task};

mod place;

/// How many rows a commit puts in their places for each of its commands, which itself appends four:
/// one generation is done long before the next is full.
const TASKS_PER_COMMAND: usize = 8;

/// What readers have to know of it. Shared with those who look a reservation up, as every
/// settlement does.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Everything that is not in its place is here.
    is_whole: bool,
    /// What comes together.
    filling: Rows,
    /// What is being put in its places.
    draining: Rows,
}

impl Known {
    fn kept_mut(&mut self, key: &Key) -> Option<&mut Numbered> {
        let filling = self.filling.reservations.get_mut(key);
        filling.or_else(|| self.draining.reservations.get_mut(key))
    }
}

#[derive(Debug, Default)]
struct Rows {
    reservations: HashMap<Key, Numbered>,
    /// Whose rows they are, and the end of the ledger of each, where that has moved.
    tenants: HashMap<TenantId, Option<End>>,
}

/// A reservation and its row.
pub(super) type Numbered = (i64, Arc<Reservation>);

/// The last entry of a tenant's ledger: its place and hash.
pub(super) type End = (u64, EntryHash);

/// Where to look a reservation up.
pub(super) enum Place {
    /// It is this one.
    Here(Numbered),
    /// If it is anywhere, then it is found by its key.
    ByKey,
    /// By its key, or among the rows that are not indexed.
    Anywhere,
}

impl Recent {
    pub(super) fn find(&self, key: Key) -> Place {
        let known = self.known();
        let rows = [&known.filling, &known.draining];
        match rows.iter().find_map(|rows| rows.reservations.get(&key)) {
            Some(found) => Place::Here(found.clone()),
            None if known.is_whole => Place::ByKey,
            None => Place::Anywhere,
        }
    }

    /// Whether rows of a tenant's may be missing in their places.
    pub(super) fn concerns(&self, tenant: &TenantId) -> bool {
        let known = self.known();
        let rows = [&known.filling, &known.draining];
        !known.is_whole || rows.iter().any(|rows| rows.tenants.contains_key(tenant))
    }

    /// The end of a tenant's ledger, where the tenant's row is behind it.
    pub(super) fn head(&self, tenant: &TenantId) -> Option<End> {
        let known = self.known();
        let rows = [&known.filling, &known.draining];
        rows.iter().find_map(|rows| rows.tenants.get(tenant).copied().flatten())
    }

    /// What has come together drains from now on: its reservations, and the ends of its ledgers.
    fn drain(&self) -> (Vec<Numbered>, Vec<(TenantId, End)>) {
        let mut known = self.known();
        known.draining = std::mem::take(&mut known.filling);
        let rows = &known.draining;
        let heads = rows.tenants.iter().filter_map(|(tenant, end)| Some((tenant.clone(), (*end)?)));
        (rows.reservations.values().cloned().collect(), heads.collect())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last rows of the tables that are appended to.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    entry: i64,
    reservation: i64,
    account: i64,
}

/// Rows that are being put in their places.
#[derive(Debug)]
struct Generation {
    tasks: Tasks,
    accounts: HashMap<AccountId, i64>,
    /// Its last rows.
    upto: Marks,
}

#[derive(Debug)]
enum Tasks {
    /// A thread of their own brings them in order: no commit waits for that.
    Sorting(mpsc::Receiver<Vec<Task>>),
    Sorted(vec::IntoIter<Task>),
}

impl Tasks {
    /// Those that are left, once they are sorted.
    fn left(&mut self) -> Result<Option<&mut vec::IntoIter<Task>>, StoreError> {
        if let Self::Sorting(sorted) = self {
            match sorted.try_recv() {
                Ok(tasks) => *self = Self::Sorted(tasks.into_iter()),
                Err(mpsc::TryRecvError::Empty) => return Ok(None),
                Err(mpsc::TryRecvError::Disconnected) => {
                    return Err(StoreError::unavailable(io::Error::other("sorting has failed")));
                }
            }
        }
        match self {
            Self::Sorting(_) => Ok(None),
            Self::Sorted(tasks) => Ok(Some(tasks)),
        }
    }
}

/// Where a commit has put what it saved: a row for each of its changes, in their order.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) entries: Vec<i64>,
    pub(super) accounts: Vec<i64>,
    /// Also whether the row is new.
    pub(super) reservations: Vec<(i64, bool)>,
}

/// What the writer knows of the rows that are not in their places.
#[derive(Debug, Default)]
pub(super) struct Behind {
    pub(super) recent: Recent,
    entries: Vec<(TenantId, u64, i64)>,
    /// The latest row of each account.
    accounts: HashMap<AccountId, i64>,
    last: Marks,
    work: Option<Generation>,
    /// The open transaction has finished the work.
    is_done: bool,
}

impl Behind {
    /// The latest row of an account in `account_tail`; it may be gone, and then it is in its place.
    pub(super) fn account(&self, id: AccountId) -> Option<i64> {
        let draining = || self.work.as_ref().and_then(|work| work.accounts.get(&id));
        self.accounts.get(&id).or_else(draining).copied()
    }

    /// Puts some rows in their places, in the transaction that is open; begins once there are
    /// `many` entries.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        commands: usize,
        many: usize,
    ) -> Result<(), StoreError> {
        if self.work.is_none() && self.entries.len() >= many {
            self.gather()?;
        }
        let Some(work) = &mut self.work else { return Ok(()) };
        let Some(tasks) = work.tasks.left()? else { return Ok(()) };
        for task in tasks.by_ref().take(TASKS_PER_COMMAND * commands) {
            task.run(db)?;
        }
        if tasks.as_slice().is_empty() {
            Task::Indexed("entry", work.upto.entry).run(db)?;
            Task::Indexed("reservation", work.upto.reservation).run(db)?;
            self.is_done = true;
        }
        Ok(())
    }

    /// Begins to put everything in its places that has come together.
    fn gather(&mut self) -> Result<(), StoreError> {
        let (reservations, heads) = self.recent.drain();
        let entries = std::mem::take(&mut self.entries);
        let accounts = std::mem::take(&mut self.accounts);
        let rows = Gathered {
            entries,
            reservations,
            heads,
            accounts: accounts.iter().map(|(id, row)| (*id, *row)).collect(),
            last_account: self.last.account,
        };
        let (sorted, tasks) = mpsc::channel();
        let thread = thread::Builder::new().name("bursar-sorter".into());
        // Nobody waits for it any more when everything was forgotten meanwhile.
        let sort = move || drop(sorted.send(rows.sorted()));
        thread.spawn(sort).map_err(StoreError::unavailable)?;
        self.work = Some(Generation { tasks: Tasks::Sorting(tasks), accounts, upto: self.last });
        Ok(())
    }

    /// The open transaction is committed: notes what it has finished and what it appended.
    pub(super) fn committed(&mut self, changes: &mut Changes, saved: Saved) {
        let mut known = self.recent.known();
        if std::mem::take(&mut self.is_done) {
            self.work = None;
            known.draining = Rows::default();
        }
        self.last.entry = saved.entries.last().copied().unwrap_or(self.last.entry);
        // Its numbers begin anew when nothing is left in it.
        self.last.account = saved.accounts.last().copied().unwrap_or(self.last.account);
        let entries = changes.entries.iter().zip(saved.entries);
        self.entries.extend(entries.map(|(entry, row)| (entry.tenant.clone(), entry.seq, row)));
        let accounts = changes.accounts.iter().zip(saved.accounts);
        self.accounts.extend(accounts.map(|(account, row)| (account.id, row)));
        for (reservation, (row, is_new)) in changes.reservations.drain(..).zip(saved.reservations) {
            self.last.reservation = self.last.reservation.max(row);
            let key = reservation.key;
            if let Some(kept) = known.kept_mut(&key) {
                kept.1 = Arc::new(reservation);
            } else if is_new {
                known.filling.reservations.insert(key, (row, Arc::new(reservation)));
            }
        }
        if !changes.is_empty() {
            for book in &changes.books {
                known.filling.tenants.entry(book.head.tenant.clone()).or_default();
            }
        }
        for head in &changes.heads {
            known.filling.tenants.insert(head.tenant.clone(), Some((head.seq, head.hash)));
        }
    }

    /// What is known may differ from the file.
    pub(super) fn forget(&mut self) {
        *self.recent.known() = Known::default();
        *self = Self { recent: self.recent.clone(), ..Self::default() };
    }

    /// Reads everything that may not be in its place, in a transaction that keeps others from
    /// writing.
    pub(super) fn rebuild(&mut self, db: &Connection) -> Result<(), StoreError> {
        self.forget();
        let mut rows = Rows::default();
        let sql = "select row_number from indexed order by name";
        let marks = load::rows(db, sql, &[], |found| row::column::<i64>(found, "row_number"))?;
        let [entry, reservation] = marks[..] else { return Err(row::corrupt("no index is kept")) };
        self.last = Marks { entry, reservation, account: 0 };
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
            rows.tenants.insert(tenant, Some(place));
            self.last.entry = row;
        }
        let sql = "select *
            from reservation
            where row_number > (select row_number from indexed where name = 'reservation')
            order by row_number";
        for (row, reservation) in load::rows(db, sql, &[], row::numbered)? {
            rows.reservations.insert(reservation.key, (row, Arc::new(reservation)));
            self.last.reservation = row;
        }
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
                rows.tenants.entry(tenant).or_default();
            }
            self.last.account = row;
        }
        *self.recent.known() = Known { is_whole: true, filling: rows, ..Known::default() };
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
