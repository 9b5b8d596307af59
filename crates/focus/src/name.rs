//! Bounded names that come from outside: tenants, models, users, report types.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than any name may be.
    #[error("must be at most {most} bytes, this one has {found}")]
    TooLong {
        /// The bound, in bytes.
        most: usize,
        /// What was given, in bytes.
        found: usize,
    },
    /// A character that would break logs, labels or keys.
    #[error("must not contain {character:?}")]
    Character {
        /// The first such character.
        character: char,
    },
    /// `*` stands for "all" in a budget's scope and can't be a name.
    #[error("must not be '*', which stands for all")]
    Wildcard,
}

fn check(text: &str, most: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > most {
        return Err(NameError::TooLong { most, found: text.len() });
    }
    if text == "*" {
        return Err(NameError::Wildcard);
    }
    match text.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\u{feff}') {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $most:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest that such a name may be, in bytes.
            pub const MOST: usize = $most;

            /// Parses a name; see [`NameError`] for what is refused.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, Self::MOST)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A customer of the platform. 1 to 128 bytes, no spaces or control characters.
    TenantId, 128
);
name!(
    /// A model as its vendor names it. 1 to 200 bytes, no spaces or control characters.
    ModelName, 200
);
name!(
    /// A person or service within a tenant. 1 to 128 bytes, no spaces or control characters.
    UserId, 128
);
name!(
    /// What a call was made for (`monthly-impact`, `q2q`). 1 to 64 bytes.
    ReportType, 64
);
