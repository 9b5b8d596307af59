//! The roles that a store plays. Doors hold them as `dyn`; `store` fills them.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use focus::{ModelName, ReportType, TenantId, UserId};
use jiff::Timestamp;
use money::{Money, Price};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Account, Budget, BudgetId, CloudBudget, CloudEvent, CommandResult, Deliveries, Entry,
    EscrowError, Key, Line, Notice, Outbox, Outcome, Release, Reservation, Reserve, Resolve,
    Settle, Standing, State, Tier, VendorBatches,
};

/// The store could not answer. What a caller may read is in the message; the cause is for the log.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The database is away or has failed.
    #[error("the budget store is unavailable")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// More is waiting than may wait.
    #[error("the budget store is overloaded")]
    Overloaded,
    /// The store is closing.
    #[error("the budget store is closing")]
    Closed,
    /// A row that no version of Bursar writes.
    #[error("the budget store holds a row that can't be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Wraps a driver's error.
    pub fn unavailable(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Arc::new(cause))
    }
}

/// Part of a list: what comes after `after`, at most `limit` rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// The last row's cursor of the page before.
    pub after: Option<C>,
    /// At most this many rows.
    pub limit: usize,
}

impl<C> Page<C> {
    /// The first rows.
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

impl<C> Default for Page<C> {
    fn default() -> Self {
        Self::first(1000)
    }
}

/// What an [`Escrow`] will have answered.
pub type Answer<'f> = Pin<Box<dyn Future<Output = CommandResult> + Send + 'f>>;

/// Money is held, charged and freed here.
///
/// An escrow that only hands a call on implements the plain function in place of the asynchronous one,
/// and gives back what it was given: a future around it costs each call another piece of memory.
#[async_trait]
pub trait Escrow: Send + Sync {
    /// Whether a reservation would be accepted now. Holds nothing; may be up to a second old.
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError>;
    /// Holds the estimate in every budget that covers the call, or in none.
    async fn reserve(&self, request: Reserve) -> Result<Outcome, EscrowError>;
    /// Charges what the call has cost.
    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError>;
    /// Frees the hold.
    async fn release(&self, request: Release) -> Result<Outcome, EscrowError>;
    /// Decides an unresolved hold.
    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError>;
}

/// Which budgets to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BudgetFilter {
    /// One tenant's.
    pub tenant: Option<TenantId>,
    /// In the order of ids.
    pub page: Page<BudgetId>,
}

/// Budgets are kept here.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// Creates the budget, or changes the one with its id; keeps `since` unless the periods change.
    async fn put(&self, budget: Budget) -> Result<Budget, StoreError>;
    /// Removes it; its accounts and entries stay. Whether there was one.
    async fn remove(&self, id: BudgetId) -> Result<bool, StoreError>;
    /// Lists budgets.
    async fn list(&self, filter: BudgetFilter) -> Result<Vec<Budget>, StoreError>;
    /// A tenant's budgets with the accounts of the periods that hold `now`, by model.
    async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Line>, StoreError>;
    /// A budget's accounts, latest period first.
    async fn history(&self, id: BudgetId) -> Result<Vec<Account>, StoreError>;
}

/// Budgets for cloud cost are kept here, and what is told of them.
#[async_trait]
pub trait CloudBudgets: Send + Sync {
    /// Creates the budget, or changes the one with its name; keeps `since` unless another thing is
    /// watched. The budget as it is now.
    async fn put_cloud(&self, budget: CloudBudget) -> Result<CloudBudget, StoreError>;
    /// Removes it; what was told of it stays told. Whether there was one.
    async fn remove_cloud(&self, name: &str) -> Result<bool, StoreError>;
    /// All of them, in the order of names.
    async fn cloud_budgets(&self) -> Result<Vec<CloudBudget>, StoreError>;
    /// Puts into the outbox, all in one commit, what was not told before. How many that were.
    async fn tell_cloud(&self, events: Vec<CloudEvent>) -> Result<u64, StoreError>;
}

/// Which reservations to list: in the order of creation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReservationFilter {
    /// One tenant's.
    pub tenant: Option<TenantId>,
    /// Those in one state.
    pub state: Option<State>,
    /// Created in `[from, to)`.
    pub from: Option<Timestamp>,
    /// See `from`.
    pub to: Option<Timestamp>,
    /// In the order of creation, then key.
    pub page: Page<(Timestamp, Key)>,
}

/// Which entries to list: in the order of tenant, then place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerFilter {
    /// One tenant's.
    pub tenant: Option<TenantId>,
    /// In the order of tenant and seq.
    pub page: Page<(TenantId, u64)>,
}

/// What a usage report groups by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageGroup {
    /// UTC day of the request.
    Day,
    /// Tenant.
    Tenant,
    /// Model.
    Model,
    /// User.
    User,
    /// Report type.
    ReportType,
}

/// Sums of settled and charged calls of `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// One tenant's.
    pub tenant: Option<TenantId>,
    /// From this request time.
    pub from: Timestamp,
    /// To before this request time.
    pub to: Timestamp,
    /// The columns of a row, in this order.
    pub group_by: Vec<UsageGroup>,
}

