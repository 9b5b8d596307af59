//! Rows put where they are found by name, one by one in the order of those places. Each may be put
//! there again: after a crash some are.

use ::budget::{AccountId, Key, StoreError};
use focus::TenantId;
use rusqlite::{Statement, ToSql};

use super::{
    super::{row::whole, unavailable},
    Marks, Named,
    recent::End,
};

/// So many rows of `account_tail` are dropped at a time.
const DROP_AT_ONCE: usize = 64;

/// Rows that have come together.
pub(super) struct Gathered {
    pub(super) entries: Vec<(TenantId, u64, i64)>,
    pub(super) reservations: Vec<Named>,
    pub(super) heads: Vec<(TenantId, End)>,
    pub(super) accounts: Vec<(AccountId, i64)>,
    /// The first row of `account_tail`.
    pub(super) first: i64,
    /// The last rows among them.
    pub(super) upto: Marks,
}

impl Gathered {
    /// About how many tasks there are.
    pub(super) fn tasks(&self) -> usize {
        let drops = Task::drops(self.first, self.upto.account).count();
        let places = [self.entries.len(), 2 * self.reservations.len(), self.heads.len()];
        places.iter().sum::<usize>() + self.accounts.len() + drops
    }

    /// What to do for them, in the order of their places.
    pub(super) fn sorted(mut self) -> impl Iterator<Item = Task> + Send {
        self.entries.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut by_time = self.reservations.clone();
        by_time.sort_unstable_by_key(|named| (named.created_at, named.key));
        let mut by_tenant = self.reservations;
        by_tenant.sort_unstable_by(|a, b| {
            (&a.tenant, a.created_at, a.key).cmp(&(&b.tenant, b.created_at, b.key))
        });
        self.accounts.sort_unstable();
        self.heads.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let entries = self.entries.into_iter();
        entries
            .map(|(tenant, seq, row)| Task::Entry(tenant, seq, row))
            .chain(by_time.into_iter().map(Task::Time))
            .chain(by_tenant.into_iter().map(Task::Tenant))
            .chain(self.accounts.into_iter().map(|(_, row)| Task::Account(row)))
            .chain(self.heads.into_iter().map(|(tenant, end)| Task::Head(tenant, end)))
            .chain(Task::drops(self.first, self.upto.account))
            .chain([
                Task::Indexed("entry", self.upto.entry),
                Task::Indexed("reservation", self.upto.reservation),
            ])
    }
}

/// What to do for one row.
#[derive(Debug)]
pub(super) enum Task {
    /// An entry is found by its tenant and place.
    Entry(TenantId, u64, i64),
    /// A reservation is found by its key.
    Key(Key, i64),
    /// A reservation is found by its time.
    Time(Named),
    /// A reservation is found by its tenant and time.
    Tenant(Named),
    /// An account goes from this row of `account_tail` to its place.
    Account(i64),
    /// A tenant's row knows the end of its ledger.
    Head(TenantId, End),
    /// The rows of `account_tail` up to this one are in their places.
    Drop(i64),
    /// The rows up to this one are in their places, or keys in theirs.
    Indexed(&'static str, i64),
}

impl Task {
    /// Drops the rows from one to another, in parts.
    pub(super) fn drops(first: i64, upto: i64) -> impl Iterator<Item = Self> {
        (first..upto).step_by(DROP_AT_ONCE).chain([upto]).map(Self::Drop)
    }

    /// The statement that does it.
    pub(super) const fn sql(&self) -> &'static str {
        match self {
            Self::Entry(..) => {
                "insert into entry_by_tenant (tenant_id, seq, row_number)
                values (?1, ?2, ?3)
                on conflict do nothing"
            }
            Self::Key(..) => {
                "insert into reservation_by_key (key, row_number)
                values (?1, ?2)
                on conflict do nothing"
            }
            Self::Time(_) => {
                "insert into reservation_by_time (created_at, key, row_number)
                values (?1, ?2, ?3)
                on conflict do nothing"
            }
            Self::Tenant(_) => {
                "insert into reservation_by_tenant (tenant_id, created_at, key, row_number)
                values (?1, ?2, ?3, ?4)
                on conflict do nothing"
            }
            Self::Account(_) => ACCOUNT,
            Self::Head(..) => {
                "update tenant
                set ledger_seq = ?2, ledger_hash = ?3
                where tenant_id = ?1 and ledger_seq < ?2"
            }
            Self::Drop(_) => "delete from account_tail where row_number <= ?1",
            // Another process may have come further.
            Self::Indexed(..) => {
                "update indexed
                set row_number = ?2
                where name = ?1 and row_number < ?2"
            }
        }
    }

    /// Does it by its statement.
    pub(super) fn run(self, statement: &mut Statement<'_>) -> Result<(), StoreError> {
        let mut execute =
            |parameters: &[&dyn ToSql]| statement.execute(parameters).map_err(unavailable);
        match self {
            Self::Entry(tenant, seq, row) => execute(&[&tenant.as_str(), &whole(seq)?, &row]),
            Self::Key(key, row) => execute(&[&key, &row]),
            Self::Time(Named { created_at, key, row, .. }) => {
                execute(&[&created_at.as_microsecond(), &key, &row])
            }
            Self::Tenant(Named { tenant, created_at, key, row }) => {
                execute(&[&tenant.as_str(), &created_at.as_microsecond(), &key, &row])
            }
            Self::Account(row) | Self::Drop(row) => execute(&[&row]),
            Self::Head(tenant, (seq, hash)) => execute(&[&tenant.as_str(), &whole(seq)?, &hash.0]),
            Self::Indexed(name, row) => execute(&[&name, &row]),
        }
        .map(drop)
    }
}

const ACCOUNT: &str = "insert into account
        (budget_id, period_start, period_end, opened_at, settled_nanos, held_nanos,
        unresolved_nanos, tokens_input, tokens_output, fired, exhausted)
    select budget_id, period_start, period_end, opened_at, settled_nanos, held_nanos,
        unresolved_nanos, tokens_input, tokens_output, fired, exhausted
    from account_tail
    where row_number = ?1
    on conflict (budget_id, period_start) do update
    set opened_at = excluded.opened_at, settled_nanos = excluded.settled_nanos,
        held_nanos = excluded.held_nanos,
        unresolved_nanos = excluded.unresolved_nanos, tokens_input = excluded.tokens_input,
        tokens_output = excluded.tokens_output, fired = excluded.fired,
        exhausted = excluded.exhausted";
