//! What the model has recorded: reservations, entries, usage, events, tenants.

use std::collections::BTreeMap;

use async_trait::async_trait;
use focus::{PeriodRule, TenantId};
use jiff::Timestamp;
use money::Money;

use super::{Memory, corrupt};
use crate::{
    Consumer, Entry, Key, LedgerFilter, Notice, Page, Records, Reservation, ReservationFilter,
    State, StoreError, Tenant, Tenants, UsageGroup, UsageQuery, UsageRow,
};

#[async_trait]
impl Records for Memory {
    async fn reservation(&self, key: Key) -> Result<Option<Reservation>, StoreError> {
        Ok(self.lock().reservations.get(&key).cloned())
    }

    async fn reservations(
        &self,
        filter: ReservationFilter,
    ) -> Result<Vec<Reservation>, StoreError> {
        let tables = self.lock();
        let fits = |r: &&Reservation| {
            filter.tenant.as_ref().is_none_or(|tenant| r.call.tenant == *tenant)
                && filter.state.is_none_or(|state| r.state == state)
                && filter.from.is_none_or(|from| r.created_at >= from)
                && filter.to.is_none_or(|to| r.created_at < to)
                && filter.page.after.is_none_or(|after| (r.created_at, r.key) > after)
        };
        let mut rows: Vec<_> = tables.reservations.values().filter(fits).cloned().collect();
        rows.sort_by_key(|reservation| (reservation.created_at, reservation.key));
        rows.truncate(filter.page.limit);
        Ok(rows)
    }

    async fn entries(&self, filter: LedgerFilter) -> Result<Vec<Entry>, StoreError> {
        let tables = self.lock();
        let fits = |entry: &&Entry| {
            let place = || (entry.tenant.clone(), entry.seq);
            filter.tenant.as_ref().is_none_or(|tenant| entry.tenant == *tenant)
                && filter.page.after.as_ref().is_none_or(|after| place() > *after)
        };
        Ok(tables.entries.values().filter(fits).take(filter.page.limit).cloned().collect())
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let tables = self.lock();
        let mut rows: BTreeMap<_, UsageRow> = BTreeMap::new();
        let mine = |r: &&Reservation| query.tenant.as_ref().is_none_or(|t| r.call.tenant == *t);
        for call in tables.calls(query.from, query.to).filter(mine) {
            let by = |group| query.group_by.contains(&group);
            let day = by(UsageGroup::Day).then(|| call.created_at.strftime("%F").to_string());
            let tenant = by(UsageGroup::Tenant).then(|| call.call.tenant.clone());
            let model = by(UsageGroup::Model).then(|| call.call.model.clone());
            let user = call.call.user.clone().filter(|_| by(UsageGroup::User));
            let report_type = call.call.report_type.clone().filter(|_| by(UsageGroup::ReportType));
            let group = (day, tenant, model, user, report_type);
            let row = rows.entry(group.clone()).or_insert_with(|| UsageRow {
                day: group.0,
                tenant: group.1,
                model: group.2,
                user: group.3,
                report_type: group.4,
                ..UsageRow::default()
            });
            let (input, output) = tokens(call);
            row.requests += 1;
            row.tokens_input += input;
            row.tokens_output += output;
            row.cost = row.cost.checked_add(call.cost.unwrap_or(Money::ZERO)).unwrap_or(row.cost);
            row.unpriced += u64::from(call.state == State::Unpriced);
        }
        Ok(rows.into_values().collect())
    }

    async fn events(&self, page: Page<u64>) -> Result<Vec<(u64, Notice)>, StoreError> {
        let tables = self.lock();
        let numbered = (1..).zip(tables.events.iter().cloned());
        let after = page.after.unwrap_or_default();
        Ok(numbered.filter(|(number, _)| *number > after).take(page.limit).collect())
    }
}

fn tokens(call: &Reservation) -> (u64, u64) {
    let prompt = |quote: &crate::Quote| u64::try_from(quote.usage.prompt()).unwrap_or(u64::MAX);
    let output = |quote: &crate::Quote| quote.usage.output;
    (call.actual.as_ref().map_or(0, prompt), call.actual.as_ref().map_or(0, output))
}

#[async_trait]
impl Tenants for Memory {
    async fn put_tenant(&self, tenant: Tenant) -> Result<Tenant, StoreError> {
        let mut tables = self.lock();
        tables.known(&tenant.id, tenant.created_at);
        let row = tables.tenants.get_mut(&tenant.id);
        let row = row.ok_or_else(|| corrupt("the tenant that was put is not there"))?;
        row.0 = Tenant { created_at: row.0.created_at, ..tenant };
        Ok(row.0.clone())
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        Ok(self.lock().tenants.get(id).map(|row| row.0.clone()))
    }

    async fn tenants(&self, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let tables = self.lock();
        let after = |id: &TenantId| page.after.as_ref().is_none_or(|after| id > after);
        let rows = tables.tenants.iter().filter(|(id, _)| after(id)).take(page.limit);
        Ok(rows.map(|(_, row)| row.0.clone()).collect())
    }

    async fn top(&self, now: Timestamp, limit: usize) -> Result<Vec<Consumer>, StoreError> {
        let month = PeriodRule::default().period(now).map_err(corrupt)?;
        let tables = self.lock();
        let mut all: BTreeMap<TenantId, Consumer> = BTreeMap::new();
        for call in tables.calls(month.start, month.end) {
            let tenant = call.call.tenant.clone();
            let consumer = all.entry(tenant.clone()).or_insert(Consumer {
                tenant,
                usage: Money::ZERO,
                tokens_input: 0,
                tokens_output: 0,
            });
            let (input, output) = tokens(call);
            let cost = call.cost.unwrap_or(Money::ZERO);
            consumer.usage = consumer.usage.checked_add(cost).unwrap_or(consumer.usage);
            consumer.tokens_input += input;
            consumer.tokens_output += output;
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|a, b| b.usage.cmp(&a.usage).then_with(|| a.tenant.cmp(&b.tenant)));
        all.truncate(limit);
        Ok(all)
    }
}
