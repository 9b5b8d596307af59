//! A budget for cloud cost: which charges it watches, over which billing months, and when to tell.
//!
//! Owns what a [`CloudBudget`] is and which [`CloudEvent`]s a sum of costs means. Bills come after
//! the fact, so it holds and refuses nothing. Knows nothing of how costs are summed or kept.
//! Invariant: of one budget, period and threshold there is one event, however often bills are
//! restated; its name sees to that.

use std::{collections::BTreeMap, fmt, str::FromStr};

use focus::{
    Decimal,
    cost::{Asked, Basis, Dimension, Month, Months, Table, Value},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::{BudgetId, Thresholds};

#[cfg(test)]
mod tests;

/// Why values make no budget for cloud cost.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloudBudgetError {
    /// A name that can't stand in a path or on a line.
    #[error(
        "a name is 1 to 100 characters without / or \\, control characters or spaces around it, \
         and not . or .. alone; this is {0:?}"
    )]
    Name(String),
    /// A filter that no charge, or no budget, can mean.
    #[error("{0}")]
    Filter(String),
    /// Not a currency.
    #[error("a currency is its code of three capital letters, as USD; this is {0:?}")]
    Currency(String),
    /// A limit below zero or beyond what anybody pays.
    #[error("a limit is between 0 and 1000000000000, this is {0}")]
    Limit(Decimal),
    /// Another period.
    #[error("period {0:?} is none of month, quarter, year")]
    Period(String),
}

/// How long a budget counts before it starts afresh: whole billing months of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum CloudPeriod {
    /// One month.
    #[default]
    Month,
    /// Three months from January, April, July or October.
    Quarter,
    /// January to December.
    Year,
}

impl CloudPeriod {
    /// The period as the wire and the tables write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The first and the last billing month of the period that holds a month.
    pub fn around(self, month: Month) -> Months {
        let months = match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        };
        let back = (month.first_day().month() - 1) % months;
        let first = (0..back).fold(month, |month, _| month.previous());
        (first, (1..months).fold(first, |month, _| month.next()))
    }
}

impl fmt::Display for CloudPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CloudPeriod {
    type Err = CloudBudgetError;

    fn from_str(text: &str) -> Result<Self, CloudBudgetError> {
        [Self::Month, Self::Quarter, Self::Year]
            .into_iter()
            .find(|period| period.as_str() == text)
            .ok_or_else(|| CloudBudgetError::Period(text.to_owned()))
    }
}

/// The charges that a budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Only charges with all of these values; an empty one is that there is none. All charges where
    /// nothing stands here.
    pub filter: BTreeMap<Dimension, String>,
    /// Which of their costs.
    pub basis: Basis,
    /// Those in this currency.
    pub currency: String,
    /// From when to when they are added up.
    pub period: CloudPeriod,
}

impl Watched {
    /// Dimensions of a filter, at most.
    pub const FILTERS_MOST: usize = 16;
    /// Bytes of a filter's value, at most.
    pub const VALUE_MOST: usize = 1024;

