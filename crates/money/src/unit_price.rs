//! What a million units cost.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{self, DecimalError};
use crate::money::Money;

/// Digits of a dollar per single unit that are exact: nine of the dollar, six of the million.
const SCALE_PER_UNIT: u32 = 15;
/// Digits of a dollar per million units that are exact.
const SCALE_PER_MILLION: u32 = 9;

/// Nano-dollars per million units, not negative, at most [`Money::MAX`] per million.
///
/// As text, and so in JSON and TOML, it is US dollars per million units: `"0.25"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnitPrice(i128);

/// Why a text is no price.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitPriceError {
    /// Not a decimal number.
    #[error("{text:?} is not a decimal number")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Below zero.
    #[error("{text:?} is negative")]
    Negative {
        /// What was written.
        text: String,
    },
    /// Finer than a nano-dollar per million units.
    #[error("{text:?} is finer than 0.000000001 USD per million units")]
    TooPrecise {
        /// What was written.
        text: String,
    },
    /// Dearer than [`Money::MAX`] per million units.
    #[error("{text:?} is out of range; the dearest price is 9000000000 USD per million units")]
    OutOfRange {
        /// What was written.
        text: String,
    },
}

impl UnitPrice {
    /// Free.
    pub const ZERO: UnitPrice = UnitPrice(0);

    /// A price from nano-dollars per million units; `None` if negative or beyond [`Money::MAX`].
    pub fn from_nanos_per_million(nanos: i128) -> Option<UnitPrice> {
        (0..=Money::MAX.nanos()).contains(&nanos).then_some(UnitPrice(nanos))
    }

    /// The price in nano-dollars per million units.
    pub const fn nanos_per_million(self) -> i128 {
        self.0
    }

    /// Reads US dollars per unit, as in `1.25e-07`; exactly, or not at all.
    pub fn per_token(text: &str) -> Result<UnitPrice, UnitPriceError> {
        UnitPrice::checked(text, decimal::exact(text, SCALE_PER_UNIT))
    }

    /// Reads US dollars per million units, as in `0.125`; exactly, or not at all.
    pub fn per_million(text: &str) -> Result<UnitPrice, UnitPriceError> {
        UnitPrice::checked(text, decimal::exact(text, SCALE_PER_MILLION))
    }

    /// Reads US dollars per unit and rounds half-even to a nano-dollar per million. The flag says
    /// whether that changed the price.
    pub(crate) fn per_token_nearest(text: &str) -> Result<(UnitPrice, bool), UnitPriceError> {
        match decimal::nearest(text, SCALE_PER_UNIT) {
            Ok((nanos, rounded)) => Ok((UnitPrice::checked(text, Ok(nanos))?, rounded)),
            Err(error) => Err(UnitPrice::error(text, error)),
        }
    }

    fn checked(text: &str, nanos: Result<i128, DecimalError>) -> Result<UnitPrice, UnitPriceError> {
        let nanos = nanos.map_err(|error| UnitPrice::error(text, error))?;
        if nanos < 0 {
            return Err(UnitPriceError::Negative { text: excerpt(text) });
        }
        UnitPrice::from_nanos_per_million(nanos)
            .ok_or_else(|| UnitPriceError::OutOfRange { text: excerpt(text) })
    }

    fn error(text: &str, error: DecimalError) -> UnitPriceError {
        let text = excerpt(text);
        match error {
            DecimalError::Syntax => UnitPriceError::Syntax { text },
            DecimalError::TooPrecise => UnitPriceError::TooPrecise { text },
            DecimalError::OutOfRange => UnitPriceError::OutOfRange { text },
        }
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// US dollars per million units, with as few digits as are exact.
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Money::from_nanos(self.0), f)
    }
}

impl Serialize for UnitPrice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnitPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UnitPrice, D::Error> {
        deserializer.deserialize_str(PriceText)
    }
}

/// Takes text alone: a bare `0.30` would already have gone through a float.
struct PriceText;

impl serde::de::Visitor<'_> for PriceText {
    type Value = UnitPrice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("US dollars per million tokens in quotes, like \"0.30\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<UnitPrice, E> {
        UnitPrice::per_million(text).map_err(E::custom)
    }
}
