//! Parquet bills: their header, and their row groups as batches.
//!
//! Owns the look at a file's end before anything of it is read. Invariant: a file that says it
//! holds far more than it can is refused.

use std::{fs::File, path::Path, sync::Arc};

use arrow::array::ArrayRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use crate::{convert, csv::Refusal, limit::Limits};

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// Bytes of one column in one row group, unpacked.
const CHUNK_MAX: i64 = 2 << 30;

fn refuse(say: impl Into<String>) -> Refusal {
    Refusal { line: 0, say: say.into() }
}

fn broken(error: impl std::fmt::Display) -> Refusal {
    refuse(format!("not a whole Parquet file ({error}); deliver it again"))
}

/// A row group of a file.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) index: usize,
    /// The first row's number in the file, from 1.
    pub(crate) row: u64,
}

/// What is known of a file from its end.
#[derive(Debug, Clone)]
pub(crate) struct Foot {
    metadata: ArrowReaderMetadata,
}

impl Foot {
    pub(crate) fn open(path: &Path, bytes: u64, limits: Limits) -> Result<Self, Refusal> {
        let file = File::open(path).map_err(|e| refuse(format!("it can't be opened: {e}")))?;
        // A schema of arrow's own inside the file is no more to be trusted than the rest.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(broken)?;
        let foot = Self { metadata };
        foot.check(bytes, limits)?;
        Ok(foot)
    }

    fn check(&self, bytes: u64, limits: Limits) -> Result<(), Refusal> {
        let file = self.metadata.metadata();
        let most = bytes.saturating_mul(limits.expansion).max(1 << 30);
        let (mut unpacked, mut rows) = (0u64, 0u64);
        for group in file.row_groups() {
            unpacked =
                unpacked.saturating_add(u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX));
            rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
            if group.columns().iter().any(|column| column.uncompressed_size() > CHUNK_MAX) {
                return Err(refuse(
                    "a column of one row group has over 2 GiB; write smaller groups",
                ));
            }
        }
        if unpacked > most || rows > most {
            let say = format!("it unpacks to over {} times its size", limits.expansion);
            return Err(refuse(say));
        }
        Ok(())
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut row = 1;
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        groups
            .map(|(index, group)| {
                let first = row;
                row += u64::try_from(group.num_rows()).unwrap_or(0);
                Group { index, row: first }
            })
            .collect()
    }

    /// Reads one row group.
    pub(crate) fn read(&self, path: &Path, group: usize) -> Result<Batches, Refusal> {
        let file = File::open(path).map_err(|e| refuse(format!("it can't be opened: {e}")))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let reader = builder.with_row_groups(vec![group]).with_batch_size(BATCH_ROWS).build();
        Ok(Batches(reader.map_err(broken)?))
    }
}

/// Rows of a row group, a batch at a time.
pub(crate) struct Batches(ParquetRecordBatchReader);

impl Iterator for Batches {
    type Item = Result<Vec<ArrayRef>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.0.next()?;
        // AWS writes empty texts where there is nothing.
        let columns = batch.and_then(|batch| batch.columns().iter().map(convert::told).collect());
        Some(columns.map_err(broken))
    }
}

/// The columns' names, and those that are floats.
pub(crate) fn header(
    path: &Path,
    bytes: u64,
    limits: Limits,
) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let foot = Foot::open(path, bytes, limits)?;
    let schema = Arc::clone(foot.metadata.schema());
    let names = schema.fields().iter().map(|field| field.name().trim().to_owned()).collect();
    let floats = schema.fields().iter().filter(|field| convert::is_float(field.data_type()));
    Ok((names, floats.map(|field| field.name().clone()).collect()))
}
