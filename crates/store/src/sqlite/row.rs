//! Rows of the tables, read as domain types or not at all.

use std::{fmt::Write as _, sync::Arc};

use ::budget::{
    Account, AccountId, Budget, BudgetId, Enforcement, Entry, EntryHash, Head, KeyRecord, Origin,
    Quote, Reservation, Standing, StoreError, Tenant, Thresholds, VendorBatch,
};
use focus::{Attribution, ModelName, PeriodRule, Scope, TenantId};
use jiff::Timestamp;
use money::{Money, TokenUsage};
use rusqlite::Row;
use uuid::Uuid;

use super::unavailable;

/// A value that stands in a column but is none of the domain's.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

pub(super) fn column<T: rusqlite::types::FromSql>(
    row: &Row<'_>,
    name: &str,
) -> Result<T, StoreError> {
    row.get(name).map_err(unavailable)
}

pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, name: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    let text: String = column(row, name)?;
    text.parse().map_err(|error: T::Err| corrupt(format!("{name}: {error}")))
}

pub(super) fn maybe_parsed<T: std::str::FromStr>(
    row: &Row<'_>,
    name: &str,
) -> Result<Option<T>, StoreError>
where
    T::Err: std::fmt::Display,
{
    let text: Option<String> = column(row, name)?;
    let parse =
        |text: String| text.parse().map_err(|error: T::Err| corrupt(format!("{name}: {error}")));
    text.map(parse).transpose()
}

pub(super) fn money(row: &Row<'_>, name: &str) -> Result<Money, StoreError> {
    Ok(Money::from_nanos(i128::from(column::<i64>(row, name)?)))
}

pub(super) fn time(row: &Row<'_>, name: &str) -> Result<Timestamp, StoreError> {
    micros(column(row, name)?)
}

pub(super) fn micros(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(corrupt)
}

pub(super) fn count(row: &Row<'_>, name: &str) -> Result<u64, StoreError> {
    u64::try_from(column::<i64>(row, name)?).map_err(corrupt)
}

/// Nano-dollars as SQLite keeps them.
pub(super) fn nanos(money: Money) -> Result<i64, StoreError> {
    money.to_i64_nanos().ok_or_else(|| corrupt(format!("{money} is out of range")))
}

/// A count as SQLite keeps it.
pub(super) fn whole(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(corrupt)
}

pub(super) fn percents_text(percents: &[u16]) -> String {
    percents.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

pub(super) fn percents(text: &str) -> Result<Vec<u16>, StoreError> {
    text.split(',').filter(|part| !part.is_empty()).map(|p| p.parse().map_err(corrupt)).collect()
}

pub(super) fn accounts_text(accounts: &[AccountId]) -> String {
    let mut text = String::with_capacity(54 * accounts.len());
    for (index, account) in accounts.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        // Writing to a string can't fail.
        let _ = write!(text, "{space}{}@{}", account.budget, account.start.as_microsecond());
    }
    text
}

fn accounts(text: &str) -> Result<Vec<AccountId>, StoreError> {
    let account = |part: &str| {
        let (budget, start) = part.split_once('@').ok_or_else(|| corrupt(part))?;
        let budget = BudgetId(budget.parse().map_err(corrupt)?);
        Ok(AccountId { budget, start: micros(start.parse().map_err(corrupt)?)? })
    };
    text.split_ascii_whitespace().map(account).collect()
}

pub(super) fn scope(row: &Row<'_>) -> Result<Scope, StoreError> {
    let model: String = column(row, "model")?;
    let model = (model != "*").then(|| ModelName::parse(&model)).transpose().map_err(corrupt)?;
    Ok(Scope {
        tenant: parsed(row, "tenant_id")?,
        model,
        user: maybe_parsed(row, "user_id")?,
        report_type: maybe_parsed(row, "report_type")?,
    })
}

pub(super) fn budget(row: &Row<'_>) -> Result<Arc<Budget>, StoreError> {
    let zone: String = column(row, "zone")?;
    let days: Option<u16> = column(row, "days")?;
    let unit = parsed(row, "period")?;
    let rule = PeriodRule::new(unit, maybe_parsed(row, "anchor")?, days, &zone);
    let thresholds = percents(&column::<String>(row, "thresholds")?)?;
    let enforcement: String = column(row, "enforcement")?;
    let origin: String = column(row, "origin")?;
    Ok(Arc::new(Budget {
        id: BudgetId(column::<Uuid>(row, "budget_id")?),
        scope: scope(row)?,
        limit: money(row, "limit_nanos")?,
        rule: rule.map_err(corrupt)?,
        thresholds: Thresholds::new(thresholds).map_err(corrupt)?,
        enforcement: match enforcement.as_str() {
            "shadow" => Enforcement::Shadow,
            _ => Enforcement::Hard,
        },
        origin: match origin.as_str() {
            "default" => Origin::Default,
            _ => Origin::Set,
        },
        since: time(row, "since")?,
        overflow: parsed(row, "overflow")?,
        updated_at: time(row, "updated_at")?,
    }))
}

