//! The roles of a store that keeps deliveries.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::{Delivery, DeliveryState, Lease, Pace, Severity, Topic};
use crate::{Page, StoreError};

/// A delivery that is to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Names it for good.
    pub key: String,
    /// What is told.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// To whom, where not to whoever stands in the channel's config.
    pub recipient: Option<String>,
    /// What there is to say.
    pub facts: String,
    /// When it happened.
    pub at: Timestamp,
    /// Not before.
    pub due_at: Timestamp,
    /// Pending, or noted for the digest.
    pub state: DeliveryState,
}

impl NewDelivery {
    /// What another system has told, noted for the digest: `name` names it for good, `source` is
    /// what is wrong, `summary` a sentence about it, `since` when it began.
    pub fn noted(
        name: String,
        source: &str,
        summary: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Self {
        let facts = serde_json::json!({
            "name": name, "incident": name, "source": source, "summary": summary, "since": since,
        });
        Self {
            key: name,
            topic: Topic::Alert,
            severity: Severity::Info,
            recipient: None,
            facts: facts.to_string(),
            at: now,
            due_at: now,
            state: DeliveryState::Noted,
        }
    }
}

/// How far a channel has followed the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// When the channel was first known: what is older is not told by it.
    pub since: Timestamp,
    /// The last event that was looked at.
    pub after: u64,
}

/// A step along the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Where the channel stands, as was read.
    pub from: u64,
    /// Where it stands then.
    pub to: u64,
}

/// A batch that is this sender's for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Names the hold.
    pub lease: Lease,
    /// The key of the message: that of the first delivery which was ever in it.
    pub batch: String,
    /// What goes out together, in the order of numbers; never empty.
    pub deliveries: Vec<Delivery>,
}

impl Claimed {
    /// What a sender holds who takes these now; `None` of nothing.
    pub fn of(chosen: &[&Delivery], lease: Lease, pace: &Pace, now: Timestamp) -> Option<Self> {
        let first = chosen.first()?;
        let batch = first.batch.clone().unwrap_or_else(|| first.key.clone());
        let held = |one: &&Delivery| Delivery {
            batch: Some(batch.clone()),
            leased_until: now.checked_add(pace.lease).ok(),
            updated_at: now,
            ..(*one).clone()
        };
        let mut deliveries: Vec<Delivery> = chosen.iter().map(held).collect();
        deliveries.sort_by_key(|one| one.id);
        Some(Self { lease, batch, deliveries })
    }
}

/// How an attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The channel has taken it.
    Delivered,
    /// It is tried again then.
    Again {
        /// Not before.
        due_at: Timestamp,
        /// Why it has failed.
        error: String,
    },
    /// Nobody tries again by himself.
    Dead {
        /// Why it has failed.
        error: String,
    },
}

/// Deliveries are planned and sent from here. Any number of processes may do so at once.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// How far a channel has come; one that is new begins at the outbox's end.
    async fn follow(&self, channel: &str, now: Timestamp) -> Result<Following, StoreError>;
    /// Keeps new deliveries, those whose keys are known left out, and takes the step, all in one
    /// commit. Nothing happens where somebody else has taken the step. How many were kept.
    async fn plan(
        &self,
        channel: &str,
        step: Option<Step>,
        new: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Takes what [`Pace::choose`] says, where [`Pace::turn`] allows a message, for as long as the
    /// pace's lease. `None` where nothing is due.
    async fn claim(
        &self,
        channel: &str,
        pace: &Pace,
        now: Timestamp,
    ) -> Result<Option<Claimed>, StoreError>;
    /// Ends an attempt. Whether the hold was still the sender's; if not, nothing has changed.
    async fn finish(&self, lease: Lease, ended: Ended, now: Timestamp) -> Result<bool, StoreError>;
}

/// Which deliveries to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// In one state.
    pub state: Option<DeliveryState>,
    /// Of one channel.
    pub channel: Option<String>,
    /// Of what happened from then on.
    pub from: Option<Timestamp>,
    /// The newest first; the cursor is a delivery's number.
    pub page: Page<u64>,
}

/// What a channel has before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Which channel.
    pub channel: String,
    /// Due, and not delivered.
    pub pending: u64,
    /// Dead.
    pub dead: u64,
    /// When the oldest of those pending was to go out first.
    pub oldest: Option<Timestamp>,
}

impl Backlog {
    /// How long the oldest waits.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        self.oldest.map_or(SignedDuration::ZERO, |oldest| {
            now.duration_since(oldest).max(SignedDuration::ZERO)
        })
    }
}

/// Deliveries are kept here.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Lists them, the newest first.
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError>;
    /// Has one dead delivery, with all of its batch, or all of them tried anew. How many.
    async fn retry(&self, id: Option<u64>, now: Timestamp) -> Result<u64, StoreError>;
    /// What each channel has before it, in the order of names.
    async fn backlog(&self, now: Timestamp) -> Result<Vec<Backlog>, StoreError>;
    /// Removes what was delivered or noted and has not changed since. How many.
    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError>;
}
