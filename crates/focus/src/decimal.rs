//! Exact decimal numbers, and amounts as the lake keeps them: 38 digits, 18 of them after the point.
//!
//! Owns how text becomes an amount and back. No float takes part; a number that would lose a digit
//! is refused and not rounded, but by [`parse_rounded`], which is for sources whose numbers are
//! doubles.

use std::fmt;

use money::Money;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

#[cfg(test)]
mod tests;

/// Digits after the point that an amount has.
pub const SCALE: i8 = 18;
/// All digits that it has.
pub const PRECISION: u8 = 38;
/// The first number beyond them.
const BEYOND: i128 = 10i128.pow(38);

/// An exact decimal number: `digits / 10^scale`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decimal {
    digits: i128,
    scale: u8,
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Not a decimal number; `NaN` and `inf` are none.
    Syntax,
    /// A digit beyond the 18th after the point.
    TooPrecise,
    /// 10^20 or more.
    TooLarge,
}

impl Unreadable {
    /// What is wrong, to be read after the number.
    pub const fn say(self) -> &'static str {
        match self {
            Self::Syntax => "is no decimal number",
            Self::TooPrecise => "has more than 18 digits after the point",
            Self::TooLarge => "has more than 20 digits before the point",
        }
    }
}

impl Decimal {
    /// `digits / 10^scale`.
    pub const fn new(digits: i128, scale: u8) -> Self {
        Self { digits, scale }
    }

    /// An amount from its digits: 18 digits after the point.
    pub const fn amount(digits: i128) -> Self {
        Self { digits, scale: SCALE as u8 }
    }

    /// Zero.
    pub const ZERO: Self = Self::new(0, 0);

    /// The whole number that the scale divides.
    pub const fn digits(self) -> i128 {
        self.digits
    }

    /// Digits after the point.
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// The number at 18 digits after the point, if it fits.
    pub fn to_amount(self) -> Option<i128> {
        let wanted = SCALE as u8;
        if self.scale <= wanted {
            let factor = 10i128.checked_pow(u32::from(wanted - self.scale))?;
            return self.digits.checked_mul(factor).filter(|digits| digits.abs() < BEYOND);
        }
        let factor = 10i128.checked_pow(u32::from(self.scale - wanted))?;
        (self.digits % factor == 0).then_some(self.digits / factor)
    }

    /// Reads `-12.5` or `1.5E-7`; at most 18 digits after the point.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text.as_bytes()).ok().map(Self::amount)
    }

    /// Digits after the point that are not zeros at the end.
    pub const fn printed(self) -> u8 {
        self.trimmed().1
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// The sum, if it fits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Self { digits: a.checked_add(b)?, scale })
    }

    /// The difference, if it fits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Self { digits: a.checked_sub(b)?, scale })
    }

    /// Rounded half-even to so many digits after the point.
    pub fn rounded(self, scale: u8) -> Self {
        if scale >= self.scale {
            return self;
        }
        let Some(factor) = 10i128.checked_pow(u32::from(self.scale - scale)) else {
            return Self { digits: 0, scale };
        };
        Self { digits: divide_half_even(self.digits, factor), scale }
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u8)> {
        let scale = self.scale.max(other.scale);
        let up = |number: Self| {
            let factor = 10i128.checked_pow(u32::from(scale - number.scale))?;
            number.digits.checked_mul(factor)
        };
        Some((up(self)?, up(other)?, scale))
    }
}

fn divide_half_even(digits: i128, factor: i128) -> i128 {
    let (quotient, rest) = (digits / factor, (digits % factor).unsigned_abs());
    let half = factor.unsigned_abs() / 2;
    // Factors are powers of ten, so `half` is exact.
    let away = rest > half || (rest == half && quotient % 2 != 0);
    quotient + i128::from(away) * digits.signum()
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self::new(money.nanos(), 9)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.trimmed() == other.trimmed()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match self.aligned(*other) {
            Some((a, b, _)) => a.cmp(&b),
            // Too far apart for one scale: the one with the larger whole part is larger.
            None => self.rounded(0).digits.cmp(&other.rounded(0).digits),
        }
    }
}

impl Decimal {
    const fn trimmed(self) -> (i128, u8) {
        let (mut digits, mut scale) = (self.digits, self.scale);
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        (digits, scale)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, scale) = self.trimmed();
        let sign = if digits < 0 { "-" } else { "" };
        let plain = digits.unsigned_abs().to_string();
        let scale = usize::from(scale);
        if scale == 0 {
            return write!(f, "{sign}{plain}");
        }
        let padded = format!("{plain:0>width$}", width = scale + 1);
        let (whole, part) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{part}")
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no amount")))
    }
}

