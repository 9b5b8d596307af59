//! A charge: one FOCUS row, typed, for those who make rows one by one.
//!
//! Owns [`Charge`], a row of the 65 columns with custom ones beside, and [`AiUsage`], which turns
//! a settled request into charges. Knows nothing of how charges are stored. Invariant: a value is
//! of its column's kind.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use thiserror::Error;

use crate::{Column, Decimal, Kind, Record};

mod ai;
#[cfg(test)]
mod tests;

pub use ai::{AiUsage, AiUsageError, Biller, TokenClass, TokenLine};

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(Arc<str>),
    /// A moment.
    Instant(Timestamp),
    /// A number.
    Decimal(Decimal),
    /// A JSON object, as text.
    Json(Arc<str>),
}

impl Value {
    /// Which columns it fits.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Instant(_) => Kind::Instant,
            Self::Decimal(_) => Kind::Decimal,
            Self::Json(_) => Kind::Json,
        }
    }
}

impl fmt::Display for Value {
    /// As FOCUS writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Json(text) => f.write_str(text),
            Self::Instant(at) => fmt::Display::fmt(at, f),
            Self::Decimal(number) => fmt::Display::fmt(number, f),
        }
    }
}

/// A value of the wrong kind for its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{column} takes values of kind {:?}, not {found:?}", column.kind())]
pub struct WrongKind {
    /// The column.
    pub column: Column,
    /// What was given.
    pub found: Kind,
}

/// One FOCUS row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    values: Vec<Option<Value>>,
    custom: Vec<(Arc<str>, Arc<str>)>,
}

impl Default for Charge {
    fn default() -> Self {
        Self { values: vec![None; Column::COUNT], custom: Vec::new() }
    }
}

impl Charge {
    /// The value of a column; `None` for null.
    pub fn value(&self, column: Column) -> Option<&Value> {
        self.values[column.index()].as_ref()
    }

    /// Sets a column.
    pub fn set(&mut self, column: Column, value: Value) -> Result<(), WrongKind> {
        let found = value.kind();
        if found != column.kind() {
            return Err(WrongKind { column, found });
        }
        self.values[column.index()] = Some(value);
        Ok(())
    }

    /// Adds a custom column; its name gets the `x_` that the specification wants.
    pub fn add_custom(&mut self, name: &str, text: impl Into<Arc<str>>) {
        let name = if name.starts_with("x_") { name.to_owned() } else { format!("x_{name}") };
        self.custom.push((name.into(), text.into()));
    }

    /// The custom columns: name and text.
    pub fn custom(&self) -> impl Iterator<Item = (&str, &str)> {
        self.custom.iter().map(|(name, text)| (&**name, &**text))
    }

    /// The row as texts, for checks.
    pub fn record(&self) -> Record {
        Record::new(|column| self.value(column).map(Value::to_string))
    }
}
