//! What has been recorded: reservations, entries, usage, events.

use ::budget::{
    Entry, Key, LedgerFilter, Notice, Page, Records, Reservation, ReservationFilter, State,
    StoreError, UsageGroup, UsageQuery, UsageRow,
};
use std::sync::Arc;

use async_trait::async_trait;
use focus::TenantId;
use jiff::Timestamp;
use rusqlite::{Connection, Row, types::Value};

use super::{
    Sqlite,
    behind::{Numbered, Place},
    load::{self, Arm, By},
    row,
    row::whole,
};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[async_trait]
impl Records for Sqlite {
    async fn reservation(&self, key: Key) -> Result<Option<Reservation>, StoreError> {
        match self.writer.recent.find(key) {
            Place::Here((_, reservation)) => Ok(Some(Arc::unwrap_or_clone(reservation))),
            Place::Row(row) => self.found(move |db| load::reservation_in(db, row)).await,
            // A call that another process has committed is seen after the next commit of this one.
            Place::ByKey => self.found(move |db| load::reservation(db, key)).await,
            Place::After(row) => self.found(move |db| load::reservation_after(db, key, row)).await,
        }
    }

    async fn reservations(
        &self,
        filter: ReservationFilter,
    ) -> Result<Vec<Reservation>, StoreError> {
        let is_behind = self.is_behind(filter.tenant.as_ref());
        self.readers.read(move |db| reservations(db, &filter, is_behind)).await
    }

    async fn entries(&self, filter: LedgerFilter) -> Result<Vec<Entry>, StoreError> {
        let is_behind = self.is_behind(filter.tenant.as_ref());
        self.readers.read(move |db| entries(db, &filter, is_behind)).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let is_behind = self.is_behind(query.tenant.as_ref());
        self.readers.read(move |db| usage(db, &query, is_behind)).await
    }

    async fn events(&self, page: Page<u64>) -> Result<Vec<(u64, Notice)>, StoreError> {
        let list = move |db: &Connection| {
            let sql = "select event_id, tenant_id, event from event
                where event_id > ?1
                order by event_id
                limit ?2";
            let after = whole(page.after.unwrap_or_default())?;
            let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
            load::rows(db, sql, &[&after, &limit], |row| {
                let of_tenant = row::column::<Option<String>>(row, "tenant_id")?.is_some();
                let text = row::column::<String>(row, "event")?;
                let notice = crate::outbox::from_text(&text, of_tenant)?;
                Ok((row::count(row, "event_id")?, notice))
            })
        };
        self.readers.read(list).await
    }
}

impl Sqlite {
    async fn found(
        &self,
        find: impl FnOnce(&Connection) -> Result<Option<Numbered>, StoreError> + Send + 'static,
    ) -> Result<Option<Reservation>, StoreError> {
        let found = self.readers.read(find).await?;
        Ok(found.map(|(_, reservation)| Arc::unwrap_or_clone(reservation)))
    }

    /// Whether rows that are looked for by name may be missing there.
    fn is_behind(&self, tenant: Option<&TenantId>) -> bool {
        tenant.is_none_or(|tenant| self.writer.recent.concerns(tenant))
    }
}

/// Conditions on a table's own columns, written with `@.` before each, and what is bound in them.
#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds one, with `?` for each value.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(if self.text.is_empty() { "" } else { " and " });
        let mut parts = condition.split('?');
        self.text.push_str(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(values) {
            self.values.push(value);
            // Numbered: the text may stand in a statement twice.
            self.text.push_str(&format!("?{}{part}", self.values.len()));
        }
    }

    fn created(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) {
        for (bound, comparison) in [(from, ">="), (to, "<")] {
            if let Some(at) = bound {
                let at = Value::Integer(at.as_microsecond());
                self.and(&format!("@.created_at {comparison} ?"), [at]);
            }
        }
    }

    fn text(&self) -> &str {
        if self.text.is_empty() { "true" } else { &self.text }
    }
}

