//! Costs by day.

use jiff::{ToSpan, civil::Date};

/// What each day has cost, from a first day on, without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Daily {
    first: Date,
    costs: Vec<f64>,
}

impl Daily {
    /// Costs of days, in any order; days that are not named have cost nothing, those named twice
    /// cost both. `None` without any.
    pub fn new(days: impl IntoIterator<Item = (Date, f64)>) -> Option<Self> {
        let mut days: Vec<(Date, f64)> = days.into_iter().collect();
        days.sort_by_key(|(day, _)| *day);
        let (first, last) = (days.first()?.0, days.last()?.0);
        let length = usize::try_from(place(first, last)).ok()? + 1;
        let mut costs = vec![0.0; length];
        for (day, cost) in days {
            let at = usize::try_from(place(first, day)).ok()?;
            if let Some(sum) = costs.get_mut(at) {
                *sum += cost;
            }
        }
        Some(Self { first, costs })
    }

    /// The last day.
    pub fn last(&self) -> Date {
        let days = i64::try_from(self.costs.len().saturating_sub(1)).unwrap_or(i64::MAX);
        self.first.saturating_add(days.days())
    }

    /// The first day.
    pub const fn first(&self) -> Date {
        self.first
    }

    /// What is known at the end of a day; `None` before the first.
    #[must_use]
    pub fn until(&self, day: Date) -> Option<Self> {
        let length = usize::try_from(place(self.first, day.min(self.last()))).ok()? + 1;
        Some(Self { first: self.first, costs: self.costs.get(..length)?.to_vec() })
    }

    /// What some days have cost together, both ends included.
    pub fn sum(&self, from: Date, to: Date) -> f64 {
        let days = self.iter().filter(|(day, _)| (from..=to).contains(day));
        days.map(|(_, cost)| cost).sum()
    }

    /// The last days, at most so many.
    pub(crate) fn tail(&self, most: usize) -> impl Iterator<Item = (Date, f64)> {
        self.iter().skip(self.costs.len().saturating_sub(most))
    }

    fn iter(&self) -> impl Iterator<Item = (Date, f64)> {
        let days = (0_i64..).map(|at| self.first.saturating_add(at.days()));
        days.zip(self.costs.iter().copied())
    }
}

/// Days between two.
fn place(first: Date, day: Date) -> i64 {
    day.duration_since(first).as_hours() / 24
}
