//! Batches at vendors.

use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;

use super::Memory;
use crate::{Page, StoreError, VendorBatch, VendorBatches, VendorOrder};

#[async_trait]
impl VendorBatches for Memory {
    async fn put_batch(&self, batch: VendorBatch) -> Result<(), StoreError> {
        self.lock().batches.entry(batch.id.clone()).or_insert(batch);
        Ok(())
    }

    async fn batch(&self, id: &str) -> Result<Option<VendorBatch>, StoreError> {
        Ok(self.lock().batches.get(id).cloned())
    }

    async fn open_batches(
        &self,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let tables = self.lock();
        let is_next = |batch: &&VendorBatch| {
            let is_after = page.after.as_ref().is_none_or(|after| batch.place() > *after);
            batch.settled_at.is_none() && is_after
        };
        let mut open: Vec<VendorBatch> = tables.batches.values().filter(is_next).cloned().collect();
        open.sort_by_key(VendorBatch::place);
        open.truncate(page.limit);
        Ok(open)
    }

    async fn batches_of(
        &self,
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let tables = self.lock();
        let is_next = |batch: &&VendorBatch| {
            let is_after = |after: &(Timestamp, String)| match order {
                VendorOrder::Newest => batch.place() < *after,
                VendorOrder::Oldest => batch.place() > *after,
            };
            batch.tenant == *tenant && page.after.as_ref().is_none_or(is_after)
        };
        let mut mine: Vec<VendorBatch> = tables.batches.values().filter(is_next).cloned().collect();
        mine.sort_by_key(VendorBatch::place);
        if order == VendorOrder::Newest {
            mine.reverse();
        }
        mine.truncate(page.limit);
        Ok(mine)
    }

    async fn settle_batch(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        if let Some(batch) = self.lock().batches.get_mut(id) {
            batch.settled_at.get_or_insert(at);
        }
        Ok(())
    }

    async fn forget_batch(&self, id: &str) -> Result<(), StoreError> {
        self.lock().batches.retain(|key, batch| key != id || batch.settled_at.is_none());
        Ok(())
    }
}
