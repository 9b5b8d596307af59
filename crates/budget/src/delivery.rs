//! What is told to people, by which channel, and how far it has come.
//!
//! Owns what a [`Delivery`] is: one thing to tell to one recipient by one channel, under a key that
//! names it for good, and the rules of when it goes out ([`Pace`], [`Quiet`], [`Weekly`]). Knows
//! nothing of mail, HTTP or what the words are: what is told is carried as text. Invariant: there
//! is one delivery of each key, and it is in one batch for good once it was tried, so that every
//! attempt says the same under the same key.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use crate::{Crossing, EventKind, Notice};

mod pace;
mod role;
#[cfg(test)]
mod tests;
mod time;

pub use pace::{Pace, Turn};
pub use role::{
    Backlog, Claimed, Deliveries, DeliveryFilter, Ended, Following, NewDelivery, Outbox, Step,
};
pub use time::{Monthly, Quiet, Weekly};

/// How old a thing may be when it is first planned; what is older is told to nobody.
pub const AGE_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A word that is none of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is none of {known}")]
pub struct UnknownWord {
    /// What was given.
    pub found: String,
    /// What there is.
    pub known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As the config, the wire and the tables write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let found = Self::ALL.iter().copied().find(|word| word.as_str() == text);
                found.ok_or_else(|| {
                    let known: Vec<&str> = Self::ALL.iter().map(|word| word.as_str()).collect();
                    UnknownWord { found: text.to_owned(), known: known.join(", ") }
                })
            }
        }
    };
}

words!(
    /// How much it matters, the least first.
    Severity {
        /// Worth knowing within a week.
        Info = "info",
        /// Somebody should look today.
        Warning = "warning",
        /// Somebody should look now; quiet hours don't hold it back.
        Critical = "critical",
    }
);

words!(
    /// What is told.
    Topic {
        /// A tenant's budget for AI has crossed a threshold.
        BudgetThreshold = "budget_threshold",
        /// A request was refused by a tenant's budget for AI.
        BudgetExhausted = "budget_exhausted",
        /// A budget that had crossed a threshold begins a new period.
        BudgetReset = "budget_reset",
        /// A call has cost more than was held for it.
        Overrun = "overrun",
        /// A reservation was never settled.
        Unresolved = "unresolved",
        /// A budget for cloud cost has crossed a threshold.
        CloudThreshold = "cloud_threshold",
        /// More than the limit of a budget for cloud cost is spent.
        CloudExhausted = "cloud_exhausted",
        /// A budget for cloud cost will be exceeded, as its days go on.
        CloudForecast = "cloud_forecast",
        /// A day has cost far more than was to be expected of it.
        Anomaly = "anomaly",
        /// A source of bills has not come in for long.
        IngestStale = "ingest_stale",
        /// What the week has brought.
        Digest = "digest",
        /// The month is over: look at it together.
        Review = "review",
        /// Something that another system has told, for the digest.
        Alert = "alert",
        /// A trial.
        Test = "test",
    }
);

words!(
    /// How far a delivery has come.
    DeliveryState {
        /// It waits for its time, or for another attempt.
        Pending = "pending",
        /// The channel has taken it.
        Delivered = "delivered",
        /// No further attempt is made until somebody asks for one.
        Dead = "dead",
        /// It is sent by itself to nobody; the digest tells it.
        Noted = "noted",
    }
);

impl Topic {
    /// What a notice is about.
    pub const fn of(notice: &Notice) -> Self {
        match notice {
            Notice::Ai(event) => match event.kind {
                EventKind::Threshold { .. } => Self::BudgetThreshold,
                EventKind::Exhausted => Self::BudgetExhausted,
                EventKind::Overrun { .. } => Self::Overrun,
                EventKind::Unresolved { .. } => Self::Unresolved,
            },
            Notice::Cloud(event) => match event.kind {
                Crossing::Threshold { .. } => Self::CloudThreshold,
                Crossing::Exhausted => Self::CloudExhausted,
            },
        }
    }

    /// Whether a tenant's own admin is told, too.
    pub const fn concerns_tenant(self) -> bool {
        matches!(
            self,
            Self::BudgetThreshold | Self::BudgetExhausted | Self::BudgetReset | Self::Anomaly
        )
    }

    /// How much it matters where nothing more is known.
    pub const fn severity(self) -> Severity {
        match self {
            Self::BudgetExhausted | Self::CloudExhausted => Severity::Critical,
            Self::BudgetThreshold
            | Self::CloudThreshold
            | Self::CloudForecast
            | Self::Anomaly
            | Self::IngestStale
            | Self::Unresolved => Severity::Warning,
            Self::Overrun
            | Self::BudgetReset
            | Self::Digest
            | Self::Review
            | Self::Alert
            | Self::Test => Severity::Info,
        }
    }
}

/// How much a notice matters: from 100 % of a limit on it is critical.
pub fn severity(notice: &Notice) -> Severity {
    let percent = match notice {
        Notice::Ai(event) => match event.kind {
            EventKind::Threshold { percent } => Some(percent),
            _ => None,
        },
        Notice::Cloud(event) => match event.kind {
            Crossing::Threshold { percent } => Some(percent),
            Crossing::Exhausted => None,
        },
    };
    match percent {
        Some(100..) => Severity::Critical,
        _ => Topic::of(notice).severity(),
    }
}

/// Which notices a channel takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// These; all where none is named.
    pub topics: Option<BTreeSet<Topic>>,
    /// From this severity on.
    pub severity: Severity,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { topics: None, severity: Severity::Info }
    }
}

impl Wanted {
    /// Whether the channel takes it. What the calendar brings, to whoever names it, and the end of
    /// something that was taken don't have to matter as much.
    pub fn takes(&self, topic: Topic, severity: Severity) -> bool {
        let matters = severity >= self.severity || topic == Topic::BudgetReset;
        match &self.topics {
            None => matters,
            Some(topics) => {
                let is_calendar = matches!(topic, Topic::Digest | Topic::Review);
                topics.contains(&topic) && (matters || is_calendar)
            }
        }
    }
}

/// The name of a delivery: what is told, by which channel, and to whom.
pub fn delivery_key(notice: &str, channel: &str, recipient: Option<&str>) -> String {
    match recipient {
        Some(recipient) => format!("{notice}/{channel}/{recipient}"),
        None => format!("{notice}/{channel}"),
    }
}

/// Whether a thing of a time is too old to be told of now.
pub fn is_stale(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) > AGE_MOST
}

/// One thing to tell to one recipient by one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Numbers deliveries in the order of planning.
    pub id: u64,
    /// Names it for good; of one key a store keeps one.
    pub key: String,
    /// What is told.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// By which channel.
    pub channel: String,
    /// To whom, where not to whoever stands in the channel's config.
    pub recipient: Option<String>,
    /// What there is to say, as whoever planned it wrote it.
    pub facts: String,
    /// When it happened.
    pub at: Timestamp,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts that have failed.
    pub attempts: u32,
    /// When it was to go out first.
    pub wanted_at: Timestamp,
    /// Not before.
    pub due_at: Timestamp,
    /// The batch in which it was first tried, and is tried again: the key of the first in it.
    pub batch: Option<String>,
    /// Until when somebody is at it.
    pub leased_until: Option<Timestamp>,
    /// Why the last attempt has failed.
    pub error: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Delivery {
    /// Whether nobody is at it.
    pub fn is_free(&self, now: Timestamp) -> bool {
        self.leased_until.is_none_or(|until| until <= now)
    }
}

/// Names one sender's hold on a batch.
pub type Lease = Uuid;
