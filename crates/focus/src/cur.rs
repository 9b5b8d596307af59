//! How AWS's Cost and Usage Reports, 2.0 and legacy, become FOCUS 1.4.
//!
//! Owns the mapping of their columns, the rows that make other charges than one, and the list of
//! what a report doesn't tell ([`GAPS`]). Knows nothing of files. Invariant: the charges' billed
//! costs sum to the report's unblended costs (net ones, where it has them), given that what savings
//! plans cover is negated in full, as AWS says.
//!
//! Sources: AWS Data Exports user guide, "FOCUS 1.2 with AWS columns" and its "conformance gaps"
//! (table-dictionary-focus-1-2-aws-columns, -conformance), "Migrating from FOCUS 1.0 to 1.2"
//! (`x_UsageType` is `SkuMeter`), the CUR 2.0 and legacy dictionaries; for what is amortized, the
//! AWS Well-Architected Labs' CUR query `amortized_cost_by_charge_type`; beside them the FinOps
//! Foundation's `focus_converters`.

use std::collections::HashSet;

use crate::{Column, Condition, Expression, Fields, Record};

mod gap;
mod map;
mod service;
#[cfg(test)]
mod tests;

pub use gap::{GAPS, Gap};
pub use map::{COVERED, INVOICED, NEGATING};

/// The name that the mapping knows a report's column by: `lineItem/UsageAmount`, as legacy CSV
/// writes it, is `line_item_usage_amount`, as Parquet and CUR 2.0 do. Tags keep their spelling:
/// `resourceTags/user:Team` is `resource_tags_user:Team`.
pub fn normalized(name: &str) -> String {
    let name = crate::header::plain(name);
    let Some((group, rest)) = name.split_once('/') else { return name.to_owned() };
    match group {
        "resourceTags" | "costCategory" => format!("{}_{rest}", snake(group)),
        _ => format!("{}_{}", snake(group), snake(rest)),
    }
}

/// `LineItemType` is `line_item_type`, `ReservationARN` is `reservation_a_r_n`.
fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 8);
    for (index, letter) in text.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The columns without which a file is no report.
pub const MANDATORY: &[&str] = &[
    "bill_billing_period_end_date",
    "bill_billing_period_start_date",
    "bill_payer_account_id",
    "line_item_currency_code",
    "line_item_line_item_type",
    "line_item_unblended_cost",
    "line_item_usage_end_date",
    "line_item_usage_start_date",
];

/// Whether a header is a report's.
pub fn is_report<S: AsRef<str>>(header: &[S]) -> bool {
    missing(header).is_empty()
}

/// What a header lacks of [`MANDATORY`].
pub fn missing<S: AsRef<str>>(header: &[S]) -> Vec<&'static str> {
    let names: HashSet<String> = header.iter().map(|name| normalized(name.as_ref())).collect();
    MANDATORY.iter().copied().filter(|name| !names.contains(*name)).collect()
}

/// Which of AWS's reports a header is of. 2.0 has names of accounts, and maps where legacy reports
/// have a column for each key.
pub fn edition<S: AsRef<str>>(header: &[S]) -> &'static str {
    const NEW: [&str; 6] = [
        "bill_payer_account_name",
        "cost_category",
        "discount",
        "line_item_usage_account_name",
        "product",
        "resource_tags",
    ];
    match header.iter().any(|name| NEW.contains(&normalized(name.as_ref()).as_str())) {
        true => "CUR 2.0",
        false => "CUR",
    }
}

/// One charge that some rows of a report make. A row makes a charge for each part that is for it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its name in reports.
    pub name: &'static str,
    /// Which rows make it.
    pub when: Condition<&'static str>,
    expressions: fn(Column) -> Expression,
}

/// All parts. Rows that negate what a savings plan covers make no charge: FOCUS bills what is
/// covered at nothing, so that there is nothing to negate.
pub const PARTS: &[Part] = &[
    Part {
        name: "line item",
        when: Condition::Not(&Condition::Equal(map::TYPE, "SavingsPlanNegation")),
        expressions: map::line_item,
    },
    Part { name: "unused commitment", when: map::UNUSED, expressions: map::unused },
];

impl Part {
    /// What the column is made of, by the names of [`normalized`].
    pub fn expression(&self, column: Column) -> Expression {
        (self.expressions)(column)
    }

    /// The charge that a row makes here; `None` when it makes none.
    pub fn record<R: Fields + ?Sized>(&self, row: &R) -> Option<Record> {
        let made = self.when.holds(row);
        made.then(|| Record::new(|column| self.expression(column).text(row)))
    }
}
