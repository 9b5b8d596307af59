//! The HTTP service.
//!
//! Owns the URLs, who may use them, how a request becomes a command and an outcome an answer, and
//! the jobs that run beside. Holds its store as `dyn budget::Store` and knows nothing of databases.
//! Invariants: every answer that is no success is a JSON problem; a tenant's key reads and spends
//! for that tenant alone; the clock is asked through [`Service`] and nowhere else.

mod auth;
mod beside;
mod calls;
mod cloud_budget;
mod clouds;
mod config;
mod extract;
mod fault;
mod finish;
mod front;
mod jobs;
mod metrics;
mod openapi;
mod overview;
mod page;
mod prices;
mod router;
mod routes;
mod run;
mod scrape;
mod service;
mod steady;
#[cfg(test)]
mod tests;
mod usage;

pub use auth::new_key;
pub use beside::Beside;
pub use config::{Config, ListenError, check_listen};
pub use front::Front;
pub use metrics::{Metrics, names};
pub use openapi::document;
pub use run::{RunError, run};
pub use service::{Clock, PriceSource, Service};
