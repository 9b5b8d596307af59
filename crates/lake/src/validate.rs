//! The door: which rows are charges as FOCUS wants them.
//!
//! Owns the way from FOCUS's requirements, which are data, to findings on whole columns. Knows no
//! requirement itself. Invariant: a row is found to break a requirement if and only if the
//! requirement's own row-wise evaluation says so.

use arrow::{
    array::{
        Array, AsArray, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    buffer::BooleanBuffer,
};
use focus::{Column, Kind};

use crate::{condition::Lookup, partition::column};

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
