//! A moment in a query: RFC 3339, or a date for its midnight in UTC.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A moment in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let midnight = || text.parse::<Date>().and_then(|date| date.to_zoned(TimeZone::UTC)).ok();
        let at = text.parse().ok().or_else(|| midnight().map(|zoned| zoned.timestamp()));
        // Not every database can say what was before.
        at.filter(|at| *at >= Timestamp::UNIX_EPOCH).map(Self).ok_or_else(|| {
            D::Error::custom("must be a date like 2026-11-24 or a time like 2026-11-24T10:00:00Z")
        })
    }
}
