//! From exact amounts to floats, and back.

use focus::Decimal;

/// An amount as a float, for forecasts alone.
pub fn approximate(amount: Decimal) -> f64 {
    amount.to_string().parse().unwrap_or_default()
}

/// What was foreseen, to the cent: it is nothing that anybody owes. `None` of what is no number.
pub fn rounded(amount: f64) -> Option<Decimal> {
    Decimal::parse(&format!("{amount:.2}"))
}
