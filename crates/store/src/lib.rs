//! The escrow on SQLite and on Postgres.
//!
//! Owns how budgets, accounts, reservations and ledger entries are kept, and the group commit: what
//! arrives while a transaction is on its way to disk shares the next one. The only crate that names
//! a database. Knows nothing of HTTP, of prices, or of what is decided: it loads, calls
//! [`budget::Batch`], saves. Invariant: nothing is answered before it is durable, or before what
//! stands in for it is.

pub mod names;
mod open;
mod options;
mod outbox;
mod postgres;
mod queue;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod sqlite;
mod watched;

pub use open::{OpenError, Opened, backup, in_use, open, restore};
pub use options::{Clock, Fault, Moment, Options};
pub use postgres::{Postgres, wal_archived};
pub use sqlite::Sqlite;

#[cfg(test)]
mod tests;
