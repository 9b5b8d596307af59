//! What will be charged, from what was.
//!
//! Owns the forecast of a month's end and the error that it would have had before. Knows nothing of
//! where charges come from, and has no clock. Floats are allowed here: a forecast is no amount that
//! anybody owes.

mod daily;
mod month;
#[cfg(test)]
mod tests;

pub use daily::Daily;
pub use month::{error, month_end};
