//! An amount of money.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::decimal::{self, DecimalError};
use crate::rounding::{Rounding, divide};

const NANOS_PER_DOLLAR: i128 = 1_000_000_000;

/// US dollars, counted in nano-dollars (`0.000000001 USD`).
///
/// Amounts that are parsed or added stay within [`Money::MAX`] on either side of zero, so they fit
/// a 64-bit column. Text is decimal dollars: `"10.5"`, `"0.0105"`, `"-3"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Money(i128);

/// Why a text is no amount of money.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("{text:?} is not an amount; write dollars as a decimal, like 10.50")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Finer than a nano-dollar.
    #[error("{text:?} has more than 9 decimals; the smallest amount is 0.000000001")]
    TooPrecise {
        /// What was written.
        text: String,
    },
    /// Beyond [`Money::MAX`].
    #[error("{text:?} is out of range; the largest amount is 9000000000")]
    OutOfRange {
        /// What was written.
        text: String,
    },
}

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);
    /// Nine billion dollars: in nano-dollars, just within a signed 64-bit integer.
    pub const MAX: Money = Money::from_dollars(9_000_000_000);

    /// An amount from nano-dollars, unchecked against [`Money::MAX`].
    pub const fn from_nanos(nanos: i128) -> Money {
        Money(nanos)
    }

    /// An amount from whole dollars, unchecked against [`Money::MAX`].
    pub const fn from_dollars(dollars: i64) -> Money {
        // An i64 widens without loss, and 2^63 * 10^9 fits 127 bits.
        Money(dollars as i128 * NANOS_PER_DOLLAR)
    }

    /// An amount from units times [`crate::UnitPrice::nanos_per_million`], which is a nano-dollar's
    /// millionth, rounded once. Unchecked against [`Money::MAX`].
    pub fn from_millionths(millionths: i128, rounding: Rounding) -> Money {
        Money(divide(millionths, 1_000_000, rounding))
    }

    /// The amount in nano-dollars.
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// The amount in nano-dollars for a 64-bit column; `None` if it does not fit.
    pub fn to_i64_nanos(self) -> Option<i64> {
        i64::try_from(self.0).ok()
    }

    /// The sum; `None` if it is beyond [`Money::MAX`] on either side.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).and_then(Money::within_range)
    }

    /// The difference; `None` if it is beyond [`Money::MAX`] on either side.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).and_then(Money::within_range)
    }

    /// What is left of `self` when `other` is taken away, at least nothing.
    pub fn saturating_sub_to_zero(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0).max(0))
    }

    /// Whether this is less than nothing.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether this is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Decimal dollars with nine decimals always, as in `10.500000000`.
    pub fn fixed9(self) -> String {
        let (sign, whole, fraction) = self.split();
        format!("{sign}{whole}.{fraction:09}")
    }

    /// `self` as a share of `limit` in hundredths of a percent, rounded half-even: 1 of 8 dollars
    /// is `1250`, which is 12.5 %. `None` if the limit is not positive or the share is beyond 128
    /// bits.
    pub fn percent_of(self, limit: Money) -> Option<i128> {
        if limit.0 <= 0 {
            return None;
        }
        Some(divide(self.0.checked_mul(10_000)?, limit.0, Rounding::HalfEven))
    }

    pub(crate) fn within_range(nanos: i128) -> Option<Money> {
        (-Money::MAX.0..=Money::MAX.0).contains(&nanos).then_some(Money(nanos))
    }

    fn split(self) -> (&'static str, u128, u128) {
        let magnitude = self.0.unsigned_abs();
        let unit = NANOS_PER_DOLLAR.unsigned_abs();
        (if self.0 < 0 { "-" } else { "" }, magnitude / unit, magnitude % unit)
    }

    fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        let (sign, whole, mut fraction) = self.split();
        write!(out, "{sign}{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = 9;
        while fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(out, ".{fraction:0digits$}")
    }
}

/// Decimal dollars with as few digits as are exact.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Through `pad` for width and alignment in tables, but a precision would cut digits off.
        if f.width().is_some() && f.precision().is_none() {
            let mut text = String::new();
            self.write(&mut text)?;
            f.pad(&text)
        } else {
            self.write(f)
        }
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads `10`, `10.50`, `1e3`, `1.5E-7` and the same after a `-`; exactly, or not at all.
    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let excerpt = || text.chars().take(64).collect::<String>();
        let nanos = decimal::exact(text, 9).map_err(|error| match error {
            DecimalError::Syntax => MoneyError::Syntax { text: excerpt() },
            DecimalError::TooPrecise => MoneyError::TooPrecise { text: excerpt() },
            DecimalError::OutOfRange => MoneyError::OutOfRange { text: excerpt() },
        })?;
        Money::within_range(nanos).ok_or_else(|| MoneyError::OutOfRange { text: excerpt() })
    }
}
