//! How a column of FOCUS 1.4 comes from a source's columns: the words of conversions.
//!
//! Owns [`Expression`], which is data: the lake compiles it onto whole columns,
//! [`Expression::text`] evaluates it for one row. Knows nothing of which source says what.
//! Invariant: evaluation never fails; what can't be computed is null, and validation tells of it.

use crate::{
    Condition, Row,
    value::{self, Number},
};

#[cfg(test)]
mod tests;

/// A source's row, by the source's own names.
pub trait Fields: Row<&'static str> {
    /// The columns whose name begins so and that have a value: the rest of the name, the value.
    fn starting(&self, prefix: &str) -> Vec<(&str, &str)>;
}

/// What a column is made of. Columns are named as the source names them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expression {
    /// Nothing.
    Null,
    /// Always this text.
    Text(&'static str),
    /// The source's column; null where it has none of this name.
    Field(&'static str),
    /// The member of a JSON object: text as it is, anything else as it is written.
    Member(&'static str, &'static str),
    /// The first that is not null.
    First(&'static [Expression]),
    /// The value beside the first condition that holds, or the last.
    Case(&'static [(Condition<&'static str>, Expression)], &'static Expression),
    /// All of them, one after the other; null if any is null.
    Joined(&'static [Expression]),
    /// The text before the first of this mark, or all of it.
    Before(&'static Expression, &'static str),
    /// The text after the first of this mark, or null.
    After(&'static Expression, &'static str),
    /// The exact sum; null counts as nothing, unless all are null.
    Sum(&'static [Expression]),
    /// The exact difference; null if either is null.
    Difference(&'static Expression, &'static Expression),
    /// A JSON object of all columns whose name begins so, by the rest of their names; null where
    /// none has a value.
    Object(&'static str),
    /// A value rewritten by a function of one text.
    Rewritten(Rewrite, &'static Expression),
}

/// A function of one text. A text that it can't read stays as it is, for validation to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rewrite {
    /// `ContractApplied` of 1.3 as 1.4 writes it: see [`crate::upgrade`].
    ContractApplied,
    /// An instant in the way of FOCUS, in UTC, with `Z`.
    Instant,
}

impl Rewrite {
    /// Rewrites one text.
    pub fn apply(self, text: &str) -> String {
        let rewritten = match self {
            Self::ContractApplied => crate::upgrade::contract_applied(text),
            Self::Instant => value::instant(text).map(|(at, _)| at.to_string()),
        };
        rewritten.unwrap_or_else(|| text.to_owned())
    }
}

impl Expression {
    /// What it makes of one row.
    pub fn text<R: Fields + ?Sized>(&self, row: &R) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some((*text).to_owned()),
            Self::Field(name) => row.text(name).map(str::to_owned),
            Self::Member(name, key) => member(row.text(name)?, key),
            Self::First(all) => all.iter().find_map(|expression| expression.text(row)),
            Self::Case(cases, otherwise) => {
                let found = cases.iter().find(|(condition, _)| condition.holds(row));
                found.map_or(*otherwise, |(_, expression)| expression).text(row)
            }
            Self::Joined(all) => all.iter().map(|expression| expression.text(row)).collect(),
            Self::Before(of, mark) => {
                let text = of.text(row)?;
                Some(text.split_once(mark).map_or(text.as_str(), |(before, _)| before).to_owned())
            }
            Self::After(of, mark) => {
                of.text(row)?.split_once(mark).map(|(_, after)| after.to_owned())
            }
            Self::Sum(all) => {
                let numbers = all.iter().filter_map(|expression| expression.text(row));
                let numbers: Option<Vec<Number>> =
                    numbers.map(|text| Number::parse(&text).ok()).collect();
                let sum = numbers?.into_iter().reduce(|sum, number| sum.plus(&number));
                sum.map(|sum| sum.to_string())
            }
            Self::Difference(a, b) => {
                let number = |of: &Self| Number::parse(&of.text(row)?).ok();
                Some(number(a)?.minus(&number(b)?).to_string())
            }
            Self::Object(prefix) => {
                let members = row.starting(prefix);
                let members: Vec<_> = members.iter().map(|(k, v)| (*k, value::string(v))).collect();
                (!members.is_empty()).then(|| value::object(&members))
            }
            Self::Rewritten(rewrite, of) => of.text(row).map(|text| rewrite.apply(&text)),
        }
    }

    /// The source's columns that it reads, each as often as it does.
    pub fn reads(&self) -> Vec<&'static str> {
        match self {
            Self::Null | Self::Text(_) | Self::Object(_) => Vec::new(),
            Self::Field(name) | Self::Member(name, _) => vec![*name],
            Self::First(all) | Self::Joined(all) | Self::Sum(all) => {
                all.iter().flat_map(Self::reads).collect()
            }
            Self::Case(cases, otherwise) => {
                let cases = cases.iter().flat_map(|(condition, expression)| {
                    [condition.reads(), expression.reads()].concat()
                });
                cases.chain(otherwise.reads()).collect()
            }
            Self::Before(of, _) | Self::After(of, _) | Self::Rewritten(_, of) => of.reads(),
            Self::Difference(a, b) => [a.reads(), b.reads()].concat(),
        }
    }
}

fn member(text: &str, key: &str) -> Option<String> {
    let members = value::members(text).ok()?;
    let (_, found) = members.into_iter().find(|(name, _)| name == key)?;
    if found == "null" {
        return None;
    }
    Some(serde_json::from_str::<String>(&found).unwrap_or(found))
}
