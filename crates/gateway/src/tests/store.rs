//! A store that fails when it is told to.

use budget::{KeyRecord, VendorBatch, VendorBatches, VendorOrder};
use uuid::Uuid;

use super::*;

/// A store that can be made to fail.
pub(crate) struct Store {
    pub(crate) memory: Memory,
    is_down: AtomicBool,
    /// After so many more holds, what is done is done, and nobody hears of it.
    mute_after: AtomicUsize,
    /// It does not even say no.
    is_silent: AtomicBool,
    /// Whose rows can't be read.
    corrupt: Mutex<Option<&'static str>>,
    /// Whose rows somebody else has locked.
    locked: Mutex<Option<&'static str>>,
    /// Holds that were asked for.
    pub(crate) holds: AtomicUsize,
    /// It goes down after so many more.
    pub(crate) holds_left: AtomicUsize,
    /// Whoever asks for the hold after so many more panics.
    pub(crate) panics_after: AtomicUsize,
    /// Settles that were asked for.
    pub(crate) settles: AtomicUsize,
    pub(crate) releases: AtomicUsize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::new(Defaults::default(), Arc::new(Timestamp::now)),
            is_down: AtomicBool::new(false),
            mute_after: AtomicUsize::new(usize::MAX),
            is_silent: AtomicBool::new(false),
            corrupt: Mutex::default(),
            locked: Mutex::default(),
            holds: AtomicUsize::new(0),
            holds_left: AtomicUsize::new(usize::MAX),
            panics_after: AtomicUsize::new(usize::MAX),
            settles: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn set_mute(&self, is_mute: bool) {
        self.set_mute_after(if is_mute { 0 } else { usize::MAX });
    }

    pub(crate) fn set_mute_after(&self, holds: usize) {
        self.mute_after.store(holds, Ordering::SeqCst);
    }

    pub(crate) fn set_corrupt(&self, tenant: Option<&'static str>) {
        *self.corrupt.lock().unwrap() = tenant;
    }

    pub(crate) fn set_locked(&self, tenant: Option<&'static str>) {
        *self.locked.lock().unwrap() = tenant;
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Says no where it is down, and nothing where it is silent.
    async fn heard(&self) -> Result<(), StoreError> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.up()
    }

    fn up(&self) -> Result<(), StoreError> {
        let away = || StoreError::unavailable(std::io::Error::other("connection refused"));
        if self.is_down.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) }
    }
}

#[async_trait]
impl Escrow for Store {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        self.heard().await?;
        self.memory.check(request).await
    }

    async fn reserve(&self, request: Reserve) -> Result<Outcome, EscrowError> {
        self.holds.fetch_add(1, Ordering::SeqCst);
        if self.holds_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.set_down(true);
        }
        assert_ne!(self.panics_after.fetch_sub(1, Ordering::SeqCst), 0, "as it was told to");
        self.up()?;
        let outcome = self.memory.reserve(request).await;
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fewer = |holds: usize| holds.checked_sub(1);
        if self.mute_after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_err() {
            return Err(StoreError::unavailable(std::io::Error::other("reset by peer")).into());
        }
        outcome
    }

    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError> {
        self.settles.fetch_add(1, Ordering::SeqCst);
        self.heard().await?;
        let tenant = request.call.as_ref().map(|call| call.tenant.as_str());
        if tenant.is_some() && *self.corrupt.lock().unwrap() == tenant {
            return Err(StoreError::Corrupt("a row".to_owned()).into());
        }
        if tenant.is_some() && *self.locked.lock().unwrap() == tenant {
            let locked = std::io::Error::other("canceling statement due to lock timeout");
            return Err(StoreError::unavailable(locked).into());
        }
        self.memory.settle(request).await
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        self.releases.fetch_add(1, Ordering::SeqCst);
        self.heard().await?;
        self.memory.release(request).await
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        self.memory.resolve(request).await
    }
}

/// The budgets of the store, which never fail here.
pub(crate) struct Shared(pub(crate) Arc<Store>);

#[async_trait]
impl Budgets for Shared {
    async fn put(&self, budget: Budget) -> Result<Budget, StoreError> {
        self.0.memory.put(budget).await
    }

    async fn remove(&self, id: budget::BudgetId) -> Result<bool, StoreError> {
        self.0.memory.remove(id).await
    }

    async fn list(&self, filter: budget::BudgetFilter) -> Result<Vec<Budget>, StoreError> {
        self.0.memory.list(filter).await
    }

    async fn status(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Vec<budget::Line>, StoreError> {
        self.0.memory.status(tenant, now).await
    }

    async fn history(&self, id: budget::BudgetId) -> Result<Vec<budget::Account>, StoreError> {
        self.0.memory.history(id).await
    }
}

#[async_trait]
impl Keys for Shared {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.0.memory.put_key(key).await
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        self.0.memory.revoke_key(id, at).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        self.0.memory.keys(tenant).await
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        self.0.heard().await?;
        self.0.memory.find_key(hash).await
    }
}

/// While the store is down it still tells what it has, and takes nothing.
#[async_trait]
impl VendorBatches for Store {
    async fn put_batch(&self, batch: VendorBatch) -> Result<(), StoreError> {
        self.up()?;
        self.memory.put_batch(batch).await
    }

    async fn batch(&self, id: &str) -> Result<Option<VendorBatch>, StoreError> {
        self.memory.batch(id).await
    }

    async fn open_batches(
        &self,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        self.memory.open_batches(page).await
    }

    async fn batches_of(
        &self,
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        self.memory.batches_of(tenant, order, page).await
    }

    async fn settle_batch(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.up()?;
        self.memory.settle_batch(id, at).await
    }

    async fn forget_batch(&self, id: &str) -> Result<(), StoreError> {
        self.up()?;
        self.memory.forget_batch(id).await
    }
}
