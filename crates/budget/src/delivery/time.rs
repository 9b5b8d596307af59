//! Hours in which nobody is told, and days on which something is.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

/// Hours of each day in which only what is critical goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// From then on.
    pub from: Time,
    /// Until then; on the next day where it is not after `from`.
    pub to: Time,
    /// Whose hours.
    pub zone: TimeZone,
}

impl Quiet {
    /// When the quiet hours end that an instant lies in; `None` where it lies in none.
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let local = at.to_zoned(self.zone.clone());
        let (date, time) = (local.date(), local.time());
        let over_midnight = self.to <= self.from;
        let is_quiet = match over_midnight {
            true => time >= self.from || time < self.to,
            false => (self.from..self.to).contains(&time),
        };
        let ends_tomorrow = over_midnight && time >= self.from;
        let date = if ends_tomorrow { date.tomorrow().ok()? } else { date };
        is_quiet.then(|| instant(date, self.to, &self.zone))?
    }
}

/// A time of each week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weekly {
    /// On this day.
    pub day: Weekday,
    /// At this time.
    pub time: Time,
    /// Of this zone.
    pub zone: TimeZone,
}

impl Weekly {
    /// The last such time up to an instant.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let back = today.weekday().since(self.day);
        (0..2).find_map(|weeks| {
            let date = today.checked_sub((i32::from(back) + 7 * weeks).days()).ok()?;
            instant(date, self.time, &self.zone).filter(|at| *at <= now)
        })
    }
}

/// A time of each month's first day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monthly {
    /// At this time.
    pub time: Time,
    /// Of this zone.
    pub zone: TimeZone,
}

impl Monthly {
    /// The last such time up to an instant.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let first = now.to_zoned(self.zone.clone()).date().first_of_month();
        (0..2).find_map(|months| {
            let date = first.checked_sub(months.months()).ok()?;
            instant(date, self.time, &self.zone).filter(|at| *at <= now)
        })
    }
}

/// A time of day; where clocks leap over it, as much later.
fn instant(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    Some(date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp())
}
