//! What a batch or a view needs, read from the tables.

use std::sync::Arc;

use ::budget::{
    Account, AccountId, Book, Budget, EntryHash, Head, Key, Opening, Reservation, StoreError,
};
use focus::{Period, TenantId};
use foldhash::{HashMap, HashMapExt as _};
use jiff::Timestamp;
use money::Money;
use rusqlite::{Connection, Row, ToSql, types::Value};

use super::{
    behind::{self, Numbered},
    row, unavailable,
};

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

/// A reservation that is found by its key.
pub(super) fn reservation(db: &Connection, key: Key) -> Result<Option<Numbered>, StoreError> {
    let sql = "select r.*
        from reservation_by_key as i
        join reservation as r on r.row_number = i.row_number
        where i.key = ?1";
    Ok(rows(db, sql, &[&key], row::numbered)?.pop().map(shared))
}

/// The reservation in a row.
pub(super) fn reservation_in(db: &Connection, row: i64) -> Result<Option<Numbered>, StoreError> {
    let sql = "select * from reservation where row_number = ?1";
    Ok(rows(db, sql, &[&row], row::numbered)?.pop().map(shared))
}

/// A reservation that may not be indexed; all that aren't come after a row.
pub(super) fn reservation_after(
    db: &Connection,
    key: Key,
    row: i64,
) -> Result<Option<Numbered>, StoreError> {
    if let Some(found) = reservation(db, key)? {
        return Ok(Some(found));
    }
    let sql = "select *
        from reservation
        where key = ?1
            and row_number > max(?2, (select row_number from indexed where name = 'key'))";
    Ok(rows(db, sql, &[&key, &row], row::numbered)?.pop().map(shared))
}

fn shared((row, reservation): (i64, Reservation)) -> Numbered {
    (row, Arc::new(reservation))
}

/// An account from its place, or from a row of `account_tail` if that is still there: once nothing is
/// left in it, its numbers begin anew.
pub(super) fn account(
    db: &Connection,
    id: AccountId,
    behind: Option<i64>,
) -> Result<Option<Account>, StoreError> {
    if let Some(row) = behind {
        let sql = "select * from account_tail where row_number = ?1";
        let found = rows(db, sql, &[&row], row::account)?.pop();
        if let Some(account) = found.filter(|account| account.id == id) {
            return Ok(Some(account));
        }
    }
    let sql = "select * from account where budget_id = ?1 and period_start = ?2";
    Ok(rows(db, sql, &[&id.budget.0, &id.start.as_microsecond()], row::account)?.pop())
}

/// A tenant's budgets, their running and last accounts, and its ledger end as its row has it; empty
/// for one that is unknown. `is_behind`: some of its rows may be missing in their places.
pub(super) fn book(
    db: &Connection,
    tenant: &TenantId,
    now: Timestamp,
    is_behind: bool,
) -> Result<Book, StoreError> {
    let name = tenant.as_str();
    let sql = "select tenant_id, ledger_seq, ledger_hash from tenant where tenant_id = ?1";
    let head = rows(db, sql, &[&name], row::head)?.pop();
    let sql = "select * from budget where tenant_id = ?1 order by budget_id";
    let budgets: Vec<Arc<Budget>> = rows(db, sql, &[&name], row::budget)?;
    let mut accounts = HashMap::new();
    let sql = "select * from account
        where budget_id = ?1
            and period_end >= min(?2, (select max(period_end) from account where budget_id = ?1))";
    for budget in &budgets {
        let found = rows(db, sql, &[&budget.id.0, &now.as_microsecond()], row::account)?;
        accounts.extend(found.into_iter().map(|account| (account.id, account)));
    }
    if is_behind {
        let ids: Vec<_> = budgets.iter().map(|budget| budget.id).collect();
        accounts.extend(behind::accounts(db, Some(&ids))?);
    }
    let none = || Head { tenant: tenant.clone(), seq: 0, hash: EntryHash::default() };
    let accounts = accounts.into_values().collect();
    let mut book = Book::new(head.unwrap_or_else(none), budgets, accounts);
    book.forget_past(now);
    Ok(book)
}

/// A book to look at: accounts that a batch would have to open first are shown as it would.
pub(super) fn book_for_view(
    db: &Connection,
    tenant: &TenantId,
    now: Timestamp,
    is_behind: bool,
) -> Result<Book, StoreError> {
    let mut book = book(db, tenant, now, is_behind)?;
    for (budget, period) in book.unopened(now).map_err(row::corrupt)? {
        let (opening, _) = opening(db, budget, period, is_behind)?;
        book.show(&opening, now);
    }
    Ok(book)
}

/// A statement that finds rows, and the alias whose columns it finds them by, in their order.
pub(super) struct Arm {
    pub(super) sql: String,
    pub(super) by: &'static str,
}

/// What the index of a table goes by.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Tenant,
    Time,
}

/// Selects the rows of a table, as `t`, that fulfil conditions on the columns of one of its indexes,
/// written with `@.` before each: those that the index has, and the others.
pub(super) fn arms(table: &str, by: By, conditions: &str, is_behind: bool) -> Vec<Arm> {
    let index = match by {
        By::Tenant => format!("{table}_by_tenant"),
        By::Time => format!("{table}_by_time"),
    };
    let indexed = conditions.replace("@.", "i.");
    let mut found = Arm {
        sql: format!(
            "select t.*
            from {index} as i
            join {table} as t on t.row_number = i.row_number
            where {indexed}"
        ),
        by: "i",
    };
    if !is_behind {
        return vec![found];
    }
    let mark = format!("(select row_number from indexed where name = '{table}')");
    found.sql.push_str(&format!(" and i.row_number <= {mark}"));
    let late = conditions.replace("@.", "t.");
    let sql = format!("select t.* from {table} as t where {late} and t.row_number > {mark}");
    vec![found, Arm { sql, by: "t" }]
}

/// All of them in one.
pub(super) fn union(arms: &[Arm]) -> String {
    let arms: Vec<_> = arms.iter().map(|arm| arm.sql.as_str()).collect();
    arms.join(" union all ")
}

/// What a running period had spent on what a budget covers, and the rows of the reservations in it.
pub(super) fn opening(
    db: &Connection,
    budget: Arc<Budget>,
    period: Period,
    is_behind: bool,
) -> Result<(Opening, Vec<(Key, i64)>), StoreError> {
    let scope = &budget.scope;
    let of_period = "@.tenant_id = ?1 and @.created_at >= ?2 and @.created_at < ?3";
    let source = union(&arms("reservation", By::Tenant, of_period, is_behind));
    let covered = "(?4 is null or model = ?4)
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
        from ({source})
        where {covered}"
    );
    let sums = |row: &Row<'_>| -> Result<(Money, u64, u64), StoreError> {
        let input = row::count(row, "tokens_input")?;
        Ok((row::money(row, "cost_nanos")?, input, row::count(row, "tokens_output")?))
    };
    let sums = rows(db, &sql, &parameters, sums)?.pop();
    let (settled, tokens_input, tokens_output) = sums.unwrap_or((Money::ZERO, 0, 0));
    let sql = format!(
        "select *
        from ({source})
        where state in ('held', 'unresolved', 'unpriced', 'charged') and {covered}"
    );
    let open = rows(db, &sql, &parameters, row::numbered)?;
    let places = open.iter().map(|(row, reservation)| (reservation.key, *row)).collect();
    let open = open.into_iter().map(|(_, reservation)| reservation).collect();
    Ok((Opening { budget, period, settled, tokens_input, tokens_output, open }, places))
}
