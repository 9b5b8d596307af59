//! What a request used, and how it was served.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Tokens of one request or of many, by the class they are billed in. No token is in two classes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// Prompt tokens neither read from nor written to a cache.
    pub input: u64,
    /// Generated tokens, reasoning included.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes, or its vendor's ordinary life.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
}

impl TokenUsage {
    /// Tokens of the whole prompt: input, cache reads and cache writes. Long-context thresholds
    /// count these.
    pub fn prompt(&self) -> u128 {
        [self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .into_iter()
            .map(u128::from)
            .sum()
    }

    /// The sum, class by class; `None` if a class overflows.
    pub fn checked_add(&self, other: &TokenUsage) -> Option<TokenUsage> {
        Some(TokenUsage {
            input: self.input.checked_add(other.input)?,
            output: self.output.checked_add(other.output)?,
            cache_read: self.cache_read.checked_add(other.cache_read)?,
            cache_write_5m: self.cache_write_5m.checked_add(other.cache_write_5m)?,
            cache_write_1h: self.cache_write_1h.checked_add(other.cache_write_1h)?,
        })
    }
}

/// The service a request was given, for vendors that price it apart. Text is lower case.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// The list price.
    #[default]
    Standard,
    /// Answered within hours, cheaper.
    Batch,
    /// Answered sooner, dearer.
    Priority,
    /// Answered when there is room, cheaper.
    Flex,
}

/// A word that names no service tier.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{word:?} is not a service tier; use standard, batch, priority or flex")]
pub struct UnknownTier {
    /// What was written.
    pub word: String,
}

impl ServiceTier {
    /// The tier's name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServiceTier::Standard => "standard",
            ServiceTier::Batch => "batch",
            ServiceTier::Priority => "priority",
            ServiceTier::Flex => "flex",
        }
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ServiceTier {
    type Err = UnknownTier;

    fn from_str(word: &str) -> Result<ServiceTier, UnknownTier> {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        [Standard, Batch, Priority, Flex]
            .into_iter()
            .find(|tier| tier.as_str() == word)
            .ok_or_else(|| UnknownTier { word: word.chars().take(64).collect() })
    }
}
