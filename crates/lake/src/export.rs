//! Answers of any length, into a file: CSV, JSON lines or Parquet.
//!
//! Owns the writing batch by batch. Invariant: a file that is there is whole; it appears when it is
//! finished.

use std::{
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use focus::cost::{AsOf, Value};
use futures_util::TryStreamExt;
use parquet::arrow::ArrowWriter;
use tempfile::NamedTempFile;

use crate::{
    lake::{Answer, Lake},
    partition::properties,
    query::{self, QueryError},
};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header, then a row a line; null is empty.
    Csv,
    /// A JSON object a line; decimals are strings.
    JsonLines,
    /// Parquet, with the columns' own types.
    Parquet,
}

fn write(error: impl std::fmt::Display) -> QueryError {
    QueryError::Write(error.to_string())
}

impl Lake {
    /// Writes an answer to a file, whatever its length; tells how many rows it has.
    pub fn export<'a>(
        &'a self,
        text: &'a str,
        params: &'a [Value],
        as_of: Option<AsOf>,
        format: Format,
        path: &'a Path,
    ) -> Answer<'a, Result<u64, QueryError>> {
        Box::pin(async move {
            let asked = self.ask(text, params, as_of).await?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(write)?;
            let stored = asked.stream.schema();
            let fields = stored.fields().iter().map(|field| {
                let data = match field.data_type() {
                    DataType::Utf8View => DataType::Utf8,
                    data => data.clone(),
                };
                Field::new(asked.name(field.name()), data, true)
            });
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let mut sink = Sink::open(format, file.reopen().map_err(write)?, &schema)?;
            let mut stream = asked.stream;
            let mut rows = 0;
            while let Some(batch) = stream.try_next().await? {
                rows += batch.num_rows() as u64;
                let columns = batch.columns().iter().zip(schema.fields());
                let columns = columns.map(|(column, field)| cast(column, field.data_type()));
                let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
                sink.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
            }
            sink.close()?;
            file.persist(path).map_err(write)?;
            Ok(rows)
        })
    }
}

type File = BufWriter<std::fs::File>;

enum Sink {
    Csv(Box<csv::Writer<File>>),
    Json(File),
    Parquet(Box<ArrowWriter<File>>),
}

impl Sink {
    fn open(format: Format, file: std::fs::File, schema: &SchemaRef) -> Result<Self, QueryError> {
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                writer.write_record(schema.fields().iter().map(|f| f.name())).map_err(write)?;
                Self::Csv(Box::new(writer))
            }
            Format::JsonLines => Self::Json(file),
            Format::Parquet => {
                let properties = properties(schema);
                let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties));
                Self::Parquet(Box::new(writer.map_err(write)?))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        if let Self::Parquet(writer) = self {
            return writer.write(batch).map_err(write);
        }
        let columns: Vec<Vec<Value>> =
            batch.columns().iter().map(query::values).collect::<Result<_, _>>()?;
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| &column[row]);
            match self {
                Self::Csv(writer) => {
                    writer.write_record(values.map(Value::to_string)).map_err(write)?;
                }
                Self::Json(file) => {
                    let names = schema.fields().iter().map(|field| field.name().as_str());
                    let object = Object(names.zip(values).collect());
                    serde_json::to_writer(&mut *file, &object).map_err(write)?;
                    file.write_all(b"\n").map_err(write)?;
                }
                Self::Parquet(_) => {}
            }
        }
        Ok(())
    }

    fn close(self) -> Result<(), QueryError> {
        match self {
            Self::Csv(mut writer) => writer.flush().map_err(write),
            Self::Json(mut file) => file.flush().map_err(write),
            Self::Parquet(writer) => writer.close().map(|_| ()).map_err(write),
        }
    }
}

struct Object<'a>(Vec<(&'a str, &'a Value)>);

impl serde::Serialize for Object<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}
