//! What a charge has to keep to be a FOCUS 1.4 charge, as data.
//!
//! Owns the [`Requirement`]s: how each column is written, where it must have a value, and what has
//! to hold between the columns of one row. Knows nothing of what becomes of a row that breaks one.
//! Invariant: ids are stable and unique; a requirement asks only of columns that a bill has.
//!
//! Not here: what the specification asks of many rows together (that a commitment's effective
//! costs sum to its price, say) or of the world outside (that an invoice has this total); of that,
//! reconciliation tells.
//!
//! Source: the normative requirements of FOCUS 1.4 `CostAndUsage`,
//! `specification/datasets/cost_and_usage/columns/*.md`, where no other is named.

use std::{fmt, sync::LazyLock};

use crate::{Column, Condition, Format, Row, value};

mod between;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

/// How strongly the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A SHOULD, or a MUST that one row can't decide: worth a look.
    Should,
    /// A MUST: the row is not FOCUS.
    Must,
}

impl Severity {
    /// The word as reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Should => "should",
            Self::Must => "must",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that has to hold for every row of a bill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requirement {
    /// Its name in reports and settings: the column that is at fault, then why.
    pub id: &'static str,
    /// The columns that a bill must have for it to be asked; the first is the one at fault.
    pub columns: &'static [Column],
    /// For which rows it is asked.
    pub when: Condition,
    /// What has to hold for them.
    pub then: Condition,
    /// What it asks, for people.
    pub text: &'static str,
    /// How strongly.
    pub severity: Severity,
}

static ALL: LazyLock<Vec<Requirement>> = LazyLock::new(|| {
    let formats = Column::ALL.iter().map(|column| formatted(*column));
    let values = Column::ALL.iter().filter(|column| !column.nullable());
    let values = values.map(|column| not_null(*column));
    formats.chain(values).chain(between::requirements().copied()).collect()
});

/// All of them: formats, values that must be there, then those between columns.
pub fn all() -> &'static [Requirement] {
    &ALL
}

/// The requirement of this id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    ALL.iter().find(|requirement| requirement.id == id)
}

/// The requirements for a bill that has these columns.
pub fn asked(has: impl Fn(Column) -> bool) -> Vec<&'static Requirement> {
    ALL.iter().filter(|requirement| requirement.columns.iter().all(|c| has(*c))).collect()
}

/// Whether a row keeps a requirement.
pub fn check<R: Row + ?Sized>(row: &R, requirement: &Requirement) -> bool {
    !requirement.when.holds(row) || requirement.then.holds(row)
}

impl Requirement {
    /// What is at fault in a row that breaks it: the requirement and the values it read.
    pub fn explain<R: Row + ?Sized>(&self, row: &R) -> String {
        let mut columns = self.columns.to_vec();
        columns.extend(self.when.reads());
        columns.extend(self.then.reads());
        let mut told: Vec<Column> = Vec::new();
        let mut values = Vec::new();
        for column in columns {
            if told.contains(&column) {
                continue;
            }
            told.push(column);
            values.push(match row.text(column) {
                None => format!("{column} is null"),
                Some(text) => format!("{column} is {}", excerpt(text)),
            });
        }
        let fault = self.columns.first().and_then(|column| {
            let text = row.text(*column)?;
            value::fault(column.format(), column.allowed(), text)
        });
        match (fault, self.then) {
            (Some(fault), Condition::Formatted(..)) => {
                format!("{}: {}, which is {fault}", self.text, values.join(", "))
            }
            _ => format!("{}: {}", self.text, values.join(", ")),
        }
    }
}

/// A value as a report shows it: on one line, and not all of a long one.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}

fn formatted(column: Column) -> Requirement {
    let text = match column.format() {
        Format::Free => "text is not blank and no placeholder (StringHandling, NullHandling)",
        Format::Allowed => "the value is one of the allowed ones, in their spelling",
        Format::Currency => "a currency is an ISO 4217 code (CurrencyFormat)",
        Format::Unit => "a unit is written as UnitFormat wants it",
        Format::Instant => "an instant is written as 2026-10-01T00:00:00Z (DateTimeFormat)",
        Format::Number => "a number is written as -1.5 or 1.5E-7 (NumericFormat)",
        Format::NonNegative => "a number is written as 1.5 or 1.5E-7 and not negative",
        Format::KeyValue => "JSON is an object of simple values with unique keys (KeyValueFormat)",
        Format::Object => "JSON is an object with unique keys (JsonObjectFormat)",
    };
    // Before 1.4, prices could be in tokens and credits of the vendor's own.
    let severity = match column {
        Column::PricingCurrency => Severity::Should,
        _ => Severity::Must,
    };
    Requirement {
        id: column.format_id(),
        columns: only(column),
        when: Condition::NotNull(column),
        then: Condition::Formatted(column, column.format(), column.allowed()),
        text,
        severity,
    }
}

fn not_null(column: Column) -> Requirement {
    Requirement {
        id: column.null_id(),
        columns: only(column),
        when: Condition::Always,
        then: Condition::NotNull(column),
        text: "the column has a value in every row",
        severity: Severity::Must,
    }
}

/// The slice of the one column.
fn only(column: Column) -> &'static [Column] {
    &Column::ALL[column.index()..=column.index()]
}
