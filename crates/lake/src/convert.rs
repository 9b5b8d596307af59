//! Any source's arrays as the lake's: text, instants, amounts, JSON.
//!
//! Owns the one way from each arrow type into each kind. Invariant: amounts go through decimal
//! digits alone. A float, which some exports use for amounts, is read as the shortest decimal that
//! names it, rounded half to even at the 18th digit after the point, and that is told.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder, StringArray, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    compute::cast,
    datatypes::{
        DataType, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, TimeUnit,
        TimestampMicrosecondType,
    },
    error::ArrowError,
};
use focus::{
    Column, Decimal, Kind,
    decimal::{self, PRECISION, SCALE},
};

use crate::{
    findings::{Findings, Rule, quoted},
    instant, nested,
    schema::AMOUNT,
};

#[cfg(test)]
mod tests;

/// Whether a source's type is a float, of which amounts are read as shortest decimals.
pub(crate) const fn is_float(data: &DataType) -> bool {
    matches!(data, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// A source's array as the lake keeps the column.
pub(crate) fn column(
    array: &ArrayRef,
    column: Column,
    findings: &mut Findings,
) -> Result<ArrayRef, ArrowError> {
    match column.kind() {
        Kind::Text => text(array),
        Kind::Json => nested::json(array),
        Kind::Instant => instants(array, column, findings),
        Kind::Decimal => amounts(array, column, findings),
    }
}

/// As text, whatever it is; nulls stay.
pub(crate) fn text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8 => Arc::clone(array),
        DataType::Float32 | DataType::Float64 => floats(array, |float| Some(plain(float))),
        DataType::Map(..) | DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) => {
            nested::json(array)?
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            cast(&cast(array, &DataType::Binary)?, &DataType::Utf8)?
        }
        _ => cast(array, &DataType::Utf8)?,
    })
}

/// The array with null for texts that stand for no value, as CSV is read.
pub(crate) fn told(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !array.data_type().is_string() {
        return Ok(Arc::clone(array));
    }
    let texts = text(array)?;
    let texts = texts.as_string::<i32>();
    // What stands for no value has none or four bytes.
    let mut lengths = texts.value_offsets().windows(2).map(|ends| ends[1] - ends[0]).enumerate();
    let stands = |row: usize| texts.is_valid(row) && is_null(texts.value(row));
    if !lengths.any(|(row, length)| matches!(length, 0 | 4) && stands(row)) {
        return Ok(Arc::clone(array));
    }
    let told: StringArray = texts.iter().map(|text| text.filter(|text| !is_null(text))).collect();
    Ok(Arc::new(told))
}

/// A float as the shortest digits that name it.
fn plain(float: f64) -> String {
    format!("{float:?}")
}

fn floats<F: Fn(f64) -> Option<String>>(array: &ArrayRef, write: F) -> ArrayRef {
    let texts: StringArray = match array.data_type() {
        DataType::Float32 => {
            // The shortest digits of the 32 bits, not of the 64 that they widen to.
            let array = array.as_primitive::<Float32Type>();
            array.iter().map(|float| float.map(|float| format!("{float:?}"))).collect()
        }
        _ => array.as_primitive::<Float64Type>().iter().map(|float| write(float?)).collect(),
    };
    Arc::new(texts)
}

fn is_null(text: &str) -> bool {
    focus::value::is_null(text)
}

fn amounts(
    array: &ArrayRef,
    column: Column,
    findings: &mut Findings,
) -> Result<ArrayRef, ArrowError> {
    let is_float = is_float(array.data_type());
    let array = match array.data_type() {
        DataType::Decimal128(PRECISION, SCALE) => return Ok(Arc::clone(array)),
        DataType::Decimal128(_, scale) => return rescaled(array, *scale, column, findings),
        DataType::Decimal256(_, scale) => {
            let wide = array.as_primitive::<Decimal256Type>();
            let texts =
                wide.iter().map(|wide| Some(Decimal256Type::format_decimal(wide?, 76, *scale)));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        }
        data if data.is_integer() => {
            let whole = cast(array, &DataType::Decimal128(20, 0))?;
            return rescaled(&whole, 0, column, findings);
        }
        DataType::Null => return cast(array, &AMOUNT),
        _ => text(array)?,
    };
    let doubles = findings.doubles || is_float;
    let texts = array.as_string::<i32>();
    let mut amounts = Decimal128Builder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text.filter(|text| !is_null(text)) else {
            amounts.append_null();
            continue;
        };
        let text = text.trim_ascii();
        let read = match doubles {
            true => decimal::parse_rounded(text.as_bytes()),
            false => decimal::parse(text.as_bytes()).map(|amount| (amount, false)),
        };
        match read {
            Ok((amount, rounded)) => {
                amounts.append_value(amount);
                if rounded {
                    findings.rounded.insert(row);
                }
            }
            // What programs in Python write into reports that they make, where nothing is.
            Err(_) if findings.doubles && text == "None" => {
                amounts.append_null();
                findings.absent.insert(row);
            }
            Err(why) => {
                amounts.append_null();
                let say = format!("{} {} {}", column.name(), quoted(text), why.say());
                findings.broken(row, Rule::Kind(column), say);
            }
        }
    }
    Ok(Arc::new(amounts.finish().with_precision_and_scale(PRECISION, SCALE)?))
}

