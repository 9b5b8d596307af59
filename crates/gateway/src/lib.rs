//! A streaming reverse proxy in front of the model vendors: no call goes out that no budget covers.
//!
//! Owns how a vendor's request becomes a hold, how its answer becomes a charge, and the bytes in
//! between. Knows nothing of databases: it holds its store as `dyn budget::Escrow`. Invariants: the
//! hold is committed before the first byte goes upstream and is never below what the call can cost;
//! every hold is settled or released exactly once; prompts and answers are neither kept nor logged.

mod abide;
mod batches;
mod bend;
mod call;
mod caller;
mod clerk;
mod config;
pub mod demand;
mod dialect;
mod ending;
mod fault;
mod gateway;
mod hold;
pub mod names;
mod passage;
mod pool;
mod quiet;
mod reply;
mod roots;
mod settle;
mod spool;
mod standing;
#[cfg(test)]
mod tests;
mod upstream;
pub mod usage;
mod wait;

pub use config::{Auth, Config, Fail, Upstream};
pub use demand::Fee;
pub use dialect::{Api, Dialect};
pub use gateway::{Clock, Gateway, PriceSource, Rooms};
pub use reply::{BrokenStream, Reply};
