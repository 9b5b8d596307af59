//! What an export's manifests say: which files are a billing period's current execution.
//!
//! Owns the reading of manifests ([`Manifest`]) and the choice among them ([`executions`]). Knows
//! nothing of where files lie or how they are listed; keys are text with `/` between folders.
//! Invariant: a file that is chosen is in the listing, under the place that was listed, of the size
//! that its manifest tells; a period is chosen once.
//!
//! Sources: AWS, "Understanding export delivery" and "Data Exports manifest file reference" (Data
//! Exports), "Viewing Cost and Usage Reports files" (legacy reports); Microsoft, "Cost Management
//! exports: manifest file".

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use thiserror::Error;

use crate::cost::Month;

mod manifest;
#[cfg(test)]
mod tests;

pub use manifest::{Kind, Manifest, Named, is_manifest};

/// Bytes of a manifest; AWS's list every column and stay far below.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Files that one manifest may name.
pub const FILES_MAX: usize = 20_000;

/// Why manifests were not obeyed. Nothing is ingested then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is not what such a manifest is.
    #[error("{key}: {reason}; deliver it again")]
    Broken {
        /// The manifest.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// It is too large, or names too many files.
    #[error("{key} is no export's manifest: {reason}")]
    TooLarge {
        /// The manifest.
        key: String,
        /// What there is too much of.
        reason: String,
    },
    /// It names a file in another bucket, or outside of what is ingested.
    #[error("{key} names {file}, which is outside of what is ingested; ingest the export's root")]
    Outside {
        /// The manifest.
        key: String,
        /// The file, as it is named.
        file: String,
    },
    /// A file that it names was not delivered.
    #[error("{key} names {file}, which is not there; ingest it again when it is delivered whole")]
    Missing {
        /// The manifest.
        key: String,
        /// The file, as it is named.
        file: String,
    },
    /// A file that it names has another size.
    #[error("{key} says that {file} has {told} bytes, it has {found}; deliver it again")]
    Size {
        /// The manifest.
        key: String,
        /// The file, as it is named.
        file: String,
        /// Bytes by the manifest.
        told: u64,
        /// Bytes by the listing.
        found: u64,
    },
    /// Two executions share days and neither stands for the other.
    #[error("{one} and {other} share days, so that charges would count twice; ingest one of them")]
    Overlap {
        /// A manifest.
        one: String,
        /// Another one.
        other: String,
    },
    /// Two executions of one period, and nothing says which is newer.
    #[error("nothing says which of {one} and {other} is newer; take the older one away")]
    Ambiguous {
        /// A manifest.
        one: String,
        /// Another one.
        other: String,
    },
    /// Two exports in one place.
    #[error("{one} and {other} are two exports of one month; ingest each as a source of its own")]
    Several {
        /// A manifest.
        one: String,
        /// Another one.
        other: String,
    },
}

/// What was listed: where, and which keys below it.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The bucket; none for a folder.
    pub bucket: Option<String>,
    /// What the bucket's own keys begin with, without `/` at its end; empty for a folder.
    pub prefix: String,
    /// Keys below the prefix, with their bytes and when they were written.
    pub files: BTreeMap<String, (u64, Timestamp)>,
}

/// The files of one or more whole billing periods, delivered by one execution or by several that
/// have parts of a month each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// What the provider calls it, one for each of its manifests; none where it has no name.
    pub ids: Vec<Option<String>>,
    /// Its manifests' keys.
    pub manifests: Vec<String>,
    /// Keys of its files, in the order of their names.
    pub files: Vec<String>,
    /// Rows that its files have together, where the manifests tell.
    pub rows: Option<u64>,
    /// The first and the last billing period.
    pub months: (Month, Month),
}

/// Chooses among manifests: of each period the newest execution, each with the files it names.
/// Executions that name no files are left out. In the order of their periods.
pub fn executions(
    listing: &Listing,
    manifests: Vec<Manifest>,
) -> Result<Vec<Execution>, ManifestError> {
    let current = newest(listing, manifests)?;
    let mut chosen: Vec<Execution> = Vec::new();
    let mut before: Option<Manifest> = None;
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for manifest in current {
        let first = manifest.months();
        if let Some(before) = &before {
            apart(before, &manifest)?;
        }
        let files = files(listing, &manifest)?;
        for file in &files {
            if let Some(one) = taken.insert(file.clone(), manifest.key.clone()) {
                return Err(ManifestError::Overlap { one, other: manifest.key });
            }
        }
        let last = chosen.last_mut().filter(|last| last.months.1 >= first.0);
        match last {
            Some(last) => {
                last.months.1 = last.months.1.max(first.1);
                last.ids.push(manifest.execution.clone());
                last.manifests.push(manifest.key.clone());
                last.files.extend(files);
                last.rows = last.rows.zip(manifest.rows).and_then(|(a, b)| a.checked_add(b));
            }
            None => chosen.push(Execution {
                ids: vec![manifest.execution.clone()],
                manifests: vec![manifest.key.clone()],
                files,
                rows: manifest.rows,
                months: first,
            }),
        }
        // The one that reaches furthest is what later ones must not touch.
        if before.as_ref().is_none_or(|before| before.span.1 <= manifest.span.1) {
            before = Some(manifest);
        }
    }
    chosen.retain(|execution| !execution.files.is_empty());
    chosen.iter_mut().for_each(|execution| execution.files.sort_unstable());
    Ok(chosen)
}

