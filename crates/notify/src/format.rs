//! Amounts, times and bytes as people and wires read them.

use focus::Decimal;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// An amount for people: `$1,234.50`, `1,234.50 EUR`; below one with up to six decimals. Rounds
/// half-even.
pub(crate) fn amount(amount: Decimal, currency: &str) -> String {
    let exact = amount.to_string();
    let digits = exact.strip_prefix('-').unwrap_or(&exact);
    let places = if digits.starts_with("0.") && digits != "0.0" { 6 } else { 2 };
    let rounded = amount.rounded(places).to_string();
    let (sign, rounded) = match rounded.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", rounded.as_str()),
    };
    let (whole, part) = rounded.split_once('.').unwrap_or((rounded, ""));
    let number = format!("{}.{part:0<2}", grouped(whole));
    match currency {
        "USD" => format!("{sign}${number}"),
        _ => format!("{sign}{number} {currency}"),
    }
}

/// Which part of a limit an amount is, rounded down to a tenth: `79.9 %`.
pub(crate) fn percent(amount: Decimal, limit: Decimal) -> Option<String> {
    let (amount, limit) = (amount.rounded(9).to_amount()?, limit.rounded(9).to_amount()?);
    let tenths = (limit > 0).then(|| amount.checked_mul(1_000))??.div_euclid(limit);
    (tenths >= 0).then(|| match tenths % 10 {
        0 => format!("{} %", tenths / 10),
        tenth => format!("{}.{tenth} %", tenths / 10),
    })
}

/// `26 Nov 2026, 14:05 UTC`.
pub(crate) fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%-d %b %Y, %H:%M %Z").to_string()
}

/// `26 Nov 2026`.
pub(crate) fn day(day: Date) -> String {
    day.strftime("%-d %b %Y").to_string()
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text of so many characters, at most; what is cut off ends with `…`.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
