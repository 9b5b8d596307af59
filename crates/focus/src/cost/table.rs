//! Answers, in columns and rows of exact values.

use std::fmt;

use jiff::{Timestamp, civil};
use serde::{Serialize, Serializer};

use super::Rate;
use crate::Decimal;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal number: all amounts are.
    Decimal(Decimal),
    /// A float, where a question asked for one.
    Float(f64),
    /// Text; JSON as it is written.
    Text(String),
    /// An instant.
    Instant(Timestamp),
    /// A day.
    Date(civil::Date),
    /// Several values.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Decimal(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
            Self::Instant(value) => write!(f, "{value}"),
            Self::Date(value) => write!(f, "{value}"),
            Self::List(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Value {
    /// As an amount, if it is a number that is exact.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(value) => Some(*value),
            Self::Int(value) => Some(Decimal::new(i128::from(*value), 0)),
            _ => None,
        }
    }

    /// As text, if it is.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Value {
    /// Decimals are strings, for a JSON number is a float to most readers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::List(values) => values.serialize(serializer),
            other => serializer.collect_str(other),
        }
    }
}

/// What a column of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// True or false.
    Bool,
    /// Whole numbers.
    Int,
    /// Exact decimal numbers.
    Decimal,
    /// Floats.
    Float,
    /// Text.
    Text,
    /// Instants.
    Instant,
    /// Days.
    Date,
    /// Lists.
    List,
}

impl ValueKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Decimal => "decimal",
            Self::Float => "float",
            Self::Text => "text",
            Self::Instant => "instant",
            Self::Date => "date",
            Self::List => "list",
        }
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ValueKind,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The lake's version that was asked.
    pub version: u64,
    /// Its columns.
    pub columns: Vec<Heading>,
    /// Its rows, each as long as there are columns.
    pub rows: Vec<Vec<Value>>,
    /// The rates that its amounts were converted by.
    pub rates: Vec<Rate>,
}

impl Table {
    /// Where a column stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The value of a row's column.
    pub fn value(&self, row: usize, name: &str) -> Option<&Value> {
        self.rows.get(row)?.get(self.position(name)?)
    }
}
