//! What was found wrong with rows.
//!
//! Owns the list of a block's findings and what becomes of it: counts by rule and a few examples
//! for the report, every one of them for the quarantine. Knows nothing of the rules themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use focus::Column;
use serde::{Deserialize, Serialize};

/// Examples of a rule that a report shows.
const EXAMPLES: usize = 5;
/// Characters of a value that a finding quotes.
const QUOTED: usize = 80;

/// What a row broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    /// As many fields as the header has.
    Fields,
    /// Text is UTF-8.
    Utf8,
    /// A value of the column's kind.
    Kind(Column),
    /// The row is of a billing period.
    Period,
    /// A requirement of FOCUS, by its name.
    Focus(&'static str),
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fields => f.write_str("fields"),
            Self::Utf8 => f.write_str("utf8"),
            Self::Kind(column) => write!(f, "kind of {}", column.name()),
            Self::Period => f.write_str("billing period"),
            Self::Focus(name) => f.write_str(name),
        }
    }
}

/// A row that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The row; the first below the header is 1.
    pub row: u64,
    /// What is wrong with it.
    pub say: String,
}

/// What an ingest found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many rows broke each rule.
    pub rules: BTreeMap<String, u64>,
    /// The first rows of each rule.
    pub examples: BTreeMap<String, Vec<Finding>>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        for (rule, count) in other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
        for (rule, mut examples) in other.examples {
            let mine = self.examples.entry(rule).or_default();
            mine.append(&mut examples);
            mine.sort_by(|a, b| (&a.file, a.row).cmp(&(&b.file, b.row)));
            mine.truncate(EXAMPLES);
        }
    }
}

/// The findings of one block of rows.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// By row: what was found.
    rows: BTreeMap<usize, Vec<(Rule, String)>>,
    /// Rows that can't be kept whatever the config says.
    broken: BTreeSet<usize>,
    /// Rows that break a rule which has to be kept.
    breached: BTreeSet<usize>,
    /// Records that are no rows of the block's columns.
    records: BTreeMap<usize, Vec<String>>,
    /// Instants without a zone.
    pub(crate) unzoned: u64,
    /// The source's amounts are doubles, however they are written.
    pub(crate) doubles: bool,
    /// Rows with an amount that has digits beyond the lake's and was rounded.
    pub(crate) rounded: BTreeSet<usize>,
    /// Rows with `None` where an amount should be.
    pub(crate) absent: BTreeSet<usize>,
}

impl Findings {
    /// None so far, of a source whose amounts are doubles.
    pub(crate) fn of_doubles() -> Self {
        Self { doubles: true, ..Self::default() }
    }

    /// The row can't be kept as a charge.
    pub(crate) fn broken(&mut self, row: usize, rule: Rule, say: String) {
        self.broken.insert(row);
        self.breach(row, rule, say);
    }

    /// The row can be kept, and breaks a rule.
    pub(crate) fn breach(&mut self, row: usize, rule: Rule, say: String) {
        self.breached.insert(row);
        self.note(row, rule, say);
    }

    /// The row is worth a look.
    pub(crate) fn note(&mut self, row: usize, rule: Rule, say: String) {
        self.rows.entry(row).or_default().push((rule, say));
    }

    /// The findings of some of the rows before these are looked at: what can't be kept is known.
    pub(crate) fn of_rows(&self, rows: &[usize]) -> Self {
        let broken = rows.iter().enumerate().filter(|(_, row)| self.broken.contains(row));
        let broken = broken.map(|(at, _)| at).collect();
        Self { broken, doubles: self.doubles, ..Self::default() }
    }

    /// Takes in what was found of some of the rows. Two charges of a row tell the same once.
    pub(crate) fn absorb(&mut self, part: Self, rows: &[usize]) {
        for (at, found) in part.rows {
            let mine = self.rows.entry(rows[at]).or_default();
            for one in found {
                if !mine.contains(&one) {
                    mine.push(one);
                }
            }
        }
        self.broken.extend(part.broken.iter().map(|at| rows[*at]));
        self.breached.extend(part.breached.iter().map(|at| rows[*at]));
        self.rounded.extend(part.rounded.iter().map(|at| rows[*at]));
        self.absent.extend(part.absent.iter().map(|at| rows[*at]));
        self.unzoned += part.unzoned;
    }

    pub(crate) fn keep_record(&mut self, row: usize, record: &csv::ByteRecord) {
        let fields = record.iter().map(|field| String::from_utf8_lossy(field).into_owned());
        self.records.insert(row, fields.collect());
    }

    pub(crate) fn record(&self, row: usize) -> Option<&[String]> {
        self.records.get(&row).map(Vec::as_slice)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn is_broken(&self, row: usize) -> bool {
        self.broken.contains(&row)
    }

    /// Rows that are not kept: those that can't be, and with `strict` all that broke a rule.
    pub(crate) fn refused(&self, strict: bool) -> Vec<usize> {
        let rows = if strict { &self.breached } else { &self.broken };
        rows.iter().copied().collect()
    }

    pub(crate) fn of(&self, row: usize) -> &[(Rule, String)] {
        self.rows.get(&row).map_or(&[], Vec::as_slice)
    }

    /// Counts and examples, with rows numbered from `first`.
    pub(crate) fn tally(&self, file: &std::path::Path, first: u64) -> Tally {
        let mut tally = Tally::default();
        for (row, found) in &self.rows {
            let mut seen = BTreeSet::new();
            for (rule, say) in found {
                if !seen.insert(*rule) {
                    continue;
                }
                let rule = rule.to_string();
                *tally.rules.entry(rule.clone()).or_default() += 1;
                let examples = tally.examples.entry(rule).or_default();
                if examples.len() < EXAMPLES {
                    let row = first + *row as u64;
                    examples.push(Finding { file: file.to_owned(), row, say: say.clone() });
                }
            }
        }
        tally
    }
}

/// A value as a finding quotes it.
pub(crate) fn quoted(value: &str) -> String {
    if value.chars().nth(QUOTED).is_none() {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(QUOTED).collect();
    format!("{start:?}…")
}