/// Of each export and first day the newest manifest, in the order of first days.
fn newest(listing: &Listing, manifests: Vec<Manifest>) -> Result<Vec<Manifest>, ManifestError> {
    let mut groups: BTreeMap<(Date, String), Vec<Manifest>> = BTreeMap::new();
    for manifest in manifests {
        let group = (manifest.span.0, manifest.export.clone());
        groups.entry(group).or_default().push(manifest);
    }
    let mut current = Vec::new();
    for mut group in groups.into_values() {
        let rank = |manifest: &Manifest| {
            let modified = listing.files.get(&manifest.key).map(|(_, modified)| *modified);
            // One above the folders of executions always tells of the newest.
            let depth = manifest.key.matches('/').count();
            (std::cmp::Reverse(depth), manifest.written, modified)
        };
        group.sort_by_key(rank);
        let Some(best) = group.pop() else { continue };
        if let Some(next) = group.pop()
            && rank(&next) == rank(&best)
            && (next.execution != best.execution || best.execution.is_none())
        {
            return Err(ManifestError::Ambiguous { one: next.key, other: best.key });
        }
        current.push(best);
    }
    Ok(current)
}

/// Two executions that both count share no day, and no month unless they are of one export.
fn apart(one: &Manifest, other: &Manifest) -> Result<(), ManifestError> {
    let (one_key, other_key) = (one.key.clone(), other.key.clone());
    if one.export != other.export && one.months().1 >= other.months().0 {
        return Err(ManifestError::Several { one: one_key, other: other_key });
    }
    if other.span.0 < one.span.1 {
        return Err(ManifestError::Overlap { one: one_key, other: other_key });
    }
    Ok(())
}

/// The keys of a manifest's files.
fn files(listing: &Listing, manifest: &Manifest) -> Result<Vec<String>, ManifestError> {
    let mut keys = BTreeSet::new();
    for named in &manifest.files {
        let key = place(listing, manifest, named)?;
        let missing =
            || ManifestError::Missing { key: manifest.key.clone(), file: named.name.clone() };
        let (found, _) = listing.files.get(&key).ok_or_else(missing)?;
        if let Some(told) = named.bytes
            && told != *found
        {
            return Err(ManifestError::Size {
                key: manifest.key.clone(),
                file: named.name.clone(),
                told,
                found: *found,
            });
        }
        // One that is named twice is read once.
        keys.insert(key);
    }
    Ok(keys.into_iter().collect())
}

/// Where a file that a manifest names is in the listing.
fn place(listing: &Listing, manifest: &Manifest, named: &Named) -> Result<String, ManifestError> {
    let outside = || ManifestError::Outside { key: manifest.key.clone(), file: named.name.clone() };
    let (bucket, key) = match named.name.strip_prefix("s3://") {
        Some(rest) => {
            let (bucket, key) = rest.split_once('/').ok_or_else(outside)?;
            (Some(bucket), key)
        }
        None => (manifest.bucket.as_deref(), named.name.as_str()),
    };
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if key.split('/').any(odd) || key.contains(['\\', '\0']) {
        return Err(outside());
    }
    if manifest.kind == Kind::Azure {
        // Its files are beside it, in the folder of its run; the container's name is not told.
        let (folder, file) = key.rsplit_once('/').unwrap_or(("", key));
        let own = manifest.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let (run, own_run) = (folder.rsplit('/').next(), own.rsplit('/').next());
        if !own.is_empty() && run != own_run {
            return Err(outside());
        }
        return Ok(if own.is_empty() { file.to_owned() } else { format!("{own}/{file}") });
    }
    if let Some(ours) = &listing.bucket {
        if bucket.is_some_and(|bucket| bucket != ours) {
            return Err(outside());
        }
        let below = match listing.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
        };
        return below.map(str::to_owned).ok_or_else(outside);
    }
    // A copy in a folder begins anywhere in the bucket: the longest end of the key that is there.
    let mut rest = key;
    loop {
        if listing.files.contains_key(rest) {
            return Ok(rest.to_owned());
        }
        match rest.split_once('/') {
            Some((_, after)) => rest = after,
            None => {
                let (key, file) = (manifest.key.clone(), named.name.clone());
                return Err(ManifestError::Missing { key, file });
            }
        }
    }
}
