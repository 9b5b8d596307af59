//! AWS's own APIs: what an account costs, its budgets, how large its buckets are.
//!
//! Owns the credentials, the signed request and the shapes that AWS answers. The only crate that
//! names AWS's libraries. Knows nothing of where charges are kept and of who is told. Invariants:
//! an amount is decimal from AWS's text to the charge; a paid call is counted before it is made.

mod access;
mod api;
mod budgets;
mod ceiling;
mod charges;
mod client;
mod cost_explorer;
mod fault;
pub mod names;
mod service;
mod storage;

pub use access::Access;
pub use api::Api;
pub use budgets::{BUDGET_MARK, Imported, NotTaken, budgets};
pub use ceiling::{Ceiling, CeilingError};
pub use charges::{CUSTOM, charges};
pub use client::{Client, Patience};
pub use cost_explorer::{Asked, Costs, Line, costs};
pub use fault::AwsError;
pub use storage::bucket_sizes;
