//! Rows that were not kept as charges: written down with what is wrong with them.
//!
//! Owns the form of a quarantine file: the row as it was delivered, its header, its findings. It
//! holds all that is needed to take the row in later. Knows nothing of the rules.

use std::{io::BufWriter, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{
    bill::Layout,
    convert,
    findings::Findings,
    partition::{WriteError, properties},
    storage::Storage,
};

/// One finding of a row in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule, as the report names it.
    pub rule: String,
    /// What is wrong.
    pub say: String,
}

/// A row in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file it came in.
    pub file: String,
    /// Its number there; the first below the header is 1.
    pub row: u64,
    /// What is wrong with it.
    pub reasons: Vec<Reason>,
    /// The header it came under.
    pub header: Vec<String>,
    /// Its values.
    pub record: Vec<Option<String>>,
    /// The FOCUS version it was read as.
    pub focus: String,
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("File"),
        Field::new("Row", DataType::Int64, false),
        text("Findings"),
        text("Header"),
        text("Record"),
        text("Focus"),
    ]))
}

/// The quarantine of one ingest; made with the first row.
pub(crate) struct Writer {
    storage: Storage,
    open: Option<(ArrowWriter<BufWriter<std::fs::File>>, NamedTempFile)>,
    rows: u64,
}

/// A quarantine file that is finished and not yet published.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) file: NamedTempFile,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Writer {
    pub(crate) const fn new(storage: Storage) -> Self {
        Self { storage, open: None, rows: 0 }
    }

    /// Keeps rows of a block, whose first row has this number.
    pub(crate) fn keep(
        &mut self,
        layout: &Layout,
        columns: &[ArrayRef],
        first: u64,
        rows: &[usize],
        findings: &Findings,
    ) -> Result<(), WriteError> {
        let texts: Vec<ArrayRef> = columns
            .iter()
            .map(|array| take(array, rows).and_then(|array| convert::text(&array)))
            .collect::<Result<_, _>>()?;
        let texts: Vec<&StringArray> = texts.iter().map(|array| array.as_string::<i32>()).collect();
        let header = json(&layout.names);
        let file = layout.path.display().to_string();
        let focus = layout.plan.focus;
        let records = rows.iter().enumerate().map(|(at, row)| match findings.record(*row) {
            Some(record) => json(&record),
            None => {
                let value =
                    |array: &&StringArray| array.is_valid(at).then(|| array.value(at).to_owned());
                json(&texts.iter().map(value).collect::<Vec<_>>())
            }
        });
        let reasons = rows.iter().map(|row| {
            let found = findings.of(*row).iter();
            let reasons: Vec<Reason> = found
                .map(|(rule, say)| Reason { rule: rule.to_string(), say: say.clone() })
                .collect();
            json(&reasons)
        });
        let numbers = rows.iter().map(|row| i64::try_from(first + *row as u64).unwrap_or(i64::MAX));
        let columns: Vec<ArrayRef> = vec![
            convert::constant(&file, rows.len()),
            Arc::new(Int64Array::from_iter_values(numbers)),
            Arc::new(reasons.map(Some).collect::<StringArray>()),
            convert::constant(&header, rows.len()),
            Arc::new(records.map(Some).collect::<StringArray>()),
            convert::constant(focus, rows.len()),
        ];
        let batch = RecordBatch::try_new(schema(), columns)?;
        self.rows += rows.len() as u64;
        self.writer()?.write(&batch)?;
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut ArrowWriter<BufWriter<std::fs::File>>, WriteError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let file = self.storage.scratch()?;
                let handle =
                    file.reopen().map_err(|e| crate::storage::file("open", file.path(), e))?;
                let schema = schema();
                let properties = properties(&schema);
                (ArrowWriter::try_new(BufWriter::new(handle), schema, Some(properties))?, file)
            }
        };
        Ok(&mut self.open.insert(open).0)
    }

    pub(crate) fn finish(self) -> Result<Option<Finished>, WriteError> {
        let Some((writer, file)) = self.open else { return Ok(None) };
        writer.close()?;
        let meta = file.as_file().metadata();
        let bytes = meta.map_err(|e| crate::storage::file("read", file.path(), e))?.len();
        Ok(Some(Finished { file, rows: self.rows, bytes }))
    }
}

fn take(array: &ArrayRef, rows: &[usize]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let indices: arrow::array::UInt64Array = rows.iter().map(|row| *row as u64).collect();
    arrow::compute::take(array, &indices, None)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a quarantine file, up to so many rows, from a row on.
pub(crate) fn read(
    bytes: bytes::Bytes,
    offset: usize,
    limit: usize,
) -> Result<Vec<Kept>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let reader = builder.with_offset(offset).with_limit(limit).build()?;
    let mut kept = Vec::new();
    for batch in reader {
        let batch = batch?;
        let text = |at: usize| batch.column(at).as_string::<i32>();
        let rows = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            kept.push(Kept {
                file: text(0).value(row).to_owned(),
                row: rows.value(row).unsigned_abs(),
                reasons: parse(text(2).value(row))?,
                header: parse(text(3).value(row))?,
                record: parse(text(4).value(row))?,
                focus: text(5).value(row).to_owned(),
            });
        }
    }
    Ok(kept)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ParquetError> {
    serde_json::from_str(text).map_err(|error| ParquetError::External(Box::new(error)))
}

/// Rows of one header as columns of text; records of another length are null and told apart.
pub(crate) fn columns(kept: &[Kept], findings: &mut Findings) -> Vec<ArrayRef> {
    let width = kept.first().map_or(0, |kept| kept.header.len());
    for (row, one) in kept.iter().enumerate() {
        if one.record.len() != width {
            let say = format!("{} fields under {width} columns", one.record.len());
            findings.broken(row, crate::findings::Rule::Fields, say);
            let record = one.record.iter().map(|field| field.as_deref().unwrap_or_default());
            findings.keep_record(row, &csv::ByteRecord::from(record.collect::<Vec<_>>()));
        }
    }
    (0..width)
        .map(|at| {
            let values = kept.iter().map(|one| match one.record.len() == width {
                true => one.record[at].as_deref(),
                false => None,
            });
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        })
        .collect()
}
