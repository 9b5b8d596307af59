//! What a batch or a view needs, read from the tables.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::budget::{
    Account, AccountId, Book, Budget, BudgetId, EntryHash, Head, Key, Opening, Reservation,
    StoreError,
};
use deadpool_postgres::Object;
use focus::{Period, TenantId};
use jiff::Timestamp;
use money::Money;
use tokio_postgres::{Error, Row, Statement};
use uuid::Uuid;

use super::{Postgres, pool::Parameters, row, unavailable};

/// How the connection that commits is set up, once. Every statement of a batch finds its rows by
/// key. The planner is told so: on a young database it knows tables as empty, and would read them
/// from end to end until they are analyzed.
pub(super) const SESSION: &str = "set bursar.writing = 'on';
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off;
set jit = off";

const HEAD: &str = concat!(include_str!("sql/tenant.sql"), "where tenant_id = $1");
const HEADS: &str = include_str!("sql/load_heads.sql");
const RESERVATIONS: &str = concat!(include_str!("sql/reservation.sql"), "where key = any ($1)");
const BUDGETS: &str = concat!(include_str!("sql/budget.sql"), include_str!("sql/load_budgets.sql"));
const ACCOUNTS: &str =
    concat!(include_str!("sql/account.sql"), include_str!("sql/load_accounts.sql"));
const NAMED: &str = concat!(
    "select a.*, b.tenant_id from (",
    include_str!("sql/account.sql"),
    ") as a ",
    include_str!("sql/load_named.sql")
);
const SPENT: &str = include_str!("sql/load_spent.sql");
const OPEN: &str = concat!(include_str!("sql/reservation.sql"), include_str!("sql/load_open.sql"));

/// The statements that a batch begins with.
pub(super) struct Statements {
    heads: Statement,
    reservations: Statement,
    budgets: Statement,
    accounts: Statement,
}

impl Statements {
    pub(super) async fn prepare(db: &Object) -> Result<Self, Error> {
        Ok(Self {
            heads: db.prepare_cached(HEADS).await?,
            reservations: db.prepare_cached(RESERVATIONS).await?,
            budgets: db.prepare_cached(BUDGETS).await?,
            accounts: db.prepare_cached(ACCOUNTS).await?,
        })
    }
}

/// What a batch begins with.
pub(super) struct Loaded {
    /// The tenants that are known, locked.
    pub(super) heads: HashMap<TenantId, Head>,
    pub(super) reservations: Vec<Reservation>,
    budgets: Vec<Arc<Budget>>,
    accounts: HashMap<AccountId, Account>,
}

/// Begins a transaction, locks the tenants of a batch and reads what it needs, in one round trip.
/// Each query sees what was committed before the locks were given. Fails where a lock is not given
/// for as long as the patience lasts.
pub(super) async fn begin(
    db: &Object,
    statements: &Statements,
    tenants: &[&str],
    keys: &[Key],
    now: Timestamp,
    patience: Duration,
) -> Result<Result<Loaded, StoreError>, Error> {
    let begin = format!("begin; set local lock_timeout = {}", patience.as_millis());
    let named: Parameters<'_> = &[&tenants, &keys];
    let named_and_running: Parameters<'_> = &[&tenants, &keys, &now];
    let keyed: Parameters<'_> = &[&keys];
    let (_, heads, reservations, budgets, accounts) = tokio::try_join!(
        biased;
        db.batch_execute(&begin),
        db.query(&statements.heads, named),
        db.query(&statements.reservations, keyed),
        db.query(&statements.budgets, named),
        db.query(&statements.accounts, named_and_running),
    )?;
    let read = || {
        let head = |row: &Row| row::head(row).map(|head| (head.tenant.clone(), head));
        let account = |row: &Row| row::account(row).map(|account| (account.id, account));
        Ok(Loaded {
            heads: heads.iter().map(head).collect::<Result<_, _>>()?,
            reservations: reservations.iter().map(row::reservation).collect::<Result<_, _>>()?,
            budgets: budgets.iter().map(row::budget).collect::<Result<_, _>>()?,
            accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
        })
    };
    Ok(read())
}

