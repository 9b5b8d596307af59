//! Calendar periods: which stretch of time an instant belongs to.
//!
//! A period is computed from the rule and the clock alone. Nothing turns it; it has turned when the
//! instant is in the next one.

use std::{fmt, str::FromStr};

use jiff::{
    Span, Timestamp, ToSpan, Unit,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// Why a rule makes no periods.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// The unit's name is unknown.
    #[error("period {0:?} is none of day, week, month, quarter, year, custom")]
    Unit(String),
    /// The time zone database has no such zone.
    #[error("time zone {0:?} is unknown; use an IANA name such as Europe/Oslo")]
    Zone(String),
    /// A custom period needs to know how long it is.
    #[error("a custom period needs an anchor date and a length of 1 to 3660 days")]
    Custom,
    /// The instant is outside what the calendar can say.
    #[error("no period holds {0}")]
    Range(Timestamp),
}

/// How long a budget counts before it starts afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodUnit {
    /// Midnight to midnight.
    Day,
    /// Monday to Monday, or from the anchor's weekday.
    Week,
    /// The 1st to the 1st, or from the anchor's day of the month.
    Month,
    /// Three months from January, or from the anchor's month.
    Quarter,
    /// January to January, or from the anchor's date.
    Year,
    /// A fixed number of days from the anchor.
    Custom,
}

impl PeriodUnit {
    /// The unit as the wire and the tables write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for PeriodUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PeriodUnit {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        Ok(match text {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            "custom" => Self::Custom,
            _ => return Err(PeriodError::Unit(text.to_owned())),
        })
    }
}

/// A stretch of time, `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Period {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it: when the budget starts afresh.
    pub end: Timestamp,
}

impl Period {
    /// Whether the instant is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

/// Which periods a budget counts over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeriodRule {
    unit: PeriodUnit,
    /// Where periods start; the unit's own beginning when `None`.
    anchor: Option<Date>,
    /// The length of a custom period.
    days: Option<u16>,
    /// An IANA zone name; midnight is midnight there.
    zone: String,
}

impl Default for PeriodRule {
    fn default() -> Self {
        Self { unit: PeriodUnit::Month, anchor: None, days: None, zone: "UTC".to_owned() }
    }
}

impl PeriodRule {
    /// A rule whose periods exist: the zone is known, a custom length is given and in bounds.
    pub fn new(
        unit: PeriodUnit,
        anchor: Option<Date>,
        days: Option<u16>,
        zone: &str,
    ) -> Result<Self, PeriodError> {
        find_zone(zone)?;
        match (unit, anchor, days) {
            (PeriodUnit::Custom, Some(_), Some(1..=3660)) => {}
            (PeriodUnit::Custom, _, _) | (_, _, Some(_)) => return Err(PeriodError::Custom),
            _ => {}
        }
        Ok(Self { unit, anchor, days, zone: zone.to_owned() })
    }

    /// Calendar periods of a unit in UTC.
    pub fn calendar(unit: PeriodUnit) -> Result<Self, PeriodError> {
        Self::new(unit, None, None, "UTC")
    }

    /// The unit.
    pub fn unit(&self) -> PeriodUnit {
        self.unit
    }

    /// The anchor date, if one was given.
    pub fn anchor(&self) -> Option<Date> {
        self.anchor
    }

    /// The length of a custom period in days.
    pub fn days(&self) -> Option<u16> {
        self.days
    }

    /// The IANA name of the zone.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The period that holds the instant.
    pub fn period(&self, at: Timestamp) -> Result<Period, PeriodError> {
        let zone = find_zone(&self.zone)?;
        let date = at.to_zoned(zone.clone()).date();
        let (start, length) = self.start_and_length(date).ok_or(PeriodError::Range(at))?;
        let end = start.checked_add(length).map_err(|_| PeriodError::Range(at))?;
        let midnight = |date: Date| {
            // Where midnight does not exist (a clock set forward at 0:00), the day starts at the
            // first instant that does: jiff's "compatible" reading.
            date.to_zoned(zone.clone()).map(|z| z.timestamp()).map_err(|_| PeriodError::Range(at))
        };
        Ok(Period { start: midnight(start)?, end: midnight(end)? })
    }

    fn start_and_length(&self, date: Date) -> Option<(Date, Span)> {
        match self.unit {
            PeriodUnit::Day => Some((date, 1.day())),
            PeriodUnit::Week => {
                let first = self.anchor.map_or(Weekday::Monday, Date::weekday);
                let back = date.weekday().since(first);
                Some((date.checked_sub(i64::from(back).days()).ok()?, 7.days()))
            }
            PeriodUnit::Month => self.months(date, 1),
            PeriodUnit::Quarter => self.months(date, 3),
            PeriodUnit::Year => self.months(date, 12),
            PeriodUnit::Custom => {
                let (anchor, days) = (self.anchor?, i64::from(self.days?));
                let gone = i64::from(date.since((Unit::Day, anchor)).ok()?.get_days());
                let start = anchor.checked_add((gone.div_euclid(days) * days).days()).ok()?;
                Some((start, days.days()))
            }
        }
    }

    /// Periods of whole months from the anchor's day. Days past the 28th are held to the 28th, so
    /// that every month has one and no period is empty or counted twice.
    fn months(&self, date: Date, step: i64) -> Option<(Date, Span)> {
        let anchor = self.anchor.unwrap_or(Date::constant(2000, 1, 1));
        let day = anchor.day().min(28);
        let months = |d: Date| i64::from(d.year()) * 12 + i64::from(d.month()) - 1;
        let mut index = months(date) - months(anchor);
        if date.day() < day {
            index -= 1;
        }
        let start = index.div_euclid(step) * step + months(anchor);
        let year = i16::try_from(start.div_euclid(12)).ok()?;
        let month = i8::try_from(start.rem_euclid(12) + 1).ok()?;
        Some((Date::new(year, month, day).ok()?, step.months()))
    }
}

fn find_zone(name: &str) -> Result<TimeZone, PeriodError> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let found = TimeZone::get(name).ok();
    // There is a name for not knowing, "Etc/Unknown": no zone, and no database's.
    let known = found.filter(|zone| !zone.is_unknown());
    known.ok_or_else(|| PeriodError::Zone(name.to_owned()))
}
