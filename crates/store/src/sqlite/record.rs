//! What has been recorded: reservations, entries, usage, events.

use ::budget::{
    Entry, Event, Key, LedgerFilter, Page, Records, Reservation, ReservationFilter, StoreError,
    UsageGroup, UsageQuery, UsageRow,
};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, types::Value};

use super::{Sqlite, load, row, row::whole, tail::Place};

fn limit(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[async_trait]
impl Records for Sqlite {
    async fn reservation(&self, key: Key) -> Result<Option<Reservation>, StoreError> {
        let load = move |db: &Connection| load::reservation(db, key);
        match self.writer.recent.find(key) {
            Place::Here(reservation) => Ok(Some(Arc::unwrap_or_clone(reservation))),
            // A call that another process has committed is seen after that one's next sweep.
            Place::Table => self.readers.read(load).await,
            Place::Anywhere => self.readers.read_merged(load).await,
        }
    }

    async fn reservations(
        &self,
        filter: ReservationFilter,
    ) -> Result<Vec<Reservation>, StoreError> {
        self.readers.read_merged(move |db| reservations(db, &filter)).await
    }

    async fn entries(&self, filter: LedgerFilter) -> Result<Vec<Entry>, StoreError> {
        self.readers.read_merged(move |db| entries(db, &filter)).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        self.readers.read_merged(move |db| usage(db, &query)).await
    }

    async fn events(&self, page: Page<u64>) -> Result<Vec<(u64, Event)>, StoreError> {
        let list = move |db: &Connection| {
            let sql = "select event_id, event from event
                where event_id > ?1
                order by event_id
                limit ?2";
            let after = whole(page.after.unwrap_or_default())?;
            let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
            load::rows(db, sql, &[&after, &limit], |row| {
                let event = crate::outbox::from_text(&row::column::<String>(row, "event")?)?;
                Ok((row::count(row, "event_id")?, event))
            })
        };
        self.readers.read(list).await
    }
}

fn reservations(
    db: &Connection,
    filter: &ReservationFilter,
) -> Result<Vec<Reservation>, StoreError> {
    let mut sql = "select * from reservation where true".to_owned();
    let mut values = Vec::new();
    if let Some(tenant) = &filter.tenant {
        sql.push_str(" and tenant_id = ?");
        values.push(text(tenant.as_str()));
    }
    if let Some(state) = filter.state {
        // Not bound: SQLite uses the index of open reservations only when it sees the state.
        sql.push_str(&format!(" and state = '{state}'"));
    }
    for (bound, comparison) in [(filter.from, ">="), (filter.to, "<")] {
        if let Some(at) = bound {
            sql.push_str(&format!(" and created_at {comparison} ?"));
            values.push(Value::Integer(at.as_microsecond()));
        }
    }
    if let Some((at, key)) = filter.page.after {
        sql.push_str(" and (created_at, key) > (?, ?)");
        values.push(Value::Integer(at.as_microsecond()));
        values.push(Value::Blob(key.as_bytes().to_vec()));
    }
    sql.push_str(" order by created_at, key limit ?");
    values.push(limit(filter.page.limit));
    load::rows_where(db, &sql, &values, row::reservation)
}

fn entries(db: &Connection, filter: &LedgerFilter) -> Result<Vec<Entry>, StoreError> {
    let mut sql = "select * from entry where true".to_owned();
    let mut values = Vec::new();
    if let Some(tenant) = &filter.tenant {
        sql.push_str(" and tenant_id = ?");
        values.push(text(tenant.as_str()));
    }
    if let Some((tenant, seq)) = &filter.page.after {
        sql.push_str(" and (tenant_id, seq) > (?, ?)");
        values.push(text(tenant.as_str()));
        values.push(Value::Integer(whole(*seq)?));
    }
    sql.push_str(" order by tenant_id, seq limit ?");
    values.push(limit(filter.page.limit));
    load::rows_where(db, &sql, &values, row::entry)
}

fn column(group: UsageGroup) -> (&'static str, &'static str) {
    match group {
        UsageGroup::Day => ("day", "strftime('%Y-%m-%d', created_at / 1000000, 'unixepoch')"),
        UsageGroup::Tenant => ("tenant_id", "tenant_id"),
        UsageGroup::Model => ("model", "model"),
        UsageGroup::User => ("user_id", "user_id"),
        UsageGroup::ReportType => ("report_type", "report_type"),
    }
}

fn usage(db: &Connection, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
    let mut groups = query.group_by.clone();
    groups.sort_unstable();
    groups.dedup();
    let mut sql = "select count(*) as requests,
            coalesce(sum(cost_nanos), 0) as cost_nanos,
            coalesce(sum(used_input + used_cache_read + used_cache_write_5m
                + used_cache_write_1h), 0) as tokens_input,
            coalesce(sum(used_output), 0) as tokens_output,
            sum(state = 'unpriced') as unpriced"
        .to_owned();
    for group in &groups {
        let (name, expression) = column(*group);
        sql.push_str(&format!(", {expression} as {name}"));
    }
    sql.push_str(
        " from reservation
        where created_at >= ? and created_at < ?
            and state in ('settled', 'charged', 'unpriced')",
    );
    let mut values = vec![
        Value::Integer(query.from.as_microsecond()),
        Value::Integer(query.to.as_microsecond()),
    ];
    if let Some(tenant) = &query.tenant {
        sql.push_str(" and tenant_id = ?");
        values.push(text(tenant.as_str()));
    }
    let names: Vec<_> = groups.iter().map(|group| column(*group).0).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        sql.push_str(&format!(" group by {names} order by {names}"));
    }
    let rows = load::rows_where(db, &sql, &values, |row| usage_row(row, &groups))?;
    Ok(rows.into_iter().filter(|row| row.requests > 0).collect())
}

fn usage_row(row: &Row<'_>, groups: &[UsageGroup]) -> Result<UsageRow, StoreError> {
    if row::count(row, "requests")? == 0 {
        return Ok(UsageRow::default());
    }
    let mut usage = UsageRow {
        requests: row::count(row, "requests")?,
        tokens_input: row::count(row, "tokens_input")?,
        tokens_output: row::count(row, "tokens_output")?,
        cost: row::money(row, "cost_nanos")?,
        unpriced: row::count(row, "unpriced")?,
        ..UsageRow::default()
    };
    for group in groups {
        match group {
            UsageGroup::Day => usage.day = row::column(row, "day")?,
            UsageGroup::Tenant => usage.tenant = row::maybe_parsed(row, "tenant_id")?,
            UsageGroup::Model => usage.model = row::maybe_parsed(row, "model")?,
            UsageGroup::User => usage.user = row::maybe_parsed(row, "user_id")?,
            UsageGroup::ReportType => usage.report_type = row::maybe_parsed(row, "report_type")?,
        }
    }
    Ok(usage)
}
