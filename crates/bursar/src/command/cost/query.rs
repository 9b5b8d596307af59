//! `bursar cost query`.

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::ValueHint;
use focus::{Decimal, cost::Value};
use lake::{Format, Lake};

use super::{PastArgs, table::report_of};
use crate::{
    context::Context,
    exit::{Exit, Refused},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One select; the standard input otherwise
    sql: Option<String>,
    /// Fills the next place `?` of the query, as text; number:5 is a number, null: is nothing
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true, value_parser = param)]
    params: Vec<Value>,
    /// Write the answer, of any length, to a file: .csv, .jsonl or .parquet
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    to: Option<PathBuf>,
    #[command(flatten)]
    past: PastArgs,
}

fn param(text: &str) -> Result<Value, String> {
    if let Some(number) = text.strip_prefix("number:") {
        let whole = number.parse().ok().map(Value::Int);
        let exact = || Decimal::parse(number).map(Value::Decimal);
        return whole.or_else(exact).ok_or_else(|| format!("{number:?} is no number"));
    }
    Ok(if text == "null:" { Value::Null } else { Value::Text(text.to_owned()) })
}

impl Args {
    pub(super) async fn run(self, lake: &Lake, context: &Context) -> anyhow::Result<Exit> {
        let sql = match self.sql {
            Some(sql) => sql,
            None if std::io::stdin().is_terminal() => {
                return Err(
                    Refused("write a query behind the command, or pipe one in".into()).into()
                );
            }
            None => {
                let mut sql = String::new();
                std::io::stdin().read_to_string(&mut sql).context("failed to read the query")?;
                sql
            }
        };
        let as_of = self.past.as_of;
        let Some(file) = self.to else {
            let table = lake.sql(&sql, &self.params, as_of).await?;
            context.printer().print(&report_of("rows", table))?;
            return Ok(Exit::Done);
        };
        let format = match file.extension().and_then(|end| end.to_str()) {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::JsonLines,
            Some("parquet") => Format::Parquet,
            _ => {
                let message = format!("{}: name it .csv, .jsonl or .parquet", file.display());
                return Err(Refused(message).into());
            }
        };
        let rows = lake.export(&sql, &self.params, as_of, format, &file).await?;
        context.printer().say(&format!("{rows} rows are in {}", file.display()))?;
        Ok(Exit::Done)
    }
}
