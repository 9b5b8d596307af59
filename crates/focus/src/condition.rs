//! What may be asked of one row: the words that requirements and conversions are written in.
//!
//! Owns [`Condition`], which is data: the lake compiles it onto whole columns, [`Condition::holds`]
//! evaluates it for one row and is what the lake is tested against. Knows nothing of what is
//! required. Invariant: no condition can fail or panic; every one holds or doesn't.

use std::cmp::Ordering;

use crate::{
    Column, Format,
    value::{self, Number},
};

#[cfg(test)]
mod tests;

/// A row as it is read: texts, where nothing is said for null.
///
/// `C` is how columns are named: [`Column`] for FOCUS 1.4, `&str` for a source's own columns.
pub trait Row<C = Column> {
    /// The column's text; `None` for null and for a column that the row has not.
    fn text(&self, column: C) -> Option<&str>;
}

impl<C, R: Row<C> + ?Sized> Row<C> for &R {
    fn text(&self, column: C) -> Option<&str> {
        (**self).text(column)
    }
}

/// What may be asked of one row.
///
/// The comparisons ([`Condition::Less`], [`Condition::EqualNumbers`], [`Condition::Product`],
/// [`Condition::Zero`], [`Condition::Paired`]) hold where a value is null or can't be read:
/// another requirement tells of that. Under [`Condition::Not`] they therefore don't hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition<C: 'static = Column> {
    /// Nothing is asked.
    Always,
    /// There is no value.
    Null(C),
    /// There is a value.
    NotNull(C),
    /// The value is this text. Null is not.
    Equal(C, &'static str),
    /// The value is one of these texts. Null is not.
    In(C, &'static [&'static str]),
    /// The value begins with this text. Null does not.
    Begins(C, &'static str),
    /// The value has this text in it. Null has not.
    Contains(C, &'static str),
    /// Two columns have the same text. Nulls are never the same.
    Same(C, C),
    /// An instant or number is less than another.
    Less(C, C),
    /// Two numbers are equal, however they are written.
    EqualNumbers(C, C),
    /// A number is zero.
    Zero(C),
    /// `product` is `factors[0] × factors[1]`, within [`TOLERANCE_PLACES`].
    Product {
        /// The column of the product.
        product: C,
        /// The columns of the factors.
        factors: [C; 2],
    },
    /// `of` is what the table has for `part`. A `part` that the table doesn't have holds.
    Paired {
        /// The column that is looked up.
        part: C,
        /// The column that must have what was found.
        of: C,
        /// What belongs to what.
        table: &'static [(&'static str, &'static str)],
    },
    /// The value is written in this format; null is.
    Formatted(C, Format, &'static [&'static str]),
    /// The other doesn't hold.
    Not(&'static Condition<C>),
    /// All of them hold.
    All(&'static [Condition<C>]),
    /// At least one of them holds.
    Any(&'static [Condition<C>]),
}

/// A product may differ by 10⁻⁹ of the greater of its magnitude and 1: prices and quantities are
/// published rounded. It is the tolerance of the official validator
/// (`ColumnByColumnEqualsColumnValue`).
pub const TOLERANCE_PLACES: usize = 9;

impl<C: Copy + 'static> Condition<C> {
    /// Whether it holds for the row.
    pub fn holds<R: Row<C> + ?Sized>(&self, row: &R) -> bool {
        let text = |column: C| row.text(column);
        let number = |column: C| text(column).and_then(|text| Number::parse(text).ok());
        match self {
            Self::Always => true,
            Self::Null(column) => text(*column).is_none(),
            Self::NotNull(column) => text(*column).is_some(),
            Self::Equal(column, value) => text(*column) == Some(value),
            Self::In(column, values) => text(*column).is_some_and(|text| values.contains(&text)),
            Self::Begins(column, start) => {
                text(*column).is_some_and(|text| text.starts_with(start))
            }
            Self::Contains(column, part) => text(*column).is_some_and(|text| text.contains(part)),
            Self::Same(a, b) => text(*a).is_some() && text(*a) == text(*b),
            Self::Less(a, b) => match (text(*a), text(*b)) {
                (Some(a), Some(b)) => compared(a, b).is_none_or(Ordering::is_lt),
                _ => true,
            },
            Self::EqualNumbers(a, b) => match (number(*a), number(*b)) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            },
            Self::Zero(column) => number(*column).is_none_or(|number| number.is_zero()),
            Self::Product { product, factors: [a, b] } => {
                match (number(*product), number(*a), number(*b)) {
                    (Some(product), Some(a), Some(b)) => is_product(&product, &a, &b),
                    _ => true,
                }
            }
            Self::Paired { part, of, table } => {
                let found = table.iter().find(|(part_text, _)| text(*part) == Some(part_text));
                found.is_none_or(|(_, of_text)| text(*of).is_none_or(|text| text == *of_text))
            }
            Self::Formatted(column, format, allowed) => {
                text(*column).is_none_or(|text| value::fault(*format, allowed, text).is_none())
            }
            Self::Not(other) => !other.holds(row),
            Self::All(all) => all.iter().all(|condition| condition.holds(row)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(row)),
        }
    }
}

impl<C: Copy + 'static> Condition<C> {
    /// The columns that it reads, each as often as it does.
    pub fn reads(&self) -> Vec<C> {
        match self {
            Self::Always => Vec::new(),
            Self::Null(a)
            | Self::NotNull(a)
            | Self::Equal(a, _)
            | Self::In(a, _)
            | Self::Begins(a, _)
            | Self::Contains(a, _)
            | Self::Zero(a)
            | Self::Formatted(a, ..) => vec![*a],
            Self::Same(a, b) | Self::Less(a, b) | Self::EqualNumbers(a, b) => vec![*a, *b],
            Self::Product { product, factors: [a, b] } => vec![*product, *a, *b],
            Self::Paired { part, of, .. } => vec![*part, *of],
            Self::Not(other) => other.reads(),
            Self::All(all) | Self::Any(all) => all.iter().flat_map(Self::reads).collect(),
        }
    }
}

/// How two instants or two numbers stand; `None` when either can't be read.
fn compared(a: &str, b: &str) -> Option<Ordering> {
    if let (Ok(a), Ok(b)) = (Number::parse(a), Number::parse(b)) {
        return Some(a.cmp(&b));
    }
    let (a, _) = value::instant(a)?;
    let (b, _) = value::instant(b)?;
    Some(a.cmp(&b))
}

/// Whether a product is that of its factors, within the tolerance.
pub(crate) fn is_product(product: &Number, a: &Number, b: &Number) -> bool {
    let difference = a.times(b).minus(product).magnitude();
    if difference.is_zero() {
        return true;
    }
    let one = Number::one();
    let magnitude = product.magnitude().max(one);
    difference <= magnitude.shifted_down(TOLERANCE_PLACES)
}
