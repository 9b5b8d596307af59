//! Files of charges, one after the other filled, by billing period and provider.
//!
//! Owns the writers that are open and what they may hold in memory. Invariant: what waits in memory
//! stays under the limit; when it does not, the fullest writer gives it to its file.

use std::{collections::BTreeMap, io::BufWriter, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{filter_record_batch, take_record_batch},
    datatypes::{Decimal128Type, SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use focus::cost::Month;
use focus::{Column, Decimal};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::{
    findings::{Findings, Rule},
    manifest::Sums,
    schema::DAY_SUMS,
    storage::{Storage, StorageError},
};

/// Rows that are compressed together.
const GROUP_ROWS: usize = 262_144;
/// Bytes of one column's distinct values: as many resources as a large account has.
const DICTIONARY_MAX: usize = 4 << 20;
/// Rows of one file; the next are another's.
const FILE_ROWS: u64 = 8_000_000;
/// Files open at once.
const OPEN_MAX: usize = 24;

/// Why charges were not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The place refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The columns don't fit together.
    #[error("writing charges: {0}")]
    Arrow(#[from] ArrowError),
    /// The file can't be written.
    #[error("writing charges: {0}")]
    Parquet(#[from] ParquetError),
    /// More partitions than a bill has.
    #[error("the bill has over {0} billing periods and providers; are they in the right columns?")]
    Partitions(usize),
    /// A sum beyond 38 digits.
    #[error("the costs of {0} add up to more than 38 digits")]
    Sum(Month),
}

/// A file that is finished and not yet published.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) period: Month,
    pub(crate) provider: String,
    pub(crate) file: NamedTempFile,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Finished {
    pub(crate) fn new(
        period: Month,
        provider: String,
        file: NamedTempFile,
        rows: u64,
    ) -> Result<Self, WriteError> {
        let meta = file.as_file().metadata();
        let bytes = meta.map_err(|e| crate::storage::file("read", file.path(), e))?.len();
        Ok(Self { period, provider, file, rows, bytes })
    }
}

/// How every file of the lake is written.
pub(crate) fn properties(schema: &SchemaRef) -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_dictionary_page_size_limit(DICTIONARY_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_created_by("bursar".to_owned());
    // Bounds of time leave row groups out; those of names and amounts would span everything.
    for field in schema.fields().iter().filter(|field| field.data_type().is_temporal()) {
        let path = ColumnPath::from(field.name().as_str());
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    properties.build()
}

struct Open {
    writer: ArrowWriter<BufWriter<std::fs::File>>,
    file: NamedTempFile,
    rows: u64,
    used: u64,
}

/// Writers of one worker.
pub(crate) struct Partitions {
    storage: Storage,
    schema: SchemaRef,
    properties: WriterProperties,
    memory_max: usize,
    partitions_max: usize,
    open: BTreeMap<(Month, Arc<str>), Open>,
    seen: std::collections::BTreeSet<(Month, Arc<str>)>,
    finished: Vec<Finished>,
    sums: BTreeMap<Month, BTreeMap<String, Sums>>,
    rows: BTreeMap<Month, u64>,
    clock: u64,
}

/// What a worker wrote.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) files: Vec<Finished>,
    pub(crate) sums: BTreeMap<Month, BTreeMap<String, Sums>>,
    pub(crate) rows: BTreeMap<Month, u64>,
}

impl Written {
    pub(crate) fn add(&mut self, other: Self) -> Result<(), WriteError> {
        self.files.extend(other.files);
        for (period, rows) in other.rows {
            *self.rows.entry(period).or_default() += rows;
        }
        for (period, currencies) in other.sums {
            let mine = self.sums.entry(period).or_default();
            for (currency, sums) in currencies {
                let sum = mine.entry(currency).or_default();
                *sum = sum.checked_add(sums).ok_or(WriteError::Sum(period))?;
            }
        }
        Ok(())
    }
}

impl Partitions {
    pub(crate) fn new(
        storage: Storage,
        schema: SchemaRef,
        memory_max: usize,
        partitions_max: usize,
    ) -> Self {
        let properties = properties(&schema);
        Self {
            storage,
            schema,
            properties,
            memory_max,
            partitions_max,
            open: BTreeMap::new(),
            seen: std::collections::BTreeSet::new(),
            finished: Vec::new(),
            sums: BTreeMap::new(),
            rows: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Rows without a billing period or a provider are findings here.
    pub(crate) fn check(batch: &RecordBatch, findings: &mut Findings) {
        let start = column(batch, Column::BillingPeriodStart);
        let start = start.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let month = start.is_valid(row).then(|| Month::of_micros(start.value(row))).flatten();
            if month.is_none() && !findings.is_broken(row) {
                let say = "BillingPeriodStart is missing: no billing period to keep it in".into();
                findings.broken(row, Rule::Period, say);
            }
        }
    }

    /// Writes rows into their partitions.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        for (key, rows) in split(batch) {
            let part = match rows {
                None => batch.clone(),
                Some(rows) => take_record_batch(batch, &UInt32Array::from(rows))?,
            };
            self.write_part(key, &part)?;
        }
        self.relieve()
    }

    fn write_part(&mut self, key: (Month, Arc<str>), part: &RecordBatch) -> Result<(), WriteError> {
        self.add_sums(key.0, part)?;
        self.clock += 1;
        if !self.open.contains_key(&key) {
            self.seen.insert(key.clone());
            if self.seen.len() > self.partitions_max {
                return Err(WriteError::Partitions(self.partitions_max));
            }
            let open = self.create()?;
            self.open.insert(key.clone(), open);
        }
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        open.writer.write(part)?;
        open.rows += part.num_rows() as u64;
        open.used = self.clock;
        if open.rows >= FILE_ROWS {
            self.close(&key)?;
        }
        Ok(())
    }

    fn create(&self) -> Result<Open, WriteError> {
        let file = self.storage.scratch()?;
        let handle = file.reopen().map_err(|e| crate::storage::file("open", file.path(), e))?;
        let buffered = BufWriter::with_capacity(1 << 20, handle);
        let schema = Arc::clone(&self.schema);
        let writer = ArrowWriter::try_new(buffered, schema, Some(self.properties.clone()))?;
        Ok(Open { writer, file, rows: 0, used: self.clock })
    }

    /// Closes files that were not written for longest, and empties the fullest.
    fn relieve(&mut self) -> Result<(), WriteError> {
        while self.open.len() > OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.close(&key)?;
        }
        let held: usize = self.open.values().map(|open| open.writer.memory_size()).sum();
        if held > self.memory_max
            && let Some(open) = self.open.values_mut().max_by_key(|open| open.writer.memory_size())
        {
            open.writer.flush()?;
        }
        Ok(())
    }

    fn close(&mut self, key: &(Month, Arc<str>)) -> Result<(), WriteError> {
        let Some(open) = self.open.remove(key) else { return Ok(()) };
        open.writer.close()?;
        let finished = Finished::new(key.0, key.1.to_string(), open.file, open.rows)?;
        self.finished.push(finished);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Written, WriteError> {
        let keys: Vec<_> = self.open.keys().cloned().collect();
        for key in keys {
            self.close(&key)?;
        }
        Ok(Written { files: self.finished, sums: self.sums, rows: self.rows })
    }

    fn add_sums(&mut self, period: Month, batch: &RecordBatch) -> Result<(), WriteError> {
        *self.rows.entry(period).or_default() += batch.num_rows() as u64;
        let costs = DAY_SUMS.map(|cost| column(batch, cost).as_primitive::<Decimal128Type>());
        let currencies = column(batch, Column::BillingCurrency).as_string::<i32>();
        let too_large = || WriteError::Sum(period);
        // Bills keep to one currency for long: sum up runs of it.
        let mut row = 0;
        while row < batch.num_rows() {
            let currency = text(currencies, row);
            let mut sums = [0i128; 4];
            while row < batch.num_rows() && text(currencies, row) == currency {
                for (sum, cost) in sums.iter_mut().zip(&costs) {
                    if cost.is_valid(row) {
                        *sum = sum.checked_add(cost.value(row)).ok_or_else(too_large)?;
                    }
                }
                row += 1;
            }
            let [billed, effective, list, contracted] = sums.map(Decimal::amount);
            let sums = Sums { billed, effective, list, contracted };
            let mine = self.sums.entry(period).or_default();
            let sum = match mine.get_mut(currency) {
                Some(sum) => sum,
                None => mine.entry(currency.to_owned()).or_default(),
            };
            *sum = sum.checked_add(sums).ok_or_else(too_large)?;
        }
        Ok(())
    }
}

/// A column of FOCUS 1.4; the first 65 columns of every batch of charges are these.
pub(crate) fn column(batch: &RecordBatch, column: Column) -> &ArrayRef {
    batch.column(column as usize)
}

fn text(array: &arrow::array::StringArray, row: usize) -> &str {
    if array.is_valid(row) { array.value(row) } else { "" }
}

/// Rows by partition; `None` where all rows are of one.
type Parts = Vec<((Month, Arc<str>), Option<Vec<u32>>)>;

fn split(batch: &RecordBatch) -> Parts {
    let starts = column(batch, Column::BillingPeriodStart);
    let starts = starts.as_primitive::<TimestampMicrosecondType>();
    let providers = column(batch, Column::ServiceProviderName).as_string::<i32>();
    let mut parts: BTreeMap<(Month, Arc<str>), Vec<u32>> = BTreeMap::new();
    let mut row = 0;
    while row < batch.num_rows() {
        let (start, provider) = (starts.value(row), text(providers, row));
        let first = row;
        while row < batch.num_rows()
            && starts.value(row) == start
            && text(providers, row) == provider
        {
            row += 1;
        }
        // Rows without a period were sorted out before.
        let Some(month) = Month::of_micros(start) else { continue };
        let (from, to) = (u32::try_from(first).unwrap_or(0), u32::try_from(row).unwrap_or(0));
        parts.entry((month, Arc::from(provider))).or_default().extend(from..to);
    }
    let all = parts.len() == 1;
    parts.into_iter().map(|(key, rows)| (key, (!all).then_some(rows))).collect()
}

/// A batch without some of its rows.
pub(crate) fn without(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch, ArrowError> {
    if rows.is_empty() {
        return Ok(batch.clone());
    }
    let mut keep = vec![true; batch.num_rows()];
    for row in rows {
        keep[*row] = false;
    }
    filter_record_batch(batch, &BooleanArray::from(keep))
}