pub(super) fn account(row: &Row<'_>) -> Result<Account, StoreError> {
    let budget = BudgetId(column::<Uuid>(row, "budget_id")?);
    Ok(Account {
        id: AccountId { budget, start: time(row, "period_start")? },
        end: time(row, "period_end")?,
        settled: money(row, "settled_nanos")?,
        held: money(row, "held_nanos")?,
        unresolved: money(row, "unresolved_nanos")?,
        tokens_input: count(row, "tokens_input")?,
        tokens_output: count(row, "tokens_output")?,
        fired: percents(&column::<String>(row, "fired")?)?,
        exhausted: column(row, "exhausted")?,
        opened_at: time(row, "opened_at")?,
    })
}

pub(super) fn vendor_batch(row: &Row<'_>) -> Result<VendorBatch, StoreError> {
    let settled: Option<i64> = column(row, "settled_at")?;
    Ok(VendorBatch {
        id: column(row, "batch_id")?,
        tenant: parsed(row, "tenant_id")?,
        upstream: column(row, "upstream")?,
        holds: serde_json::from_str(&column::<String>(row, "holds")?).map_err(corrupt)?,
        created_at: time(row, "created_at")?,
        settled_at: settled.map(micros).transpose()?,
    })
}

/// `used_given` of an amount that was given, and of one that was estimated.
pub(super) const GIVEN: i64 = 1;
pub(super) const ESTIMATED: i64 = 2;

fn used(row: &Row<'_>, cost: Option<Money>) -> Result<Option<Quote>, StoreError> {
    let Some(tier) = maybe_parsed(row, "used_tier")? else { return Ok(None) };
    let usage = TokenUsage {
        input: count(row, "used_input")?,
        output: count(row, "used_output")?,
        cache_read: count(row, "used_cache_read")?,
        cache_write_5m: count(row, "used_cache_write_5m")?,
        cache_write_1h: count(row, "used_cache_write_1h")?,
    };
    let given: i64 = column(row, "used_given")?;
    Ok(Some(Quote { usage, tier, amount: cost, given: given > 0, estimated: given == ESTIMATED }))
}

pub(super) fn reservation(row: &Row<'_>) -> Result<Reservation, StoreError> {
    let hold = money(row, "hold_nanos")?;
    let cost = column::<Option<i64>>(row, "cost_nanos")?;
    let cost = cost.map(|nanos| Money::from_nanos(i128::from(nanos)));
    let estimate: Option<String> = column(row, "estimate")?;
    let quote = |text: String| -> Result<Quote, StoreError> {
        let quote: Quote = serde_json::from_str(&text).map_err(corrupt)?;
        Ok(Quote { amount: Some(hold), ..quote })
    };
    Ok(Reservation {
        key: column(row, "key")?,
        call: Attribution {
            tenant: parsed(row, "tenant_id")?,
            model: parsed(row, "model")?,
            user: maybe_parsed(row, "user_id")?,
            report_type: maybe_parsed(row, "report_type")?,
        },
        state: parsed(row, "state")?,
        estimate: estimate.map(quote).transpose()?,
        hold,
        actual: used(row, cost)?,
        cost,
        accounts: accounts(&column::<String>(row, "accounts")?)?,
        standing: Standing {
            settled: money(row, "standing_settled")?,
            counted: money(row, "standing_counted")?,
            limit: money(row, "standing_limit")?,
            would_refuse: column(row, "would_refuse")?,
        },
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// A reservation and its row.
pub(super) fn numbered(row: &Row<'_>) -> Result<(i64, Reservation), StoreError> {
    Ok((column(row, "row_number")?, reservation(row)?))
}

pub(super) fn hash(row: &Row<'_>, name: &str) -> Result<EntryHash, StoreError> {
    Ok(EntryHash(column::<[u8; 32]>(row, name)?))
}

pub(super) fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let postings: String = column(row, "postings")?;
    Ok(Entry {
        tenant: parsed(row, "tenant_id")?,
        seq: count(row, "seq")?,
        at: time(row, "at")?,
        kind: parsed(row, "kind")?,
        key: column(row, "key")?,
        amount: money(row, "amount_nanos")?,
        postings: Entry::parse_postings(&postings).ok_or_else(|| corrupt(&postings))?,
        hash: hash(row, "hash")?,
    })
}

pub(super) fn head(row: &Row<'_>) -> Result<Head, StoreError> {
    Ok(Head {
        tenant: parsed::<TenantId>(row, "tenant_id")?,
        seq: count(row, "ledger_seq")?,
        hash: hash(row, "ledger_hash")?,
    })
}

pub(super) fn tenant(row: &Row<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: parsed(row, "tenant_id")?,
        name: column(row, "name")?,
        tier: maybe_parsed(row, "tier")?,
        admin_email: column(row, "admin_email")?,
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn key(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    let revoked: Option<i64> = column(row, "revoked_at")?;
    Ok(KeyRecord {
        id: column(row, "key_id")?,
        tenant: parsed(row, "tenant_id")?,
        name: column(row, "name")?,
        hash: column(row, "hash")?,
        prefix: column(row, "prefix")?,
        created_at: time(row, "created_at")?,
        revoked_at: revoked.map(micros).transpose()?,
    })
}
