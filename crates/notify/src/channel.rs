//! What a channel is given, and how it may fail.

use async_trait::async_trait;
use budget::{Severity, Topic};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::{Facts, format};

/// Why a message was not taken. Neither holds an address with a secret in it, nor a body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The same message may be taken later.
    #[error("{why}")]
    Later {
        /// What has happened.
        why: String,
        /// How long the other side asked to be left alone.
        after: Option<SignedDuration>,
    },
    /// It won't be taken as it is.
    #[error("{why}")]
    Never {
        /// What has happened.
        why: String,
    },
}

impl SendError {
    /// A failure that may pass.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

/// One thing of a message, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What is told.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// When it happened.
    pub at: Timestamp,
    /// The thing in a line.
    pub subject: String,
    /// What has happened, in a sentence or two.
    pub what: String,
    /// What to do about it, a step each.
    pub todo: Vec<String>,
    /// Names and values: how much, of what, when it resets.
    pub rows: Vec<(String, String)>,
    /// What it was written from.
    pub facts: Facts,
}

/// What goes out at once to one recipient.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Names the message for good: the key of the first delivery in it. Every attempt has the same.
    pub key: String,
    /// To whom, where not to whoever stands in the channel's config.
    pub recipient: Option<String>,
    /// The highest of its things.
    pub severity: Severity,
    /// All of it in a line.
    pub subject: String,
    /// The things, the earliest first; one at least.
    pub items: Vec<Item>,
    /// All of it as plain text.
    pub text: String,
    /// All of it as a page.
    pub html: String,
}

impl Message {
    /// The key as it goes over the wire: SHA-256 in hexadecimal, which holds no name or address.
    pub fn id(&self) -> String {
        format::hex(ring::digest::digest(&ring::digest::SHA256, self.key.as_bytes()).as_ref())
    }
}

/// Where messages go. A message that was taken may be sent again under the same key, where nobody
/// heard that it was.
#[async_trait]
pub trait Channel: Send + Sync {
    /// What it is, as the config writes it.
    fn kind(&self) -> &'static str;
    /// Whether it reaches whoever is named in a message, and not just whom the config names.
    fn reaches(&self) -> bool {
        false
    }
    /// So many things in a message, at most.
    fn group_most(&self) -> usize {
        usize::MAX
    }
    /// Sends a message, within a bounded time.
    async fn send(&self, message: &Message) -> Result<(), SendError>;
}
