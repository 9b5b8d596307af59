//! What is told, and how it reaches people.
//!
//! Owns the channels ([`Channel`]: mail, Slack, Teams, webhooks, PagerDuty), the words
//! ([`Templates`]) and the [`Courier`] that takes deliveries from a store's outbox to the channels.
//! The only crate that names mail and webhooks. Knows nothing of databases or of who may spend what;
//! when a delivery goes out is decided by [`budget::Pace`]. Invariant: a message is sent under one
//! key, with the same content, until the channel has taken it or nobody tries any more.

mod channel;
mod courier;
mod email;
mod facts;
mod format;
mod http;
pub mod names;
mod pagerduty;
mod plan;
mod signature;
mod slack;
mod teams;
mod template;
#[cfg(test)]
mod testing;
mod webhook;

pub use self::http::{Authority, Endpoint};
pub use channel::{Channel, Item, Message, SendError};
pub use courier::{Calendar, Clock, Courier, Memory, Post, Running};
pub use email::{Email, EmailSettings, MailTls};
pub use facts::{Amount, Facts, Section};
pub use pagerduty::PagerDuty;
pub use signature::{SIGNATURE, SignatureError, TIMESTAMP, WINDOW, sign, verify};
pub use slack::Slack;
pub use teams::Teams;
pub use template::{TemplateError, Templates};
pub use webhook::Webhook;
