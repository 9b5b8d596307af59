//! Who spends, on what, and when: the words that budgets and charges share.
//!
//! Owns [`TenantId`] and the other names that travel through every layer, the [`Scope`] that a
//! budget covers, the [`Period`] that it counts over, and the [`Column`]s of a FOCUS charge. Knows
//! nothing of limits, prices, storage or the wire. Invariant: a value of these types has been
//! parsed; what is in it is in bounds.
#![deny(clippy::float_arithmetic)]

mod column;
#[cfg(test)]
mod data;
mod name;
mod period;
mod scope;
mod version;

pub use column::{Column, Format, Kind, Level, SERVICE_SUBCATEGORIES, UnknownColumn};
pub use name::{ModelName, NameError, ReportType, TenantId, UserId};
pub use period::{Period, PeriodError, PeriodRule, PeriodUnit};
pub use scope::{Attribution, Scope};
pub use version::{UnknownVersion, Version};
