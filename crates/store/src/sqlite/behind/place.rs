//! Rows put where they are found by name, one by one in the order of those places. Each may be put
//! there again: after a crash some are.

use ::budget::{AccountId, EntryHash, Key, StoreError};
use focus::TenantId;
use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    super::{row::whole, save::execute},
    End, Numbered,
};

/// So many rows of `account_tail` are dropped at a time.
const DROP_AT_ONCE: usize = 64;

/// Rows that have come together.
pub(super) struct Gathered {
    pub(super) entries: Vec<(TenantId, u64, i64)>,
    pub(super) reservations: Vec<Numbered>,
    pub(super) heads: Vec<(TenantId, End)>,
    pub(super) accounts: Vec<(AccountId, i64)>,
    pub(super) last_account: i64,
}

impl Gathered {
    /// What to do for them, in the order of their places.
    pub(super) fn sorted(mut self) -> Vec<Task> {
        let mut tasks = Vec::with_capacity(4 * self.entries.len());
        self.entries.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let entry = |(tenant, seq, row)| Task::Entry(tenant, seq, row);
        tasks.extend(self.entries.into_iter().map(entry));
        let mut found = self.reservations;
        found.sort_unstable_by_key(|(_, reservation)| reservation.key);
        tasks.extend(found.iter().map(|(row, reservation)| Task::Key(reservation.key, *row)));
        let place = |(_, reservation): &Numbered| (reservation.created_at, reservation.key);
        found.sort_unstable_by(|a, b| {
            (&a.1.call.tenant, place(a)).cmp(&(&b.1.call.tenant, place(b)))
        });
        tasks.extend(found.into_iter().map(|(row, reservation)| {
            let tenant = reservation.call.tenant.clone();
            Task::Tenant(tenant, reservation.created_at, reservation.key, row)
        }));
        self.accounts.sort_unstable();
        tasks.extend(self.accounts.into_iter().map(|(_, row)| Task::Account(row)));
        self.heads.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let head = |(tenant, (seq, hash))| Task::Head(tenant, seq, hash);
        tasks.extend(self.heads.into_iter().map(head));
        tasks.extend(Task::drops(self.last_account));
        tasks
    }
}

/// What to do for one row.
#[derive(Debug)]
pub(super) enum Task {
    /// An entry is found by its tenant and place.
    Entry(TenantId, u64, i64),
    /// A reservation is found by its key.
    Key(Key, i64),
    /// A reservation is found by its tenant and time.
    Tenant(TenantId, Timestamp, Key, i64),
    /// An account goes from this row of `account_tail` to its place.
    Account(i64),
    /// A tenant's row knows the end of its ledger.
    Head(TenantId, u64, EntryHash),
    /// The rows of `account_tail` up to this one are in their places.
    Drop(i64),
    /// The rows of a table up to this one are found by name.
    Indexed(&'static str, i64),
}

impl Task {
    /// Drops everything up to a row, in parts.
    fn drops(upto: i64) -> impl Iterator<Item = Self> {
        (1..upto).step_by(DROP_AT_ONCE).chain([upto]).map(Self::Drop)
    }

    pub(super) fn run(self, db: &Connection) -> Result<(), StoreError> {
        match self {
            Self::Entry(tenant, seq, row) => {
                let sql = "insert into entry_by_tenant (tenant_id, seq, row_number)
                    values (?1, ?2, ?3)
                    on conflict do nothing";
                execute(db, sql, &[&tenant.as_str(), &whole(seq)?, &row])
            }
            Self::Key(key, row) => {
                let sql = "insert into reservation_by_key (key, row_number)
                    values (?1, ?2)
                    on conflict do nothing";
                execute(db, sql, &[&key, &row])
            }
            Self::Tenant(tenant, at, key, row) => {
                let sql = "insert into reservation_by_tenant
                        (tenant_id, created_at, key, row_number)
                    values (?1, ?2, ?3, ?4)
                    on conflict do nothing";
                execute(db, sql, &[&tenant.as_str(), &at.as_microsecond(), &key, &row])
            }
            Self::Account(row) => execute(db, ACCOUNT, &[&row]),
            Self::Head(tenant, seq, hash) => {
                let sql = "update tenant
                    set ledger_seq = ?2, ledger_hash = ?3
                    where tenant_id = ?1 and ledger_seq < ?2";
                execute(db, sql, &[&tenant.as_str(), &whole(seq)?, &hash.0])
            }
            Self::Drop(row) => {
                execute(db, "delete from account_tail where row_number <= ?1", &[&row])
            }
            Self::Indexed(name, row) => {
                execute(db, "update indexed set row_number = ?2 where name = ?1", &[&name, &row])
            }
        }
        .map(drop)
    }
}

const ACCOUNT: &str = "insert into account
        (budget_id, period_start, period_end, settled_nanos, held_nanos, unresolved_nanos,
        tokens_input, tokens_output, fired, exhausted)
    select budget_id, period_start, period_end, settled_nanos, held_nanos, unresolved_nanos,
        tokens_input, tokens_output, fired, exhausted
    from account_tail
    where row_number = ?1
    on conflict (budget_id, period_start) do update
    set settled_nanos = excluded.settled_nanos, held_nanos = excluded.held_nanos,
        unresolved_nanos = excluded.unresolved_nanos, tokens_input = excluded.tokens_input,
        tokens_output = excluded.tokens_output, fired = excluded.fired,
        exhausted = excluded.exhausted";
