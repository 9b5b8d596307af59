//! A file's header: which FOCUS version it is, and where it strays from it.
//!
//! Owns the reading of column names ([`Detected`]) and the comparison of a source's header with
//! the one before ([`Drift`]). Each says what it found in one line. Knows nothing of rows.
//! Invariant: every column of the file has exactly one [`Field`].

use std::{collections::HashSet, fmt};

use crate::{Column, Former, Version};

#[cfg(test)]
mod tests;

/// What a file's column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// A column of FOCUS 1.4.
    Focus(Column),
    /// A column that an older version had.
    Former(Former),
    /// A custom column, `x_…`; it is kept.
    Custom,
    /// Neither: a stray column.
    Unknown,
    /// A column whose name stood before; its values can't be told from the other's.
    Duplicate,
}

impl Field {
    /// The specification's name of the column; `None` for one that it doesn't know.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Focus(column) => Some(column.name()),
            Self::Former(former) => Some(former.name()),
            Self::Custom | Self::Unknown | Self::Duplicate => None,
        }
    }
}

/// Names that columns had before 1.0, or that are often seen for them.
///
/// Source: the specification's CHANGELOG.md, "Columns History".
const RENAMED: &[(&str, &str)] = &[
    ("AmortizedCost", "EffectiveCost"),
    ("ChargeType", "ChargeCategory"),
    ("InvoiceIssuer", "InvoiceIssuerName"),
    ("Provider", "ProviderName"),
    ("Publisher", "PublisherName"),
    ("Region", "RegionId"),
    ("UsageQuantity", "ConsumedQuantity"),
    ("UsageUnit", "ConsumedUnit"),
];

/// What a header holds, measured against a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The version.
    pub version: Version,
    /// What each of the file's columns is, in the file's order.
    pub fields: Vec<Field>,
    /// Columns that the version must have and the file has not.
    pub missing: Vec<&'static str>,
    /// Columns that the version may have and the file has not.
    pub absent: Vec<&'static str>,
    /// Stray columns.
    pub unknown: Vec<String>,
    /// Custom columns.
    pub custom: Vec<String>,
    /// Names that stand more than once.
    pub duplicated: Vec<String>,
    /// Stray columns that look like a missing one: the name found, the name expected.
    pub renamed: Vec<(String, &'static str)>,
    /// Columns that the version no longer has.
    pub obsolete: Vec<&'static str>,
    /// Whether custom or stray columns stand before the last FOCUS column, where the
    /// specification wants the FOCUS columns first.
    pub intermixed: bool,
}

impl Version {
    /// Reads a header: the oldest version that has all of its FOCUS columns.
    ///
    /// A header with the successors of `ProviderName` and `PublisherName` and without these is of
    /// 1.4, whose own columns are conditional.
    pub fn detect<S: AsRef<str>>(header: &[S]) -> Detected {
        let fields = fields(header);
        let newest = fields.iter().filter_map(|field| match field {
            Field::Focus(column) => Some(column.since()),
            _ => None,
        });
        let newest = newest.max().unwrap_or(Self::V1_0);
        let former = fields.iter().any(|field| matches!(field, Field::Former(_)));
        let version = if newest == Self::V1_3 && !former { Self::V1_4 } else { newest };
        measure(header, fields, version)
    }
}

impl Detected {
    /// Reads a header as one of the version that its manifest tells.
    pub fn declared<S: AsRef<str>>(header: &[S], version: Version) -> Self {
        measure(header, fields(header), version)
    }

    /// Whether the file can be read whole: nothing mandatory is missing, no name stands twice.
    pub fn is_readable(&self) -> bool {
        self.missing.is_empty() && self.duplicated.is_empty()
    }

    /// Whether there is nothing to tell but the version.
    pub fn is_clean(&self) -> bool {
        self.is_readable()
            && self.unknown.is_empty()
            && self.obsolete.is_empty()
            && !self.intermixed
    }

    /// Where the file has a column.
    pub fn position(&self, field: Field) -> Option<usize> {
        self.fields.iter().position(|found| *found == field)
    }

    /// Whether the file has a column of FOCUS 1.4.
    pub fn has(&self, column: Column) -> bool {
        self.position(Field::Focus(column)).is_some()
    }
}

/// The name as it counts: the mark at a file's beginning and spaces around don't.
pub(crate) fn plain(name: &str) -> &str {
    name.trim_start_matches('\u{feff}').trim()
}

fn fields<S: AsRef<str>>(header: &[S]) -> Vec<Field> {
    let mut seen = HashSet::new();
    let field = |name: &S| {
        let name = plain(name.as_ref());
        if !seen.insert(name.to_ascii_lowercase()) {
            return Field::Duplicate;
        }
        if let Ok(column) = Column::parse(name) {
            return Field::Focus(column);
        }
        match Former::parse(name) {
            Some(former) => Field::Former(former),
            None if name.len() > 2 && name.as_bytes()[..2].eq_ignore_ascii_case(b"x_") => {
                Field::Custom
            }
            None => Field::Unknown,
        }
    };
    header.iter().map(field).collect()
}

