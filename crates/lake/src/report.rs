//! Sums by whatever people ask for: service, region, account, tag, day.
//!
//! Owns the SQL of dimensions and the proof of a report: what its lines add up to is what the
//! imports of that month said when they came in. Invariant: amounts of different currencies stand
//! on lines of their own and are never added.

use std::collections::BTreeMap;

use focus::{
    Column, Decimal,
    cost::{AsOf, Asked, Basis, Dimension, Month, Months, NotMonth, OTHER, Report, Table, Value},
};
use thiserror::Error;

use crate::{
    commit::LogError,
    lake::{Answer, Lake},
    manifest::Sums,
    query::QueryError,
    rates::Exchange,
    schema::{DAY, DAY_KEYS},
};

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
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
    /// A table of rates that can't be read.
    #[error("the table of rates {file}{}: {say}", at(.line))]
    Rates {
        /// Its file.
        file: String,
        /// The line; 0 where there is none.
        line: u64,
        /// What is wrong, and what to do.
        say: String,
    },
    /// A rate that nobody has written down.
    #[error("the costs can't be converted: {0}")]
    NoRate(focus::cost::RateError),
}

fn at(line: &u64) -> String {
    if *line == 0 { String::new() } else { format!(", line {line}") }
}

impl From<LogError> for ReportError {
    fn from(error: LogError) -> Self {
        Self::Query(error.into())
    }
}

/// Whether the sums by day know a dimension.
fn is_of_days(dimension: &Dimension) -> bool {
    match dimension {
        Dimension::Day | Dimension::Month => true,
        Dimension::Column(column) => DAY_KEYS.contains(column),
        Dimension::Custom(_) | Dimension::Tag(_) => false,
    }
}

/// A dimension in SQL over the sums by day, or over charges.
pub(crate) fn sql_of(dimension: &Dimension, days: bool) -> String {
    match dimension {
        Dimension::Day if days => name(DAY),
        Dimension::Day => r#"date("ChargePeriodStart")"#.to_owned(),
        Dimension::Month => r#"to_char("BillingPeriodStart", '%Y-%m')"#.to_owned(),
        Dimension::Column(column) => name(column.name()),
        Dimension::Custom(custom) => name(custom),
        Dimension::Tag(tag) => format!(r#""Tags" ->> {}"#, text(tag)),
    }
}

/// The sum of a basis among those of an import.
const fn sum_of(basis: Basis, sums: &Sums) -> Decimal {
    match basis {
        Basis::Billed => sums.billed,
        Basis::Effective => sums.effective,
        Basis::List => sums.list,
        Basis::Contracted => sums.contracted,
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

impl Lake {
    /// Sums by dimensions.
    pub fn report<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Result<Report, ReportError>> {
        Box::pin(async move {
            let only = asked.only.iter().map(|(dimension, _)| dimension);
            let days = asked.by.iter().chain(only).all(is_of_days);
            let version = self.state_at(asked.as_of).await?.version;
            let as_of = AsOf::version(version);
            // Each month has its own rate, so that the lines are told apart by it first.
            let by: Vec<Dimension> = match asked.currency {
                Some(_) => [Dimension::Month].iter().chain(&asked.by).cloned().collect(),
                None => asked.by.clone(),
            };
            let sql = report_sql(asked, &by, days);
            let mut table = self.sql(&sql, &[], as_of).await?;
            for (heading, dimension) in table.columns.iter_mut().zip(&by) {
                heading.name = dimension.to_string();
            }
            table.version = version;
            let mut sums = totals(&table)?;
            if asked.only.is_empty() {
                self.prove(asked, as_of, &sums).await?;
            }
            if let Some(currency) = &asked.currency {
                let exchange = Exchange::open(currency, self.rates())?;
                table = converted(table, exchange)?;
                sums = totals(&table)?;
            }
            if let Some(top) = asked.top {
                cut(&mut table, top)?;
            }
            Ok(Report { table, totals: sums })
        })
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
                *sum = sum.checked_add(sum_of(asked.basis, &sums)).ok_or(ReportError::TooLarge)?;
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

/// Lines of months and currencies as lines of one currency, the most costly first.
fn converted(table: Table, mut exchange: Exchange) -> Result<Table, ReportError> {
    let Table { version, mut columns, rows, .. } = table;
    columns.remove(0);
    let mut lines: BTreeMap<Vec<String>, (Vec<Value>, Decimal)> = BTreeMap::new();
    for mut row in rows {
        let month: Month = row
            .remove(0)
            .to_string()
            .parse()
            .map_err(|error: NotMonth| QueryError::Plan(error.to_string()))?;
        let (Some(cost), Some(currency)) = (row.pop(), row.pop()) else { continue };
        let cost = cost.as_decimal().unwrap_or_default();
        let cost = exchange.convert(cost, &currency.to_string(), month)?;
        // Nothing is another value than an empty text.
        let key = row.iter().map(|value| match value {
            Value::Null => String::new(),
            value => format!("={value}"),
        });
        let (_, sum) = lines.entry(key.collect()).or_insert_with(|| (row, Decimal::ZERO));
        *sum = sum.checked_add(cost).ok_or(ReportError::TooLarge)?;
    }
    let mut lines: Vec<(Vec<Value>, Decimal)> = lines.into_values().collect();
    lines.sort_by(|(_, a), (_, b)| b.cmp(a));
    let currency = exchange.to.clone();
    let rows = lines.into_iter().map(|(mut row, cost)| {
        row.extend([Value::Text(currency.clone()), Value::Decimal(cost)]);
        row
    });
    Ok(Table { version, columns, rows: rows.collect(), rates: exchange.used() })
}

fn report_sql(asked: &Asked, by: &[Dimension], days: bool) -> String {
    let from = if days { "charges_by_day" } else { "focus_data_table" };
    let lines: Vec<String> = by
        .iter()
        .enumerate()
        .map(|(at, dimension)| format!("{} as d{at}", sql_of(dimension, days)))
        .collect();
    let places: Vec<String> = (1..=lines.len() + 1).map(|place| place.to_string()).collect();
    let currency = name(Column::BillingCurrency.name());
    let cost = name(asked.basis.column().name());
    let filter = filter(asked.months, &asked.only, days);
    let select: Vec<&str> = lines.iter().map(String::as_str).chain([currency.as_str()]).collect();
    // A cost that nobody told counts as nothing, as it did when it came in.
    format!(
        "select {select}, sum(coalesce({cost}, 0)) as {cost} from {from} {filter}group by {places} \
         order by {currency}, {cost} desc, {places}",
        select = select.join(", "),
        places = places.join(", "),
    )
}

/// Which charges are meant, in SQL; all of them without a word.
pub(crate) fn filter(months: Option<Months>, only: &[(Dimension, String)], days: bool) -> String {
    let months = months.map(|(first, last)| within(first, last));
    let only = only.iter().map(|(dimension, value)| has(dimension, value, days));
    let conditions: Vec<String> = months.into_iter().chain(only).collect();
    match conditions.as_slice() {
        [] => String::new(),
        conditions => format!("where {} ", conditions.join(" and ")),
    }
}

/// That charges have a value, or none.
fn has(dimension: &Dimension, value: &str, days: bool) -> String {
    let column = sql_of(dimension, days);
    if value.is_empty() {
        format!("{column} is null")
    } else {
        format!("cast({column} as varchar) = {}", text(value))
    }
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
