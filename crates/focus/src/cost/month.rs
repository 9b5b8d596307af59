//! Billing periods: calendar months.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A calendar month, written `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i16,
    month: i8,
}

/// Not a month.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no month; write 2026-10")]
pub struct NotMonth(String);

impl Default for Month {
    /// The first one that instants are counted from.
    fn default() -> Self {
        Self { year: 1970, month: 1 }
    }
}

impl Month {
    /// The first month of the calendar.
    pub const FIRST: Self = Self { year: 1, month: 1 };

    /// The month of a year; `None` beyond the calendar.
    pub fn new(year: i16, month: i8) -> Option<Self> {
        ((1..=12).contains(&month) && (1..=9999).contains(&year)).then_some(Self { year, month })
    }

    /// The month that holds an instant, in microseconds of UTC.
    pub fn of_micros(micros: i64) -> Option<Self> {
        let days = i32::try_from(micros.div_euclid(86_400_000_000)).ok()?;
        let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).ok()?;
        Self::of_day(date)
    }

    /// The month that holds a day.
    pub fn of_day(day: jiff::civil::Date) -> Option<Self> {
        Self::new(day.year(), day.month())
    }

    /// The month that holds an instant, in UTC.
    pub fn of(at: jiff::Timestamp) -> Option<Self> {
        Self::of_micros(at.as_microsecond())
    }

    /// Its first day.
    pub fn first_day(self) -> jiff::civil::Date {
        jiff::civil::date(self.year, self.month, 1)
    }

    /// The month before.
    pub fn previous(self) -> Self {
        match self.month {
            1 => Self { year: self.year.saturating_sub(1), month: 12 },
            month => Self { year: self.year, month: month - 1 },
        }
    }

    /// The month after.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year.saturating_add(1), month: 1 },
            month => Self { year: self.year, month: month + 1 },
        }
    }

    /// Its first instant, as SQL and RFC 3339 write it.
    pub fn start(self) -> String {
        format!("{self}-01T00:00:00Z")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = NotMonth;

    fn from_str(text: &str) -> Result<Self, NotMonth> {
        let parts = text.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2);
        let digits = text.bytes().filter(u8::is_ascii_digit).count() == 6;
        parts
            .filter(|_| digits)
            .and_then(|(y, m)| Self::new(y.parse().ok()?, m.parse().ok()?))
            .ok_or_else(|| NotMonth(text.to_owned()))
    }
}

impl TryFrom<String> for Month {
    type Error = NotMonth;

    fn try_from(text: String) -> Result<Self, NotMonth> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}
