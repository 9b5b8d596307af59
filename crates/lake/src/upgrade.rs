//! A source's columns as the lake's: FOCUS's rules on whole columns.
//!
//! Owns the translation of [`focus::Expression`], which is data, into arrays. Knows nothing of
//! which version needs which rule. Invariant: a row comes out as [`focus::Expression::text`] says
//! it, in the column's own kind.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, new_null_array,
    },
    buffer::BooleanBuffer,
    compute::{is_null, kernels::zip::zip},
    datatypes::{Decimal128Type, SchemaRef},
    error::ArrowError,
};
use focus::{
    Column, Expression, Fields, Kind, Rewrite, Row,
    decimal::{PRECISION, SCALE},
};

use crate::{
    condition::{self, Formats, Lookup},
    convert,
    findings::Findings,
    schema::stored,
};

/// Some rows as a source delivers them.
pub(crate) struct Delivered<'a> {
    names: &'a [String],
    places: &'a HashMap<String, usize>,
    columns: &'a [ArrayRef],
    rows: usize,
}

impl<'a> Delivered<'a> {
    pub(crate) fn new(
        names: &'a [String],
        places: &'a HashMap<String, usize>,
        columns: &'a [ArrayRef],
    ) -> Self {
        let rows = columns.first().map_or(0, |column| column.len());
        Self { names, places, columns, rows }
    }

    fn column(&self, name: &str) -> Option<&ArrayRef> {
        let at = match self.places.get(name) {
            Some(at) => at,
            None => self.places.get(&name.to_ascii_lowercase())?,
        };
        self.columns.get(*at)
    }

    /// The charges that these rows are, with the custom columns that are kept.
    pub(crate) fn charges(
        &self,
        expressions: &[Expression],
        kept: &[(usize, String)],
        schema: &SchemaRef,
        findings: &mut Findings,
    ) -> Result<RecordBatch, ArrowError> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (column, expression) in Column::ALL.iter().zip(expressions) {
            columns.push(self.evaluate(expression, *column, findings)?);
        }
        for field in &schema.fields()[columns.len()..] {
            let at = kept.iter().find(|(_, name)| name == field.name()).map(|(at, _)| *at);
            columns.push(match at.and_then(|at| self.columns.get(at)) {
                Some(array) => convert::text(array)?,
                None => new_null_array(field.data_type(), self.rows),
            });
        }
        RecordBatch::try_new(Arc::clone(schema), columns)
    }

    /// What an expression makes of each row, as a column of this kind; what can't be read is null.
    pub(crate) fn value(
        &self,
        expression: &Expression,
        column: Column,
    ) -> Result<ArrayRef, ArrowError> {
        let mut unread = Findings::of_doubles();
        self.evaluate(expression, column, &mut unread)
    }

    fn evaluate(
        &self,
        expression: &Expression,
        column: Column,
        findings: &mut Findings,
    ) -> Result<ArrayRef, ArrowError> {
        match expression {
            Expression::Null => Ok(self.nulls(column)),
            Expression::Field(name) => match self.column(name) {
                Some(array) => convert::column(array, column, findings),
                None => Ok(self.nulls(column)),
            },
            Expression::First(all) => {
                let mut first: Option<ArrayRef> = None;
                for one in *all {
                    if first.as_ref().is_some_and(|first| first.null_count() == 0) {
                        break;
                    }
                    let next = self.evaluate(one, column, findings)?;
                    first = Some(match first {
                        Some(first) => zip(&is_null(&first)?, &next, &first)?,
                        None => next,
                    });
                }
                Ok(first.unwrap_or_else(|| self.nulls(column)))
            }
            Expression::Case(cases, otherwise) => {
                let mut chosen = self.evaluate(otherwise, column, findings)?;
                for (asked, one) in cases.iter().rev() {
                    let mask = condition::mask(asked, self, &Formats::default());
                    let one = self.evaluate(one, column, findings)?;
                    chosen = zip(&condition::array(mask), &one, &chosen)?;
                }
                Ok(chosen)
            }
            Expression::Sum(all) if column.kind() == Kind::Decimal => {
                let numbers = all.iter().map(|one| self.evaluate(one, column, findings));
                sum(&numbers.collect::<Result<Vec<_>, _>>()?, self.rows)
            }
            Expression::Difference(a, b) if column.kind() == Kind::Decimal => {
                let (a, b) =
                    (self.evaluate(a, column, findings)?, self.evaluate(b, column, findings)?);
                difference(&a, &b)
            }
            // What is kept as an instant need not be written as one first. The rule says itself
            // that what is read is in UTC.
            Expression::Rewritten(Rewrite::Instant, of) if column.kind() == Kind::Instant => {
                let unzoned = findings.unzoned;
                let instants = self.evaluate(of, column, findings);
                findings.unzoned = unzoned;
                instants
            }
            _ => {
                let texts = self.texts_of(expression)?;
                convert::column(&texts, column, findings)
            }
        }
    }

    /// What is written in text goes row by row through the rule's own evaluation.
    fn texts_of(&self, expression: &Expression) -> Result<ArrayRef, ArrowError> {
        if let Expression::Text(text) = expression {
            return Ok(convert::constant(text, self.rows));
        }
        let mut needed: HashMap<&str, StringArray> = HashMap::new();
        for name in expression.reads() {
            if let Some(array) = self.column(name) {
                needed.insert(name, crate::nested::json(array)?.as_string::<i32>().clone());
            }
        }
        // An object of columns needs those whose names begin so.
        let mut all = Vec::new();
        if has_object(expression) {
            for (name, array) in self.names.iter().zip(self.columns) {
                all.push((name.as_str(), crate::nested::json(array)?.as_string::<i32>().clone()));
            }
        }
        let texts: StringArray = (0..self.rows)
            .map(|row| expression.text(&TextRow { needed: &needed, all: &all, row }))
            .collect();
        Ok(Arc::new(texts))
    }

    fn nulls(&self, column: Column) -> ArrayRef {
        new_null_array(&stored(column.kind()), self.rows)
    }
}

