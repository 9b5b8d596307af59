//! Tenants, kept and listed.

use ::budget::{Consumer, Page, StoreError, Tenant, Tenants};
use async_trait::async_trait;
use focus::{PeriodRule, TenantId};
use jiff::Timestamp;

use super::{Sqlite, load, row, save};

#[async_trait]
impl Tenants for Sqlite {
    async fn put_tenant(&self, tenant: Tenant) -> Result<Tenant, StoreError> {
        let put = move |db: &rusqlite::Connection| {
            save::known(db, &tenant.id, tenant.created_at)?;
            let sql = "update tenant
                set name = ?2, tier = ?3, admin_email = ?4
                where tenant_id = ?1";
            let id = tenant.id.as_str();
            let tier = tenant.tier.map(|tier| tier.as_str());
            save::execute(db, sql, &[&id, &tenant.name, &tier, &tenant.admin_email])?;
            let sql = "select * from tenant where tenant_id = ?1";
            let kept = load::rows(db, sql, &[&id], row::tenant)?.pop();
            kept.ok_or_else(|| row::corrupt("the tenant that was put is not there"))
        };
        self.writer.write(None, put).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let id = id.clone();
        let sql = "select * from tenant where tenant_id = ?1";
        let find =
            move |db: &rusqlite::Connection| load::rows(db, sql, &[&id.as_str()], row::tenant);
        Ok(self.readers.read(find).await?.pop())
    }

    async fn tenants(&self, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let list = move |db: &rusqlite::Connection| {
            let sql = "select * from tenant
                where tenant_id > ?1
                order by tenant_id
                limit ?2";
            let after = page.after.as_ref().map_or("", TenantId::as_str);
            let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
            load::rows(db, sql, &[&after, &limit], row::tenant)
        };
        self.readers.read(list).await
    }

    async fn top(&self, now: Timestamp, limit: usize) -> Result<Vec<Consumer>, StoreError> {
        let month = PeriodRule::default().period(now).map_err(row::corrupt)?;
        let list = move |db: &rusqlite::Connection| {
            let sql = "select tenant_id,
                    coalesce(sum(cost_nanos), 0) as usage_nanos,
                    coalesce(sum(used_input + used_cache_read + used_cache_write_5m
                        + used_cache_write_1h), 0) as tokens_input,
                    coalesce(sum(used_output), 0) as tokens_output
                from reservation
                where created_at >= ?1
                    and created_at < ?2
                    and state in ('settled', 'charged', 'unpriced')
                group by tenant_id
                order by usage_nanos desc, tenant_id
                limit ?3";
            let (start, end) = (month.start.as_microsecond(), month.end.as_microsecond());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            load::rows(db, sql, &[&start, &end, &limit], |row| {
                Ok(Consumer {
                    tenant: row::parsed(row, "tenant_id")?,
                    usage: row::money(row, "usage_nanos")?,
                    tokens_input: row::count(row, "tokens_input")?,
                    tokens_output: row::count(row, "tokens_output")?,
                })
            })
        };
        self.readers.read(list).await
    }
}
