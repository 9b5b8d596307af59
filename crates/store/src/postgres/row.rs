//! Rows of the tables, read as domain types or not at all.

use std::{fmt::Display, str::FromStr, sync::Arc};

use ::budget::{
    Account, AccountId, Budget, BudgetId, CloudEvent, Crossing, Enforcement, Entry, EntryHash,
    Event, EventKind, Head, KeyRecord, Notice, Origin, Quote, Reservation, Standing, StoreError,
    Tenant, Thresholds, VendorBatch, Watched,
};
use focus::{Attribution, ModelName, PeriodRule, Scope, cost::Month};
use jiff::Timestamp;
use money::{Money, TokenUsage};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::watched::{Columns, amount};

/// A value that stands in a column but is none of the domain's.
pub(super) fn corrupt(what: impl Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, StoreError> {
    row.try_get(name).map_err(corrupt)
}

fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| corrupt(format!("{name}: {error}")))
}

pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, name: &str) -> Result<T, StoreError> {
    parse(name, column(row, name)?)
}

pub(super) fn maybe_parsed<T: FromStr<Err: Display>>(
    row: &Row,
    name: &str,
) -> Result<Option<T>, StoreError> {
    column::<Option<&str>>(row, name)?.map(|text| parse(name, text)).transpose()
}

pub(super) fn money(row: &Row, name: &str) -> Result<Money, StoreError> {
    Ok(Money::from_nanos(i128::from(column::<i64>(row, name)?)))
}

pub(super) fn time(row: &Row, name: &str) -> Result<Timestamp, StoreError> {
    column(row, name)
}

pub(super) fn count(row: &Row, name: &str) -> Result<u64, StoreError> {
    u64::try_from(column::<i64>(row, name)?).map_err(corrupt)
}

/// Nano-dollars as parameters carry them; SQL turns them into exact dollars.
pub(super) fn nanos(money: Money) -> Result<i64, StoreError> {
    money.to_i64_nanos().ok_or_else(|| corrupt(format!("{money} is out of range")))
}

/// A count as Postgres keeps it.
pub(super) fn whole(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(corrupt)
}

pub(super) fn percents(row: &Row, name: &str) -> Result<Vec<u16>, StoreError> {
    let percents: Vec<i32> = column(row, name)?;
    percents.into_iter().map(|percent| u16::try_from(percent).map_err(corrupt)).collect()
}

pub(super) fn scope(row: &Row) -> Result<Scope, StoreError> {
    let model: &str = column(row, "model")?;
    let model = (model != "*").then(|| ModelName::parse(model)).transpose().map_err(corrupt)?;
    Ok(Scope {
        tenant: parsed(row, "tenant_id")?,
        model,
        user: maybe_parsed(row, "user_id")?,
        report_type: maybe_parsed(row, "report_type")?,
    })
}

pub(super) fn budget(row: &Row) -> Result<Arc<Budget>, StoreError> {
    let days: Option<i32> = column(row, "days")?;
    let days = days.map(u16::try_from).transpose().map_err(corrupt)?;
    let rule =
        PeriodRule::new(parsed(row, "period")?, column(row, "anchor")?, days, column(row, "zone")?);
    Ok(Arc::new(Budget {
        id: BudgetId(column(row, "budget_id")?),
        scope: scope(row)?,
        limit: money(row, "limit_nanos")?,
        rule: rule.map_err(corrupt)?,
        thresholds: Thresholds::new(percents(row, "thresholds")?).map_err(corrupt)?,
        enforcement: match column(row, "enforcement")? {
            "shadow" => Enforcement::Shadow,
            _ => Enforcement::Hard,
        },
        origin: match column(row, "origin")? {
            "default" => Origin::Default,
            _ => Origin::Set,
        },
        since: time(row, "since")?,
        overflow: parsed(row, "overflow")?,
        updated_at: time(row, "updated_at")?,
    }))
}

