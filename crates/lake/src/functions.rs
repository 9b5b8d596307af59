//! Functions and operators that cost queries use and the engine does not have.
//!
//! Owns their registration. Each file is one family: parts of dates, JSON, exact arithmetic.

use std::sync::Arc;

use datafusion::{
    common::Result, execution::FunctionRegistry, logical_expr::ScalarUDF, prelude::SessionContext,
};

use focus::Decimal;

mod date;
mod exact;
mod json;
mod operator;
mod path;
#[cfg(test)]
mod tests;

/// Adds them to a session.
pub(crate) fn register(context: &mut SessionContext) -> Result<()> {
    for part in date::ALL {
        context.register_udf(ScalarUDF::new_from_impl(date::Part::new(*part)).into())?;
    }
    context.register_udf(ScalarUDF::new_from_impl(date::Day::default()).into())?;
    context.register_udf(ScalarUDF::new_from_impl(date::YearMonth::default()).into())?;
    for function in json::ALL {
        context.register_udf(ScalarUDF::new_from_impl(json::Json::new(*function)).into())?;
    }
    context.register_expr_planner(Arc::new(operator::Operators))
}

/// `a × b`, exact to its last digit, then rounded once, half to even, at 18 digits after the point.
pub(crate) fn product(a: Decimal, b: Decimal) -> Option<Decimal> {
    exact::times(a.to_amount()?, b.to_amount()?).map(Decimal::amount)
}

/// `whole × part ÷ of`, rounded once at 18 digits after the point; `None` where `of` is zero.
pub(crate) fn share(whole: Decimal, part: Decimal, of: Decimal) -> Option<Decimal> {
    let (whole, part, of) = (whole.to_amount()?, part.to_amount()?, of.to_amount()?);
    exact::share(whole, part, of).map(Decimal::amount)
}
