//! Who spends, on what, and when: the words that budgets and charges share.
//!
//! Owns [`TenantId`] and the other names that travel through every layer, the [`Scope`] that a
//! budget covers, the [`Period`] that it counts over; and FOCUS, the language of bills: its
//! [`Column`]s and [`Version`]s, how an older bill ([`upgrade`]) or an AWS report ([`cur`]) becomes
//! one of 1.4, what a bill has to keep ([`requirement`]), which files an export's manifests choose
//! ([`delivery`]), the [`Charge`] itself, and what is asked about charges ([`cost`]). What is to be
//! done to millions of rows is data here ([`Expression`], [`Condition`]), which the lake compiles
//! onto columns; the row-wise evaluators beside it say what is right.
//!
//! Knows nothing of limits, storage, files or the wire. Invariant: a value of these types has been
//! parsed; what is in it is in bounds.
#![deny(clippy::float_arithmetic)]

pub mod charge;
mod column;
mod condition;
pub mod cost;
pub mod cur;
#[cfg(test)]
mod data;
pub mod decimal;
pub mod delivery;
mod expression;
mod header;
mod name;
mod period;
mod record;
pub mod requirement;
mod scope;
pub mod upgrade;
pub mod value;
mod version;

pub use charge::Charge;
pub use column::{Column, Format, Kind, Level, SERVICE_SUBCATEGORIES, UnknownColumn};
pub use condition::{Condition, Row, TOLERANCE_PLACES};
pub use decimal::Decimal;
pub use expression::{Expression, Fields, Rewrite};
pub use header::{Detected, Drift, Field};
pub use name::{ModelName, NameError, ReportType, TenantId, UserId};
pub use period::{Period, PeriodError, PeriodRule, PeriodUnit};
pub use record::{Record, Source};
pub use requirement::{Requirement, Severity};
pub use scope::{Attribution, Scope};
pub use version::{Former, UnknownVersion, Version};
