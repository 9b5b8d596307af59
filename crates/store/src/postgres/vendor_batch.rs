//! Batches at vendors.

use ::budget::{Page, StoreError, VendorBatch, VendorBatches, VendorOrder};
use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;

use super::{Postgres, row};

const COLUMNS: &str = "
select batch_id, tenant_id, upstream, holds, created_at, settled_at
from vendor_batch
";
const PUT: &str = "
insert into vendor_batch (batch_id, tenant_id, upstream, holds, created_at)
values ($1, $2, $3, $4, $5)
on conflict (batch_id) do nothing";
const SETTLE: &str = "
update vendor_batch
set settled_at = coalesce(settled_at, $2)
where batch_id = $1";
const FORGET: &str = "
delete from vendor_batch
where batch_id = $1 and settled_at is not null";

#[async_trait]
impl VendorBatches for Postgres {
    async fn put_batch(&self, batch: VendorBatch) -> Result<(), StoreError> {
        let tenant = batch.tenant.as_str();
        let known = include_str!("sql/save_tenant_known.sql");
        self.pool.execute(known, &[&tenant, &batch.created_at]).await?;
        let holds = serde_json::to_string(&batch.holds).map_err(row::corrupt)?;
        let VendorBatch { id, upstream, created_at, .. } = &batch;
        self.pool.execute(PUT, &[id, &tenant, upstream, &holds, created_at]).await?;
        Ok(())
    }

    async fn batch(&self, id: &str) -> Result<Option<VendorBatch>, StoreError> {
        let found = self.pool.query(&format!("{COLUMNS}where batch_id = $1"), &[&id]).await?;
        found.first().map(row::vendor_batch).transpose()
    }

    async fn open_batches(
        &self,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let (at, id) = page.after.unwrap_or_default();
        let open = format!(
            "{COLUMNS}where settled_at is null
    and (created_at, batch_id) > ($1, $2)
order by created_at, batch_id
limit $3"
        );
        let found = self.pool.query(&open, &[&at, &id, &limit]).await?;
        found.iter().map(row::vendor_batch).collect()
    }

    async fn batches_of(
        &self,
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let (first, follows, falls) = match order {
            VendorOrder::Newest => (Timestamp::MAX, "<", " desc"),
            VendorOrder::Oldest => (Timestamp::UNIX_EPOCH, ">", ""),
        };
        let (at, id) = page.after.unwrap_or((first, String::new()));
        let list = format!(
            "{COLUMNS}where tenant_id = $1
    and (created_at, batch_id) {follows} ($2, $3)
order by created_at{falls}, batch_id{falls}
limit $4"
        );
        let found = self.pool.query(&list, &[&tenant.as_str(), &at, &id, &limit]).await?;
        found.iter().map(row::vendor_batch).collect()
    }

    async fn settle_batch(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.pool.execute(SETTLE, &[&id, &at]).await?;
        Ok(())
    }

    async fn forget_batch(&self, id: &str) -> Result<(), StoreError> {
        self.pool.execute(FORGET, &[&id]).await?;
        Ok(())
    }
}
