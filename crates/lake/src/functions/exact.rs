//! `*` and `/` of amounts, exact to 18 digits after the point.
//!
//! The engine's own decimals run out of their 38 digits when two amounts are multiplied or divided;
//! here the step between has 76, and the result is rounded half-even once.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Decimal128Type, i256},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};
use focus::decimal::{PRECISION, SCALE};

use crate::schema::AMOUNT;

/// Which operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Times,
    Over,
}

/// An operator on two amounts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Exact {
    operator: Operator,
    signature: Signature,
}

impl Exact {
    pub(super) fn new(operator: Operator) -> Self {
        Self { operator, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Times => "times",
            Operator::Over => "over",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(AMOUNT)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [a, b] = arrays.as_slice() else { return exec_err!("two amounts are needed") };
        // What does not fit is an error: nothing in its place would be a wrong answer.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let amount = |array| cast_with_options(array, &AMOUNT, &strict);
        let (a, b) = (amount(a)?, amount(b)?);
        let result = self.apply(&a, &b)?;
        Ok(ColumnarValue::Array(result))
    }
}

impl Exact {
    fn apply(&self, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef> {
        let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
        let mut results = Decimal128Array::builder(a.len());
        for row in 0..a.len() {
            if a.is_null(row) || b.is_null(row) {
                results.append_null();
                continue;
            }
            let (a, b) = (a.value(row), b.value(row));
            let result = match self.operator {
                Operator::Times => times(a, b),
                // A share of nothing is unknown, as in DuckDB.
                Operator::Over if b == 0 => {
                    results.append_null();
                    continue;
                }
                Operator::Over => over(a, b),
            };
            match result {
                Some(result) => results.append_value(result),
                None => {
                    return exec_err!("a product or quotient has over 20 digits before the point");
                }
            }
        }
        Ok(Arc::new(results.finish().with_precision_and_scale(PRECISION, SCALE)?))
    }
}

const ONE: i128 = 10i128.pow(18);
const BEYOND: i128 = 10i128.pow(38);

/// `a × b` at 18 digits after the point.
pub(super) fn times(a: i128, b: i128) -> Option<i128> {
    let exact = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    divided(exact, i256::from_i128(ONE))
}

/// `a ÷ b` at 18 digits after the point.
pub(super) fn over(a: i128, b: i128) -> Option<i128> {
    let up = i256::from_i128(a).checked_mul(i256::from_i128(ONE))?;
    divided(up, i256::from_i128(b))
}

/// `whole × part ÷ of`: the step between has all its digits.
pub(super) fn share(whole: i128, part: i128, of: i128) -> Option<i128> {
    if of == 0 {
        return None;
    }
    divided(i256::from_i128(whole).checked_mul(i256::from_i128(part))?, i256::from_i128(of))
}

/// Half-even.
fn divided(a: i256, b: i256) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    let twice = rest.wrapping_abs().checked_mul(i256::from_i128(2))?;
    let magnitude = b.wrapping_abs();
    let odd = quotient.checked_rem(i256::from_i128(2))? != i256::ZERO;
    let away = twice > magnitude || (twice == magnitude && odd);
    let mut result = quotient.to_i128()?;
    if away {
        let negative = (a < i256::ZERO) != (b < i256::ZERO);
        result = result.checked_add(if negative { -1 } else { 1 })?;
    }
    (result.abs() < BEYOND).then_some(result)
}
