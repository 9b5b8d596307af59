//! What was committed last and is not in its place yet.
//!
//! A commit appends to tables without an index (`entry_tail`, `account_tail`, `reservation_tail`):
//! a few pages, however many tenants it serves. [`merge`] moves the rows into the tables proper, in
//! the order of those, many at once: an account that changed a thousand times is written once.
//! Whoever reads the tables proper merges first; the writer remembers what it would miss.

use std::collections::{HashMap, HashSet};

use ::budget::{Changes, Key, Reservation, StoreError};
use focus::TenantId;
use rusqlite::Connection;

use super::{load, unavailable};

/// The most changed reservations before the writer merges.
const RESERVATIONS_MOST: usize = 4_096;

/// What the writer knows of the rows that are not in their place.
#[derive(Debug, Default)]
pub(super) struct Tail {
    reservations: HashMap<Key, Reservation>,
    tenants: HashSet<TenantId>,
}

impl Tail {
    /// Notes what a commit has appended.
    pub(super) fn add(&mut self, changes: &mut Changes) {
        let keyed = |reservation: Reservation| (reservation.key, reservation);
        self.reservations.extend(changes.reservations.drain(..).map(keyed));
        self.tenants.extend(changes.books.iter().map(|book| book.head.tenant.clone()));
    }

    /// A reservation that the table proper does not have, or has as it was before.
    pub(super) fn reservation(&self, key: Key) -> Option<&Reservation> {
        self.reservations.get(&key)
    }

    /// Whether the tables proper may be behind for a tenant.
    pub(super) fn concerns(&self, tenant: &TenantId) -> bool {
        self.tenants.contains(tenant)
    }

    /// Whether it is time to merge.
    pub(super) fn is_long(&self) -> bool {
        self.reservations.len() >= RESERVATIONS_MOST
    }

    pub(super) fn clear(&mut self) {
        self.reservations.clear();
        self.tenants.clear();
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

/// Moves every row into its place, in the transaction that is open.
pub(super) fn merge(db: &Connection) -> Result<(), StoreError> {
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
