//! A day that cost far more than was to be expected of it.
//!
//! What is expected of a day is the median of its weekday in the eight weeks before, moved by as much
//! as the last week lay above or below the medians of its own days. How far days usually lie from
//! that is told by the median of their distances. Medians, because a spike of last week must not make
//! this week's look usual. What comes once a month, taxes and fees on its first day say, is usual if
//! the same day of the month before stood out as well, and cost about as much.

use focus::Decimal;
use jiff::{ToSpan, civil::Date};

use crate::{Daily, approximate, rounded};

/// Days before a day that tell what is to be expected of it: eight of each weekday.
pub const DAYS_BACK: usize = 56;
/// With fewer days than this nobody knows what is usual.
const DAYS_LEAST: usize = 14;
/// The days that tell the level of late.
const DAYS_LATE: usize = 7;
/// From so many usual distances above the expected on, a day is no chance any more.
const DISTANCES: f64 = 4.0;
/// A usual distance is at least this share of the expected: what is steady to the cent may move.
const DISTANCE_LEAST: f64 = 0.1;
/// So many times the cost of the same day of the month before is usual, if that day stood out, too.
const MONTHLY: f64 = 1.5;
const STANDS_OUT: f64 = 2.0;
/// The median distance of normally distributed values, as their standard deviation.
const AS_DEVIATION: f64 = 1.482_6;

/// A day's cost, and what was to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// The day.
    pub day: Date,
    /// What it cost, exactly.
    pub cost: Decimal,
    /// What was to be expected, to the cent.
    pub expected: Decimal,
}

/// Whether a day cost far more than was to be expected: at least `least` more, and more than days
/// usually lie apart. `None` as well where fewer than two weeks before it are known.
pub fn anomaly(days: &[(Date, Decimal)], day: Date, least: Decimal) -> Option<Anomaly> {
    let cost = days
        .iter()
        .filter(|(at, _)| *at == day)
        .try_fold(Decimal::ZERO, |sum, (_, cost)| sum.checked_add(*cost))?;
    let known = Daily::new(days.iter().map(|(at, cost)| (*at, approximate(*cost))))?;
    let before = known.until(day.yesterday().ok()?)?;
    // Days without a cost at the end are days, too.
    let gap = day.yesterday().ok()?.duration_since(before.last()).as_hours() / 24;
    let empty = (1..=gap).map(|ahead| (before.last().saturating_add(ahead.days()), 0.0));
    let before: Vec<(Date, f64)> = before.tail(DAYS_BACK).chain(empty).collect();
    if before.len() < DAYS_LEAST {
        return None;
    }
    let season = |day: Date| {
        let same = before.iter().filter(|(at, _)| at.weekday() == day.weekday());
        median(same.map(|(_, cost)| *cost).collect())
    };
    let apart: Vec<f64> = before.iter().map(|(at, cost)| cost - season(*at)).collect();
    let late = median(apart[apart.len() - DAYS_LATE..].to_vec());
    let expected = (season(day) + late).max(0.0);
    let middle = median(apart.clone());
    let distance = median(apart.iter().map(|one| (one - middle).abs()).collect());
    let distance = (distance * AS_DEVIATION).max(expected * DISTANCE_LEAST);
    let beyond = approximate(cost) - expected;
    let same_day = day.saturating_sub(1.month());
    let month_ago: f64 =
        before.iter().filter(|(at, _)| *at == same_day).map(|(_, cost)| cost).sum();
    let usual = median(before.iter().map(|(_, cost)| *cost).collect());
    let is_monthly = month_ago > usual * STANDS_OUT && approximate(cost) <= month_ago * MONTHLY;
    let is_one = beyond >= approximate(least) && beyond > distance * DISTANCES && !is_monthly;
    let expected = rounded(expected)?;
    is_one.then_some(Anomaly { day, cost, expected })
}

/// Of some days in a row those that are anomalies; of several next to each other the first alone, for
/// the others are no news.
pub fn anomalies(
    days: &[(Date, Decimal)],
    (first, last): (Date, Date),
    least: Decimal,
) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let before = first.yesterday().ok().and_then(|day| anomaly(days, day, least));
    let mut goes_on = before.is_some();
    for day in first.series(1.day()).take_while(|day| *day <= last) {
        let one = anomaly(days, day, least);
        found.extend(one.filter(|_| !goes_on));
        goes_on = one.is_some();
    }
    found
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half), half.checked_sub(1).and_then(|before| values.get(before))) {
        (Some(above), Some(below)) if values.len().is_multiple_of(2) => (above + below) / 2.0,
        (Some(middle), _) => *middle,
        (None, _) => 0.0,
    }
}