fn has_object(expression: &Expression) -> bool {
    match expression {
        Expression::Object(_) => true,
        Expression::First(all) | Expression::Joined(all) | Expression::Sum(all) => {
            all.iter().any(has_object)
        }
        Expression::Case(cases, otherwise) => {
            cases.iter().any(|(_, one)| has_object(one)) || has_object(otherwise)
        }
        Expression::Before(of, _) | Expression::After(of, _) | Expression::Rewritten(_, of) => {
            has_object(of)
        }
        Expression::Difference(a, b) => has_object(a) || has_object(b),
        Expression::Null | Expression::Text(_) | Expression::Field(_) | Expression::Member(..) => {
            false
        }
    }
}

/// One row, as text.
struct TextRow<'a> {
    needed: &'a HashMap<&'a str, StringArray>,
    all: &'a [(&'a str, StringArray)],
    row: usize,
}

impl TextRow<'_> {
    fn value<'b>(&self, array: &'b StringArray) -> Option<&'b str> {
        let value = array.is_valid(self.row).then(|| array.value(self.row));
        value.filter(|text| !focus::value::is_null(text))
    }
}

impl Row<&'static str> for TextRow<'_> {
    fn text(&self, column: &'static str) -> Option<&str> {
        self.value(self.needed.get(column)?)
    }
}

impl Fields for TextRow<'_> {
    fn starting(&self, prefix: &str) -> Vec<(&str, &str)> {
        let begin = |name: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let found = self.all.iter().filter(|(name, _)| begin(name));
        found
            .filter_map(|(name, array)| Some((&name[prefix.len()..], self.value(array)?)))
            .collect()
    }
}

impl Lookup<&'static str> for Delivered<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn valid(&self, column: &'static str) -> BooleanBuffer {
        match self.column(column) {
            Some(array) => match array.logical_nulls() {
                Some(nulls) => nulls.inner().clone(),
                None => BooleanBuffer::new_set(self.rows),
            },
            None => BooleanBuffer::new_unset(self.rows),
        }
    }

    fn texts(&self, column: &'static str) -> Option<StringArray> {
        Some(convert::text(self.column(column)?).ok()?.as_string::<i32>().clone())
    }

    fn numbers(&self, column: &'static str) -> Option<Decimal128Array> {
        // What can't be read is null here; the column that it goes to tells of it.
        let mut unread = Findings::of_doubles();
        let numbers = convert::column(self.column(column)?, Column::BilledCost, &mut unread);
        Some(numbers.ok()?.as_primitive::<Decimal128Type>().clone())
    }

    fn instants(&self, column: &'static str) -> Option<TimestampMicrosecondArray> {
        let array = self.column(column)?;
        array.data_type().is_temporal().then_some(())?;
        let mut unread = Findings::default();
        let instants = convert::column(array, Column::ChargePeriodStart, &mut unread).ok()?;
        Some(instants.as_primitive().clone())
    }
}

fn sum(numbers: &[ArrayRef], rows: usize) -> Result<ArrayRef, ArrowError> {
    let numbers: Vec<&Decimal128Array> =
        numbers.iter().map(|array| array.as_primitive::<Decimal128Type>()).collect();
    let sums = (0..rows).map(|row| {
        let told = numbers.iter().filter(|array| array.is_valid(row));
        told.map(|array| array.value(row)).try_fold(None, |sum: Option<i128>, number| {
            Some(Some(sum.unwrap_or(0).checked_add(number)?))
        })?
    });
    amounts(sums.collect())
}

fn difference(a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
    amounts(a.iter().zip(b).map(|(a, b)| a?.checked_sub(b?)).collect())
}

fn amounts(array: Decimal128Array) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(array.with_precision_and_scale(PRECISION, SCALE)?))
}
