//! Maps, structs and lists of Parquet files as JSON text.
//!
//! AWS delivers `Tags` as a map, others as a struct or as text. Invariant: decimals and integers
//! keep every digit.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
    datatypes::DataType,
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Deeper values are refused.
const DEPTH_MAX: usize = 32;

/// As JSON text; text is taken for JSON already.
pub(crate) fn json(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Map(..) | DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) => {}
        _ => return crate::convert::text(array),
    }
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 32);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write(array, row, &mut text, 0)?;
        texts.append_value(&text);
    }
    Ok(Arc::new(texts.finish()))
}

fn write(array: &ArrayRef, row: usize, out: &mut String, depth: usize) -> Result<(), ArrowError> {
    if depth > DEPTH_MAX {
        return Err(ArrowError::InvalidArgumentError(format!("nested over {DEPTH_MAX} levels")));
    }
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Map(..) => {
            let entries: ArrayRef = Arc::new(array.as_map().value(row));
            let entries = entries.as_struct();
            let (keys, values) = (entries.column(0), entries.column(1));
            let keys = crate::convert::text(keys)?;
            let keys = keys.as_string::<i32>();
            let pairs = (0..entries.len()).map(|at| (keys.value(at), at));
            object(pairs, out, |at, out| write(values, at, out, depth + 1))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields.iter().enumerate().map(|(at, field)| (field.name().as_str(), at));
            // A struct has all its fields; those without a value say nothing.
            let pairs = pairs.filter(|(_, at)| !columns[*at].is_null(row));
            object(pairs, out, |at, out| write(&columns[at], row, out, depth + 1))
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row), out, depth),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), out, depth),
        data if data.is_numeric() || *data == DataType::Boolean => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).to_string();
            // JSON knows no NaN.
            let finite = text.bytes().next_back().is_some_and(|b| b.is_ascii_digit() || b == b'e');
            out.push_str(if finite || *data == DataType::Boolean { &text } else { "null" });
            Ok(())
        }
        _ => {
            let value = crate::convert::text(&array.slice(row, 1))?;
            string(value.as_string::<i32>().value(0), out);
            Ok(())
        }
    }
}

fn list(values: &ArrayRef, out: &mut String, depth: usize) -> Result<(), ArrowError> {
    out.push('[');
    for at in 0..values.len() {
        if at > 0 {
            out.push(',');
        }
        write(values, at, out, depth + 1)?;
    }
    out.push(']');
    Ok(())
}

fn object<'a>(
    pairs: impl Iterator<Item = (&'a str, usize)>,
    out: &mut String,
    mut value: impl FnMut(usize, &mut String) -> Result<(), ArrowError>,
) -> Result<(), ArrowError> {
    out.push('{');
    for (count, (name, at)) in pairs.enumerate() {
        if count > 0 {
            out.push(',');
        }
        string(name, out);
        out.push(':');
        value(at, out)?;
    }
    out.push('}');
    Ok(())
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
