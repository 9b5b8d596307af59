//! The door: which rows are charges as FOCUS wants them.
//!
//! Owns the way from FOCUS's requirements, which are data, to findings on whole columns. Knows no
//! requirement itself. Invariant: a row is found to break a requirement if and only if the
//! requirement's own row-wise evaluation says so.

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    buffer::BooleanBuffer,
    datatypes::{Decimal128Type, TimestampMicrosecondType},
};
use focus::Decimal;
use focus::{
    Column, Kind, Row,
    requirement::{self, Requirement, Severity},
};

use crate::{
    condition::{self, Formats, Lookup},
    findings::{Findings, Rule},
    partition::column,
    plan::Plan,
};

#[cfg(test)]
mod tests;

/// Charges as conditions read them.
pub(crate) struct Charges<'a>(pub(crate) &'a RecordBatch);

impl Lookup<Column> for Charges<'_> {
    fn rows(&self) -> usize {
        self.0.num_rows()
    }

    fn valid(&self, of: Column) -> BooleanBuffer {
        match column(self.0, of).nulls() {
            Some(nulls) => nulls.inner().clone(),
            None => BooleanBuffer::new_set(self.rows()),
        }
    }

    fn texts(&self, of: Column) -> Option<StringArray> {
        let text = matches!(of.kind(), Kind::Text | Kind::Json);
        text.then(|| column(self.0, of).as_string::<i32>().clone())
    }

    fn numbers(&self, of: Column) -> Option<Decimal128Array> {
        (of.kind() == Kind::Decimal).then(|| column(self.0, of).as_primitive().clone())
    }

    fn instants(&self, of: Column) -> Option<TimestampMicrosecondArray> {
        (of.kind() == Kind::Instant).then(|| column(self.0, of).as_primitive().clone())
    }
}

/// How many broken rows of a block and requirement are explained one by one.
const EXPLAINED: usize = 5;

/// Checks blocks of charges; remembers what it has learnt of texts.
#[derive(Default)]
pub(crate) struct Validator {
    formats: Formats,
}

impl Validator {
    /// Adds what rows break to the findings. With `every`, each is explained, for the quarantine.
    pub(crate) fn check(
        &self,
        charges: &RecordBatch,
        asked: &[&'static Requirement],
        every: bool,
        findings: &mut Findings,
    ) {
        let lookup = Charges(charges);
        let rows = charges.num_rows();
        for requirement in asked {
            let kept = condition::mask(&requirement.then, &lookup, &self.formats);
            if kept.count_set_bits() == rows {
                continue;
            }
            let asked = condition::mask(&requirement.when, &lookup, &self.formats);
            let broken = &asked & &!&kept;
            for (count, row) in broken.set_indices().enumerate() {
                // A value that was not read is null here, and told of already.
                if findings.is_broken(row) {
                    continue;
                }
                let say = match every || count < EXPLAINED {
                    true => requirement.explain(&TextRow::new(charges, row, requirement)),
                    false => requirement.text.to_owned(),
                };
                let rule = Rule::Focus(requirement.id);
                match requirement.severity {
                    Severity::Must => findings.breach(row, rule, say),
                    Severity::Should => findings.note(row, rule, say),
                }
            }
        }
    }
}

/// The requirements that a bill can be asked for, by the columns that it gives.
pub(crate) fn asked(plan: &Plan) -> Vec<&'static Requirement> {
    requirement::asked(|column| plan.gives(column))
}

/// The values of one row that a requirement reads, as text.
struct TextRow(HashMap<Column, String>);

impl TextRow {
    fn new(charges: &RecordBatch, row: usize, requirement: &Requirement) -> Self {
        let mut columns = requirement.columns.to_vec();
        columns.extend(requirement.when.reads());
        columns.extend(requirement.then.reads());
        let text = |of: Column| Some((of, text(charges, of, row)?));
        Self(columns.into_iter().filter_map(text).collect())
    }
}

/// A value as FOCUS writes it.
fn text(charges: &RecordBatch, of: Column, row: usize) -> Option<String> {
    let array = column(charges, of);
    if array.is_null(row) {
        return None;
    }
    Some(match of.kind() {
        Kind::Text | Kind::Json => array.as_string::<i32>().value(row).to_owned(),
        Kind::Decimal => {
            Decimal::amount(array.as_primitive::<Decimal128Type>().value(row)).to_string()
        }
        Kind::Instant => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            jiff::Timestamp::from_microsecond(micros).ok()?.to_string()
        }
    })
}

impl Row for TextRow {
    fn text(&self, column: Column) -> Option<&str> {
        self.0.get(&column).map(String::as_str)
    }
}
