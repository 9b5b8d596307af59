//! One row at a time: a source's and what becomes of it.
//!
//! Owns the two simplest rows, for explaining a row to people and for testing what is done to
//! columns. Knows nothing of files.

use crate::{Column, Detected, Fields, Row, value};

/// A row of FOCUS 1.4 as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    values: Vec<Option<String>>,
}

impl Record {
    /// The row with these values.
    pub fn new(value: impl FnMut(Column) -> Option<String>) -> Self {
        Self { values: Column::ALL.iter().copied().map(value).collect() }
    }
}

impl Row for Record {
    fn text(&self, column: Column) -> Option<&str> {
        self.values[column.index()].as_deref()
    }
}

/// A row of a source: names and values side by side. Nulls are as [`value::is_null`] tells.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    names: &'a [&'a str],
    values: &'a [&'a str],
}

impl<'a> Source<'a> {
    /// A row under names; a value without a name is not seen, nor a name without a value.
    pub const fn new(names: &'a [&'a str], values: &'a [&'a str]) -> Self {
        Self { names, values }
    }

    /// The names of a FOCUS file's columns in the specification's spelling, for [`Source::new`].
    /// Columns that it doesn't know have the name that stands in the file.
    pub fn names<S: AsRef<str>>(header: &'a [S], detected: &Detected) -> Vec<&'a str> {
        let fields = detected.fields.iter();
        fields.zip(header).map(|(field, name)| field.name().unwrap_or(name.as_ref())).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.names.iter().copied().zip(self.values.iter().copied());
        pairs.filter(|(_, text)| !value::is_null(text))
    }
}

impl Row<&'static str> for Source<'_> {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.pairs().find(|(found, _)| *found == name).map(|(_, text)| text)
    }
}

impl Fields for Source<'_> {
    fn starting(&self, prefix: &str) -> Vec<(&str, &str)> {
        let pairs = self.pairs();
        pairs.filter_map(|(name, text)| Some((name.strip_prefix(prefix)?, text))).collect()
    }
}
