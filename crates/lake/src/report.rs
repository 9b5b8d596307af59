//! Sums by whatever people ask for: service, region, account, tag, day.
//!
//! Owns the words for dimensions and the proof of a report: what its lines add up to is what the
//! imports of that month said when they came in. Invariant: amounts of different currencies stand
//! on lines of their own and are never added.

use std::{collections::BTreeMap, fmt, str::FromStr};

use focus::{Column, Decimal};
use thiserror::Error;

use crate::{
    commit::{AsOf, LogError},
    lake::Lake,
    manifest::Sums,
    month::Month,
    query::QueryError,
    schema::{DAY, DAY_KEYS},
    table::{Table, Value},
};

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// No such dimension.
    #[error(
        "{0:?} is no dimension; use provider, account, subaccount, tenant, service, category, \
         region, charge, day, month, tag:NAME or a FOCUS column"
    )]
    Dimension(String),
    /// No such basis.
    #[error("{0:?} is no basis of cost; use billed, effective, list or contracted")]
    Basis(String),
    /// The lake can't be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The lines don't add up to what came in.
    #[error(
        "the lines add up to {lines} {currency}, but {imported} came in; the lake's files are \
         damaged: restore them, or ingest the month again"
    )]
    Unproven {
        /// The currency.
        currency: String,
        /// What the lines add up to.
        lines: Decimal,
        /// What the imports said.
        imported: Decimal,
    },
    /// Costs beyond 38 digits.
    #[error("the costs add up to more than 38 digits")]
    TooLarge,
    /// An invoice that can't be read.
    #[error("invoice {file}{}: {say}", at(.line))]
    Invoice {
        /// Its file.
        file: String,
        /// The line; 0 where there is none.
        line: u64,
        /// What is wrong.
        say: String,
    },
}

fn at(line: &u64) -> String {
    if *line == 0 { String::new() } else { format!(", line {line}") }
}

impl From<LogError> for ReportError {
    fn from(error: LogError) -> Self {
        Self::Query(error.into())
    }
}

/// Which cost is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// What was invoiced.
    #[default]
    Billed,
    /// With prepaid amounts spread over their use.
    Effective,
    /// At list prices.
    List,
    /// At negotiated prices.
    Contracted,
}

impl Basis {
    /// The column of FOCUS.
    pub const fn column(self) -> Column {
        match self {
            Self::Billed => Column::BilledCost,
            Self::Effective => Column::EffectiveCost,
            Self::List => Column::ListCost,
            Self::Contracted => Column::ContractedCost,
        }
    }

    pub(crate) const fn of(self, sums: &Sums) -> Decimal {
        match self {
            Self::Billed => sums.billed,
            Self::Effective => sums.effective,
            Self::List => sums.list,
            Self::Contracted => sums.contracted,
        }
    }
}

impl FromStr for Basis {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        Ok(match text {
            "billed" => Self::Billed,
            "effective" => Self::Effective,
            "list" => Self::List,
            "contracted" => Self::Contracted,
            _ => return Err(ReportError::Basis(text.to_owned())),
        })
    }
}

/// What lines are made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// The day that charges began on.
    Day,
    /// The billing period.
    Month,
    /// A column of FOCUS.
    Column(Column),
    /// A custom column.
    Custom(String),
    /// The value of a tag.
    Tag(String),
}