/// The text's value times 10^18.
pub fn parse(text: &[u8]) -> Result<i128, Unreadable> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, part) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() && part.is_empty() {
        return Err(Unreadable::Syntax);
    }
    let digits = magnitude(whole, part, exponent)?;
    Ok(if negative { -digits } else { digits })
}

/// The text's value times 10^18, its digits beyond the 18th after the point rounded half to even;
/// and whether any was. It moves by at most half of 10^-18.
///
/// For the texts of sources whose amounts are doubles: the shortest digits that name a double are
/// at most seventeen, but stand anywhere behind the point.
pub fn parse_rounded(text: &[u8]) -> Result<(i128, bool), Unreadable> {
    match parse(text) {
        Ok(digits) => Ok((digits, false)),
        Err(Unreadable::TooPrecise) => {
            let text = std::str::from_utf8(text).map_err(|_| Unreadable::Syntax)?;
            rounded(text.strip_prefix('+').unwrap_or(text)).map(|digits| (digits, true))
        }
        Err(why) => Err(why),
    }
}

/// Goes over the number's own digits, however many there are.
fn rounded(text: &str) -> Result<i128, Unreadable> {
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, exponent(power.as_bytes())?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(part.bytes()).map(|byte| byte - b'0').collect();
    // How many of them stand up to the 18th place behind the point: fewer than none where the first
    // stands behind the 19th, and is less than a half however great.
    let before_point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(power);
    let kept = before_point.saturating_add(i64::from(SCALE));
    let is_less = kept < 0;
    let kept = usize::try_from(kept.max(0)).unwrap_or(usize::MAX).min(digits.len());
    let (head, tail) = digits.split_at(kept);
    let mut number: i128 = 0;
    for digit in head {
        let more = number.checked_mul(10).and_then(|n| n.checked_add(i128::from(*digit)));
        number = more.filter(|n| *n < BEYOND).ok_or(Unreadable::TooLarge)?;
    }
    let up = match tail {
        _ if is_less => false,
        [5, rest @ ..] if rest.iter().all(|digit| *digit == 0) => number % 2 != 0,
        [first, ..] => *first >= 5,
        [] => false,
    };
    number += i128::from(up);
    if number >= BEYOND {
        return Err(Unreadable::TooLarge);
    }
    Ok(if negative { -number } else { number })
}

fn magnitude(whole: &[u8], part: &[u8], exponent: i64) -> Result<i128, Unreadable> {
    // Zeros at the end of the part say nothing.
    let kept = part.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    if !part[kept..].iter().chain(whole).all(u8::is_ascii_digit) {
        return Err(Unreadable::Syntax);
    }
    let part = &part[..kept];
    let mut digits: i128 = 0;
    let mut overflow = false;
    for byte in whole.iter().chain(part) {
        if !byte.is_ascii_digit() {
            return Err(Unreadable::Syntax);
        }
        match digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(byte - b'0'))) {
            Some(more) => digits = more,
            None => overflow = true,
        }
    }
    if overflow {
        return Err(if part.len() > 18 { Unreadable::TooPrecise } else { Unreadable::TooLarge });
    }
    let length = i64::try_from(part.len()).unwrap_or(i64::MAX);
    shifted(digits, exponent.saturating_sub(length).saturating_add(i64::from(SCALE)))
}

/// `digits * 10^shift`, exactly.
fn shifted(mut digits: i128, mut shift: i64) -> Result<i128, Unreadable> {
    if digits == 0 {
        return Ok(0);
    }
    while shift < 0 {
        if digits % 10 != 0 {
            return Err(Unreadable::TooPrecise);
        }
        digits /= 10;
        shift += 1;
    }
    let power = u32::try_from(shift).map_err(|_| Unreadable::TooLarge)?;
    let factor = 10i128.checked_pow(power).ok_or(Unreadable::TooLarge)?;
    digits.checked_mul(factor).filter(|digits| *digits < BEYOND).ok_or(Unreadable::TooLarge)
}

fn exponent(text: &[u8]) -> Result<i64, Unreadable> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Unreadable::Syntax);
    }
    let value = digits
        .iter()
        .fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Ok(if negative { -value } else { value })
}
