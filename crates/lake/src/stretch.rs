//! Stretches of a delivery: what of it is written and waits for the rest.
//!
//! Owns the records that say so, by which an ingest that was killed goes on behind the last one. A
//! record lies in `stretch/`, named by all that makes its outcome what it is (the files as they
//! were listed, and every setting that changes what becomes of them) and by a number that nobody
//! else has: two ingests of one delivery never write into each other's. Knows nothing of how rows
//! are read. Invariant: a record names only files that are stored already, and they hold all rows of
//! its stretch; none of them counts before the one commit that names those of every stretch.

use std::collections::{BTreeMap, BTreeSet};

use focus::cost::Month;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    findings::Tally,
    import::Options,
    manifest::{DataFile, Sums},
    odd::Odd,
    partition::{WriteError, Written},
    source::Part,
    storage::{Storage, StorageError, Stored},
};

#[cfg(test)]
mod tests;

/// The form of the records, and what rows become: another one begins anew.
const FORM: u32 = 1;
pub(crate) const STRETCHES: &str = "stretch";
/// How long a record is taken over.
const TAKEN_OVER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long it keeps its files from being swept up: an ingest that took it over at the last moment
/// has two days to commit.
const HELD: SignedDuration = SignedDuration::from_hours(9 * 24);

/// What the headers of all files say, as the ingest that began has read them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    /// The last file's.
    pub(crate) header: Vec<String>,
    pub(crate) focus: String,
    pub(crate) custom: BTreeSet<String>,
    /// A line a file.
    pub(crate) files: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Rows that were kept apart, in a file that is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Apart {
    pub(crate) id: Uuid,
    pub(crate) path: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) periods: BTreeSet<Month>,
    pub(crate) rules: BTreeMap<String, u64>,
}

/// What came of a stretch; its files are stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) files: Vec<(Month, DataFile)>,
    pub(crate) sums: BTreeMap<Month, BTreeMap<String, Sums>>,
    pub(crate) rows: BTreeMap<Month, u64>,
    pub(crate) apart: Vec<Apart>,
    pub(crate) tally: Tally,
    pub(crate) odd: Odd,
    /// Of the bytes of its files.
    pub(crate) hash: String,
    /// Rows that were read, whatever became of them.
    pub(crate) read: u64,
}

impl Stretch {
    /// Both together; the hash is not.
    pub(crate) fn add(&mut self, other: Self) -> Result<(), WriteError> {
        self.files.extend(other.files);
        let taken = |sums, rows| Written { files: Vec::new(), sums, rows };
        let mut written = taken(std::mem::take(&mut self.sums), std::mem::take(&mut self.rows));
        written.add(taken(other.sums, other.rows))?;
        (self.sums, self.rows) = (written.sums, written.rows);
        self.apart.extend(other.apart);
        self.tally.add(other.tally);
        self.odd.add(other.odd)?;
        self.read += other.read;
        Ok(())
    }

    fn paths(&self) -> impl Iterator<Item = (&str, u64)> {
        let data = self.files.iter().map(|(_, file)| (file.path.as_str(), file.bytes));
        data.chain(self.apart.iter().map(|apart| (apart.path.as_str(), apart.bytes)))
    }
}

/// The hash of a delivery, from those of its stretches.
pub(crate) fn hash(stretches: &[String]) -> String {
    match stretches {
        [only] => only.clone(),
        stretches => blake3::hash(stretches.join("\n").as_bytes()).to_hex().to_string(),
    }
}

/// What is named for a delivery's records; none where its files may change without a trace.
pub(crate) fn name(place: &str, part: &Part, source: &str, options: &Options) -> Option<String> {
    let listing = part.listing.as_ref()?;
    let limits = options.limits;
    let settings = (options.version, options.lacking, options.on_invalid);
    let bounds = (limits.record_bytes, limits.expansion, limits.columns, limits.partitions);
    let names = (&options.execution, &part.execution);
    let all = format!(
        "{FORM}\n{}\n{place:?}\n{source:?}\n{listing}\n{names:?}\n{settings:?}\n{bounds:?}\n{}",
        env!("CARGO_PKG_VERSION"),
        limits.stretch_bytes,
    );
    Some(blake3::hash(all.as_bytes()).to_hex().to_string())
}

#[derive(Serialize, Deserialize)]
struct Record {
    form: u32,
    /// In that of the first stretch.
    described: Option<Described>,
    stretch: Stretch,
}

/// The stretches of one delivery, in their order.
pub(crate) struct Stretches {
    storage: Storage,
    name: Option<String>,
    done: Vec<Stretch>,
    described: Option<Described>,
}

