//! Operators that mean something else here: `->` and `->>` on JSON, `*` and `/` on amounts.

use datafusion::{
    arrow::datatypes::DataType,
    common::{DFSchema, Result},
    logical_expr::{
        Expr, ExprSchemable, ScalarUDF,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::{
    exact::{Exact, Operator},
    json::{Function, Json},
};

#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow => json(Function::Member),
            BinaryOperator::LongArrow => json(Function::MemberText),
            BinaryOperator::Multiply if is_exact(&expr, schema)? => exact(Operator::Times),
            BinaryOperator::Divide if is_exact(&expr, schema)? => exact(Operator::Over),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let symbol = expr.op.to_string();
        let name = format!("{} {symbol} {}", expr.left.schema_name(), expr.right.schema_name());
        let call = function.call(vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(call.alias(name)))
    }
}

fn json(function: Function) -> ScalarUDF {
    ScalarUDF::new_from_impl(Json::new(function))
}

fn exact(operator: Operator) -> ScalarUDF {
    ScalarUDF::new_from_impl(Exact::new(operator))
}

/// Whether both are exact numbers and one has digits after the point.
fn is_exact(expr: &RawBinaryExpr, schema: &DFSchema) -> Result<bool> {
    let (left, right) = (data(&expr.left, schema)?, data(&expr.right, schema)?);
    let decimal =
        |data: &DataType| matches!(data, DataType::Decimal128(..) | DataType::Decimal256(..));
    let number = |data: &DataType| decimal(data) || data.is_integer() || data.is_null();
    Ok(number(&left) && number(&right) && (decimal(&left) || decimal(&right)))
}

fn data(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    expr.get_type(schema)
}