impl Loaded {
    /// The books of the tenants named and of those found, each with its running accounts and those
    /// that its reservations name.
    pub(super) fn books(&mut self, tenants: impl Iterator<Item = TenantId>) -> Vec<Book> {
        let known = self.heads.values().cloned();
        let unknown = tenants.filter(|tenant| !self.heads.contains_key(tenant)).map(no_head);
        let heads: HashMap<_, _> =
            known.chain(unknown).map(|head| (head.tenant.clone(), head)).collect();
        let mut budgets: HashMap<TenantId, Vec<Arc<Budget>>> = HashMap::new();
        for budget in self.budgets.drain(..) {
            budgets.entry(budget.scope.tenant.clone()).or_default().push(budget);
        }
        let mut accounts: HashMap<BudgetId, Vec<Account>> = HashMap::new();
        for account in self.accounts.values() {
            accounts.entry(account.id.budget).or_default().push(account.clone());
        }
        let mut books = HashMap::with_capacity(heads.len());
        for (tenant, head) in heads {
            let budgets = budgets.remove(&tenant).unwrap_or_default();
            let accounts =
                budgets.iter().filter_map(|budget| accounts.remove(&budget.id)).flatten();
            let accounts = accounts.collect();
            books.insert(tenant, Book::new(head, budgets, accounts));
        }
        for reservation in &self.reservations {
            let Some(book) = books.get_mut(&reservation.call.tenant) else { continue };
            for account in reservation.accounts.iter().filter_map(|id| self.accounts.get(id)) {
                book.bring(account.clone());
            }
        }
        books.into_values().collect()
    }
}

fn no_head(tenant: TenantId) -> Head {
    Head { tenant, seq: 0, hash: EntryHash::default() }
}

/// Accounts by name, with the tenants whose budgets they are of.
pub(super) async fn accounts(
    db: &Object,
    ids: &[AccountId],
) -> Result<Result<Vec<(TenantId, Account)>, StoreError>, Error> {
    let statement = db.prepare_cached(NAMED).await?;
    let budgets: Vec<Uuid> = ids.iter().map(|id| id.budget.0).collect();
    let starts: Vec<Timestamp> = ids.iter().map(|id| id.start).collect();
    let rows = db.query(&statement, &[&budgets, &starts]).await?;
    let read = |row: &Row| Ok((row::parsed(row, "tenant_id")?, row::account(row)?));
    Ok(rows.iter().map(read).collect())
}

/// What a running period had spent on what a budget covers.
pub(super) async fn opening(
    db: &Object,
    budget: Arc<Budget>,
    period: Period,
) -> Result<Result<Opening, StoreError>, Error> {
    let spent = db.prepare_cached(SPENT).await?;
    let open = db.prepare_cached(OPEN).await?;
    let scope = &budget.scope;
    let (tenant, model) = (scope.tenant.as_str(), scope.model_or_star());
    let user = scope.user.as_ref().map(|user| user.as_str());
    let kind = scope.report_type.as_ref().map(|kind| kind.as_str());
    let parameters: Parameters<'_> = &[&tenant, &model, &user, &kind, &period.start, &period.end];
    let spent = db.query_one(&spent, parameters).await?;
    let open = db.query(&open, parameters).await?;
    let read = || -> Result<(Money, u64, u64, Vec<Reservation>), StoreError> {
        let open = open.iter().map(row::reservation).collect::<Result<_, _>>()?;
        let input = row::count(&spent, "tokens_input")?;
        Ok((
            row::money(&spent, "settled_nanos")?,
            input,
            row::count(&spent, "tokens_output")?,
            open,
        ))
    };
    Ok(read().map(|(settled, tokens_input, tokens_output, open)| Opening {
        budget: budget.clone(),
        period,
        settled,
        tokens_input,
        tokens_output,
        open,
    }))
}

impl Postgres {
    /// A book to look at: accounts that a batch would have to open first are shown as it would.
    pub(super) async fn book(&self, tenant: &TenantId, now: Timestamp) -> Result<Book, StoreError> {
        let db = self.pool.get().await?;
        let head = db.prepare_cached(HEAD).await.map_err(unavailable)?;
        let budgets = db.prepare_cached(BUDGETS).await.map_err(unavailable)?;
        let accounts = db.prepare_cached(ACCOUNTS).await.map_err(unavailable)?;
        let name = tenant.as_str();
        let (tenants, keys): (&[&str], &[Key]) = (&[name], &[]);
        let one: Parameters<'_> = &[&name];
        let named: Parameters<'_> = &[&tenants, &keys];
        let named_and_running: Parameters<'_> = &[&tenants, &keys, &now];
        let (head, budgets, accounts) = tokio::try_join!(
            biased;
            db.query(&head, one),
            db.query(&budgets, named),
            db.query(&accounts, named_and_running),
        )
        .map_err(unavailable)?;
        let head = head.first().map(row::head).transpose()?;
        let budgets = budgets.iter().map(row::budget).collect::<Result<_, _>>()?;
        let accounts = accounts.iter().map(row::account).collect::<Result<_, _>>()?;
        let mut book =
            Book::new(head.unwrap_or_else(|| no_head(tenant.clone())), budgets, accounts);
        for (budget, period) in book.unopened(now).map_err(row::corrupt)? {
            let opening = opening(&db, budget, period).await.map_err(unavailable)??;
            book.show(&opening, now);
        }
        Ok(book)
    }
}
