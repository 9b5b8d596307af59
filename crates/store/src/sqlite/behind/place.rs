//! One row put where it is found by name. Each may be done again: after a crash some are.

use ::budget::{EntryHash, Key, StoreError};
use focus::TenantId;
use jiff::Timestamp;
use rusqlite::Connection;

use super::super::{row::whole, save::execute};

/// So many rows of `account_tail` are dropped at a time.
const DROP_AT_ONCE: usize = 64;

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
    pub(super) fn drops(upto: i64) -> impl Iterator<Item = Self> {
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
