//! The versions of FOCUS that Bursar reads, and which columns each has.
//!
//! Owns the versions' names, the columns that 1.4 no longer has ([`Former`]) and which columns a
//! provider must give. Knows nothing of how a header is read (`header`) or brought to 1.4
//! (`upgrade`). Invariant: versions only add columns, but for the two of [`Former`].
//!
//! Sources: the specification's CHANGELOG.md ("Columns History") and its guide
//! `supporting_content/appendix/version_migration_guidance.md`, where `ProviderName` and
//! `PublisherName` are active in 1.2, deprecated in 1.3 and removed in 1.4.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{Column, Level};

#[cfg(test)]
mod tests;

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

/// A column that 1.0 to 1.3 have and 1.4 has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Former {
    /// Who made the services available for purchase.
    ProviderName,
    /// Who produced the services.
    PublisherName,
}

impl Former {
    /// All of them.
    pub const ALL: &[Self] = &[Self::ProviderName, Self::PublisherName];

    /// The column's name, in the specification's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProviderName => "ProviderName",
            Self::PublisherName => "PublisherName",
        }
    }

    /// The custom column in which its values are kept beside FOCUS 1.4, so that nothing that a
    /// bill said is lost: the sellers of a marketplace, for one, are told apart by
    /// `PublisherName` alone.
    pub const fn kept_as(self) -> &'static str {
        match self {
            Self::ProviderName => "x_ProviderName",
            Self::PublisherName => "x_PublisherName",
        }
    }

    /// The last version that has it.
    pub const fn until(self) -> Version {
        Version::V1_3
    }

    /// Whether a version's bills must have it: 1.3 has its successors.
    pub fn is_mandatory(self, version: Version) -> bool {
        version < Version::V1_3
    }

    /// The former column of this name; letters may be of either case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|former| former.name().eq_ignore_ascii_case(text)).copied()
    }
}

impl Version {
    /// The columns of 1.4 that this version has as well.
    pub fn columns(self) -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(move |column| column.since() <= self)
    }

    /// The columns that this version has and 1.4 has not.
    pub fn former(self) -> impl Iterator<Item = Former> {
        Former::ALL.iter().copied().filter(move |former| self <= former.until())
    }

    /// How many columns its `CostAndUsage` has.
    pub fn count(self) -> usize {
        self.columns().count() + self.former().count()
    }

    /// The columns without which a file of this version can't be read.
    pub fn mandatory(self) -> impl Iterator<Item = &'static str> {
        let former = self.former().filter(move |former| former.is_mandatory(self));
        let columns = self.columns().filter(|column| column.level() == Level::Mandatory);
        columns.map(Column::name).chain(former.map(Former::name))
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