impl Stretches {
    /// What earlier ingests have left of a delivery, up to the first stretch that is missing.
    pub(crate) async fn open(
        storage: &Storage,
        name: Option<String>,
        count: usize,
    ) -> Result<Self, StorageError> {
        let mut all = Self { storage: storage.clone(), name, done: Vec::new(), described: None };
        let Some(name) = all.name.clone() else { return Ok(all) };
        let mut stored = storage.list(STRETCHES, None).await?;
        let youngest = before(TAKEN_OVER);
        stored.retain(|one| one.modified >= youngest && number(&one.path, &name).is_some());
        while all.done.len() < count {
            let wanted = |one: &&Stored| number(&one.path, &name) == Some(all.done.len());
            let mut found = None;
            for one in stored.iter().filter(wanted) {
                found = usable(storage, &one.path).await?;
                if found.is_some() {
                    break;
                }
            }
            let Some(record) = found else { break };
            if all.done.is_empty() {
                all.described = record.described;
            }
            all.done.push(record.stretch);
        }
        Ok(all)
    }

    /// What the headers say, where a stretch was there already.
    pub(crate) const fn described(&self) -> Option<&Described> {
        self.described.as_ref()
    }

    pub(crate) fn count(&self) -> usize {
        self.done.len()
    }

    /// Rows that were read in all of them.
    pub(crate) fn read(&self) -> u64 {
        self.done.iter().map(|stretch| stretch.read).sum()
    }

    pub(crate) fn hash(&self) -> String {
        let hashes: Vec<String> = self.done.iter().map(|stretch| stretch.hash.clone()).collect();
        hash(&hashes)
    }

    /// Adds the next one; it is written down if others are to find it.
    pub(crate) async fn add(
        &mut self,
        stretch: Stretch,
        described: &Described,
    ) -> Result<(), StorageError> {
        if let Some(name) = &self.name {
            let number = self.done.len();
            let described = (number == 0).then(|| described.clone());
            let record = Record { form: FORM, described, stretch };
            let path = format!("{STRETCHES}/{name}-{number:06}-{}.json", Uuid::now_v7());
            match serde_json::to_vec(&record) {
                Ok(bytes) => {
                    self.storage.put_new(&path, bytes.into()).await?;
                }
                Err(error) => tracing::warn!(%error, "a stretch can't be taken over later"),
            }
            self.done.push(record.stretch);
        } else {
            self.done.push(stretch);
        }
        Ok(())
    }

    /// All of them, to be committed.
    pub(crate) fn take(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.done)
    }

    /// Takes the records away: a commit names their files. One that stays is swept up later.
    pub(crate) async fn forget(&self) {
        let Some(name) = &self.name else { return };
        let stored = match self.storage.list(STRETCHES, None).await {
            Ok(stored) => stored,
            Err(error) => return tracing::warn!(%error, "records of stretches stay for a while"),
        };
        for one in stored.iter().filter(|one| number(&one.path, name).is_some()) {
            if let Err(error) = self.storage.delete(&one.path).await {
                tracing::warn!(%error, "a record of a stretch stays for a while");
            }
        }
    }
}

/// A record whose files are all there; what can't be used is as good as none.
async fn usable(storage: &Storage, path: &str) -> Result<Option<Record>, StorageError> {
    let Some(record) = record(storage, path).await?.filter(|record| record.form == FORM) else {
        return Ok(None);
    };
    for (path, bytes) in record.stretch.paths() {
        if storage.size(path).await? != Some(bytes) {
            return Ok(None);
        }
    }
    Ok(Some(record))
}

async fn record(storage: &Storage, path: &str) -> Result<Option<Record>, StorageError> {
    let Some(bytes) = storage.read(path).await? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Which stretch of the delivery of this name a record is of.
fn number(path: &str, name: &str) -> Option<usize> {
    let rest = path.strip_prefix(STRETCHES)?.strip_prefix('/')?.strip_prefix(name)?;
    rest.strip_prefix('-')?.get(..6)?.parse().ok()
}

fn before(age: SignedDuration) -> Timestamp {
    Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Takes away the records that nobody has come back to, and says which files the others need.
pub(crate) async fn sweep(storage: &Storage) -> Result<(BTreeSet<String>, u64), StorageError> {
    let (mut needed, mut gone) = (BTreeSet::new(), 0);
    let oldest = before(HELD);
    for one in storage.list(STRETCHES, None).await? {
        if one.modified < oldest {
            storage.delete(&one.path).await?;
            gone += 1;
        } else if let Some(record) = record(storage, &one.path).await? {
            needed.extend(record.stretch.paths().map(|(path, _)| path.to_owned()));
        }
    }
    Ok((needed, gone))
}
