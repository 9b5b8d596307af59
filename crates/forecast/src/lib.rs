//! What will be charged, from what was.
//!
//! Owns the forecast of a period's end, the error that it would have had before, and what a day's cost
//! that nobody could expect is. Knows nothing of where charges come from, and has no clock. Floats are allowed here: a forecast is no amount that
//! anybody owes. Exact amounts come in by [`approximate`] and go out by [`rounded`] alone.

mod amount;
mod anomaly;
mod daily;
mod period;
#[cfg(test)]
mod tests;

pub use amount::{approximate, rounded};
pub use anomaly::{Anomaly, DAYS_BACK, anomalies, anomaly};
pub use daily::Daily;
pub use period::{Foreseen, error, foresee, month_end, with_history};
