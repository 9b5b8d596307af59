//! API keys, hashed.

use ::budget::{KeyRecord, Keys, StoreError};
use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Postgres, row};

const LIST: &str = concat!(
    include_str!("sql/api_key.sql"),
    "where $1::text is null or tenant_id = $1
order by created_at, key_id"
);
const ONE: &str = concat!(include_str!("sql/api_key.sql"), "where hash = $1");
const PUT: &str = "
insert into api_key (key_id, tenant_id, name, hash, prefix, created_at, revoked_at)
values ($1, $2, $3, $4, $5, $6, $7)";
const REVOKE: &str = "
update api_key
set revoked_at = least(revoked_at, $2)
where key_id = $1";

#[async_trait]
impl Keys for Postgres {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        let tenant = key.tenant.as_str();
        let known = include_str!("sql/save_tenant_known.sql");
        self.pool.execute(known, &[&tenant, &key.created_at]).await?;
        let hash = &key.hash[..];
        let KeyRecord { id, name, prefix, created_at, revoked_at, .. } = &key;
        self.pool.execute(PUT, &[id, &tenant, name, &hash, prefix, created_at, revoked_at]).await?;
        self.keys.invalidate(&key.hash);
        Ok(())
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let revoked = self.pool.execute(REVOKE, &[&id, &at]).await?;
        self.keys.invalidate_all();
        Ok(revoked > 0)
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let found = self.pool.query(LIST, &[&tenant.map(TenantId::as_str)]).await?;
        found.iter().map(row::key).collect()
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        if let Some(found) = self.keys.get(&hash) {
            return Ok(found);
        }
        let found = self.pool.query(ONE, &[&&hash[..]]).await?;
        let found = found.first().map(row::key).transpose()?;
        self.keys.insert(hash, found.clone());
        Ok(found)
    }
}