    /// What can be watched: each dimension once, none that tells time, a currency's code.
    pub fn new(
        filter: Vec<(Dimension, String)>,
        basis: Basis,
        currency: &str,
        period: CloudPeriod,
    ) -> Result<Self, CloudBudgetError> {
        let wrong = |message: String| Err(CloudBudgetError::Filter(message));
        if filter.len() > Self::FILTERS_MOST {
            return wrong(format!("a filter has at most {} dimensions", Self::FILTERS_MOST));
        }
        let mut kept = BTreeMap::new();
        for (dimension, value) in filter {
            if matches!(dimension, Dimension::Day | Dimension::Month) {
                return wrong(format!("{dimension} tells time; use the budget's period"));
            }
            if value.len() > Self::VALUE_MOST || value.contains(char::is_control) {
                let most = Self::VALUE_MOST;
                return wrong(format!(
                    "a value of {dimension} has control characters, or more than {most} bytes"
                ));
            }
            if let Some(other) = kept.insert(dimension.clone(), value) {
                return wrong(format!(
                    "{dimension} is named twice, also as {other:?}: no charge has two values of it"
                ));
            }
        }
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(CloudBudgetError::Currency(currency.to_owned()));
        }
        Ok(Self { filter: kept, basis, currency: currency.to_owned(), period })
    }

    /// The question of what was spent in some months; the answer is the total in the currency.
    pub fn asked(&self, months: Months) -> Asked {
        let only = self.filter.iter().map(|(dimension, value)| (dimension.clone(), value.clone()));
        let (basis, only) = (self.basis, only.collect());
        Asked { months: Some(months), basis, only, ..Asked::default() }
    }

    /// The question of what each day of some months has cost.
    pub fn asked_by_day(&self, months: Months) -> Asked {
        Asked { by: vec![Dimension::Day], ..self.asked(months) }
    }

    /// The days of its answer, in the currency.
    pub fn days(&self, answer: &Table) -> Vec<(Date, Decimal)> {
        let day = |row: &Vec<Value>| match row.as_slice() {
            [Value::Date(day), currency, cost] if currency.to_string() == self.currency => {
                Some((*day, cost.as_decimal().unwrap_or_default()))
            }
            _ => None,
        };
        answer.rows.iter().filter_map(day).collect()
    }
}

/// As people read it: `ServiceName = AWS Lambda, tag:env = prod`, or `all charges`.
impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.filter.is_empty() {
            return f.write_str("all charges");
        }
        for (at, (dimension, value)) in self.filter.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{dimension} = {value}")?;
        }
        Ok(())
    }
}

/// A limit on what some charges may cost in a period. It watches and tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudBudget {
    /// Derived from its name and what it watches, so that another filter under the same name is
    /// told of anew, and the same one again is not.
    pub id: BudgetId,
    /// What people call it; there is one of each.
    pub name: String,
    /// What counts.
    pub watched: Watched,
    /// What may be spent in one period.
    pub limit: Decimal,
    /// When to tell.
    pub thresholds: Thresholds,
    /// Since when it watches what it does: of periods that had ended by then nothing is told.
    pub since: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl CloudBudget {
    /// The highest limit, in any currency.
    pub const LIMIT_MOST: Decimal = Decimal::new(1_000_000_000_000, 0);
    /// Characters of a name, at most.
    pub const NAME_MOST: usize = 100;

    /// A budget with the default thresholds.
    pub fn new(
        name: &str,
        watched: Watched,
        limit: Decimal,
        now: Timestamp,
    ) -> Result<Self, CloudBudgetError> {
        let is_name = (1..=Self::NAME_MOST).contains(&name.chars().count())
            && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
            && name.trim() == name
            && !matches!(name, "." | "..");
        if !is_name {
            return Err(CloudBudgetError::Name(name.to_owned()));
        }
        if limit.is_negative() || limit > Self::LIMIT_MOST || limit.to_amount().is_none() {
            return Err(CloudBudgetError::Limit(limit));
        }
        Ok(Self {
            id: id_of(name, &watched),
            name: name.to_owned(),
            watched,
            limit,
            thresholds: Thresholds::default(),
            since: now,
            updated_at: now,
        })
    }

    /// This budget in the place of the one of its name: what is watched unchanged is watched since
    /// then.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        match before {
            Some(before) if before.id == self.id => Self { since: before.since, ..self },
            _ => self,
        }
    }

    /// The billing months of the period that holds an instant. `None` beyond the calendar.
    pub fn period(&self, at: Timestamp) -> Option<Months> {
        Some(self.watched.period.around(Month::of(at)?))
    }

    /// The periods to look at: the running one, and the one before where the budget was there in
    /// it, for its last bills come when it has ended.
    pub fn periods(&self, now: Timestamp) -> Vec<Months> {
        let Some(running) = self.period(now) else { return Vec::new() };
        let before = self.watched.period.around(running.0.previous());
        let was_there = start(running).is_some_and(|start| self.since < start);
        was_there.then_some(before).into_iter().chain([running]).collect()
    }

    /// Which part of the limit is spent, in hundredths of a percent, rounded down: 100 % is not
    /// shown before the limit is reached. `None` of a limit of nothing.
    pub fn percent(&self, spent: Decimal) -> Option<i128> {
        let (spent, limit) = (amount(spent)?, amount(self.limit)?);
        (limit > 0).then(|| spent.checked_mul(10_000).map(|spent| spent.div_euclid(limit)))?
    }

    /// What has to be told once this much was spent in a period: each threshold that is reached,
    /// and that more than the limit is spent. A store keeps the first of each name.
    pub fn crossed(&self, months: Months, spent: Decimal, now: Timestamp) -> Vec<CloudEvent> {
        if spent <= Decimal::ZERO {
            return Vec::new();
        }
        let reached = |percent: &&u16| self.has_reached(spent, **percent);
        let percents = self.thresholds.percents().iter().filter(reached);
        let mut kinds: Vec<Crossing> =
            percents.map(|percent| Crossing::Threshold { percent: *percent }).collect();
        if spent > self.limit {
            kinds.push(Crossing::Exhausted);
        }
        let event = |kind| CloudEvent {
            kind,
            id: self.id,
            budget: self.name.clone(),
            watched: self.watched.clone(),
            first: months.0,
            spent,
            limit: self.limit,
            at: now,
        };
        kinds.into_iter().map(event).collect()
    }

    fn has_reached(&self, spent: Decimal, percent: u16) -> bool {
        let wanted = amount(self.limit).and_then(|limit| limit.checked_mul(i128::from(percent)));
        let spent = amount(spent).and_then(|spent| spent.checked_mul(100));
        match (spent, wanted) {
            (Some(spent), Some(wanted)) => spent >= wanted,
            // Of the two only what is spent can be beyond all numbers: limits are bounded.
            (None, _) => true,
            (_, None) => false,
        }
    }
}

