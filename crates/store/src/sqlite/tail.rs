//! What was committed last and is not in its place yet.
//!
//! A commit appends to tables without an index (`entry_tail`, `account_tail`, `reservation_tail`):
//! a few pages, however many tenants it serves. [`Tail::merge`] moves the rows into the tables proper, in
//! the order of those, many at once: an account that changed a thousand times is written once.
//! Whoever reads the tables proper merges first; the writer remembers what it would miss.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ::budget::{Changes, Key, Reservation, StoreError};
use focus::TenantId;
use rusqlite::Connection;

use super::{load, unavailable};

/// A commit merges so long after the merge before: often enough that none waits long for it, seldom
/// enough that it moves many rows at once.
const MERGE_EVERY: Duration = Duration::from_millis(250);
/// The most changed reservations before a commit merges.
const RESERVATIONS_MOST: usize = 4_096;

/// Reservations that the table proper does not have, or has as they were before. Shared with those
/// who look one up, as every settlement does.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Everything in the tail is here.
    whole: bool,
    reservations: HashMap<Key, Arc<Reservation>>,
}

/// Where to look a reservation up.
pub(super) enum Place {
    /// It is this one.
    Here(Arc<Reservation>),
    /// If it is anywhere, then in the table proper.
    Table,
    /// In the tail or in the table.
    Anywhere,
}

impl Recent {
    pub(super) fn find(&self, key: Key) -> Place {
        let known = self.known();
        match known.reservations.get(&key) {
            Some(reservation) => Place::Here(reservation.clone()),
            None if known.whole => Place::Table,
            None => Place::Anywhere,
        }
    }

    /// The keys of those that are `wanted`, oldest first; `None` when the tail is not known.
    pub(super) fn keys(&self, wanted: impl Fn(&Reservation) -> bool) -> Option<Vec<Key>> {
        let known = self.known();
        let mut found: Vec<_> = known.reservations.values().filter(|found| wanted(found)).collect();
        found.sort_by_key(|reservation| (reservation.created_at, reservation.key));
        known.whole.then(|| found.into_iter().map(|reservation| reservation.key).collect())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writer knows of the rows that are not in their place.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) recent: Recent,
    /// Whose rows the tables proper may lack.
    tenants: HashSet<TenantId>,
    /// When the oldest row was appended.
    since: Option<Instant>,
    /// The open transaction has put all in its place.
    merged: bool,
}

impl Tail {
    /// The open transaction is committed: notes what it has put in its place and what it appended.
    pub(super) fn committed(&mut self, changes: Option<&mut Changes>) {
        let mut known = self.recent.known();
        if std::mem::take(&mut self.merged) {
            known.reservations.clear();
            known.whole = true;
        }
        let Some(changes) = changes.filter(|changes| !changes.is_empty()) else { return };
        self.since.get_or_insert_with(Instant::now);
        let keyed = |reservation: Reservation| (reservation.key, Arc::new(reservation));
        known.reservations.extend(changes.reservations.drain(..).map(keyed));
        self.tenants.extend(changes.books.iter().map(|book| book.head.tenant.clone()));
    }

    /// Puts every row in its place, in the transaction that is open.
    pub(super) fn merge(&mut self, db: &Connection) -> Result<(), StoreError> {
        merge(db)?;
        self.tenants.clear();
        self.since = None;
        self.merged = true;
        Ok(())
    }

    /// Whether the tables proper may be behind for a tenant.
    pub(super) fn concerns(&self, tenant: &TenantId) -> bool {
        self.tenants.contains(tenant)
    }

    /// Whether it is time to merge.
    pub(super) fn is_due(&self) -> bool {
        let long = || self.recent.known().reservations.len() >= RESERVATIONS_MOST;
        self.since.is_some_and(|since| since.elapsed() >= MERGE_EVERY) || long()
    }

    /// What is known may differ from the file.
    pub(super) fn forget(&mut self) {
        *self.recent.known() = Known::default();
        self.tenants.clear();
        self.since = None;
        self.merged = false;
    }
}

/// Whether every row is in its place.
pub(super) fn is_empty(db: &Connection) -> Result<bool, StoreError> {
    let sql = "select not exists (select 1 from entry_tail)
            and not exists (select 1 from account_tail)
            and not exists (select 1 from reservation_tail) as is_empty";
    let read = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
    Ok(load::rows(db, sql, &[], read)?.pop().unwrap_or(true))
}

fn merge(db: &Connection) -> Result<(), StoreError> {
    for sql in [ENTRIES, HEADS, ACCOUNTS, RESERVATIONS] {
        run(db, sql)?;
    }
    for sql in
        ["delete from entry_tail", "delete from account_tail", "delete from reservation_tail"]
    {
        run(db, sql)?;
    }
    Ok(())
}

fn run(db: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    statement.execute([]).map_err(unavailable)?;
    Ok(())
}

const ENTRIES: &str = "insert into entry
        (tenant_id, seq, at, kind, key, amount_nanos, postings, hash)
    select tenant_id, seq, at, kind, key, amount_nanos, postings, hash
    from entry_tail
    order by tenant_id, seq";

/// `hash` is that of the row with the largest `seq`: SQLite promises so beside a single `max`.
const HEADS: &str = "update tenant
    set ledger_seq = last.seq, ledger_hash = last.hash
    from (select tenant_id, max(seq) as seq, hash from entry_tail group by tenant_id) as last
    where tenant.tenant_id = last.tenant_id";

const ACCOUNTS: &str = "insert into account
        (budget_id, period_start, period_end, settled_nanos, held_nanos, unresolved_nanos,
        tokens_input, tokens_output, fired, exhausted)
    select budget_id, period_start, period_end, settled_nanos, held_nanos, unresolved_nanos,
        tokens_input, tokens_output, fired, exhausted
    from account_tail
    where row_number in
        (select max(row_number) from account_tail group by budget_id, period_start)
    order by budget_id, period_start
    on conflict (budget_id, period_start) do update
    set settled_nanos = excluded.settled_nanos, held_nanos = excluded.held_nanos,
        unresolved_nanos = excluded.unresolved_nanos, tokens_input = excluded.tokens_input,
        tokens_output = excluded.tokens_output, fired = excluded.fired,
        exhausted = excluded.exhausted";

const RESERVATIONS: &str = "insert into reservation
        (key, tenant_id, model, user_id, report_type, state, estimate, hold_nanos, used_input,
        used_output, used_cache_read, used_cache_write_5m, used_cache_write_1h, used_tier,
        used_given, cost_nanos, accounts, standing_settled, standing_counted, standing_limit,
        would_refuse, created_at, expires_at, updated_at)
    select key, tenant_id, model, user_id, report_type, state, estimate, hold_nanos, used_input,
        used_output, used_cache_read, used_cache_write_5m, used_cache_write_1h, used_tier,
        used_given, cost_nanos, accounts, standing_settled, standing_counted, standing_limit,
        would_refuse, created_at, expires_at, updated_at
    from reservation_tail
    where row_number in (select max(row_number) from reservation_tail group by key)
    order by row_number
    on conflict (key) do update
    set user_id = excluded.user_id, report_type = excluded.report_type,
        state = excluded.state, used_input = excluded.used_input,
        used_output = excluded.used_output, used_cache_read = excluded.used_cache_read,
        used_cache_write_5m = excluded.used_cache_write_5m,
        used_cache_write_1h = excluded.used_cache_write_1h, used_tier = excluded.used_tier,
        used_given = excluded.used_given, cost_nanos = excluded.cost_nanos,
        accounts = excluded.accounts, updated_at = excluded.updated_at";
