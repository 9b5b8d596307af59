//! Questions and their answers.
//!
//! Owns the bounds of an answer (rows, time, memory) and the way from the engine's columns to the
//! lake's own values. Invariant: an answer is of one version, and whole or an error.

use std::collections::{BTreeMap, HashMap};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Schema, TimeUnit,
        TimestampMicrosecondType,
    },
};
use datafusion::{
    common::DataFusionError,
    execution::SessionState,
    logical_expr::LogicalPlan,
    physical_plan::SendableRecordBatchStream,
    prelude::{DataFrame, SQLOptions, SessionContext},
    sql::parser::Statement,
};
use focus::Decimal;
use focus::cost::{AsOf, Heading, Table, Value, ValueKind};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    commit::LogError,
    engine,
    lake::{Answer, Lake},
    sql,
};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// It can't be read.
    #[error("the query can't be read: {0}")]
    Syntax(String),
    /// It is more than a question.
    #[error("refused: {0}")]
    Refused(String),
    /// Not as many parameters as places for them.
    #[error("{given} parameters for {wanted} places (`?`)")]
    Parameters {
        /// Parameters.
        given: usize,
        /// Places.
        wanted: usize,
    },
    /// It names what is not there, or asks what can't be.
    #[error("the query can't be answered: {0}")]
    Plan(String),
    /// It takes more than it may.
    #[error("the query was stopped: {0}")]
    Limit(String),
    /// The lake can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file of the lake can't be read.
    #[error("reading the lake's files: {0}")]
    Read(String),
    /// The answer can't be written.
    #[error("writing the answer: {0}")]
    Write(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let root = error.find_root();
        match root {
            DataFusionError::ResourcesExhausted(say) => {
                let say = say.lines().next().unwrap_or_default();
                Self::Limit(format!("memory: {say}"))
            }
            DataFusionError::SQL(error, _) => Self::Syntax(error.to_string()),
            DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::IoError(_) => Self::Read(root.message().into_owned()),
            other => Self::Plan(shortened(&other.message())),
        }
    }
}

/// A message that lists every column there is, with the nearest ones alone.
fn shortened(message: &str) -> String {
    const MOST: usize = 3;
    let known = message.split_once("\nValid fields are ");
    let found = known.and_then(|(said, valid)| {
        let (_, missing) = said.split_once("No field named ")?;
        Some((missing.lines().next()?.split(". ").next()?.trim_end_matches('.'), valid))
    });
    let Some((missing, valid)) = found else { return message.to_owned() };
    let plain = |name: &str| {
        let name = name.trim().trim_end_matches('.');
        name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned()
    };
    let wanted = plain(missing).to_ascii_lowercase();
    let names: std::collections::BTreeSet<String> = valid.split(", ").map(plain).collect();
    let far = |name: &String| distance(&wanted, &name.to_ascii_lowercase());
    let mut near: Vec<(usize, String)> = names.into_iter().map(|name| (far(&name), name)).collect();
    near.sort();
    let near: Vec<String> = near.into_iter().take(MOST).map(|(_, name)| name).collect();
    format!("no column is named {missing}; the nearest are {}", near.join(", "))
}

/// How many letters must be changed, added or left out to come from one name to another.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let changed = last[column] + usize::from(x != y);
            next.push(changed.min(last[column + 1] + 1).min(next[column] + 1));
        }
        last = next;
    }
    last.last().copied().unwrap_or_default()
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Plan(error.to_string())
    }
}

impl Lake {
    /// Answers one `select` over `focus_data_table` (also `charges`), `charges_by_day` and
    /// `charges_by_month`. Places `?` are filled by `params`, in order.
    pub fn sql<'a>(
        &'a self,
        text: &'a str,
        params: &'a [Value],
        as_of: Option<AsOf>,
    ) -> Answer<'a, Result<Table, QueryError>> {
        Box::pin(async move {
            let options = &self.engine().options;
            let (time_max, rows_max) = (options.time_max, options.rows_max);
            let answered = async {
                let asked = self.ask(text, params, as_of).await?;
                let mut table =
                    Table { version: asked.version, columns: asked.headings(), ..Table::default() };
                let mut stream = asked.stream;
                while let Some(batch) = stream.try_next().await? {
                    if table.rows.len() + batch.num_rows() > rows_max {
                        let say = format!("over {rows_max} rows; ask for sums, or set a limit");
                        return Err(QueryError::Limit(say));
                    }
                    append(&batch, &mut table.rows)?;
                }
                Ok(table)
            };
            match tokio::time::timeout(time_max, answered).await {
                Ok(answered) => answered,
                Err(_) => Err(QueryError::Limit(format!("it ran over {} s", time_max.as_secs()))),
            }
        })
    }

    pub(crate) async fn ask(
        &self,
        text: &str,
        params: &[Value],
        as_of: Option<AsOf>,
    ) -> Result<Asked, QueryError> {
        let state = self.state_at(as_of).await?;
        let names = engine::names(&state);
        let question = sql::read(text, params, &names)?;
        let former = focus::Former::ALL.iter().any(|former| {
            question.spellings.contains_key(&former.name().to_ascii_lowercase())
                || text.contains(former.name())
        });
        let context = self.engine().session(&state, former).await?;
        let plan = plan(&context, question.statement).await?;
        let stream = DataFrame::new(context.state(), plan).execute_stream().await?;
        Ok(Asked { version: state.version, stream, spellings: question.spellings, names })
    }
}

