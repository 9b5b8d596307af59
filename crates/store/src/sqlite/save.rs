//! A batch's changes: appended, or written over the rows that they change. Many rows of one kind pass
//! by one statement.

use std::sync::Arc;

use ::budget::{
    Account, Budget, Changes, Enforcement, Entry, Key, Notice, Origin, Quote, Reservation,
    StoreError,
};
use focus::TenantId;
use foldhash::HashMap;
use jiff::Timestamp;
use rusqlite::{Connection, Statement, ToSql};

use super::{
    behind::Saved,
    row::{ESTIMATED, GIVEN, accounts_text, corrupt, nanos, percents_text, whole},
    unavailable,
};

/// The rows of the reservations that exist.
pub(super) type Places = HashMap<Key, i64>;

/// Saves everything and says where. `places` has the rows of the reservations that exist.
pub(super) fn changes(
    db: &Connection,
    changes: &Changes,
    places: &Places,
    now: Timestamp,
) -> Result<Saved, StoreError> {
    let mut saved = Saved::default();
    for budget in &changes.budgets {
        self::budget(db, budget)?;
    }
    saved.accounts = accounts(db, &changes.accounts)?;
    for entry in changes.entries.iter().filter(|entry| entry.seq == 1) {
        known(db, &entry.tenant, now)?;
    }
    saved.entries = entries(db, &changes.entries)?;
    saved.reservations = reservations(db, &changes.reservations, places)?;
    for event in changes.events.clone() {
        notice(db, &Notice::Ai(event))?;
    }
    Ok(saved)
}

pub(super) fn execute(
    db: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
) -> Result<usize, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    statement.execute(parameters).map_err(unavailable)
}

/// Makes sure that a tenant has a row.
pub(super) fn known(db: &Connection, tenant: &TenantId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "insert into tenant (tenant_id, created_at, ledger_seq, ledger_hash)
        values (?1, ?2, 0, zeroblob(32))
        on conflict (tenant_id) do nothing";
    execute(db, sql, &[&tenant.as_str(), &now.as_microsecond()])?;
    Ok(())
}

pub(super) fn budget(db: &Connection, budget: &Budget) -> Result<(), StoreError> {
    let sql = "insert or replace into budget (budget_id, tenant_id, model, user_id, report_type,
            limit_nanos, period, anchor, days, zone, thresholds, enforcement, overflow, origin,
            since, updated_at)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let (scope, rule) = (&budget.scope, &budget.rule);
    let enforcement = match budget.enforcement {
        Enforcement::Hard => "hard",
        Enforcement::Shadow => "shadow",
    };
    let origin = match budget.origin {
        Origin::Set => "set",
        Origin::Default => "default",
    };
    execute(
        db,
        sql,
        &[
            &budget.id.0,
            &scope.tenant.as_str(),
            &scope.model_or_star(),
            &scope.user.as_ref().map(|user| user.as_str()),
            &scope.report_type.as_ref().map(|kind| kind.as_str()),
            &nanos(budget.limit)?,
            &rule.unit().as_str(),
            &rule.anchor().map(|date| date.to_string()),
            &rule.days(),
            &rule.zone(),
            &percents_text(budget.thresholds.percents()),
            &enforcement,
            &budget.overflow.to_string(),
            &origin,
            &budget.since.as_microsecond(),
            &budget.updated_at.as_microsecond(),
        ],
    )?;
    Ok(())
}

/// How an amount came about, as `used_given` keeps it.
fn given(quote: Quote) -> i64 {
    match quote {
        Quote { estimated: true, .. } => ESTIMATED,
        Quote { given, .. } => i64::from(given) * GIVEN,
    }
}

fn accounts(db: &Connection, accounts: &[Account]) -> Result<Vec<i64>, StoreError> {
    let sql = "insert into account_tail (budget_id, period_start, period_end, opened_at,
            settled_nanos, held_nanos, unresolved_nanos, tokens_input, tokens_output, fired,
            exhausted)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    let mut save = |account: &Account| -> Result<i64, StoreError> {
        let parameters: [&dyn ToSql; 11] = [
            &account.id.budget.0,
            &account.id.start.as_microsecond(),
            &account.end.as_microsecond(),
            &account.opened_at.as_microsecond(),
            &nanos(account.settled)?,
            &nanos(account.held)?,
            &nanos(account.unresolved)?,
            &whole(account.tokens_input)?,
            &whole(account.tokens_output)?,
            &percents_text(&account.fired),
            &account.exhausted,
        ];
        statement.insert(&parameters[..]).map_err(unavailable)
    };
    accounts.iter().map(&mut save).collect()
}

fn entries(db: &Connection, entries: &[Entry]) -> Result<Vec<i64>, StoreError> {
    let sql = "insert into entry (tenant_id, seq, at, kind, key, amount_nanos, postings, hash)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    let mut save = |entry: &Entry| -> Result<i64, StoreError> {
        let parameters: [&dyn ToSql; 8] = [
            &entry.tenant.as_str(),
            &whole(entry.seq)?,
            &entry.at.as_microsecond(),
            &entry.kind.as_str(),
            &entry.key.as_bytes(),
            &nanos(entry.amount)?,
            &entry.postings_text(),
            &entry.hash.0,
        ];
        statement.insert(&parameters[..]).map_err(unavailable)
    };
    entries.iter().map(&mut save).collect()
}

