//! What a batch or a view needs, read from the tables.

use std::sync::Arc;

use ::budget::{
    Account, AccountId, Book, Budget, EntryHash, Head, Key, Opening, Reservation, State, StoreError,
};
use focus::{Period, TenantId};
use jiff::Timestamp;
use money::Money;
use rusqlite::{Connection, Row, ToSql, types::Value};

use super::{row, unavailable};

/// Runs a cached query and reads every row.
pub(super) fn rows<T>(
    db: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    let mut rows = statement.query(parameters).map_err(unavailable)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Like [`rows`], for a list of conditions that varies.
pub(super) fn rows_where<T>(
    db: &Connection,
    sql: &str,
    parameters: &[Value],
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(|value| value as _).collect();
    rows(db, sql, &parameters, read)
}

pub(super) fn reservation(db: &Connection, key: Key) -> Result<Option<Reservation>, StoreError> {
    let sql = "select * from reservation where key = ?1";
    Ok(rows(db, sql, &[&key], row::reservation)?.pop())
}

pub(super) fn account(db: &Connection, id: AccountId) -> Result<Option<Account>, StoreError> {
    let sql = "select * from account where budget_id = ?1 and period_start = ?2";
    Ok(rows(db, sql, &[&id.budget.0, &id.start.as_microsecond()], row::account)?.pop())
}

/// A tenant's budgets, running accounts and ledger end; empty for one that is unknown.
pub(super) fn book(db: &Connection, tenant: &TenantId, now: Timestamp) -> Result<Book, StoreError> {
    let name = tenant.as_str();
    let sql = "select tenant_id, ledger_seq, ledger_hash from tenant where tenant_id = ?1";
    let head = rows(db, sql, &[&name], row::head)?.pop();
    let sql = "select * from budget where tenant_id = ?1 order by budget_id";
    let budgets: Vec<Arc<Budget>> = rows(db, sql, &[&name], row::budget)?;
    let sql = "select * from account where budget_id = ?1 and period_end > ?2";
    let mut accounts = Vec::with_capacity(budgets.len());
    for budget in &budgets {
        accounts.extend(rows(db, sql, &[&budget.id.0, &now.as_microsecond()], row::account)?);
    }
    let none = || Head { tenant: tenant.clone(), seq: 0, hash: EntryHash::default() };
    Ok(Book::new(head.unwrap_or_else(none), budgets, accounts))
}

/// A book to look at: accounts that a batch would have to open first are shown as it would.
pub(super) fn book_for_view(
    db: &Connection,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Book, StoreError> {
    let mut book = book(db, tenant, now)?;
    for (budget, period) in book.unopened(now).map_err(row::corrupt)? {
        let opening = opening(db, budget, period)?;
        book.show(&opening);
    }
    Ok(book)
}

/// What a running period had spent on what a budget covers.
pub(super) fn opening(
    db: &Connection,
    budget: Arc<Budget>,
    period: Period,
) -> Result<Opening, StoreError> {
    let scope = &budget.scope;
    let covered = "tenant_id = ?1
        and created_at >= ?2
        and created_at < ?3
        and (?4 is null or model = ?4)
        and (?5 is null or user_id = ?5)
        and (?6 is null or report_type = ?6)";
    let (start, end) = (period.start.as_microsecond(), period.end.as_microsecond());
    let model = scope.model.as_ref().map(|model| model.as_str());
    let user = scope.user.as_ref().map(|user| user.as_str());
    let kind = scope.report_type.as_ref().map(|kind| kind.as_str());
    let tenant = scope.tenant.as_str();
    let parameters: [&dyn ToSql; 6] = [&tenant, &start, &end, &model, &user, &kind];
    let sql = format!(
        "select coalesce(sum(cost_nanos), 0) as cost_nanos,
            coalesce(sum(used_input + used_cache_read + used_cache_write_5m
                + used_cache_write_1h), 0) as tokens_input,
            coalesce(sum(used_output), 0) as tokens_output
        from reservation
        where {covered}"
    );
    let sums = |row: &Row<'_>| -> Result<(Money, u64, u64), StoreError> {
        let input = row::count(row, "tokens_input")?;
        Ok((row::money(row, "cost_nanos")?, input, row::count(row, "tokens_output")?))
    };
    let sums = rows(db, &sql, &parameters, sums)?.pop();
    let (settled, tokens_input, tokens_output) = sums.unwrap_or((Money::ZERO, 0, 0));
    let open = [State::Held, State::Unresolved, State::Unpriced, State::Charged].map(|state| {
        let sql = format!("select * from reservation where state = '{state}' and {covered}");
        rows(db, &sql, &parameters, row::reservation)
    });
    let open: Result<Vec<_>, _> = open.into_iter().collect();
    let open = open?.into_iter().flatten().collect();
    Ok(Opening { budget, period, settled, tokens_input, tokens_output, open })
}
