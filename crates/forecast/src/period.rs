//! A period's end: what it has cost so far, and its other days by their weekday and the trend.

use focus::{Decimal, cost::Months};
use jiff::{ToSpan, civil::Date};

use crate::{Daily, approximate, rounded};

/// Days that a forecast looks back on: eight of each weekday.
const LOOK_BACK: usize = 56;
/// Billing months before a period that hold as many days as a forecast looks back on.
const MONTHS_BACK: usize = 2;
/// Fewer days than this have no season and no trend worth the name.
const SEASON_AFTER: usize = 14;
/// Passes over line and season: each leaves a small part of the error of the one before.
const PASSES: usize = 5;
/// So far ahead a trend is followed; nobody knows whether it goes on after that.
const TREND_DAYS: i64 = 31;
/// Days of a period that have to be known before its end is foreseen.
const DAYS_LEAST: i64 = 3;
/// Months that the error is measured over.
const MONTHS: i32 = 3;

/// What a period has cost, and will have at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen {
    /// So far, the running day included.
    pub spent: Decimal,
    /// At the end, to the cent.
    pub end: Decimal,
}

/// The billing months whose days the forecast of some is made of: these, and those before that tell
/// their weekdays and trend.
pub fn with_history(months: Months) -> Months {
    ((0..MONTHS_BACK).fold(months.0, |month, _| month.previous()), months.1)
}

/// The end of some billing months, from what each day has cost, also before them. `None` where less
/// than three of their days have come in and are over.
pub fn foresee(days: &[(Date, Decimal)], months: Months, today: Date) -> Option<Foreseen> {
    let (first, last) = (months.0.first_day(), months.1.first_day().last_of_month());
    let mut of_period = days.iter().filter(|(day, _)| (first..=last).contains(day));
    let spent = of_period.try_fold(Decimal::ZERO, |sum, (_, cost)| sum.checked_add(*cost))?;
    let known = Daily::new(days.iter().map(|(day, cost)| (*day, approximate(*cost))))?;
    let over = known.until(today.yesterday().ok()?)?;
    let is_told = over.last() >= first.saturating_add((DAYS_LEAST - 1).days());
    let end = is_told.then(|| rounded(period_end(&over, first, last)))??;
    Some(Foreseen { spent, end })
}

/// What the month of the last known day will have cost at its end.
///
/// The days that are left cost what their weekday usually does, on a straight line through the
/// last eight weeks, never less than nothing. With less than two weeks of days they cost the mean.
pub fn month_end(known: &Daily) -> f64 {
    let last = known.last();
    period_end(known, last.first_of_month(), last.last_of_month())
}

/// The same of any period that has begun; a trend goes on for a month at most.
fn period_end(known: &Daily, first: Date, end: Date) -> f64 {
    let last = known.last();
    let so_far = known.sum(first, last.min(end));
    let model = Model::of(known);
    let left = end.duration_since(last).as_hours() / 24;
    let rest = (1..=left).map(|ahead| model.day(last.saturating_add(ahead.days()), ahead));
    so_far + rest.sum::<f64>()
}

/// How far forecasts in the middle of the last whole months, up to three, have been from what the
/// months cost then: the mean of the errors as shares of the cost. `None` where no month can tell.
pub fn error(known: &Daily) -> Option<f64> {
    let running = known.last().first_of_month();
    let errors: Vec<f64> = (1..=MONTHS)
        .filter_map(|back| {
            let middle = running.saturating_sub(back.months()).with().day(15).build().ok()?;
            let before = known.until(middle).filter(|before| before.first() < before.last())?;
            let starts = middle.first_of_month();
            let cost = known.sum(starts, middle.last_of_month());
            let is_known = known.first() <= starts && cost > 0.0 && before.last() == middle;
            is_known.then(|| ((month_end(&before) - cost) / cost).abs())
        })
        .collect();
    let count = u32::try_from(errors.len()).ok().filter(|count| *count > 0)?;
    Some(errors.iter().sum::<f64>() / f64::from(count))
}

/// A level on the last known day, its change a day, and what each weekday adds.
struct Model {
    level: f64,
    trend: f64,
    season: [f64; 7],
}

impl Model {
    fn of(known: &Daily) -> Self {
        let days: Vec<(Date, f64)> = known.tail(LOOK_BACK).collect();
        let level = mean(days.iter().map(|(_, cost)| *cost)).unwrap_or_default();
        let mut model = Self { level, trend: 0.0, season: [0.0; 7] };
        if days.len() < SEASON_AFTER {
            return model;
        }
        // A line through whole weeks has no weekday's lean; what is left over is the season. A
        // line fitted to what the season leaves is straighter, and so on.
        let weeks = days.len() / 7 * 7;
        let days = &days[days.len() - weeks..];
        for _ in 0..PASSES {
            let season = model.season;
            let plain = days.iter().map(|(day, cost)| cost - season[weekday(*day)]);
            (model.level, model.trend) = line(&plain.collect::<Vec<_>>());
            for (at, slot) in model.season.iter_mut().enumerate() {
                let of_day = days.iter().enumerate().filter(|(_, (day, _))| weekday(*day) == at);
                let over = of_day.map(|(place, (_, cost))| {
                    cost - (model.level - model.trend * steps(days.len() - 1 - place))
                });
                *slot = mean(over).unwrap_or_default();
            }
        }
        model
    }

    fn day(&self, day: Date, ahead: i64) -> f64 {
        let ahead = steps(usize::try_from(ahead.min(TREND_DAYS)).unwrap_or_default());
        (self.level + self.trend * ahead + self.season[weekday(day)]).max(0.0)
    }
}

/// The straight line of least squares: its height at the last value, and its change.
fn line(values: &[f64]) -> (f64, f64) {
    let last = values.len().saturating_sub(1);
    let middle = steps(last) / 2.0;
    let mean = mean(values.iter().copied()).unwrap_or_default();
    let (mut over, mut under) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let from_middle = steps(at) - middle;
        over += from_middle * (value - mean);
        under += from_middle * from_middle;
    }
    let trend = if under > 0.0 { over / under } else { 0.0 };
    (mean + trend * middle, trend)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / steps(count))
}

fn weekday(day: Date) -> usize {
    usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default()
}

/// A number of days as a float: there are never more than 32 bits of them.
fn steps(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