async fn plan(
    context: &SessionContext,
    statement: datafusion::sql::sqlparser::ast::Statement,
) -> Result<LogicalPlan, QueryError> {
    let state: SessionState = context.state();
    let statement = Statement::Statement(Box::new(statement));
    let plan = state.statement_to_plan(statement).await?;
    // A second lock: what was read as a question is planned as nothing else.
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|error| QueryError::Refused(error.message().into_owned()))?;
    Ok(plan)
}

/// A question whose answer comes batch by batch.
pub(crate) struct Asked {
    pub(crate) version: u64,
    pub(crate) stream: SendableRecordBatchStream,
    spellings: HashMap<String, String>,
    names: BTreeMap<String, String>,
}

impl Asked {
    fn headings(&self) -> Vec<Heading> {
        let schema: &Schema = &self.stream.schema();
        let heading = |field: &std::sync::Arc<arrow::datatypes::Field>| Heading {
            name: self.name(field.name()),
            kind: kind(field.data_type()),
        };
        schema.fields().iter().map(heading).collect()
    }

    /// A column's name as the question spelled it.
    pub(crate) fn name(&self, name: &str) -> String {
        let plain = name.replace(&format!("{}.", engine::CHARGES), "");
        let lower = plain.to_ascii_lowercase();
        if let Some(known) = self.names.get(&lower) {
            return known.clone();
        }
        match self.spellings.get(&plain) {
            Some(spelled) => spelled.clone(),
            None => plain,
        }
    }
}

const fn kind(data: &DataType) -> ValueKind {
    match data {
        DataType::Boolean => ValueKind::Bool,
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::UInt64 => {
            ValueKind::Decimal
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ValueKind::Float,
        DataType::Timestamp(..) | DataType::Date64 => ValueKind::Instant,
        DataType::Date32 => ValueKind::Date,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => ValueKind::List,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => ValueKind::Int,
        _ => ValueKind::Text,
    }
}

/// Rows of a batch as values.
fn append(batch: &RecordBatch, rows: &mut Vec<Vec<Value>>) -> Result<(), QueryError> {
    let columns: Vec<Vec<Value>> =
        batch.columns().iter().map(values).collect::<Result<_, QueryError>>()?;
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    for _ in 0..batch.num_rows() {
        rows.push(columns.iter_mut().map(|column| column.next().unwrap_or(Value::Null)).collect());
    }
    Ok(())
}

/// Numbers with 38 digits; one that has more is an error, for nothing would be a wrong answer.
fn whole(array: &ArrayRef, scale: i8) -> Result<ArrayRef, QueryError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, &DataType::Decimal128(38, scale), &options)?)
}

pub(crate) fn values(array: &ArrayRef) -> Result<Vec<Value>, QueryError> {
    let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    Ok(match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => {
            array.as_boolean().iter().map(|value| or_null(value.map(Value::Bool))).collect()
        }
        // Hundreds or thousands, each to be told in full.
        DataType::Decimal128(_, i8::MIN..0) => return values(&whole(array, 0)?),
        DataType::Decimal128(_, scale) => {
            let scale = scale.unsigned_abs();
            let decimal = |digits| Value::Decimal(Decimal::new(digits, scale));
            let array = array.as_primitive::<Decimal128Type>();
            array.iter().map(|digits| or_null(digits.map(decimal))).collect()
        }
        DataType::Decimal256(_, scale) => return values(&whole(array, *scale)?),
        DataType::UInt64 => return values(&whole(array, 0)?),
        data if data.is_integer() => {
            let array = cast(array, &DataType::Int64)?;
            let array = array.as_primitive::<Int64Type>();
            array.iter().map(|value| or_null(value.map(Value::Int))).collect()
        }
        data if data.is_floating() => {
            let array = cast(array, &DataType::Float64)?;
            let array = array.as_primitive::<Float64Type>();
            array.iter().map(|value| or_null(value.map(Value::Float))).collect()
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            array.iter().map(|days| or_null(days.and_then(date))).collect()
        }
        DataType::Timestamp(..) | DataType::Date64 => {
            let array = cast(array, &micros)?;
            let array = array.as_primitive::<TimestampMicrosecondType>();
            let instant = |micros| Some(Value::Instant(Timestamp::from_microsecond(micros).ok()?));
            array.iter().map(|micros| or_null(micros.and_then(instant))).collect()
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let list = |list: Option<ArrayRef>| match list {
                Some(list) => values(&list).map(Value::List),
                None => Ok(Value::Null),
            };
            array.iter().map(list).collect::<Result<_, _>>()?
        }
        _ => {
            let array = cast(array, &DataType::Utf8)?;
            let array = array.as_string::<i32>();
            array.iter().map(|text| or_null(text.map(|text| Value::Text(text.into())))).collect()
        }
    })
}

fn date(days: i32) -> Option<Value> {
    let first = jiff::civil::date(1970, 1, 1);
    Some(Value::Date(first.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?))
}