pub(super) fn vendor_batch(row: &Row) -> Result<VendorBatch, StoreError> {
    let holds: &str = column(row, "holds")?;
    Ok(VendorBatch {
        id: column(row, "batch_id")?,
        tenant: parsed(row, "tenant_id")?,
        upstream: column(row, "upstream")?,
        holds: serde_json::from_str(holds).map_err(corrupt)?,
        created_at: time(row, "created_at")?,
        settled_at: column(row, "settled_at")?,
    })
}

fn account_id(row: &Row) -> Result<AccountId, StoreError> {
    let budget = BudgetId(column(row, "budget_id")?);
    Ok(AccountId { budget, start: time(row, "period_start")? })
}

pub(super) fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: account_id(row)?,
        end: time(row, "period_end")?,
        settled: money(row, "settled_nanos")?,
        held: money(row, "held_nanos")?,
        unresolved: money(row, "unresolved_nanos")?,
        tokens_input: count(row, "tokens_input")?,
        tokens_output: count(row, "tokens_output")?,
        fired: percents(row, "fired")?,
        exhausted: column(row, "exhausted")?,
        opened_at: time(row, "opened_at")?,
    })
}

fn quote(row: &Row, first: usize, amount: Option<Money>) -> Result<Option<Quote>, StoreError> {
    let tier: Option<&str> = row.try_get(first + 5).map_err(corrupt)?;
    let Some(tier) = tier else { return Ok(None) };
    let tokens = |index: usize| {
        let tokens: i64 = row.try_get(first + index).map_err(corrupt)?;
        u64::try_from(tokens).map_err(corrupt)
    };
    let usage = TokenUsage {
        input: tokens(0)?,
        output: tokens(1)?,
        cache_read: tokens(2)?,
        cache_write_5m: tokens(3)?,
        cache_write_1h: tokens(4)?,
    };
    let given = row.try_get(first + 6).map_err(corrupt)?;
    Ok(Some(Quote { usage, tier: parse("tier", tier)?, amount, given, estimated: false }))
}

/// Where `reservation.sql` selects the columns of the two quotes.
const ESTIMATE: usize = 6;
const ACTUAL: usize = 13;

pub(super) fn reservation(row: &Row) -> Result<Reservation, StoreError> {
    let hold = money(row, "hold_nanos")?;
    let estimated = column(row, "actual_estimated")?;
    let cost: Option<i64> = column(row, "cost_nanos")?;
    let cost = cost.map(|nanos| Money::from_nanos(i128::from(nanos)));
    let budgets: Vec<Uuid> = column(row, "account_budgets")?;
    let starts: Vec<Timestamp> = column(row, "account_starts")?;
    let account = |(budget, start)| AccountId { budget: BudgetId(budget), start };
    Ok(Reservation {
        key: column(row, "key")?,
        call: Attribution {
            tenant: parsed(row, "tenant_id")?,
            model: parsed(row, "model")?,
            user: maybe_parsed(row, "user_id")?,
            report_type: maybe_parsed(row, "report_type")?,
        },
        state: parsed(row, "state")?,
        estimate: quote(row, ESTIMATE, Some(hold))?,
        hold,
        actual: quote(row, ACTUAL, cost)?.map(|quote| Quote { estimated, ..quote }),
        cost,
        accounts: budgets.into_iter().zip(starts).map(account).collect(),
        standing: Standing {
            settled: money(row, "standing_settled")?,
            counted: money(row, "standing_counted")?,
            limit: money(row, "standing_limit")?,
            would_refuse: column(row, "standing_would_refuse")?,
        },
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) fn hash(row: &Row, name: &str) -> Result<EntryHash, StoreError> {
    let bytes: &[u8] = column(row, name)?;
    Ok(EntryHash(bytes.try_into().map_err(corrupt)?))
}

pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    let postings: &str = column(row, "postings")?;
    Ok(Entry {
        tenant: parsed(row, "tenant_id")?,
        seq: count(row, "seq")?,
        at: time(row, "at")?,
        kind: parsed(row, "kind")?,
        key: column(row, "key")?,
        amount: money(row, "amount_nanos")?,
        postings: Entry::parse_postings(postings).ok_or_else(|| corrupt(postings))?,
        hash: hash(row, "hash")?,
    })
}

pub(super) fn head(row: &Row) -> Result<Head, StoreError> {
    Ok(Head {
        tenant: parsed(row, "tenant_id")?,
        seq: count(row, "ledger_seq")?,
        hash: hash(row, "ledger_hash")?,
    })
}

pub(super) fn tenant(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: parsed(row, "tenant_id")?,
        name: column(row, "name")?,
        tier: maybe_parsed(row, "tier")?,
        admin_email: column(row, "admin_email")?,
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn key(row: &Row) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id: column(row, "key_id")?,
        tenant: parsed(row, "tenant_id")?,
        name: column(row, "name")?,
        hash: hash(row, "hash")?.0,
        prefix: column(row, "prefix")?,
        created_at: time(row, "created_at")?,
        revoked_at: column(row, "revoked_at")?,
    })
}

