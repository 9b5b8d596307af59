//! Small files become large ones, and what no version needs goes.
//!
//! Owns both ways of tidying. Invariant: compaction changes no charge and no sum (both are counted
//! again before the commit), and a file that a kept version needs is never deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array},
    compute::cast,
    datatypes::SchemaRef,
};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use thiserror::Error;
use uuid::Uuid;

use crate::{
    aggregate,
    commit::LogError,
    import::blocking,
    lake::{Answer, Lake},
    limit::Limits,
    manifest::{Commit, DataFile, Dataset, FORMAT, Import, Operation, State},
    partition::{Partitions, WriteError, Written},
    publish::place,
    schema,
    storage::{SCRATCH, StorageError},
};

#[cfg(test)]
mod tests;

/// Files below this size are small.
const SMALL: u64 = 64 << 20;
/// Bytes of small files that are put together at once.
const TOGETHER_MAX: u64 = 512 << 20;
/// Rows that are read at once.
const BATCH_ROWS: usize = 16_384;

/// Why the lake was not tidied.
#[derive(Debug, Error)]
pub enum CompactError {
    /// The log can't be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The files can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of the lake is gone.
    #[error("the lake's {0} is gone; restore it from a backup of the lake")]
    Gone(String),
    /// What came out is not what went in.
    #[error("compacting {source_} of {period} would have changed it ({what}); nothing was changed")]
    Changed {
        /// Whose charges.
        source_: String,
        /// Of which month.
        period: String,
        /// What differs.
        what: &'static str,
    },
}

impl From<StorageError> for CompactError {
    fn from(error: StorageError) -> Self {
        Self::Write(error.into())
    }
}

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were put together.
    pub before: usize,
    /// Files that they became.
    pub after: usize,
}

/// What a sweep took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Versions that can't be read any more.
    pub versions: u64,
    /// Files that no version needs.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Puts the small files of each source and month together.
    pub fn compact(&self) -> Answer<'_, Result<Compacted, CompactError>> {
        Box::pin(async move {
            let mut done = Compacted::default();
            for import in self.refreshed().await?.imports {
                let Some((new, small)) = rewritten(self, &import).await? else { continue };
                let counts = (small.len(), new.files.len() + small.len() - import.files.len());
                let state = self.refreshed().await?;
                let decide = |state: &State| Ok::<_, CompactError>(commit(state, &import, &new));
                let (state, changed) = self.log().append(state, decide).await?;
                self.set_state(state);
                if changed {
                    done.before += counts.0;
                    done.after += counts.1;
                }
            }
            Ok(done)
        })
    }

    /// Forgets versions that are older than `keep`, and deletes files that no version needs once
    /// they are older than `grace`: an ingest that is still running has files that none needs yet.
    pub fn sweep(
        &self,
        keep: Duration,
        grace: Duration,
    ) -> Answer<'_, Result<Swept, CompactError>> {
        Box::pin(async move {
            let mut swept = Swept::default();
            let now = Timestamp::now();
            let before = |age: Duration| {
                let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
                now.checked_sub(age).unwrap_or(Timestamp::MIN)
            };
            let history = self.log().history().await?;
            let old = history.iter().filter(|commit| commit.at <= before(keep));
            // The newest of the old versions was the lake's state at that time: it stays.
            if let Some(first) = old.max_by_key(|commit| commit.version) {
                let state = self.log().at(focus::cost::AsOf::Version(first.version)).await?;
                self.log().write_checkpoint(&state).await?;
                swept.versions = self.log().forget_before(first.version).await?;
            }
            // Before the log is read: files are named by their stretch until a commit names them.
            let (held, gone) = crate::stretch::sweep(self.storage()).await?;
            swept.files += gone;
            let mut needed = self.needed().await?;
            needed.extend(held);
            for folder in ["data", "quarantine", SCRATCH] {
                for stored in self.storage().list(folder, None).await? {
                    if !needed.contains(&stored.path) && stored.modified <= before(grace) {
                        self.storage().delete(&stored.path).await?;
                        swept.files += 1;
                        swept.bytes += stored.bytes;
                    }
                }
            }
            Ok(swept)
        })
    }

    /// Every path that some version names.
    async fn needed(&self) -> Result<BTreeSet<String>, CompactError> {
        let mut needed = BTreeSet::new();
        let mut keep = |paths: &mut dyn Iterator<Item = &str>| {
            paths.for_each(|path| {
                needed.insert(path.to_owned());
            });
        };
        for checkpoint in self.log().checkpoints().await? {
            let state = self.log().at(focus::cost::AsOf::Version(checkpoint)).await?;
            keep(&mut state.paths());
        }
        for commit in self.log().history().await? {
            let files = commit.added.iter().flat_map(|import| &import.files);
            keep(&mut files.map(|file| file.path.as_str()));
            keep(&mut commit.quarantined.iter().map(|quarantine| quarantine.path.as_str()));
        }
        keep(&mut self.refreshed().await?.paths());
        Ok(needed)
    }
}

