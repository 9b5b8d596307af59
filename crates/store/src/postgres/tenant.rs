//! Tenants, kept and listed.

use ::budget::{Consumer, Page, StoreError, Tenant, Tenants};
use async_trait::async_trait;
use focus::{PeriodRule, TenantId};
use jiff::Timestamp;

use super::{Postgres, row};

const PUT: &str = include_str!("sql/save_tenant.sql");
const ONE: &str = concat!(include_str!("sql/tenant.sql"), "where tenant_id = $1");
const LIST: &str = concat!(
    include_str!("sql/tenant.sql"),
    "where tenant_id > $1
order by tenant_id
limit $2"
);

#[async_trait]
impl Tenants for Postgres {
    async fn put_tenant(&self, tenant: Tenant) -> Result<Tenant, StoreError> {
        let id = tenant.id.as_str();
        let tier = tenant.tier.map(|tier| tier.as_str());
        let Tenant { name, admin_email, created_at, .. } = &tenant;
        let kept = self.pool.query(PUT, &[&id, name, &tier, admin_email, created_at]).await?;
        let kept = kept.first().map(row::tenant).transpose()?;
        kept.ok_or_else(|| row::corrupt("the tenant that was put is not there"))
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let found = self.pool.query(ONE, &[&id.as_str()]).await?;
        found.first().map(row::tenant).transpose()
    }

    async fn tenants(&self, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let after = page.after.as_ref().map_or("", TenantId::as_str);
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let found = self.pool.query(LIST, &[&after, &limit]).await?;
        found.iter().map(row::tenant).collect()
    }

    async fn top(&self, now: Timestamp, limit: usize) -> Result<Vec<Consumer>, StoreError> {
        let month = PeriodRule::default().period(now).map_err(row::corrupt)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = include_str!("sql/top.sql");
        let found = self.pool.query(sql, &[&month.start, &month.end, &limit]).await?;
        let consumer = |found: &tokio_postgres::Row| {
            Ok(Consumer {
                tenant: row::parsed(found, "tenant_id")?,
                usage: row::money(found, "usage_nanos")?,
                tokens_input: row::count(found, "tokens_input")?,
                tokens_output: row::count(found, "tokens_output")?,
            })
        };
        found.iter().map(consumer).collect()
    }
}