/// Where each is, and whether that row is new.
fn reservations(
    db: &Connection,
    reservations: &[Arc<Reservation>],
    places: &Places,
) -> Result<Vec<(i64, bool)>, StoreError> {
    let mut insert = db.prepare_cached(RESERVATION).map_err(unavailable)?;
    let mut update = db.prepare_cached(RESERVATION_AGAIN).map_err(unavailable)?;
    let mut save = |reservation: &Arc<Reservation>| match places.get(&reservation.key) {
        Some(row) => reservation_again(&mut update, reservation, *row).map(|()| (*row, false)),
        None => self::reservation(&mut insert, reservation).map(|row| (row, true)),
    };
    reservations.iter().map(&mut save).collect()
}

const RESERVATION: &str = "insert into reservation
        (key, tenant_id, model, user_id, report_type, state, estimate, hold_nanos, used_input,
        used_output, used_cache_read, used_cache_write_5m, used_cache_write_1h, used_tier,
        used_given, cost_nanos, accounts, standing_settled, standing_counted, standing_limit,
        would_refuse, created_at, expires_at, updated_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
        ?20, ?21, ?22, ?23, ?24)";

fn reservation(insert: &mut Statement<'_>, reservation: &Reservation) -> Result<i64, StoreError> {
    let estimate = reservation.estimate.map(|quote| serde_json::to_string(&quote)).transpose();
    let (call, standing) = (&reservation.call, &reservation.standing);
    let used = used(reservation)?;
    let parameters: [&dyn ToSql; 24] = [
        &reservation.key.as_bytes(),
        &call.tenant.as_str(),
        &call.model.as_str(),
        &call.user.as_ref().map(|user| user.as_str()),
        &call.report_type.as_ref().map(|kind| kind.as_str()),
        &reservation.state.as_str(),
        &estimate.map_err(corrupt)?,
        &nanos(reservation.hold)?,
        &used[0],
        &used[1],
        &used[2],
        &used[3],
        &used[4],
        &reservation.actual.map(|quote| quote.tier.as_str()),
        &reservation.actual.map(given),
        &reservation.cost.map(nanos).transpose()?,
        &accounts_text(&reservation.accounts),
        &nanos(standing.settled)?,
        &nanos(standing.counted)?,
        &nanos(standing.limit)?,
        &standing.would_refuse,
        &reservation.created_at.as_microsecond(),
        &reservation.expires_at.as_microsecond(),
        &reservation.updated_at.as_microsecond(),
    ];
    insert.insert(&parameters[..]).map_err(unavailable)
}

/// What may change of a reservation.
const RESERVATION_AGAIN: &str = "update reservation
    set user_id = ?2, report_type = ?3, state = ?4, used_input = ?5, used_output = ?6,
        used_cache_read = ?7, used_cache_write_5m = ?8, used_cache_write_1h = ?9, used_tier = ?10,
        used_given = ?11, cost_nanos = ?12, accounts = ?13, updated_at = ?14
    where row_number = ?1";

fn reservation_again(
    update: &mut Statement<'_>,
    reservation: &Reservation,
    row: i64,
) -> Result<(), StoreError> {
    let call = &reservation.call;
    let used = used(reservation)?;
    let parameters: [&dyn ToSql; 14] = [
        &row,
        &call.user.as_ref().map(|user| user.as_str()),
        &call.report_type.as_ref().map(|kind| kind.as_str()),
        &reservation.state.as_str(),
        &used[0],
        &used[1],
        &used[2],
        &used[3],
        &used[4],
        &reservation.actual.map(|quote| quote.tier.as_str()),
        &reservation.actual.map(given),
        &reservation.cost.map(nanos).transpose()?,
        &accounts_text(&reservation.accounts),
        &reservation.updated_at.as_microsecond(),
    ];
    update.execute(&parameters[..]).map_err(unavailable)?;
    Ok(())
}

/// The tokens used, in the order of their columns: input, output, read from the cache, written to it for
/// five minutes and for an hour.
fn used(reservation: &Reservation) -> Result<[Option<i64>; 5], StoreError> {
    let Some(Quote { usage, .. }) = reservation.actual else { return Ok([None; 5]) };
    Ok([
        Some(whole(usage.input)?),
        Some(whole(usage.output)?),
        Some(whole(usage.cache_read)?),
        Some(whole(usage.cache_write_5m)?),
        Some(whole(usage.cache_write_1h)?),
    ])
}

/// How many were written: one, or none where it was told before.
pub(super) fn notice(db: &Connection, notice: &Notice) -> Result<usize, StoreError> {
    let sql = "insert into event (name, at, tenant_id, event)
        values (?1, ?2, ?3, ?4)
        on conflict (name) do nothing";
    let text = crate::outbox::to_text(notice)?;
    let tenant = notice.tenant().map(TenantId::as_str);
    execute(db, sql, &[&notice.name(), &notice.at().as_microsecond(), &tenant, &text])
}
