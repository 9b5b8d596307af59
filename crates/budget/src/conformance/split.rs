//! A store put together from parts, so that the suite can be run on what is an escrow alone: a
//! client, with the store behind its service for the other roles.

use std::sync::Arc;

use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;
use money::Price;
use uuid::Uuid;

use crate::{
    Account, Backlog, Budget, BudgetFilter, BudgetId, Budgets, Claimed, CloudBudget, CloudBudgets,
    CloudEvent, Consumer, Deliveries, Delivery, DeliveryFilter, Ended, Entry, Escrow, EscrowError,
    Following, Key, KeyRecord, Keys, Lease, LedgerFilter, Line, NewDelivery, Notice, Outbox,
    Outcome, Pace, Page, Prices, Records, Release, Reservation, ReservationFilter, Reserve,
    Resolve, Settle, Standing, Step, Store, StoreError, Tenant, Tenants, Upkeep, UsageQuery,
    UsageRow, VendorBatch, VendorBatches, VendorOrder, Verification,
};

/// Each role is played by the part that is named for it.
#[derive(Clone)]
pub struct Split {
    /// Holds, charges and frees.
    pub escrow: Arc<dyn Escrow>,
    /// Sweeps and verifies.
    pub upkeep: Arc<dyn Upkeep>,
    /// Everything else.
    pub rest: Arc<dyn Store>,
}

macro_rules! role {
    ($role:ident by $part:ident or $error:ty:
        $($method:ident($($name:ident: $kind:ty),*) -> $answer:ty,)*) => {
        #[async_trait]
        impl $role for Split {
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer, $error> {
                self.$part.$method($($name),*).await
            })*
        }
    };
}

role!(Escrow by escrow or EscrowError:
    check(request: Reserve) -> Standing,
    reserve(request: Reserve) -> Outcome,
    settle(request: Settle) -> Outcome,
    release(request: Release) -> Outcome,
    resolve(request: Resolve) -> Outcome,
);
role!(Budgets by rest or StoreError:
    put(budget: Budget) -> Budget,
    remove(id: BudgetId) -> bool,
    list(filter: BudgetFilter) -> Vec<Budget>,
    status(tenant: &TenantId, now: Timestamp) -> Vec<Line>,
    history(id: BudgetId) -> Vec<Account>,
);
role!(CloudBudgets by rest or StoreError:
    put_cloud(budget: CloudBudget) -> CloudBudget,
    remove_cloud(name: &str) -> bool,
    cloud_budgets() -> Vec<CloudBudget>,
    tell_cloud(events: Vec<CloudEvent>) -> u64,
);
role!(Records by rest or StoreError:
    reservation(key: Key) -> Option<Reservation>,
    reservations(filter: ReservationFilter) -> Vec<Reservation>,
    entries(filter: LedgerFilter) -> Vec<Entry>,
    usage(query: UsageQuery) -> Vec<UsageRow>,
    events(page: Page<u64>) -> Vec<(u64, Notice)>,
);
role!(Outbox by rest or StoreError:
    follow(channel: &str, now: Timestamp) -> Following,
    plan(channel: &str, step: Option<Step>, new: Vec<NewDelivery>, now: Timestamp) -> u64,
    claim(channel: &str, pace: &Pace, now: Timestamp) -> Option<Claimed>,
    finish(lease: Lease, ended: Ended, now: Timestamp) -> bool,
);
role!(Deliveries by rest or StoreError:
    deliveries(filter: DeliveryFilter) -> Vec<Delivery>,
    retry(id: Option<u64>, now: Timestamp) -> u64,
    backlog(now: Timestamp) -> Vec<Backlog>,
    forget(before: Timestamp) -> u64,
);
role!(Tenants by rest or StoreError:
    put_tenant(tenant: Tenant) -> Tenant,
    tenant(id: &TenantId) -> Option<Tenant>,
    tenants(page: Page<TenantId>) -> Vec<Tenant>,
    top(now: Timestamp, limit: usize) -> Vec<Consumer>,
);
role!(Keys by rest or StoreError:
    put_key(key: KeyRecord) -> (),
    revoke_key(id: Uuid, at: Timestamp) -> bool,
    keys(tenant: Option<&TenantId>) -> Vec<KeyRecord>,
    find_key(hash: [u8; 32]) -> Option<KeyRecord>,
);
role!(VendorBatches by rest or StoreError:
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
role!(Prices by rest or StoreError:
    put_prices(prices: Vec<Price>) -> (),
    prices() -> Vec<Price>,
    prices_revision() -> u64,
);

#[async_trait]
impl Upkeep for Split {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.upkeep.sweep(now).await
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        self.upkeep.maintain(now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.upkeep.ping().await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.upkeep.verify().await
    }

    async fn close(&self) {
        self.upkeep.close().await;
    }
}
