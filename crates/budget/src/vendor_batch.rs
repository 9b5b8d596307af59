//! Batches that a vendor works through within hours: what is held for them until they have ended.

use async_trait::async_trait;
use focus::{Attribution, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Key, Page, StoreError};

/// A hold for all requests of a batch that go to one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorHold {
    /// The reservation's key.
    pub key: Key,
    /// Who pays, for what.
    pub call: Attribution,
    /// The names of the model in its requests.
    pub models: Vec<String>,
}

/// A batch at a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorBatch {
    /// The vendor's name for it.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The upstream that works through it.
    pub upstream: String,
    /// What is held for it.
    pub holds: Vec<VendorHold>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its results were charged; none before.
    pub settled_at: Option<Timestamp>,
}

impl VendorBatch {
    /// Its place among others: in the order of making, then by name.
    pub fn place(&self) -> (Timestamp, String) {
        (self.created_at, self.id.clone())
    }
}

/// In which order batches are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VendorOrder {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

/// Batches at vendors are kept here.
#[async_trait]
pub trait VendorBatches: Send + Sync {
    /// Keeps a new batch.
    async fn put_batch(&self, batch: VendorBatch) -> Result<(), StoreError>;
    /// One batch.
    async fn batch(&self, id: &str) -> Result<Option<VendorBatch>, StoreError>;
    /// Those that are not settled, the oldest first.
    async fn open_batches(
        &self,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError>;
    /// A tenant's, settled ones too; a page begins after its cursor in this order.
    async fn batches_of(
        &self,
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError>;
    /// A batch's results were charged; an earlier time already set stays.
    async fn settle_batch(&self, id: &str, at: Timestamp) -> Result<(), StoreError>;
    /// A settled batch was deleted at its vendor; one that is not settled stays.
    async fn forget_batch(&self, id: &str) -> Result<(), StoreError>;
}
