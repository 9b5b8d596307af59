//! Decimal text to an integer at a fixed scale, without ever holding a float.
//!
//! Work is linear in the length of the text whatever its exponent: `1e999999999` is refused as
//! quickly as `x`.

#[cfg(test)]
mod tests;

use crate::rounding::{Rounding, divide};

/// Why a text is not a decimal at the wanted scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DecimalError {
    /// Not `-? digits (. digits)? (e [+-]? digits)?`.
    Syntax,
    /// A digit would be lost at this scale.
    TooPrecise,
    /// Beyond 38 digits.
    OutOfRange,
}

/// An exponent or a digit count beyond this says "out of range" whatever the rest is.
const FAR: i64 = 1_000_000_000_000;

/// A decimal as `digits * 10^exponent`, digits without zeros at either end.
struct Parts {
    negative: bool,
    digits: i128,
    digit_count: u32,
    exponent: i64,
}

/// The text's value times `10^scale`; an error if that is not a whole number.
pub(crate) fn exact(text: &str, scale: u32) -> Result<i128, DecimalError> {
    let parts = parts(text)?;
    let shift = parts.exponent.saturating_add(i64::from(scale));
    if parts.digits == 0 {
        return Ok(0);
    }
    if shift < 0 {
        return Err(DecimalError::TooPrecise);
    }
    scaled_up(&parts, shift)
}

/// Like [`exact`], but digits beyond the scale are rounded half-even. The flag says whether any were.
pub(crate) fn nearest(text: &str, scale: u32) -> Result<(i128, bool), DecimalError> {
    let parts = parts(text)?;
    let shift = parts.exponent.saturating_add(i64::from(scale));
    if parts.digits == 0 {
        return Ok((0, false));
    }
    if shift >= 0 {
        return Ok((scaled_up(&parts, shift)?, false));
    }
    let dropped = u32::try_from(-shift).unwrap_or(u32::MAX);
    // More digits dropped than there are: below one tenth, so below one half.
    if dropped > parts.digit_count {
        return Ok((0, true));
    }
    let Some(divisor) = 10i128.checked_pow(dropped) else { return Ok((0, true)) };
    Ok((signed(&parts, divide(parts.digits, divisor, Rounding::HalfEven)), true))
}

fn scaled_up(parts: &Parts, shift: i64) -> Result<i128, DecimalError> {
    let factor = u32::try_from(shift).ok().and_then(|power| 10i128.checked_pow(power));
    let value = factor.and_then(|factor| parts.digits.checked_mul(factor));
    Ok(signed(parts, value.ok_or(DecimalError::OutOfRange)?))
}

fn signed(parts: &Parts, value: i128) -> i128 {
    if parts.negative { -value } else { value }
}

fn parts(text: &str) -> Result<Parts, DecimalError> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (digits_only(whole)?, digits_only(fraction)?),
        None => (digits_only(mantissa)?, ""),
    };
    let all = || whole.bytes().chain(fraction.bytes());
    let zeros_before = all().take_while(|digit| *digit == b'0').count();
    let zeros_after = all().rev().take_while(|digit| *digit == b'0').count();
    let length = whole.len() + fraction.len();
    if zeros_before == length {
        return Ok(Parts { negative: false, digits: 0, digit_count: 0, exponent: 0 });
    }
    let count = length - zeros_before - zeros_after;
    let mut digits = 0i128;
    for digit in all().skip(zeros_before).take(count) {
        let grown = digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(digit - b'0')));
        digits = grown.ok_or(DecimalError::OutOfRange)?;
    }
    let exponent = exponent
        .saturating_sub(i64::try_from(fraction.len()).unwrap_or(FAR))
        .saturating_add(i64::try_from(zeros_after).unwrap_or(FAR));
    // 39 at most, or the loop above has overflowed.
    let digit_count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Parts { negative, digits, digit_count, exponent })
}

fn digits_only(text: &str) -> Result<&str, DecimalError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(DecimalError::Syntax)
    }
}

fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = digits_only(digits)?.bytes().fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(FAR)
    });
    Ok(if negative { -value } else { value })
}
