//! Exact decimal numbers of any length that a bill may have.

use std::cmp::Ordering;

/// No number is longer than this many digits, before and after the point together.
const DIGITS_MAX: usize = 120;

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberError {
    /// Not `-? digits (. digits)? (E -? digits)?`.
    Syntax,
    /// More digits than any amount has, as in `1E400`.
    OutOfRange,
}

impl NumberError {
    /// A fragment that reads after "is".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "no number",
            Self::OutOfRange => "a number of more digits than any amount has",
        }
    }
}

/// An exact decimal number: digits times a power of ten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// Most significant first, none leading zero; empty for zero.
    digits: Vec<u8>,
    /// How many of them stand behind the point; zero for zero.
    scale: usize,
}

impl Number {
    /// Reads a number: `-1.5`, `0.30`, `2E-7`, also `2e+7`.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['E', 'e']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(NumberError::Syntax),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(NumberError::Syntax);
        }
        let all = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0');
        let mut digits: Vec<u8> = all.skip_while(|digit| *digit == 0).collect();
        let mut scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX).saturating_sub(exponent);
        while scale > 0 && digits.last() == Some(&0) {
            digits.pop();
            scale -= 1;
        }
        if digits.is_empty() {
            return Ok(Self { negative: false, digits, scale: 0 });
        }
        let most = i64::try_from(DIGITS_MAX).unwrap_or(i64::MAX);
        if digits.len() > DIGITS_MAX || scale.abs() > most {
            return Err(NumberError::OutOfRange);
        }
        let zeros = usize::try_from(-scale).unwrap_or(0);
        digits.extend(std::iter::repeat_n(0, zeros));
        if digits.len() > DIGITS_MAX {
            return Err(NumberError::OutOfRange);
        }
        Ok(Self { negative, digits, scale: usize::try_from(scale).unwrap_or(0) })
    }

    /// The number 1.
    pub fn one() -> Self {
        Self { negative: false, digits: vec![1], scale: 0 }
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// How many digits it needs behind the point.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// The exact product.
    pub fn times(&self, other: &Self) -> Self {
        let mut sums = vec![0u32; self.digits.len() + other.digits.len()];
        for (i, a) in self.digits.iter().enumerate() {
            for (j, b) in other.digits.iter().enumerate() {
                sums[i + j + 1] += u32::from(*a) * u32::from(*b);
            }
        }
        Self::from_sums(self.negative != other.negative, sums, self.scale + other.scale)
    }

    /// The exact sum.
    pub fn plus(&self, other: &Self) -> Self {
        let (a, b, scale) = self.aligned(other);
        if self.negative == other.negative {
            let sums = a.iter().zip(&b).map(|(a, b)| u32::from(*a) + u32::from(*b));
            return Self::from_sums(self.negative, sums.collect(), scale);
        }
        let (large, small, negative) =
            if a >= b { (a, b, self.negative) } else { (b, a, other.negative) };
        let mut digits = Vec::with_capacity(large.len());
        let mut borrow = 0;
        for (a, b) in large.iter().zip(&small).rev() {
            let (a, b) = (*a, *b + borrow);
            borrow = u8::from(a < b);
            digits.push(u32::from(a + 10 * borrow - b));
        }
        digits.reverse();
        Self::from_sums(negative, digits, scale)
    }

    /// The number of the other sign.
    pub fn negated(&self) -> Self {
        Self { negative: !self.negative && !self.is_zero(), ..self.clone() }
    }

    /// The exact difference.
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&other.negated())
    }

    /// The number without its sign.
    pub fn magnitude(&self) -> Self {
        Self { negative: false, ..self.clone() }
    }

    /// A tenth of a tenth of it, `places` times.
    pub fn shifted_down(&self, places: usize) -> Self {
        let sums = self.digits.iter().map(|digit| u32::from(*digit)).collect();
        Self::from_sums(self.negative, sums, self.scale + places)
    }

    /// Both numbers' digits with the same places before and behind the point, and one to spare.
    fn aligned(&self, other: &Self) -> (Vec<u8>, Vec<u8>, usize) {
        let scale = self.scale.max(other.scale);
        let whole = |number: &Self| number.digits.len().saturating_sub(number.scale);
        let width = whole(self).max(whole(other)) + scale + 1;
        let spread = |number: &Self| {
            let behind = scale - number.scale;
            let mut digits = vec![0; width - number.digits.len() - behind];
            digits.extend(&number.digits);
            digits.resize(width, 0);
            digits
        };
        (spread(self), spread(other), scale)
    }

    /// A number from digits that may be above nine, most significant first; the first has room.
    fn from_sums(negative: bool, mut sums: Vec<u32>, mut scale: usize) -> Self {
        for at in (1..sums.len()).rev() {
            sums[at - 1] += sums[at] / 10;
            sums[at] %= 10;
        }
        let digits = sums.into_iter().skip_while(|digit| *digit == 0);
        // Below ten each, but for a first one that never is above nine in a sum with room.
        let mut digits: Vec<u8> = digits.map(|digit| u8::try_from(digit).unwrap_or(9)).collect();
        while scale > 0 && digits.last() == Some(&0) {
            digits.pop();
            scale -= 1;
        }
        let zero = digits.is_empty();
        Self { negative: negative && !zero, digits, scale: if zero { 0 } else { scale } }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b, _) = self.aligned(other);
        match (self.negative, other.negative) {
            (false, false) => a.cmp(&b),
            (true, true) => b.cmp(&a),
            (negative, _) => other.negative.cmp(&negative),
        }
    }
}

impl std::fmt::Display for Number {
    /// Plain digits, as many as are exact.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        if text.len() <= self.scale {
            text = format!("{}{text}", "0".repeat(self.scale + 1 - text.len()));
        }
        if self.scale > 0 {
            text.insert(text.len() - self.scale, '.');
        }
        write!(f, "{}{text}", if self.negative { "-" } else { "" })
    }
}

fn parse_exponent(text: &str) -> Result<i64, NumberError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Syntax);
    }
    let value = digits.bytes().fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(1 << 40)
    });
    Ok(if negative { -value } else { value })
}
