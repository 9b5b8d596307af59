#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod call;
mod client;
mod layer;
pub mod names;
mod payer;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod remote;
mod settings;
mod spool;
#[cfg(test)]
mod tests;
mod tracker;
mod verdict;

pub use call::{Call, Usage};
pub use client::{RemoteError, SetupError};
pub use layer::{Meter, MeterBody, MeterLayer};
pub use payer::{Estimate, Payer};
pub use remote::Remote;
pub use settings::{FailMode, Settings};
pub use tracker::{Tracker, TrackerConfig};

// What the above is said in, so that a service needs no other crate of ours.
pub use focus::{ModelName, ReportType, TenantId, UserId};
pub use money::{Money, ServiceTier, TokenUsage};
