//! What becomes of a source's rows: the charges that each makes, and what these are made of.
//!
//! Owns the one form in which FOCUS of every version and AWS's reports are converted, and which
//! columns are kept beside. Knows nothing of files or of arrays. Invariant: every column of 1.4 has
//! an expression in every part.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use focus::{Column, Condition, Detected, Expression, Field, Kind, Rewrite, cur, upgrade};

/// A charge that some rows make.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which rows make it.
    pub(crate) when: Condition<&'static str>,
    /// What its columns are made of, in the order of [`Column::ALL`].
    pub(crate) columns: Vec<Expression>,
}

/// How the rows of a file become charges.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the file is of: `1.2` of FOCUS, `CUR 2.0`.
    pub(crate) focus: &'static str,
    /// Whether it is a report of AWS, whose amounts are doubles.
    pub(crate) is_report: bool,
    /// The file's columns, as the expressions name them.
    pub(crate) names: Vec<String>,
    /// Where each of them stands, by its name in lower case; of two that are alike, the first.
    pub(crate) places: HashMap<String, usize>,
    pub(crate) parts: Vec<Part>,
}

/// Where each column stands, by its name in lower case.
fn places(names: &[String]) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        places.entry(name.to_ascii_lowercase()).or_insert(at);
    }
    places
}

/// Columns that are kept as they are: where they stand, the custom column they become.
pub(crate) type KeptColumns = Vec<(usize, String)>;

impl Plan {
    /// A bill of FOCUS: every row is one charge.
    pub(crate) fn focus(names: &[String], detected: &Detected) -> (Self, KeptColumns) {
        let plan = upgrade::plan(names, detected);
        let columns = plan.columns.iter().map(upgrade::Upgrade::expression).collect();
        let mut kept = plan.kept;
        // Stray columns are kept too, under names that FOCUS allows.
        for (at, (name, field)) in names.iter().zip(&detected.fields).enumerate() {
            if *field == Field::Unknown {
                kept.push((at, format!("x_{name}")));
            }
        }
        let parts = vec![Part { when: Condition::Always, columns }];
        let (names, places) = (names.to_vec(), places(names));
        let focus = plan.version.as_str();
        (Self { focus, is_report: false, names, places, parts }, kept)
    }

    /// A report of AWS: a row makes a charge for each part that is for it.
    pub(crate) fn report(header: &[String]) -> (Self, KeptColumns) {
        let names: Vec<String> = header.iter().map(|name| cur::normalized(name)).collect();
        let parts = cur::PARTS.iter().map(|part| Part {
            when: part.when,
            columns: Column::ALL.iter().map(|column| part.expression(*column)).collect(),
        });
        // What FOCUS doesn't say in full stays readable.
        let kept = names.iter().enumerate().filter(|(_, name)| !told_whole(name));
        let kept = kept.map(|(at, name)| (at, format!("x_{name}"))).collect();
        let (focus, places, parts) = (cur::edition(&names), places(&names), parts.collect());
        (Self { focus, is_report: true, names, places, parts }, kept)
    }

    fn has(&self, name: &str) -> bool {
        self.places.contains_key(&name.to_ascii_lowercase())
    }

    /// Whether the file's rows can have something in a column: what it has not is not asked of it.
    pub(crate) fn gives(&self, column: Column) -> bool {
        self.parts.iter().any(|part| match part.columns[column.index()] {
            Expression::Null => false,
            expression => {
                let reads = expression.reads();
                reads.is_empty() || reads.iter().any(|name| self.has(name))
            }
        })
    }

    /// The file's columns, by their place, that amounts are read from.
    pub(crate) fn amounts(&self) -> BTreeSet<usize> {
        let amounts = Column::ALL.iter().filter(|column| column.kind() == Kind::Decimal);
        let expressions =
            amounts.flat_map(|column| self.parts.iter().map(|part| &part.columns[column.index()]));
        let reads = expressions.flat_map(|expression| expression.reads());
        reads.filter_map(|name| self.places.get(&name.to_ascii_lowercase()).copied()).collect()
    }
}

/// Whether a report's column is a column of FOCUS as it stands, or is among its tags.
fn told_whole(name: &str) -> bool {
    static TOLD: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let line_item = Column::ALL.iter().map(|column| cur::PARTS[0].expression(*column));
        let told = line_item.filter_map(|expression| match expression {
            Expression::Field(name) => Some(name),
            Expression::Rewritten(Rewrite::Instant, Expression::Field(name)) => Some(*name),
            _ => None,
        });
        told.collect()
    });
    TOLD.contains(name) || name.starts_with("resource_tags")
}
