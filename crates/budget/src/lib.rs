//! The rules of budgets: reserve, settle, release, expire.
//!
//! Owns what a [`Budget`] is, what a [`Reservation`] may become, and which [`Entry`] records it;
//! what a [`CloudBudget`] watches and tells; when a [`Delivery`] of what is told goes out; and the
//! roles ([`Escrow`], [`Budgets`], [`Records`] …) that a store plays for the doors. Every rule is a
//! pure function, most over a tenant's [`Book`]: time is an argument, there is no clock, no I/O, no
//! float. Knows nothing of databases, HTTP, mail or how a price is found.
//!
//! Invariant: on a hard budget, settled + held + unresolved exceeds the limit only by what settles
//! recorded above their holds, or because the limit was lowered.
#![deny(clippy::float_arithmetic)]

mod account;
mod batch;
mod book;
mod budget;
mod cloud_budget;
mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod entry;
mod event;
#[cfg(feature = "conformance")]
mod memory;
mod reservation;
mod role;
mod vendor_batch;
mod verifier;

pub use account::{Account, AccountId, Posting};
pub use batch::{Batch, Changes, Opening};
pub use book::{Book, Defaults, Head, Line};
pub use budget::{Budget, BudgetError, BudgetId, Enforcement, Origin, Overflow, Thresholds, Tier};
pub use cloud_budget::{CloudBudget, CloudBudgetError, CloudEvent, CloudPeriod, Crossing, Watched};
pub use command::{
    Command, CommandResult, EscrowError, Outcome, Quote, Refusal, Release, Reserve, Resolution,
    Resolve, Settle,
};
pub use delivery::{
    AGE_MOST, Backlog, Claimed, Deliveries, Delivery, DeliveryFilter, DeliveryState, Ended,
    Following, Lease, Monthly, NewDelivery, Outbox, Pace, Quiet, Severity, Step, Topic, Turn,
    UnknownWord, Wanted, Weekly, delivery_key, is_stale, severity,
};
pub use entry::{Entry, EntryHash, EntryKind};
pub use event::{Event, EventKind, Notice};
#[cfg(feature = "conformance")]
pub use memory::{Clock, Memory};
pub use reservation::{Key, Reservation, Standing, State};
pub use role::{
    Answer, BudgetFilter, Budgets, CloudBudgets, Consumer, Escrow, KeyRecord, Keys, LedgerFilter,
    Page, Prices, Records, ReservationFilter, Store, StoreError, Tenant, Tenants, Upkeep,
    UsageGroup, UsageQuery, UsageRow, Verification,
};
pub use vendor_batch::{VendorBatch, VendorBatches, VendorHold, VendorOrder};
pub use verifier::Verifier;
