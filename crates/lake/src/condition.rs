//! FOCUS conditions on whole columns.
//!
//! Owns the translation of [`focus::Condition`], which is data, into masks. Knows nothing of what
//! is required. Invariant: a mask says of each row what [`focus::Condition::holds`] says of it.

use std::{cell::RefCell, collections::HashMap};

use arrow::{
    array::{
        Array, BooleanArray, BooleanBufferBuilder, Decimal128Array, StringArray,
        TimestampMicrosecondArray,
    },
    buffer::BooleanBuffer,
    datatypes::i256,
};
use focus::{Condition, Format, Kind};
use foldhash::fast::RandomState;

/// Distinct texts whose format is remembered.
const REMEMBERED: usize = 20_000;

/// Columns as a condition reads them.
pub(crate) trait Lookup<C> {
    fn rows(&self) -> usize;
    /// Which rows have a value.
    fn valid(&self, column: C) -> BooleanBuffer;
    /// As text; `None` where there is no such column or it is kept as something else.
    fn texts(&self, column: C) -> Option<StringArray>;
    /// As numbers, if they are.
    fn numbers(&self, column: C) -> Option<Decimal128Array>;
    /// As instants, if they are.
    fn instants(&self, column: C) -> Option<TimestampMicrosecondArray>;
}

/// What is known of texts' formats: formats are slow to check, and bills repeat their texts.
#[derive(Default)]
pub(crate) struct Formats {
    /// By the format and the list of allowed values.
    known: RefCell<HashMap<(Format, usize), Known, RandomState>>,
}

/// Whether a text is written as it should.
type Known = HashMap<Box<str>, bool, RandomState>;

impl Formats {
    /// Which texts of a column are written so.
    fn written<C: Copy + 'static, L: Lookup<C>>(
        &self,
        format: Format,
        allowed: &'static [&'static str],
        columns: &L,
        column: C,
    ) -> BooleanBuffer {
        let mut known = self.known.borrow_mut();
        let known = known.entry((format, allowed.as_ptr() as usize)).or_default();
        texts(columns, column, |text| {
            if let Some(known) = known.get(text) {
                return *known;
            }
            let written = focus::value::fault(format, allowed, text).is_none();
            if known.len() < REMEMBERED && text.len() <= 4_096 {
                known.insert(text.into(), written);
            }
            written
        })
    }
}

/// Of which rows the condition holds.
pub(crate) fn mask<C: Copy + 'static, L: Lookup<C>>(
    condition: &Condition<C>,
    columns: &L,
    formats: &Formats,
) -> BooleanBuffer {
    let rows = columns.rows();
    match condition {
        Condition::Always => BooleanBuffer::new_set(rows),
        Condition::NotNull(column) => columns.valid(*column),
        Condition::Null(column) => !&columns.valid(*column),
        Condition::Equal(column, value) => texts(columns, *column, |text| text == *value),
        Condition::In(column, values) => texts(columns, *column, |text| values.contains(&text)),
        Condition::Begins(column, start) => texts(columns, *column, |text| text.starts_with(start)),
        Condition::Contains(column, part) => texts(columns, *column, |text| text.contains(part)),
        Condition::Same(a, b) => same(columns, *a, *b),
        Condition::Less(a, b) => less(columns, *a, *b),
        Condition::EqualNumbers(a, b) => {
            pairs(columns.numbers(*a), columns.numbers(*b), rows, |a, b| a == b)
        }
        Condition::Zero(column) => match columns.numbers(*column) {
            Some(numbers) => collect(rows, |row| numbers.is_null(row) || numbers.value(row) == 0),
            None => BooleanBuffer::new_set(rows),
        },
        Condition::Product { product, factors: [a, b] } => products(columns, *product, *a, *b),
        Condition::Paired { part, of, table } => paired(columns, *part, *of, table),
        Condition::Formatted(column, format, allowed) => {
            formatted(columns, *column, *format, allowed, formats)
        }
        Condition::Not(other) => !&mask(other, columns, formats),
        Condition::All(all) => all.iter().fold(BooleanBuffer::new_set(rows), |so_far, one| {
            // What fails already need not be looked at further.
            if so_far.count_set_bits() == 0 {
                so_far
            } else {
                &so_far & &mask(one, columns, formats)
            }
        }),
        Condition::Any(any) => any.iter().fold(BooleanBuffer::new_unset(rows), |so_far, one| {
            if so_far.count_set_bits() == rows {
                so_far
            } else {
                &so_far | &mask(one, columns, formats)
            }
        }),
    }
}

fn collect(rows: usize, holds: impl FnMut(usize) -> bool) -> BooleanBuffer {
    BooleanBuffer::collect_bool(rows, holds)
}

/// Of the rows with a text, those of which the question is true.
fn texts<C: Copy + 'static, L: Lookup<C>>(
    columns: &L,
    column: C,
    mut asked: impl FnMut(&str) -> bool,
) -> BooleanBuffer {
    let rows = columns.rows();
    let Some(texts) = columns.texts(column) else { return BooleanBuffer::new_unset(rows) };
    let mut answers = BooleanBufferBuilder::new(rows);
    let mut last: Option<(&str, bool)> = None;
    for row in 0..rows {
        if texts.is_null(row) {
            answers.append(false);
            continue;
        }
        let text = texts.value(row);
        let answer = match last {
            Some((known, answer)) if known == text => answer,
            _ => asked(text),
        };
        last = Some((text, answer));
        answers.append(answer);
    }
    answers.finish()
}

