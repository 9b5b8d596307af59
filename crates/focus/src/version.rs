//! The versions of FOCUS that Bursar reads.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A version of the FOCUS specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 1.0, June 2024.
    V1_0,
    /// 1.1, November 2024.
    V1_1,
    /// 1.2, May 2025.
    V1_2,
    /// 1.3, December 2025.
    V1_3,
    /// 1.4: what the lake stores.
    V1_4,
}

/// No version that Bursar reads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no FOCUS version that Bursar reads: 1.0, 1.1, 1.2, 1.3, 1.4")]
pub struct UnknownVersion(pub String);

impl Version {
    /// All of them, the oldest first.
    pub const ALL: &[Self] = &[Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4];

    /// The version as it is written: `1.4`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
            Self::V1_4 => "1.4",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Reads `1.2`, `v1.2` or `1.2.0`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let plain = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let found = Self::ALL.iter().find(|version| {
            plain.strip_prefix(version.as_str()).is_some_and(|rest| matches!(rest, "" | ".0"))
        });
        found.copied().ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}
