//! The lake's answers as reports.

use focus::cost::{Table, Value};

use crate::output::{Cell, Report};

/// An answer as a report whose rows have this name.
pub(super) fn report_of(name: &'static str, table: Table) -> Report {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut report = Report::new(name, &columns);
    report.rows = table.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
    report
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::None,
        Value::Bool(value) => Cell::Flag(value),
        Value::Int(value) => Cell::Decimal(focus::Decimal::new(i128::from(value), 0)),
        Value::Decimal(value) => Cell::Decimal(value),
        Value::Text(text) => Cell::Text(text),
        Value::Instant(at) => Cell::Time(at),
        Value::Float(value) => float(value),
        other => Cell::text(other),
    }
}

/// A float in its shortest digits, a number wherever numbers are; one beyond all amounts is text.
fn float(value: f64) -> Cell {
    let number = focus::Decimal::parse(&value.to_string());
    number.map_or_else(|| Cell::text(Value::Float(value)), Cell::Decimal)
}