impl FromStr for Dimension {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let column = match text.to_ascii_lowercase().as_str() {
            "day" => return Ok(Self::Day),
            "month" => return Ok(Self::Month),
            "provider" => Column::ServiceProviderName,
            "account" => Column::BillingAccountId,
            "subaccount" | "tenant" => Column::SubAccountId,
            "service" => Column::ServiceName,
            "category" => Column::ServiceCategory,
            "region" => Column::RegionId,
            "charge" => Column::ChargeCategory,
            "sku" => Column::SkuId,
            "resource" => Column::ResourceId,
            _ => {
                if let Some(tag) = text.strip_prefix("tag:").filter(|tag| !tag.is_empty()) {
                    return Ok(Self::Tag(tag.to_owned()));
                }
                if text.len() > 2
                    && text.is_char_boundary(2)
                    && text[..2].eq_ignore_ascii_case("x_")
                {
                    return Ok(Self::Custom(text.to_owned()));
                }
                Column::parse(text).map_err(|_| ReportError::Dimension(text.to_owned()))?
            }
        };
        Ok(Self::Column(column))
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => f.write_str(DAY),
            Self::Month => f.write_str("Month"),
            Self::Column(column) => f.write_str(column.name()),
            Self::Custom(name) => f.write_str(name),
            Self::Tag(name) => write!(f, "tag:{name}"),
        }
    }
}

impl Dimension {
    /// Whether the sums by day know it.
    fn is_of_days(&self) -> bool {
        match self {
            Self::Day | Self::Month => true,
            Self::Column(column) => DAY_KEYS.contains(column),
            Self::Custom(_) | Self::Tag(_) => false,
        }
    }

    /// In SQL over the sums by day, or over charges.
    pub(crate) fn sql(&self, days: bool) -> String {
        match self {
            Self::Day if days => name(DAY),
            Self::Day => r#"date("ChargePeriodStart")"#.to_owned(),
            Self::Month => r#"to_char("BillingPeriodStart", '%Y-%m')"#.to_owned(),
            Self::Column(column) => name(column.name()),
            Self::Custom(custom) => name(custom),
            Self::Tag(tag) => format!(r#""Tags" ->> {}"#, text(tag)),
        }
    }
}

/// A name in SQL.
pub(crate) fn name(plain: &str) -> String {
    format!("\"{}\"", plain.replace('"', "\"\""))
}

/// A text in SQL.
pub(crate) fn text(plain: &str) -> String {
    format!("'{}'", plain.replace('\'', "''"))
}

/// Charges of some billing periods, in SQL.
pub(crate) fn within(first: Month, last: Month) -> String {
    let (from, to) = (first.start(), last.next().start());
    format!(r#""BillingPeriodStart" >= '{from}' and "BillingPeriodStart" < '{to}'"#)
}

/// What to report.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// What lines are made by, in this order.
    pub by: Vec<Dimension>,
    /// The first and last billing period; all of them without it.
    pub months: Option<(Month, Month)>,
    /// Which cost.
    pub basis: Basis,
    /// Only the most costly lines of each currency; the others become one line.
    pub top: Option<usize>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// Lines, and what they add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// A line a combination of values, then its currency and cost; the most costly first.
    pub table: Table,
    /// What the lines add up to, by currency. It is what the imports said.
    pub totals: BTreeMap<String, Decimal>,
}

/// How the line is called that the others became.
pub const OTHER: &str = "(other)";

impl Lake {
    /// Sums by dimensions.
    pub async fn report(&self, asked: &Asked) -> Result<Report, ReportError> {
        let days = asked.by.iter().all(Dimension::is_of_days);
        let version = self.state_at(asked.as_of).await?.version;
        let as_of = Some(AsOf::Version(version)).filter(|_| version > 0);
        let sql = report_sql(asked, days);
        let mut table = self.sql(&sql, &[], as_of).await?;
        for (heading, dimension) in table.columns.iter_mut().zip(&asked.by) {
            heading.name = dimension.to_string();
        }
        table.version = version;
        let totals = totals(&table)?;
        self.prove(asked, as_of, &totals).await?;
        if let Some(top) = asked.top {
            cut(&mut table, top)?;
        }
        Ok(Report { table, totals })
    }

