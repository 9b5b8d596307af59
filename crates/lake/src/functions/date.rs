//! `year(x)`, `quarter(x)`, `month(x)`, `day(x)`, `date(x)` and `year_month(x)`, of instants, days
//! or text.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::{DatePart, cast, date_part},
    datatypes::{DataType, Int32Type},
};
use datafusion::{
    common::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};

/// The parts that have a function.
pub(super) const ALL: &[(&str, Which)] = &[
    ("year", Which::Year),
    ("quarter", Which::Quarter),
    ("month", Which::Month),
    ("day", Which::Day),
];

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Year,
    Quarter,
    Month,
    Day,
}

/// Whole numbers from a date.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    name: &'static str,
    which: Which,
    signature: Signature,
}

impl Part {
    pub(super) fn new((name, which): (&'static str, Which)) -> Self {
        Self { name, which, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let part = match self.which {
            Which::Year => DatePart::Year,
            Which::Quarter => DatePart::Quarter,
            Which::Month => DatePart::Month,
            Which::Day => DatePart::Day,
        };
        each(&args, |array| {
            let dates = temporal(array)?;
            Ok(cast(&date_part(&dates, part)?, &DataType::Int64)?)
        })
    }
}

/// The day of an instant.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Day {
    signature: Signature,
}

impl Default for Day {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Day {
    fn name(&self) -> &'static str {
        "date"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each(&args, |array| Ok(cast(&temporal(array)?, &DataType::Date32)?))
    }
}

/// The month of an instant with its year, as `2026-01`: two Januaries are two.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct YearMonth {
    signature: Signature,
}

impl Default for YearMonth {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for YearMonth {
    fn name(&self) -> &'static str {
        "year_month"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each(&args, |array| {
            let dates = temporal(array)?;
            let (years, months) =
                (date_part(&dates, DatePart::Year)?, date_part(&dates, DatePart::Month)?);
            let (years, months) =
                (years.as_primitive::<Int32Type>(), months.as_primitive::<Int32Type>());
            let texts = years.iter().zip(months);
            let texts = texts.map(|(year, month)| Some(format!("{:04}-{:02}", year?, month?)));
            Ok(Arc::new(texts.collect::<StringArray>()))
        })
    }
}

/// Text is read as an instant of UTC.
fn temporal(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        data if data.is_temporal() => Arc::clone(array),
        _ => cast(&cast(array, &DataType::Utf8)?, &crate::schema::instant())?,
    })
}

/// The function on the first argument; one value stays one value.
fn each(
    args: &ScalarFunctionArgs,
    function: impl Fn(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    match args.args.as_slice() {
        [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(function(array)?)),
        [ColumnarValue::Scalar(value)] => {
            let array = function(&value.to_array()?)?;
            let value = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
            Ok(ColumnarValue::Scalar(value))
        }
        _ => datafusion::common::plan_err!("one argument is needed"),
    }
}