/// 18 digits after the point; more are no bill's.
fn amount(number: Decimal) -> Option<i128> {
    number.rounded(18).to_amount()
}

/// The first instant of a period.
fn start(months: Months) -> Option<Timestamp> {
    let day = months.0.first_day().to_zoned(TimeZone::UTC).ok()?;
    Some(day.timestamp())
}

/// The first 16 bytes of SHA-256 over name, basis, currency, period and each dimension and value of
/// the filter, each ended by a line feed, which none of them holds.
fn id_of(name: &str, watched: &Watched) -> BudgetId {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    };
    for part in ["cloud", name, &watched.basis.to_string(), &watched.currency] {
        add(part);
    }
    add(watched.period.as_str());
    for (dimension, value) in &watched.filter {
        add(&dimension.to_string());
        add(value);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    BudgetId(Uuid::from_bytes(bytes))
}

/// What of a budget was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Crossing {
    /// This percentage of the limit is spent.
    Threshold {
        /// The percentage.
        percent: u16,
    },
    /// More than the limit is spent.
    Exhausted,
}

/// A thing to tell of a budget for cloud cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// What.
    pub kind: Crossing,
    /// The budget's id.
    pub id: BudgetId,
    /// The budget's name.
    pub budget: String,
    /// What it watches.
    pub watched: Watched,
    /// The first billing month of the period.
    pub first: Month,
    /// Spent in the period then.
    pub spent: Decimal,
    /// The limit then.
    pub limit: Decimal,
    /// When it was found out.
    pub at: Timestamp,
}

impl CloudEvent {
    /// Names the event. Of events with one name a store keeps the first alone.
    pub fn name(&self) -> String {
        let (id, start) = (self.id, self.first.start());
        match self.kind {
            Crossing::Threshold { percent } => format!("{id}/{start}/threshold/{percent}"),
            Crossing::Exhausted => format!("{id}/{start}/exhausted"),
        }
    }

    /// The first and the last billing month of the period.
    pub fn months(&self) -> Months {
        self.watched.period.around(self.first)
    }
}
