//! What a currency is worth in another, as somebody has written it down.
//!
//! Owns the table of rates and which one counts. Knows nothing of files. Invariant: no rate is
//! inferred; it is neither turned round nor made over a third currency.

use std::collections::BTreeMap;

use jiff::civil::Date;
use thiserror::Error;

use super::Month;
use crate::Decimal;

#[cfg(test)]
mod tests;

/// What one of a currency costs in another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// The currency of the charges, as `USD`.
    pub from: String,
    /// The currency of the answer.
    pub to: String,
    /// The billing period whose charges it converts.
    pub month: Month,
    /// The day that it was fixed on, where it is the rate of a day.
    pub day: Option<Date>,
    /// How many of `to` are one of `from`: above zero, at most 18 digits after the point.
    pub rate: Decimal,
    /// Who says so.
    pub source: String,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, month, day, rate, source } = self;
        write!(f, "1 {from} = {rate} {to} in {month}")?;
        if let Some(day) = day {
            write!(f, " (of {day})")?;
        }
        write!(f, ", {source}")
    }
}

/// Why there is no rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RateError {
    /// Nothing and less than nothing are no rates.
    #[error("a rate of {0} is none; it must be above zero")]
    Worthless(Decimal),
    /// Two of one month or day.
    #[error("there are two rates from {from} to {to} of {at}")]
    Twice {
        /// From which currency.
        from: String,
        /// To which.
        to: String,
        /// Of which month or day.
        at: String,
    },
    /// There is no table of rates.
    #[error("costs in {0} need a table of rates: set cost.rates (BURSAR_COST_RATES)")]
    NoTable(String),
    /// None was written down.
    #[error("no rate from {from} to {to} in {month}; add it to the table of rates")]
    Missing {
        /// From which currency.
        from: String,
        /// To which.
        to: String,
        /// For which billing period.
        month: Month,
    },
}

/// A table of rates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates(BTreeMap<(String, String, Month), Rate>);

impl Rates {
    /// Adds a rate. Of several days of a month, the last one's counts for it.
    pub fn add(&mut self, rate: Rate) -> Result<(), RateError> {
        if rate.rate <= Decimal::ZERO {
            return Err(RateError::Worthless(rate.rate));
        }
        let key = (rate.from.clone(), rate.to.clone(), rate.month);
        if let Some(known) = self.0.get(&key) {
            if known.day == rate.day || known.day.is_none() || rate.day.is_none() {
                let at = rate.day.map_or_else(|| rate.month.to_string(), |day| day.to_string());
                return Err(RateError::Twice { from: rate.from, to: rate.to, at });
            }
            if known.day > rate.day {
                return Ok(());
            }
        }
        self.0.insert(key, rate);
        Ok(())
    }

    /// The rate for charges of a billing period.
    pub fn of(&self, from: &str, to: &str, month: Month) -> Result<&Rate, RateError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let key = (from, to, month);
        self.0.get(&key).ok_or_else(|| {
            let (from, to, month) = key.clone();
            RateError::Missing { from, to, month }
        })
    }
}