/// Decimals of another scale; a digit that would be lost is a finding.
fn rescaled(
    array: &ArrayRef,
    scale: i8,
    column: Column,
    findings: &mut Findings,
) -> Result<ArrayRef, ArrowError> {
    let array = array.as_primitive::<Decimal128Type>();
    if let Some(amounts) = widened(array, scale) {
        return Ok(Arc::new(amounts.with_precision_and_scale(PRECISION, SCALE)?));
    }
    let mut amounts = Decimal128Builder::with_capacity(array.len());
    for (row, digits) in array.iter().enumerate() {
        let Some(digits) = digits else {
            amounts.append_null();
            continue;
        };
        // A negative scale means zeros at the end.
        let number = match u8::try_from(scale) {
            Ok(scale) => Some(Decimal::new(digits, scale)),
            Err(_) => 10i128
                .checked_pow(u32::from(scale.unsigned_abs()))
                .and_then(|factor| digits.checked_mul(factor))
                .map(|digits| Decimal::new(digits, 0)),
        };
        match number.and_then(Decimal::to_amount) {
            Some(amount) => amounts.append_value(amount),
            None => {
                amounts.append_null();
                let say = format!("{} has more digits than the lake keeps", column.name());
                findings.broken(row, Rule::Kind(column), say);
            }
        }
    }
    Ok(Arc::new(amounts.finish().with_precision_and_scale(PRECISION, SCALE)?))
}

/// Decimals of a smaller scale, all at once; `None` where one has too many digits for that.
fn widened(array: &Decimal128Array, scale: i8) -> Option<Decimal128Array> {
    let places = u32::try_from(SCALE.checked_sub(scale)?).ok()?;
    let factor = 10i128.checked_pow(places)?;
    let most = (10i128.pow(u32::from(PRECISION)) - 1) / factor;
    // Under a null there may be anything.
    let fits = array.values().iter().all(|digits| (-most..=most).contains(digits));
    fits.then(|| array.unary(|digits| digits * factor))
}

fn instants(
    array: &ArrayRef,
    column: Column,
    findings: &mut Findings,
) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null => {
            // Without a zone the numbers are taken for UTC, as FOCUS has it; with one they are.
            let zone = match array.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>();
            return Ok(Arc::new(micros.clone().with_timezone("UTC")));
        }
        _ => {}
    }
    let array = text(array)?;
    let texts = array.as_string::<i32>();
    let mut instants = TimestampMicrosecondBuilder::with_capacity(texts.len());
    // Bills repeat their instants row by row.
    let mut last: Option<(&str, instant::Instant)> = None;
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text.filter(|text| !is_null(text)) else {
            instants.append_null();
            continue;
        };
        let known = last.filter(|(known, _)| *known == text).map(|(_, instant)| instant);
        match known.or_else(|| instant::parse(text.trim_ascii().as_bytes())) {
            Some(instant) => {
                findings.unzoned += u64::from(!instant.zoned);
                instants.append_value(instant.micros);
                last = Some((text, instant));
            }
            None => {
                instants.append_null();
                let say = format!(
                    "{} {} is no date and time; write 2026-10-01T00:00:00Z",
                    column.name(),
                    quoted(text)
                );
                findings.broken(row, Rule::Kind(column), say);
            }
        }
    }
    Ok(Arc::new(instants.finish().with_timezone("UTC")))
}

/// A text array of one value.
pub(crate) fn constant(value: &str, rows: usize) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(rows, rows * value.len());
    for _ in 0..rows {
        builder.append_value(value);
    }
    Arc::new(builder.finish())
}