/// One row of a usage report; what is not grouped by is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageRow {
    /// UTC day, `2026-11-24`.
    pub day: Option<String>,
    /// Tenant.
    pub tenant: Option<TenantId>,
    /// Model.
    pub model: Option<ModelName>,
    /// User; also `None` where calls named none.
    pub user: Option<UserId>,
    /// Report type; also `None` where calls named none.
    pub report_type: Option<ReportType>,
    /// Calls.
    pub requests: u64,
    /// Prompt tokens, cached ones included.
    pub tokens_input: u64,
    /// Completion tokens.
    pub tokens_output: u64,
    /// Their cost.
    pub cost: Money,
    /// Calls among them whose model has no price yet; their cost is not in `cost`.
    pub unpriced: u64,
}

/// What has been recorded is read here.
#[async_trait]
pub trait Records: Send + Sync {
    /// One reservation.
    async fn reservation(&self, key: Key) -> Result<Option<Reservation>, StoreError>;
    /// Reservations; those settled, charged or unpriced are the audit log of calls.
    async fn reservations(&self, filter: ReservationFilter)
    -> Result<Vec<Reservation>, StoreError>;
    /// Ledger entries.
    async fn entries(&self, filter: LedgerFilter) -> Result<Vec<Entry>, StoreError>;
    /// A usage report.
    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError>;
    /// The outbox in the order of writing, after the row with this number.
    async fn events(&self, page: Page<u64>) -> Result<Vec<(u64, Notice)>, StoreError>;
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in every request.
    pub id: TenantId,
    /// Its name for people.
    pub name: Option<String>,
    /// Its commercial tier.
    pub tier: Option<Tier>,
    /// Who is told about its budgets.
    pub admin_email: Option<String>,
    /// Since when it is known.
    pub created_at: Timestamp,
}

/// What a tenant has spent in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Who.
    pub tenant: TenantId,
    /// Settled.
    pub usage: Money,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Completion tokens.
    pub tokens_output: u64,
}

/// Tenants are kept here.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Creates or changes; `created_at` is kept. The tenant as it is now.
    async fn put_tenant(&self, tenant: Tenant) -> Result<Tenant, StoreError>;
    /// One tenant.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError>;
    /// Tenants in the order of ids.
    async fn tenants(&self, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError>;
    /// The tenants that have spent most in the calendar month (UTC) that holds `now`.
    async fn top(&self, now: Timestamp, limit: usize) -> Result<Vec<Consumer>, StoreError>;
}

/// A tenant's API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Names it in lists.
    pub id: Uuid,
    /// For whom it reads and spends.
    pub tenant: TenantId,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret (256 random bits).
    pub hash: [u8; 32],
    /// The secret's first characters, to tell keys apart.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRecord {
    /// What every tenant's secret begins with.
    pub const MARK: &'static str = "bsr_";

    /// SHA-256 of a secret: what is kept and compared.
    pub fn hash(secret: &str) -> [u8; 32] {
        Sha256::digest(secret.as_bytes()).into()
    }
}

/// API keys are kept here, hashed.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Keeps a new key.
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError>;
    /// Revokes from this time; an earlier time already set stays. Whether there is such a key.
    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError>;
    /// All keys, revoked ones too, or one tenant's.
    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError>;
    /// Finds by the secret's hash; served from memory, at most a second old.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<KeyRecord>, StoreError>;
}

/// Imported prices are kept here; the shipped ones are in the binary.
#[async_trait]
pub trait Prices: Send + Sync {
    /// Keeps prices; one with the same model and date is replaced.
    async fn put_prices(&self, prices: Vec<Price>) -> Result<(), StoreError>;
    /// All that were imported.
    async fn prices(&self) -> Result<Vec<Price>, StoreError>;
    /// Changes whenever they change.
    async fn prices_revision(&self) -> Result<u64, StoreError>;
}

/// What a verification has found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verification {
    /// Tenants looked at.
    pub tenants: u64,
    /// Entries looked at.
    pub entries: u64,
    /// Accounts compared.
    pub accounts: u64,
    /// Reservations compared.
    pub reservations: u64,
    /// SHA-256 over every tenant's last hash, in the order of tenants: the ledger in one word.
    pub digest: String,
    /// What is wrong, a sentence each; at most 100.
    pub faults: Vec<String>,
}

/// What the service's jobs call.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Expires what is due, and resolves by policy what has been unresolved long enough. How many.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;
    /// What the database needs now and then: partitions ahead, projections turned, views
    /// refreshed, the write-ahead log truncated.
    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Recomputes every balance from the entries, and every hash.
    async fn verify(&self) -> Result<Verification, StoreError>;
    /// Finishes what was accepted, then closes.
    async fn close(&self);
}

/// All roles in one.
pub trait Store:
    Escrow
    + Budgets
    + CloudBudgets
    + Records
    + Outbox
    + Deliveries
    + Tenants
    + Keys
    + Prices
    + VendorBatches
    + Upkeep
{
}

impl<T> Store for T where
    T: Escrow
        + Budgets
        + CloudBudgets
        + Records
        + Outbox
        + Deliveries
        + Tenants
        + Keys
        + Prices
        + VendorBatches
        + Upkeep
{
}
