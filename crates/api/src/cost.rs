//! `/api/v1/cost`: what was charged, by whatever people ask for.

use std::collections::BTreeMap;

use focus::{
    Decimal,
    cost::{Imported, Rate, Table, Value},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Cursor;

/// A place in an answer: the version that it is of, and the rows before it.
impl Cursor for (u64, usize) {
    fn text(&self) -> String {
        format!("{}.{}", self.0, self.1)
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, row) = text.split_once('.')?;
        Some((version.parse().ok()?, row.parse().ok()?))
    }
}

/// Which costs, added up by what.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostQuery {
    /// What lines are made by, a comma between two: `day`, `month`, `provider`, `account`,
    /// `tenant`, `service`, `category`, `region`, `charge`, `sku`, `resource`, `tag:NAME`, or a
    /// column of FOCUS; `service` by default.
    pub by: Option<String>,
    /// One billing period, as `2026-10`; all of them by default.
    pub month: Option<String>,
    /// The first billing period, with `to`.
    pub from: Option<String>,
    /// The last billing period, with `from`.
    pub to: Option<String>,
    /// `billed` (by default), `effective`, `list` or `contracted`.
    pub basis: Option<String>,
    /// Only charges with these values: `service=AmazonEC2`, several with `;` between two.
    pub only: Option<String>,
    /// Only so many lines of each currency; the others become `(other)`.
    pub top: Option<u16>,
    /// Converts all costs to this currency, as `EUR`, by the service's table of rates.
    pub currency: Option<String>,
    /// As it was: a version's number, or an RFC 3339 time.
    pub as_of: Option<String>,
    /// Rows of a page, at most 1,000; 100 by default.
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Two months to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostDiffQuery {
    /// The earlier billing period, as `2026-09`.
    pub before: String,
    /// The later billing period.
    pub after: String,
    /// What lines are made by, as in reports; `service` by default.
    pub by: Option<String>,
    /// Only charges with these values: `service=AmazonEC2`, several with `;` between two.
    pub only: Option<String>,
    /// Converts all costs to this currency, each month's by its own rate; what the rates have
    /// changed is a part of its own.
    pub currency: Option<String>,
    /// `billed` (by default), `effective`, `list` or `contracted`.
    pub basis: Option<String>,
    /// As it was: a version's number, or an RFC 3339 time.
    pub as_of: Option<String>,
    /// Rows of a page, at most 1,000; 100 by default.
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which tags.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostTagQuery {
    /// Names of tags, a comma between two; whether there is any, without one.
    pub tags: Option<String>,
    /// One billing period, as `2026-10`; all of them by default.
    pub month: Option<String>,
    /// `billed` (by default), `effective`, `list` or `contracted`.
    pub basis: Option<String>,
    /// As it was: a version's number, or an RFC 3339 time.
    pub as_of: Option<String>,
}

/// Which state of the imports.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostImportQuery {
    /// As it was: a version's number, or an RFC 3339 time.
    pub as_of: Option<String>,
}

/// A question in SQL.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostStatement {
    /// One `select` over `focus_data_table`, `charges_by_day` or `charges_by_month`.
    pub sql: String,
    /// What its places `?` stand for, in order.
    #[serde(default)]
    pub params: Vec<Option<String>>,
    /// As it was: a version's number, or an RFC 3339 time.
    #[serde(default)]
    pub as_of: Option<String>,
    /// Rows of a page, at most 1,000; 100 by default.
    #[serde(default)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// Invoices to compare with what was ingested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostInvoices {
    /// Their lines; those of one id are added up.
    pub lines: Vec<CostInvoiceLine>,
    /// Whose invoices they are: charges of theirs that are on none are told, too.
    #[serde(default)]
    pub issuer: Option<String>,
    /// As it was: a version's number, or an RFC 3339 time.
    #[serde(default)]
    pub as_of: Option<String>,
}