/// The columns that an event's kind is kept in.
pub(super) fn event_columns(kind: EventKind) -> (&'static str, Option<i32>, Option<Uuid>) {
    match kind {
        EventKind::Threshold { percent } => ("threshold", Some(i32::from(percent)), None),
        EventKind::Exhausted => ("exhausted", None, None),
        EventKind::Overrun { key } => ("overrun", None, Some(key)),
        EventKind::Unresolved { key } => ("unresolved", None, Some(key)),
    }
}

pub(super) fn notice(row: &Row) -> Result<(u64, Notice), StoreError> {
    let name: Option<&str> = column(row, "cloud_budget")?;
    let notice = match name {
        Some(name) => Notice::Cloud(cloud_event(row, name)?),
        None => Notice::Ai(event(row)?),
    };
    Ok((count(row, "event_id")?, notice))
}

fn cloud_event(row: &Row, name: &str) -> Result<CloudEvent, StoreError> {
    let percent: Option<i32> = column(row, "percent")?;
    let start = time(row, "period_start")?;
    Ok(CloudEvent {
        kind: match percent {
            Some(percent) => {
                Crossing::Threshold { percent: u16::try_from(percent).map_err(corrupt)? }
            }
            None => Crossing::Exhausted,
        },
        id: BudgetId(column(row, "budget_id")?),
        budget: name.to_owned(),
        watched: watched(row)?,
        first: Month::of(start).ok_or_else(|| corrupt(format!("{start} is in no month")))?,
        spent: amount(column(row, "spent_text")?)?,
        limit: amount(column(row, "limit_text")?)?,
        at: time(row, "at")?,
    })
}

/// What a cloud budget watches.
pub(super) fn watched(row: &Row) -> Result<Watched, StoreError> {
    let columns = Columns {
        filter: column(row, "filter")?,
        basis: column(row, "basis")?,
        currency: column(row, "currency")?,
        period: column(row, "period")?,
    };
    columns.read()
}

fn event(row: &Row) -> Result<Event, StoreError> {
    let percent: Option<i32> = column(row, "percent")?;
    let key: Option<Uuid> = column(row, "key")?;
    let kind = match (column(row, "kind")?, percent, key) {
        ("threshold", Some(percent), _) => {
            EventKind::Threshold { percent: u16::try_from(percent).map_err(corrupt)? }
        }
        ("exhausted", ..) => EventKind::Exhausted,
        ("overrun", _, Some(key)) => EventKind::Overrun { key },
        ("unresolved", _, Some(key)) => EventKind::Unresolved { key },
        (kind, ..) => return Err(corrupt(format!("{kind:?} is no kind of event"))),
    };
    Ok(Event {
        kind,
        account: account_id(row)?,
        scope: scope(row)?,
        settled: money(row, "settled_nanos")?,
        limit: money(row, "limit_nanos")?,
        at: time(row, "at")?,
    })
}