    /// Compares what lines add up to with what the imports said.
    async fn prove(
        &self,
        asked: &Asked,
        as_of: Option<AsOf>,
        totals: &BTreeMap<String, Decimal>,
    ) -> Result<(), ReportError> {
        let mut imported: BTreeMap<String, Decimal> = BTreeMap::new();
        for import in self.state_at(as_of).await?.imports {
            let inside =
                asked.months.is_none_or(|(first, last)| (first..=last).contains(&import.period));
            for (currency, sums) in import.sums.into_iter().filter(|_| inside) {
                let sum = imported.entry(currency).or_default();
                *sum = sum.checked_add(asked.basis.of(&sums)).ok_or(ReportError::TooLarge)?;
            }
        }
        let currencies: std::collections::BTreeSet<&String> =
            imported.keys().chain(totals.keys()).collect();
        for currency in currencies {
            let lines = totals.get(currency).copied().unwrap_or_default();
            let imported = imported.get(currency).copied().unwrap_or_default();
            if lines != imported {
                let currency = currency.clone();
                return Err(ReportError::Unproven { currency, lines, imported });
            }
        }
        Ok(())
    }
}

fn report_sql(asked: &Asked, days: bool) -> String {
    let from = if days { "charges_by_day" } else { "focus_data_table" };
    let lines: Vec<String> = asked
        .by
        .iter()
        .enumerate()
        .map(|(at, dimension)| format!("{} as d{at}", dimension.sql(days)))
        .collect();
    let places: Vec<String> = (1..=lines.len() + 1).map(|place| place.to_string()).collect();
    let currency = name(Column::BillingCurrency.name());
    let cost = name(asked.basis.column().name());
    let filter = match asked.months {
        Some((first, last)) => format!("where {} ", within(first, last)),
        None => String::new(),
    };
    let select: Vec<&str> = lines.iter().map(String::as_str).chain([currency.as_str()]).collect();
    // A cost that nobody told counts as nothing, as it did when it came in.
    format!(
        "select {select}, sum(coalesce({cost}, 0)) as {cost} from {from} {filter}group by {places} \
         order by {currency}, {cost} desc, {places}",
        select = select.join(", "),
        places = places.join(", "),
    )
}

/// The last two columns added up.
pub(crate) fn totals(table: &Table) -> Result<BTreeMap<String, Decimal>, ReportError> {
    let mut totals: BTreeMap<String, Decimal> = BTreeMap::new();
    for row in &table.rows {
        if let [.., currency, cost] = row.as_slice() {
            let sum = totals.entry(currency.to_string()).or_default();
            let cost = cost.as_decimal().unwrap_or_default();
            *sum = sum.checked_add(cost).ok_or(ReportError::TooLarge)?;
        }
    }
    Ok(totals)
}

/// Keeps the first lines of each currency; the others become one, so that the sum stays.
fn cut(table: &mut Table, top: usize) -> Result<(), ReportError> {
    let width = table.columns.len();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut rest: Option<(Value, Decimal)> = None;
    let mut count = 0;
    let other = |currency: Value, cost| {
        let mut row = vec![Value::Null; width];
        if width > 2 {
            row[0] = Value::Text(OTHER.to_owned());
        }
        row[width - 2] = currency;
        row[width - 1] = Value::Decimal(cost);
        row
    };
    for row in std::mem::take(&mut table.rows) {
        let currency = row[width - 2].clone();
        if rows.last().is_none_or(|last| last[width - 2] != currency) {
            if let Some((currency, cost)) = rest.take() {
                rows.push(other(currency, cost));
            }
            count = 0;
        }
        count += 1;
        if count <= top {
            rows.push(row);
            continue;
        }
        let cost = row[width - 1].as_decimal().unwrap_or_default();
        let sum = rest.map_or(Some(cost), |(_, sum)| sum.checked_add(cost));
        rest = Some((currency, sum.ok_or(ReportError::TooLarge)?));
    }
    if let Some((currency, cost)) = rest {
        rows.push(other(currency, cost));
    }
    table.rows = rows;
    Ok(())
}