/// Reservations that are chosen by tenant, or by time alone.
fn chosen(tenant: Option<&TenantId>, found: &Conditions, is_behind: bool) -> Vec<Arm> {
    let by = if tenant.is_some() { By::Tenant } else { By::Time };
    load::arms("reservation", by, found.text(), is_behind)
}

/// The reservations of a filter. Those that are open are found by their state, which is not bound:
/// SQLite uses an index of few rows only where it sees its condition.
fn arms(filter: &ReservationFilter, found: &Conditions, is_behind: bool) -> Vec<Arm> {
    if let Some(state @ (State::Held | State::Unresolved | State::Unpriced)) = filter.state {
        let conditions = found.text().replace("@.", "t.");
        let sql =
            format!("select t.* from reservation as t where t.state = '{state}' and {conditions}");
        return vec![Arm { sql, by: "t" }];
    }
    let mut arms = chosen(filter.tenant.as_ref(), found, is_behind);
    if let Some(state) = filter.state {
        arms.iter_mut().for_each(|arm| arm.sql.push_str(&format!(" and t.state = '{state}'")));
    }
    arms
}

fn reservations(
    db: &Connection,
    filter: &ReservationFilter,
    is_behind: bool,
) -> Result<Vec<Reservation>, StoreError> {
    let mut found = Conditions::default();
    if let Some(tenant) = &filter.tenant {
        found.and("@.tenant_id = ?", [text(tenant.as_str())]);
    }
    found.created(filter.from, filter.to);
    if let Some((at, key)) = filter.page.after {
        let key = Value::Blob(key.as_bytes().to_vec());
        found.and("(@.created_at, @.key) > (?, ?)", [Value::Integer(at.as_microsecond()), key]);
    }
    let mut rows = Vec::new();
    for Arm { sql, by } in arms(filter, &found, is_behind) {
        let most = filter.page.limit;
        let sql = format!("{sql} order by {by}.created_at, {by}.key limit {most}");
        rows.extend(load::rows_where(db, &sql, &found.values, row::reservation)?);
    }
    rows.sort_by_key(|reservation| (reservation.created_at, reservation.key));
    rows.truncate(filter.page.limit);
    Ok(rows)
}

fn entries(
    db: &Connection,
    filter: &LedgerFilter,
    is_behind: bool,
) -> Result<Vec<Entry>, StoreError> {
    let mut found = Conditions::default();
    if let Some(tenant) = &filter.tenant {
        found.and("@.tenant_id = ?", [text(tenant.as_str())]);
    }
    if let Some((tenant, seq)) = &filter.page.after {
        let after = [text(tenant.as_str()), Value::Integer(whole(*seq)?)];
        found.and("(@.tenant_id, @.seq) > (?, ?)", after);
    }
    let mut rows = Vec::new();
    for Arm { sql, by } in load::arms("entry", By::Tenant, found.text(), is_behind) {
        let most = filter.page.limit;
        let sql = format!("{sql} order by {by}.tenant_id, {by}.seq limit {most}");
        rows.extend(load::rows_where(db, &sql, &found.values, row::entry)?);
    }
    rows.sort_by(|a, b| (&a.tenant, a.seq).cmp(&(&b.tenant, b.seq)));
    rows.truncate(filter.page.limit);
    Ok(rows)
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

fn usage(
    db: &Connection,
    query: &UsageQuery,
    is_behind: bool,
) -> Result<Vec<UsageRow>, StoreError> {
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
    let mut found = Conditions::default();
    if let Some(tenant) = &query.tenant {
        found.and("@.tenant_id = ?", [text(tenant.as_str())]);
    }
    found.created(Some(query.from), Some(query.to));
    let arms = chosen(query.tenant.as_ref(), &found, is_behind);
    let source = load::union(&arms);
    sql.push_str(&format!(
        " from ({source})
        where state in ('settled', 'charged', 'unpriced')"
    ));
    let names: Vec<_> = groups.iter().map(|group| column(*group).0).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        sql.push_str(&format!(" group by {names} order by {names}"));
    }
    let rows = load::rows_where(db, &sql, &found.values, |row| usage_row(row, &groups))?;
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