/// What an invoice says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostInvoiceLine {
    /// `InvoiceId` of the charges.
    pub invoice_id: String,
    /// Its currency, as `USD`.
    pub currency: String,
    /// The amount as it is printed, as text: `1234.50`.
    #[schema(pattern = r"^-?[0-9]{1,20}(\.[0-9]{1,17})?$")]
    pub amount: String,
}

/// Rows of exact values.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostTable {
    /// The version of the lake that answered.
    pub version: u64,
    /// Its columns.
    pub columns: Vec<CostColumn>,
    /// Its rows, each as long as there are columns. Decimals are text, so that no digit is lost.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub rows: Vec<Vec<Value>>,
    /// What all lines of a report add up to, by currency, also those of other pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub totals: Option<BTreeMap<String, Decimal>>,
    /// The rates that amounts were converted by, where they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<CostRate>,
    /// Asks for the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What one of a currency costs in another.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostRate {
    /// The currency of the charges.
    pub from: String,
    /// The currency of the answer.
    pub to: String,
    /// The billing period whose charges it converted, as `2026-10`.
    pub month: String,
    /// The day that it was fixed on, where it is a day's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// How many of `to` are one of `from`, as text.
    #[schema(value_type = String)]
    pub rate: Decimal,
    /// Who says so.
    pub source: String,
}

impl From<Rate> for CostRate {
    fn from(rate: Rate) -> Self {
        let Rate { from, to, month, day, rate, source } = rate;
        let (month, date) = (month.to_string(), day.map(|day| day.to_string()));
        Self { from, to, month, date, rate, source }
    }
}

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostColumn {
    /// Its name.
    pub name: String,
    /// `bool`, `int`, `decimal`, `float`, `text`, `instant`, `date` or `list`.
    pub kind: String,
}

impl CostTable {
    /// A page of an answer, from a row on.
    pub fn page(table: Table, from: usize, limit: usize) -> Self {
        let columns = table.columns.iter().map(|column| CostColumn {
            name: column.name.clone(),
            kind: column.kind.as_str().to_owned(),
        });
        let end = from.saturating_add(limit);
        let more = table.rows.len() > end;
        Self {
            version: table.version,
            columns: columns.collect(),
            next_cursor: more.then(|| (table.version, end).encode()),
            rows: table.rows.into_iter().skip(from).take(limit).collect(),
            totals: None,
            rates: table.rates.into_iter().map(Into::into).collect(),
        }
    }
}

/// What came in, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostImports {
    /// By billing period and source.
    pub imports: Vec<CostImport>,
}

/// Charges of one source in one billing period.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostImport {
    /// Who delivered.
    pub source: String,
    /// The billing period, as `2026-10`.
    pub period: String,
    /// The export's execution, or the content's hash.
    pub execution: String,
    /// In which format it was delivered.
    pub format: String,
    /// When it came in, RFC 3339.
    pub at: String,
    /// Charges.
    pub rows: u64,
    /// Billed cost by currency.
    #[schema(value_type = BTreeMap<String, String>)]
    pub billed: BTreeMap<String, Decimal>,
    /// Effective cost by currency.
    #[schema(value_type = BTreeMap<String, String>)]
    pub effective: BTreeMap<String, Decimal>,
    /// What there was to know when it came in, a line each: what was rounded, what was assumed.
    pub notes: Vec<String>,
}

impl From<Imported> for CostImport {
    fn from(import: Imported) -> Self {
        let sums = |pick: fn(&(Decimal, Decimal)) -> Decimal| {
            import.sums.iter().map(|(currency, sums)| (currency.clone(), pick(sums))).collect()
        };
        Self {
            billed: sums(|sums| sums.0),
            effective: sums(|sums| sums.1),
            period: import.period.to_string(),
            at: import.at.to_string(),
            source: import.source,
            notes: import.notes,
            execution: import.execution,
            format: import.format,
            rows: import.rows,
        }
    }
}
