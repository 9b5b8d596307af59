//! Rows put where they are found by name, in the order of those places. Each may be put there again:
//! after a crash some are.

use std::{mem, sync::LazyLock};

use ::budget::{AccountId, Key, StoreError};
use focus::TenantId;
use rusqlite::{Connection, Statement, ToSql};

use super::{
    super::{row::whole, unavailable},
    Marks, Named,
    recent::End,
};

/// So many rows of `account_tail` are dropped at a time.
const DROP_AT_ONCE: usize = 64;
/// So many rows of an index pass by one statement.
pub(super) const AT_ONCE: usize = 16;

/// Rows that have come together.
pub(super) struct Gathered {
    pub(super) entries: Vec<(TenantId, u64, i64)>,
    pub(super) reservations: Vec<Named>,
    pub(super) heads: Vec<(TenantId, End)>,
    pub(super) accounts: Vec<(AccountId, i64)>,
    /// The first row of `account_tail`, and the last of those accounts.
    pub(super) drop: Option<(i64, i64)>,
    /// The last rows among them.
    pub(super) upto: Marks,
}

impl Gathered {
    /// About how many tasks there are.
    pub(super) fn tasks(&self) -> usize {
        let drops = Task::drops(self.drop).count();
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
            .chain(Task::drops(self.drop))
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
    pub(super) fn drops(rows: Option<(i64, i64)>) -> impl Iterator<Item = Self> {
        let parts = |(first, upto): (i64, i64)| {
            (first..upto).step_by(DROP_AT_ONCE).chain([upto]).map(Self::Drop)
        };
        rows.into_iter().flat_map(parts)
    }

    /// Does tasks of one kind, [`AT_ONCE`] at most. As many rows of an index pass by one statement:
    /// to begin and end it takes longer than a row.
    pub(super) fn run(tasks: &[Self], db: &Connection) -> Result<(), StoreError> {
        let Some(first) = tasks.first() else { return Ok(()) };
        let (sql, each) = first.sql(tasks.len());
        let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
        for tasks in tasks.chunks(each) {
            let mut values = Values { statement: &mut statement, bound: 0 };
            tasks.iter().try_for_each(|task| task.bind(&mut values))?;
            statement.raw_execute().map_err(unavailable)?;
        }
        Ok(())
    }

    /// Whether both are of one kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        mem::discriminant(self) == mem::discriminant(other)
    }

    /// The statement for so many of its kind, and how many of them it does.
    fn sql(&self, tasks: usize) -> (&'static str, usize) {
        let sql = match self {
            Self::Entry(..) => return ENTRY_BY_TENANT.sql(tasks),
            Self::Key(..) => return RESERVATION_BY_KEY.sql(tasks),
            Self::Time(_) => return RESERVATION_BY_TIME.sql(tasks),
            Self::Tenant(_) => return RESERVATION_BY_TENANT.sql(tasks),
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
        };
        (sql, 1)
    }

    fn bind(&self, values: &mut Values<'_, '_>) -> Result<(), StoreError> {
        match self {
            Self::Entry(tenant, seq, row) => {
                values.bind(tenant.as_str())?;
                values.bind(whole(*seq)?)?;
                values.bind(row)
            }
            Self::Key(key, row) => {
                values.bind(key.as_bytes())?;
                values.bind(row)
            }
            Self::Time(Named { created_at, key, row, .. }) => {
                values.bind(created_at.as_microsecond())?;
                values.bind(key.as_bytes())?;
                values.bind(row)
            }
            Self::Tenant(Named { tenant, created_at, key, row }) => {
                values.bind(tenant.as_str())?;
                values.bind(created_at.as_microsecond())?;
                values.bind(key.as_bytes())?;
                values.bind(row)
            }
            Self::Account(row) | Self::Drop(row) => values.bind(row),
            Self::Head(tenant, (seq, hash)) => {
                values.bind(tenant.as_str())?;
                values.bind(whole(*seq)?)?;
                values.bind(hash.0)
            }
            Self::Indexed(name, row) => {
                values.bind(name)?;
                values.bind(row)
            }
        }
    }
}

/// What is bound in a statement, one after the other.
struct Values<'a, 'db> {
    statement: &'a mut Statement<'db>,
    bound: usize,
}

impl Values<'_, '_> {
    fn bind(&mut self, value: impl ToSql) -> Result<(), StoreError> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value).map_err(unavailable)
    }
}

/// The statements that put one row into an index, or many.
struct Index {
    one: String,
    many: String,
}

static ENTRY_BY_TENANT: LazyLock<Index> =
    LazyLock::new(|| Index::new("entry_by_tenant", &["tenant_id", "seq", "row_number"]));
static RESERVATION_BY_KEY: LazyLock<Index> =
    LazyLock::new(|| Index::new("reservation_by_key", &["key", "row_number"]));
static RESERVATION_BY_TIME: LazyLock<Index> =
    LazyLock::new(|| Index::new("reservation_by_time", &["created_at", "key", "row_number"]));
static RESERVATION_BY_TENANT: LazyLock<Index> = LazyLock::new(|| {
    Index::new("reservation_by_tenant", &["tenant_id", "created_at", "key", "row_number"])
});

impl Index {
    fn new(table: &str, columns: &[&str]) -> Self {
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let insert = |rows| {
            let (columns, rows) = (columns.join(", "), vec![row.as_str(); rows].join(", "));
            format!("insert into {table} ({columns}) values {rows} on conflict do nothing")
        };
        Self { one: insert(1), many: insert(AT_ONCE) }
    }

    fn sql(&self, rows: usize) -> (&str, usize) {
        if rows == AT_ONCE { (&self.many, AT_ONCE) } else { (&self.one, 1) }
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
