//! What has been recorded: reservations, entries, usage, events.

use ::budget::{
    Entry, Key, LedgerFilter, Notice, Page, Records, Reservation, ReservationFilter, StoreError,
    UsageGroup, UsageQuery, UsageRow,
};
use async_trait::async_trait;
use focus::TenantId;
use tokio_postgres::{Row, types::ToSql};

use super::{Postgres, row, row::whole};

const ONE: &str = concat!(include_str!("sql/reservation.sql"), "where key = $1");
const EVENTS: &str = concat!(
    include_str!("sql/event.sql"),
    "where event_id > $1
order by event_id
limit $2"
);

/// Conditions of a query whose filter varies: each with the value that is bound to it.
struct Conditions<'a> {
    sql: String,
    values: Vec<&'a (dyn ToSql + Sync)>,
}

impl<'a> Conditions<'a> {
    fn of(select: &str) -> Self {
        Self { sql: format!("{select}where true"), values: Vec::new() }
    }

    /// Adds `and …`, where each `?` stands for the next value.
    fn and(&mut self, condition: &str, values: &[&'a (dyn ToSql + Sync)]) {
        self.sql.push_str("\n    and ");
        self.push(condition, values);
    }

    fn push(&mut self, text: &str, values: &[&'a (dyn ToSql + Sync)]) {
        let mut values = values.iter();
        for (place, part) in text.split('?').enumerate() {
            if place > 0
                && let Some(value) = values.next()
            {
                self.values.push(*value);
                self.sql.push_str(&format!("${}", self.values.len()));
            }
            self.sql.push_str(part);
        }
    }
}

#[async_trait]
impl Records for Postgres {
    async fn reservation(&self, key: Key) -> Result<Option<Reservation>, StoreError> {
        let found = self.pool.query(ONE, &[&key]).await?;
        found.first().map(row::reservation).transpose()
    }

    async fn reservations(
        &self,
        filter: ReservationFilter,
    ) -> Result<Vec<Reservation>, StoreError> {
        let mut query = Conditions::of(include_str!("sql/reservation.sql"));
        let tenant = filter.tenant.as_ref().map(TenantId::as_str);
        let limit = i64::try_from(filter.page.limit).unwrap_or(i64::MAX);
        if let Some(tenant) = &tenant {
            query.and("tenant_id = ?", &[tenant]);
        }
        if let Some(state) = filter.state {
            // Not bound: Postgres uses the index of open reservations only when it sees the state.
            query.and(&format!("state = '{state}'"), &[]);
        }
        if let Some(from) = &filter.from {
            query.and("created_at >= ?", &[from]);
        }
        if let Some(to) = &filter.to {
            query.and("created_at < ?", &[to]);
        }
        if let Some((at, key)) = &filter.page.after {
            query.and("(created_at, key) > (?, ?)", &[at, key]);
        }
        query.push("\norder by created_at, key\nlimit ?", &[&limit]);
        let found = self.pool.query(&query.sql, &query.values).await?;
        found.iter().map(row::reservation).collect()
    }

    async fn entries(&self, filter: LedgerFilter) -> Result<Vec<Entry>, StoreError> {
        let mut query = Conditions::of(include_str!("sql/entry.sql"));
        let tenant = filter.tenant.as_ref().map(TenantId::as_str);
        let after = filter.page.after.as_ref();
        let after = after.map(|(tenant, seq)| Ok((tenant.as_str(), whole(*seq)?))).transpose()?;
        let limit = i64::try_from(filter.page.limit).unwrap_or(i64::MAX);
        if let Some(tenant) = &tenant {
            query.and("tenant_id = ?", &[tenant]);
        }
        if let Some((tenant, seq)) = &after {
            query.and("(tenant_id, seq) > (?, ?)", &[tenant, seq]);
        }
        query.push("\norder by tenant_id, seq\nlimit ?", &[&limit]);
        let found = self.pool.query(&query.sql, &query.values).await?;
        found.iter().map(row::entry).collect()
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let mut groups = query.group_by.clone();
        groups.sort_unstable();
        groups.dedup();
        let mut select = include_str!("sql/usage.sql").to_owned();
        let mut names = Vec::with_capacity(groups.len());
        for group in &groups {
            let (name, expression) = column(*group);
            select.push_str(&format!(",\n    {expression} as {name}"));
            names.push(format!("{name} nulls first"));
        }
        select.push_str("\nfrom ai_token_usage\n");
        let mut sql = Conditions::of(&select);
        sql.and("timestamp >= ?", &[&query.from]);
        sql.and("timestamp < ?", &[&query.to]);
        let tenant = query.tenant.as_ref().map(TenantId::as_str);
        if let Some(tenant) = &tenant {
            sql.and("tenant_id = ?", &[tenant]);
        }
        if !groups.is_empty() {
            let places: Vec<String> = (6..6 + groups.len()).map(|at| at.to_string()).collect();
            let (places, names) = (places.join(", "), names.join(", "));
            sql.push(&format!("\ngroup by {places}\norder by {names}"), &[]);
        }
        let found = self.pool.query(&sql.sql, &sql.values).await?;
        let rows: Result<Vec<_>, _> = found.iter().map(|found| usage_row(found, &groups)).collect();
        Ok(rows?.into_iter().filter(|row| row.requests > 0).collect())
    }

    async fn events(&self, page: Page<u64>) -> Result<Vec<(u64, Notice)>, StoreError> {
        let after = whole(page.after.unwrap_or_default())?;
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let found = self.pool.query(EVENTS, &[&after, &limit]).await?;
        found.iter().map(row::notice).collect()
    }
}

fn column(group: UsageGroup) -> (&'static str, &'static str) {
    match group {
        UsageGroup::Day => ("day", "to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD')"),
        UsageGroup::Tenant => ("tenant_id", "tenant_id"),
        UsageGroup::Model => ("model", "model"),
        UsageGroup::User => ("user_id", "user_id"),
        UsageGroup::ReportType => ("report_type", "report_type"),
    }
}

fn usage_row(found: &Row, groups: &[UsageGroup]) -> Result<UsageRow, StoreError> {
    let mut usage = UsageRow {
        requests: row::count(found, "requests")?,
        tokens_input: row::count(found, "tokens_input")?,
        tokens_output: row::count(found, "tokens_output")?,
        cost: row::money(found, "cost_nanos")?,
        unpriced: row::count(found, "unpriced")?,
        ..UsageRow::default()
    };
    for group in groups {
        match group {
            UsageGroup::Day => usage.day = row::column(found, "day")?,
            UsageGroup::Tenant => usage.tenant = row::maybe_parsed(found, "tenant_id")?,
            UsageGroup::Model => usage.model = row::maybe_parsed(found, "model")?,
            UsageGroup::User => usage.user = row::maybe_parsed(found, "user_id")?,
            UsageGroup::ReportType => {
                usage.report_type = row::maybe_parsed(found, "report_type")?;
            }
        }
    }
    Ok(usage)
}
