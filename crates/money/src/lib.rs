//! Money and prices, exactly.
//!
//! This crate owns an amount of US dollars ([`Money`]), what a million units cost ([`UnitPrice`]),
//! the tokens a request used ([`TokenUsage`]), the dated [`Price`] of a model and the
//! [`PriceBook`] that finds it; the catalogue shipped with the product and the reader of LiteLLM's
//! price file ([`litellm`]).
//!
//! It knows nothing of budgets, tenants, storage, the network or the clock: the moment of a charge
//! is an argument.
//!
//! Invariant: no amount ever passes through a binary floating point number. Decimal text becomes an
//! integer, a charge is one sum of `units * price` in checked 128-bit integers, divided and rounded
//! once, in one function. A charge that can't be exact up to that one rounding is an error.

#![deny(clippy::float_arithmetic)]

mod book;
pub mod catalogue;
mod decimal;
pub mod litellm;
mod money;
mod price;
mod rounding;
mod unit_price;
mod usage;

pub use book::PriceBook;
pub use money::{Money, MoneyError};
pub use price::{LongContext, Price, PriceError, Rates};
pub use rounding::Rounding;
pub use unit_price::{UnitPrice, UnitPriceError};
pub use usage::{ServiceTier, TokenUsage, UnknownTier};
