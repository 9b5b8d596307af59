//! A store in memory that can be made to fail, to hang or to panic, as a database can't be at will.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use budget::{
    Account, Backlog, Budget, BudgetFilter, BudgetId, Budgets, Claimed, CloudBudget, CloudBudgets,
    CloudEvent, Consumer, Deliveries, Delivery, DeliveryFilter, Ended, Entry, Escrow, EscrowError,
    Following, Key, KeyRecord, Keys, Lease, LedgerFilter, Line, Memory, NewDelivery, Notice,
    Outbox, Outcome, Pace, Page, Prices, Records, Release, Reservation, ReservationFilter, Reserve,
    Resolve, Settle, Standing, Step, StoreError, Tenant, Tenants, Upkeep, UsageQuery, UsageRow,
    VendorBatch, VendorBatches, VendorOrder, Verification,
};
use focus::TenantId;
use jiff::Timestamp;
use money::Price;
use tokio::sync::watch;
use uuid::Uuid;

pub(super) struct Troubled {
    memory: Memory,
    error: Mutex<Option<StoreError>>,
    hangs: watch::Sender<bool>,
    panics: AtomicBool,
    /// Calls so far.
    pub(super) calls: AtomicU64,
}

impl Troubled {
    pub(super) fn new(memory: Memory) -> Self {
        let (error, hangs) = (Mutex::default(), watch::Sender::new(false));
        Self { memory, error, hangs, panics: AtomicBool::default(), calls: AtomicU64::new(0) }
    }

    /// From now on every call fails like this, or none.
    pub(super) fn fail(&self, error: Option<StoreError>) {
        *self.error.lock().unwrap() = error;
    }

    /// From now on every call waits, or goes on.
    pub(super) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// From now on every call panics, or none.
    pub(super) fn panic(&self, panics: bool) {
        self.panics.store(panics, Ordering::Relaxed);
    }

    async fn trouble(&self) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.load(Ordering::Relaxed), "the store panics, as it was told");
        self.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
        self.error.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

macro_rules! role {
    ($role:ident, $error:ty, $($method:ident($($name:ident: $kind:ty),*) -> $answer:ty,)*) => {
        #[async_trait]
        impl $role for Troubled {
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer, $error> {
                self.trouble().await?;
                self.memory.$method($($name),*).await
            })*
        }
    };
}

role!(Escrow, EscrowError,
    check(request: Reserve) -> Standing,
    reserve(request: Reserve) -> Outcome,
    settle(request: Settle) -> Outcome,
    release(request: Release) -> Outcome,
    resolve(request: Resolve) -> Outcome,
);
role!(Budgets, StoreError,
    put(budget: Budget) -> Budget,
    remove(id: BudgetId) -> bool,
    list(filter: BudgetFilter) -> Vec<Budget>,
    status(tenant: &TenantId, now: Timestamp) -> Vec<Line>,
    history(id: BudgetId) -> Vec<Account>,
);
role!(CloudBudgets, StoreError,
    put_cloud(budget: CloudBudget) -> CloudBudget,
    remove_cloud(name: &str) -> bool,
    cloud_budgets() -> Vec<CloudBudget>,
    tell_cloud(events: Vec<CloudEvent>) -> u64,
);
role!(Records, StoreError,
    reservation(key: Key) -> Option<Reservation>,
    reservations(filter: ReservationFilter) -> Vec<Reservation>,
    entries(filter: LedgerFilter) -> Vec<Entry>,
    usage(query: UsageQuery) -> Vec<UsageRow>,
    events(page: Page<u64>) -> Vec<(u64, Notice)>,
);
role!(Outbox, StoreError,
    follow(channel: &str, now: Timestamp) -> Following,
    plan(channel: &str, step: Option<Step>, new: Vec<NewDelivery>, now: Timestamp) -> u64,
    claim(channel: &str, pace: &Pace, now: Timestamp) -> Option<Claimed>,
    finish(lease: Lease, ended: Ended, now: Timestamp) -> bool,
);
role!(Deliveries, StoreError,
    deliveries(filter: DeliveryFilter) -> Vec<Delivery>,
    retry(id: Option<u64>, now: Timestamp) -> u64,
    backlog(now: Timestamp) -> Vec<Backlog>,
    forget(before: Timestamp) -> u64,
);
role!(Tenants, StoreError,
    put_tenant(tenant: Tenant) -> Tenant,
    tenant(id: &TenantId) -> Option<Tenant>,
    tenants(page: Page<TenantId>) -> Vec<Tenant>,
    top(now: Timestamp, limit: usize) -> Vec<Consumer>,
);
role!(Keys, StoreError,
    put_key(key: KeyRecord) -> (),
    revoke_key(id: Uuid, at: Timestamp) -> bool,
    keys(tenant: Option<&TenantId>) -> Vec<KeyRecord>,
    find_key(hash: [u8; 32]) -> Option<KeyRecord>,
);
role!(VendorBatches, StoreError,
    put_batch(batch: VendorBatch) -> (),
    batch(id: &str) -> Option<VendorBatch>,
    open_batches(page: Page<(Timestamp, String)>) -> Vec<VendorBatch>,
    batches_of(
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>
    ) -> Vec<VendorBatch>,
    settle_batch(id: &str, at: Timestamp) -> (),
    forget_batch(id: &str) -> (),
);
role!(Prices, StoreError,
    put_prices(prices: Vec<Price>) -> (),
    prices() -> Vec<Price>,
    prices_revision() -> u64,
);

#[async_trait]
impl Upkeep for Troubled {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.trouble().await?;
        self.memory.sweep(now).await
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        self.trouble().await?;
        self.memory.maintain(now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.trouble().await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.trouble().await?;
        self.memory.verify().await
    }

    async fn close(&self) {}
}