fn measure<S: AsRef<str>>(header: &[S], fields: Vec<Field>, version: Version) -> Detected {
    let named = |kind: Field| {
        let names = header.iter().zip(&fields).filter(|(_, field)| **field == kind);
        names.map(|(name, _)| plain(name.as_ref()).to_owned()).collect::<Vec<_>>()
    };
    let has = |field: Field| fields.contains(&field);
    let mandatory: HashSet<&str> = version.mandatory().collect();
    let columns = version.columns().filter(|column| !has(Field::Focus(*column)));
    let former = version.former().filter(|former| !has(Field::Former(*former)));
    let lacking: Vec<&str> = columns.map(Column::name).chain(former.map(Former::name)).collect();
    let (missing, absent): (Vec<&str>, Vec<&str>) =
        lacking.iter().partition(|name| mandatory.contains(*name));
    let unknown = named(Field::Unknown);
    let renamed = unknown.iter().filter_map(|name| Some((name.clone(), meant(name, &lacking)?)));
    let obsolete = Former::ALL
        .iter()
        .filter(|former| version > former.until() && has(Field::Former(**former)));
    let is_focus = |field: &Field| matches!(field, Field::Focus(_) | Field::Former(_));
    let last = fields.iter().rposition(is_focus).unwrap_or(0);
    Detected {
        version,
        missing,
        absent,
        renamed: renamed.collect(),
        obsolete: obsolete.map(|former| former.name()).collect(),
        intermixed: !fields[..last.min(fields.len())].iter().all(is_focus),
        custom: named(Field::Custom),
        duplicated: named(Field::Duplicate),
        unknown,
        fields,
    }
}

/// The lacking column that a stray name means: by an older name, or but for `_`, `-` and spaces.
fn meant(name: &str, lacking: &[&'static str]) -> Option<&'static str> {
    let bare = |text: &str| text.replace(['_', '-', ' '], "").to_ascii_lowercase();
    let old = RENAMED.iter().find(|(old, _)| bare(old) == bare(name)).map(|(_, new)| *new);
    lacking.iter().find(|column| Some(**column) == old || bare(column) == bare(name)).copied()
}

impl fmt::Display for Detected {
    /// One line: `FOCUS 1.0, 43 of 43 columns; unknown: Id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, absent) = (self.missing.len(), self.absent.len());
        let count = self.version.count();
        write!(f, "FOCUS {}, {} of {count} columns", self.version, count - missing - absent)?;
        list(f, "missing", &self.missing)?;
        list(f, "twice", &self.duplicated)?;
        list(f, "unknown", &self.unknown)?;
        let renamed = self.renamed.iter().map(|(found, meant)| format!("{found} is {meant}?"));
        list(f, "perhaps renamed", &renamed.collect::<Vec<_>>())?;
        list(f, "no longer in this version", &self.obsolete)?;
        list(f, "custom", &self.custom)?;
        if self.intermixed {
            f.write_str("; FOCUS columns don't stand first")?;
        }
        Ok(())
    }
}

/// At most this many names are told of each kind; a line is to be read.
const TOLD: usize = 8;

fn list<S: AsRef<str>>(f: &mut fmt::Formatter<'_>, title: &str, names: &[S]) -> fmt::Result {
    for (index, name) in names.iter().take(TOLD).enumerate() {
        let before = if index == 0 { format!("; {title}: ") } else { ", ".to_owned() };
        let name: String = name.as_ref().chars().take(60).collect();
        write!(f, "{before}{}", name.escape_debug())?;
    }
    match names.len() {
        more if more > TOLD => write!(f, " and {} more", more - TOLD),
        _ => Ok(()),
    }
}

/// How a source's header differs from the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Columns that are new.
    pub added: Vec<String>,
    /// Columns that are gone.
    pub removed: Vec<String>,
    /// Columns that are written in another way: before, now.
    pub renamed: Vec<(String, String)>,
    /// Whether those that stayed stand in another order.
    pub reordered: bool,
}

impl Drift {
    /// Compares two headers of one source.
    pub fn between<A: AsRef<str>, B: AsRef<str>>(before: &[A], now: &[B]) -> Self {
        let before: Vec<&str> = before.iter().map(|name| plain(name.as_ref())).collect();
        let now: Vec<&str> = now.iter().map(|name| plain(name.as_ref())).collect();
        let bare = |text: &str| text.replace(['_', '-', ' '], "").to_ascii_lowercase();
        let was: HashSet<&str> = before.iter().copied().collect();
        let is: HashSet<&str> = now.iter().copied().collect();
        let mut added: Vec<&str> = now.iter().copied().filter(|n| !was.contains(n)).collect();
        let mut drift = Self::default();
        for gone in before.iter().copied().filter(|name| !is.contains(name)) {
            match added.iter().position(|new| bare(new) == bare(gone)) {
                Some(at) => drift.renamed.push((gone.to_owned(), added.remove(at).to_owned())),
                None => drift.removed.push(gone.to_owned()),
            }
        }
        drift.added = added.into_iter().map(str::to_owned).collect();
        let stayed = before.iter().filter(|name| is.contains(*name));
        drift.reordered = !stayed.eq(now.iter().filter(|name| was.contains(*name)));
        drift
    }

    /// Whether the headers are the same.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Drift {
    /// One line: `schema drifted; new: SkuMeter; gone: Id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("schema unchanged");
        }
        f.write_str("schema drifted")?;
        list(f, "new", &self.added)?;
        list(f, "gone", &self.removed)?;
        let renamed = self.renamed.iter().map(|(before, now)| format!("{before} to {now}"));
        list(f, "renamed", &renamed.collect::<Vec<_>>())?;
        if self.reordered {
            f.write_str("; columns stand in another order")?;
        }
        Ok(())
    }
}