fn commit(state: &State, import: &Import, new: &Import) -> Option<Commit> {
    // It was restated meanwhile: what was put together is nobody's.
    state.imports.iter().find(|found| found.id == import.id)?;
    Some(Commit {
        format: FORMAT,
        version: 0,
        at: Timestamp::MIN,
        operation: Operation::Compact,
        removed: vec![import.id],
        added: vec![new.clone()],
        released: Vec::new(),
        quarantined: Vec::new(),
    })
}

/// The import with its small files put together, and which they were; `None` if there is nothing to
/// gain.
async fn rewritten(
    lake: &Lake,
    import: &Import,
) -> Result<Option<(Import, Vec<DataFile>)>, CompactError> {
    let charges = gain(import, Dataset::Charges);
    let days = gain(import, Dataset::Days);
    if charges.is_empty() && days.is_empty() {
        return Ok(None);
    }
    let mut new = import.clone();
    new.id = Uuid::now_v7();
    new.files.retain(|file| !charges.contains(file) && !days.contains(file));
    if !charges.is_empty() {
        let written = rewrite(lake, import, &charges).await?;
        check(import, &charges, &written)?;
        for finished in written.files {
            new.files.push(place(lake, Dataset::Charges, finished).await?);
        }
    }
    if !days.is_empty() {
        let mut batches = Vec::new();
        for file in &days {
            batches.extend(batches_of(read(lake, file).await?, schema::days())?);
        }
        let storage = lake.storage().clone();
        let merged = blocking(move || aggregate::regroup(&storage, &batches)).await?;
        if let Some(finished) = merged {
            new.files.push(place(lake, Dataset::Days, finished).await?);
        }
    }
    Ok(Some((new, [charges, days].concat())))
}

/// The small files of which several can become one.
fn gain(import: &Import, dataset: Dataset) -> Vec<DataFile> {
    let small = import.files.iter().filter(|f| f.dataset == dataset && f.bytes < SMALL);
    let mut by_provider: BTreeMap<&str, Vec<DataFile>> = BTreeMap::new();
    for file in small {
        by_provider.entry(&file.provider).or_default().push(file.clone());
    }
    let mut bytes = 0;
    let several = by_provider.into_values().filter(|files| files.len() > 1).flatten();
    several
        .take_while(|file| {
            bytes += file.bytes;
            bytes <= TOGETHER_MAX
        })
        .collect()
}

async fn read(lake: &Lake, file: &DataFile) -> Result<Bytes, CompactError> {
    lake.storage().read(&file.path).await?.ok_or_else(|| CompactError::Gone(file.path.clone()))
}

async fn rewrite(
    lake: &Lake,
    import: &Import,
    files: &[DataFile],
) -> Result<Written, CompactError> {
    let schema = schema::charges(import.columns.iter().map(String::as_str));
    let limits = Limits::default();
    let (storage, bytes, most) = (lake.storage().clone(), limits.write_bytes, limits.partitions);
    let mut partitions = Partitions::new(storage, Arc::clone(&schema), bytes, most);
    for file in files {
        let (bytes, schema) = (read(lake, file).await?, Arc::clone(&schema));
        partitions = blocking(move || {
            let mut partitions = partitions;
            for batch in batches_of(bytes, schema)? {
                partitions.write(&batch)?;
            }
            Ok::<_, CompactError>(partitions)
        })
        .await?;
    }
    Ok(blocking(move || partitions.finish()).await?)
}

/// Rows of a file in this schema; columns that it lacks are null.
fn batches_of(bytes: Bytes, schema: SchemaRef) -> Result<Vec<RecordBatch>, WriteError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build()?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch?;
        let columns =
            schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
                Some(column) => cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
    }
    Ok(batches)
}

fn check(import: &Import, files: &[DataFile], written: &Written) -> Result<(), CompactError> {
    let changed = |what| CompactError::Changed {
        source_: import.source.clone(),
        period: import.period.to_string(),
        what,
    };
    let (before, after): (u64, u64) =
        (files.iter().map(|file| file.rows).sum(), written.rows.values().sum());
    if before != after {
        return Err(changed("rows"));
    }
    if written.rows.keys().any(|period| *period != import.period) {
        return Err(changed("billing period"));
    }
    // Sums are known of all charges together.
    let all = import.files.iter().filter(|file| file.dataset == Dataset::Charges).count();
    if files.len() == all && written.sums.get(&import.period) != Some(&import.sums) {
        return Err(changed("sums"));
    }
    Ok(())
}
