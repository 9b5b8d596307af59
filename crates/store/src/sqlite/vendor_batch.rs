//! Batches at vendors.

use ::budget::{Page, StoreError, VendorBatch, VendorBatches, VendorOrder};
use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;

use super::{Sqlite, load, row, save};

#[async_trait]
impl VendorBatches for Sqlite {
    async fn put_batch(&self, batch: VendorBatch) -> Result<(), StoreError> {
        let holds = serde_json::to_string(&batch.holds).map_err(row::corrupt)?;
        let put = move |db: &rusqlite::Connection| {
            save::known(db, &batch.tenant, batch.created_at)?;
            let sql = "insert into vendor_batch (batch_id, tenant_id, upstream, holds, created_at)
                values (?1, ?2, ?3, ?4, ?5)
                on conflict (batch_id) do nothing";
            let created = batch.created_at.as_microsecond();
            let (tenant, upstream) = (batch.tenant.as_str(), &batch.upstream);
            save::execute(db, sql, &[&batch.id, &tenant, upstream, &holds, &created])?;
            Ok(())
        };
        self.writer.write(None, put).await
    }

    async fn batch(&self, id: &str) -> Result<Option<VendorBatch>, StoreError> {
        let id = id.to_owned();
        let sql = "select * from vendor_batch where batch_id = ?1";
        let find = move |db: &rusqlite::Connection| load::rows(db, sql, &[&id], row::vendor_batch);
        Ok(self.readers.read(find).await?.pop())
    }

    async fn open_batches(
        &self,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let (at, id) = page.after.unwrap_or((Timestamp::MIN, String::new()));
        let sql = "select * from vendor_batch
            where settled_at is null and (created_at, batch_id) > (?1, ?2)
            order by created_at, batch_id
            limit ?3";
        let list = move |db: &rusqlite::Connection| {
            load::rows(db, sql, &[&at.as_microsecond(), &id, &limit], row::vendor_batch)
        };
        self.readers.read(list).await
    }

    async fn batches_of(
        &self,
        tenant: &TenantId,
        order: VendorOrder,
        page: Page<(Timestamp, String)>,
    ) -> Result<Vec<VendorBatch>, StoreError> {
        let tenant = tenant.to_string();
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let (sql, first) = match order {
            VendorOrder::Newest => (
                "select * from vendor_batch
                where tenant_id = ?1 and (created_at, batch_id) < (?2, ?3)
                order by created_at desc, batch_id desc
                limit ?4",
                Timestamp::MAX,
            ),
            VendorOrder::Oldest => (
                "select * from vendor_batch
                where tenant_id = ?1 and (created_at, batch_id) > (?2, ?3)
                order by created_at, batch_id
                limit ?4",
                Timestamp::MIN,
            ),
        };
        let (at, id) = page.after.unwrap_or((first, String::new()));
        let list = move |db: &rusqlite::Connection| {
            let at = at.as_microsecond();
            load::rows(db, sql, &[&tenant, &at, &id, &limit], row::vendor_batch)
        };
        self.readers.read(list).await
    }

    async fn settle_batch(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let id = id.to_owned();
        let settle = move |db: &rusqlite::Connection| {
            let sql = "update vendor_batch
                set settled_at = coalesce(settled_at, ?2)
                where batch_id = ?1";
            save::execute(db, sql, &[&id, &at.as_microsecond()])?;
            Ok(())
        };
        self.writer.write(None, settle).await
    }

    async fn forget_batch(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        let forget = move |db: &rusqlite::Connection| {
            let sql = "delete from vendor_batch
                where batch_id = ?1 and settled_at is not null";
            save::execute(db, sql, &[&id])?;
            Ok(())
        };
        self.writer.write(None, forget).await
    }
}
