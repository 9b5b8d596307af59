//! JSON functions, named and behaving as DuckDB's, on text columns that hold JSON.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBuilder, ListBuilder, StringArray, StringBuilder},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    },
};

use super::path::{self, Step};

/// The functions that have a name; `->` and `->>` are operators.
pub(super) const ALL: &[Function] =
    &[Function::Extract, Function::ExtractText, Function::Value, Function::Exists];

/// What is asked of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Function {
    /// `json_extract`: what is there, as JSON.
    Extract,
    /// `json_extract_string`: text without quotes.
    ExtractText,
    /// `json_value`: as JSON, if it is no object or list.
    Value,
    /// `json_exists`.
    Exists,
    /// `->`.
    Member,
    /// `->>`.
    MemberText,
}

/// A function of a document and a path.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Json {
    function: Function,
    signature: Signature,
    aliases: Vec<String>,
}

impl Json {
    pub(super) fn new(function: Function) -> Self {
        let aliases = match function {
            Function::Extract => vec!["json_extract_path".to_owned()],
            Function::ExtractText => vec!["json_extract_path_text".to_owned()],
            _ => Vec::new(),
        };
        Self { function, signature: Signature::any(2, Volatility::Immutable), aliases }
    }
}

fn many(data: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data, true)))
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        match self.function {
            Function::Extract => "json_extract",
            Function::ExtractText => "json_extract_string",
            Function::Value => "json_value",
            Function::Exists => "json_exists",
            Function::Member => "json_member",
            Function::MemberText => "json_member_string",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.function == Function::Exists { DataType::Boolean } else { DataType::Utf8 })
    }

    /// A path with `*` leads to a list; which path it is has to be known when it is planned.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let one = self.return_type(&types)?;
        let path = args.scalar_arguments.get(1).copied().flatten();
        let text = path.and_then(|path| path.try_as_str().flatten());
        let several = match text {
            Some(text) => match path::parse(text) {
                Ok(steps) => path::is_many(&steps),
                Err(say) => return plan_err!("{say}"),
            },
            None => false,
        };
        let data = if several { many(one) } else { one };
        Ok(Arc::new(Field::new(self.name(), data, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [document, path] = args.args.as_slice() else {
            return exec_err!("a document and a path are needed");
        };
        let several = matches!(args.return_field.data_type(), DataType::List(_));
        let documents = cast(&document.to_array(args.number_rows)?, &DataType::Utf8)?;
        let documents = documents.as_string::<i32>();
        let result = match path {
            ColumnarValue::Scalar(path) => {
                let steps = steps(path)?;
                let each = |_| Ok(steps.clone());
                self.apply(documents, several, each)?
            }
            ColumnarValue::Array(paths) => {
                let numbers = paths.data_type().is_integer();
                let paths = cast(paths, if numbers { &DataType::Int64 } else { &DataType::Utf8 })?;
                let each = |row| match (paths.is_null(row), numbers) {
                    (true, _) => Ok(None),
                    (_, true) => {
                        Ok(Some(vec![element(paths.as_primitive::<Int64Type>().value(row))]))
                    }
                    _ => parsed(paths.as_string::<i32>().value(row)).map(Some),
                };
                self.apply(documents, several, each)?
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn parsed(path: &str) -> Result<Vec<Step>> {
    path::parse(path).or_else(|say| exec_err!("{say}"))
}

/// A number counts elements, from the back if it is negative.
fn element(index: i64) -> Step {
    let magnitude = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 { Step::ElementBack(magnitude) } else { Step::Element(magnitude) }
}

fn steps(path: &ScalarValue) -> Result<Option<Vec<Step>>> {
    if path.is_null() {
        return Ok(None);
    }
    if let Some(text) = path.try_as_str().flatten() {
        return parsed(text).map(Some);
    }
    match path.cast_to(&DataType::Int64)? {
        ScalarValue::Int64(Some(index)) => Ok(Some(vec![element(index)])),
        _ => exec_err!("a JSON path is text or a number"),
    }
}

impl Json {
    fn apply(
        &self,
        documents: &StringArray,
        several: bool,
        steps: impl Fn(usize) -> Result<Option<Vec<Step>>>,
    ) -> Result<ArrayRef> {
        let mut out = Out::new(self.function, several);
        for row in 0..documents.len() {
            let steps = if documents.is_null(row) { None } else { steps(row)? };
            let Some(steps) = steps else {
                out.null();
                continue;
            };
            let document = documents.value(row);
            match path::find(document, &steps) {
                Ok(found) => out.push(&found, several)?,
                Err(error) => {
                    let start: String = document.chars().take(60).collect();
                    return exec_err!("{start:?} is no JSON: {error}");
                }
            }
        }
        Ok(out.finish())
    }
}

/// Where results go.
enum Out {
    Texts(Function, StringBuilder),
    Lists(Function, ListBuilder<StringBuilder>),
    Exist(BooleanBuilder),
    ListsExist(ListBuilder<BooleanBuilder>),
}

impl Out {
    fn new(function: Function, several: bool) -> Self {
        match (function, several) {
            (Function::Exists, false) => Self::Exist(BooleanBuilder::new()),
            (Function::Exists, true) => Self::ListsExist(ListBuilder::new(BooleanBuilder::new())),
            (function, false) => Self::Texts(function, StringBuilder::new()),
            (function, true) => Self::Lists(function, ListBuilder::new(StringBuilder::new())),
        }
    }

    fn null(&mut self) {
        match self {
            Self::Texts(_, out) => out.append_null(),
            Self::Lists(_, out) => out.append_null(),
            Self::Exist(out) => out.append_null(),
            Self::ListsExist(out) => out.append_null(),
        }
    }

    fn push(&mut self, found: &[&str], several: bool) -> Result<()> {
        match self {
            Self::Texts(function, out) => match found {
                [] => out.append_null(),
                [one] => out.append_option(written(*function, one)?),
                _ => return exec_err!("the path leads to several places; write it as one literal"),
            },
            Self::Lists(function, out) => {
                for one in found {
                    out.values().append_option(written(*function, one)?);
                }
                out.append(several);
            }
            Self::Exist(out) => out.append_value(!found.is_empty()),
            Self::ListsExist(out) => {
                found.iter().for_each(|_| out.values().append_value(true));
                out.append(true);
            }
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Texts(_, mut out) => Arc::new(out.finish()),
            Self::Lists(_, mut out) => Arc::new(out.finish()),
            Self::Exist(mut out) => Arc::new(out.finish()),
            Self::ListsExist(mut out) => Arc::new(out.finish()),
        }
    }
}

/// What was found as the function gives it.
fn written(function: Function, found: &str) -> Result<Option<String>> {
    Ok(match function {
        Function::ExtractText | Function::MemberText => match found.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<String>(found) {
                Ok(text) => Some(text),
                Err(error) => return exec_err!("{found} is no JSON text: {error}"),
            },
            _ if found == "null" => None,
            _ => Some(found.to_owned()),
        },
        Function::Value if found.starts_with(['{', '[']) => None,
        _ => Some(found.to_owned()),
    })
}