fn same<C: Copy + 'static, L: Lookup<C>>(columns: &L, a: C, b: C) -> BooleanBuffer {
    let rows = columns.rows();
    if let (Some(a), Some(b)) = (columns.texts(a), columns.texts(b)) {
        return collect(rows, |row| {
            a.is_valid(row) && b.is_valid(row) && a.value(row) == b.value(row)
        });
    }
    if let (Some(a), Some(b)) = (columns.numbers(a), columns.numbers(b)) {
        return collect(rows, |row| {
            a.is_valid(row) && b.is_valid(row) && a.value(row) == b.value(row)
        });
    }
    if let (Some(a), Some(b)) = (columns.instants(a), columns.instants(b)) {
        return collect(rows, |row| {
            a.is_valid(row) && b.is_valid(row) && a.value(row) == b.value(row)
        });
    }
    BooleanBuffer::new_unset(rows)
}

fn less<C: Copy + 'static, L: Lookup<C>>(columns: &L, a: C, b: C) -> BooleanBuffer {
    let rows = columns.rows();
    if let (Some(a), Some(b)) = (columns.instants(a), columns.instants(b)) {
        return collect(rows, |row| {
            a.is_null(row) || b.is_null(row) || a.value(row) < b.value(row)
        });
    }
    pairs(columns.numbers(a), columns.numbers(b), rows, |a, b| a < b)
}

fn pairs(
    a: Option<Decimal128Array>,
    b: Option<Decimal128Array>,
    rows: usize,
    holds: impl Fn(i128, i128) -> bool,
) -> BooleanBuffer {
    let (Some(a), Some(b)) = (a, b) else { return BooleanBuffer::new_set(rows) };
    collect(rows, |row| a.is_null(row) || b.is_null(row) || holds(a.value(row), b.value(row)))
}

fn products<C: Copy + 'static, L: Lookup<C>>(columns: &L, product: C, a: C, b: C) -> BooleanBuffer {
    let rows = columns.rows();
    let all = (columns.numbers(product), columns.numbers(a), columns.numbers(b));
    let (Some(product), Some(a), Some(b)) = all else { return BooleanBuffer::new_set(rows) };
    collect(rows, |row| {
        product.is_null(row)
            || a.is_null(row)
            || b.is_null(row)
            || is_product(product.value(row), a.value(row), b.value(row))
    })
}

/// All at 18 digits after the point; the product of two has 36.
fn is_product(product: i128, a: i128, b: i128) -> bool {
    const ONE: i128 = 10i128.pow(18);
    const TOLERANCE: i128 = 10i128.pow(18 - focus::TOLERANCE_PLACES as u32);
    // 38 digits times 38 are 76: they fit into 256 bits.
    let exact = i256::from_i128(a).wrapping_mul(i256::from_i128(b));
    let told = i256::from_i128(product).wrapping_mul(i256::from_i128(ONE));
    let difference = exact.wrapping_sub(told).wrapping_abs();
    let magnitude = i256::from_i128(product).wrapping_abs().max(i256::from_i128(ONE));
    difference <= magnitude.wrapping_mul(i256::from_i128(TOLERANCE))
}

fn paired<C: Copy + 'static, L: Lookup<C>>(
    columns: &L,
    part: C,
    of: C,
    table: &[(&str, &str)],
) -> BooleanBuffer {
    let rows = columns.rows();
    let (Some(part), Some(of)) = (columns.texts(part), columns.texts(of)) else {
        return BooleanBuffer::new_set(rows);
    };
    let table: HashMap<&str, &str> = table.iter().rev().copied().collect();
    let mut last: Option<(&str, Option<&str>)> = None;
    collect(rows, |row| {
        if part.is_null(row) || of.is_null(row) {
            return true;
        }
        let text = part.value(row);
        let wanted = match last {
            Some((known, wanted)) if known == text => wanted,
            _ => table.get(text).copied(),
        };
        last = Some((text, wanted));
        wanted.is_none_or(|wanted| wanted == of.value(row))
    })
}

fn formatted<C: Copy + 'static, L: Lookup<C>>(
    columns: &L,
    column: C,
    format: Format,
    allowed: &'static [&'static str],
    formats: &Formats,
) -> BooleanBuffer {
    let rows = columns.rows();
    if format == Format::NonNegative {
        return match columns.numbers(column) {
            Some(numbers) => collect(rows, |row| numbers.is_null(row) || numbers.value(row) >= 0),
            None => BooleanBuffer::new_set(rows),
        };
    }
    // Numbers and instants are what they should be by being kept as such.
    if format == Format::Free || matches!(format.kind(), Kind::Decimal | Kind::Instant) {
        return BooleanBuffer::new_set(rows);
    }
    if columns.texts(column).is_none() {
        return BooleanBuffer::new_set(rows);
    }
    let written = formats.written(format, allowed, columns, column);
    &written | &!&columns.valid(column)
}

/// A mask as an array, to choose by.
pub(crate) fn array(mask: BooleanBuffer) -> BooleanArray {
    BooleanArray::new(mask, None)
}
