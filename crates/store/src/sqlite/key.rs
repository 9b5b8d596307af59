//! API keys, hashed.

use ::budget::{KeyRecord, Keys, StoreError};
use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Sqlite, load, row, save};

#[async_trait]
impl Keys for Sqlite {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        let put = move |db: &rusqlite::Connection| {
            save::known(db, &key.tenant, key.created_at)?;
            let sql = "insert into api_key (key_id, tenant_id, name, hash, prefix, created_at)
                values (?1, ?2, ?3, ?4, ?5, ?6)";
            let created = key.created_at.as_microsecond();
            let tenant = key.tenant.as_str();
            save::execute(
                db,
                sql,
                &[&key.id, &tenant, &key.name, &key.hash, &key.prefix, &created],
            )?;
            Ok(())
        };
        self.keys.invalidate_all();
        self.writer.write(None, put).await
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let revoke = move |db: &rusqlite::Connection| {
            let sql = "update api_key
                set revoked_at = min(coalesce(revoked_at, ?2), ?2)
                where key_id = ?1";
            save::execute(db, sql, &[&id, &at.as_microsecond()])
        };
        let revoked = self.writer.write(None, revoke).await?;
        self.keys.invalidate_all();
        Ok(revoked > 0)
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let tenant = tenant.map(ToString::to_string);
        let sql = "select * from api_key
            where ?1 is null or tenant_id = ?1
            order by created_at, key_id";
        self.readers.read(move |db| load::rows(db, sql, &[&tenant], row::key)).await
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        if let Some(found) = self.keys.get(&hash) {
            return Ok(found);
        }
        let sql = "select * from api_key where hash = ?1";
        let find = move |db: &rusqlite::Connection| load::rows(db, sql, &[&hash], row::key);
        let found = self.readers.read(find).await?.pop();
        self.keys.insert(hash, found.clone());
        Ok(found)
    }
}
