//! Costs in another currency: the table of rates as a file, and the conversion.
//!
//! Owns the reading of rates and which of them an answer has used. Invariant: what is converted is
//! an exact sum in its own currency, of one billing period; the product is exact to its last digit
//! and rounded once, half to even, at the 18th digit after the point.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use focus::{
    Decimal,
    cost::{Month, Rate, RateError, Rates, Value},
};
use jiff::civil::Date;

use crate::{functions, report::ReportError};

#[cfg(test)]
mod tests;

/// Bytes of a table: a rate a day between many currencies for decades.
const BYTES_MAX: u64 = 16 << 20;
const COLUMNS: [&str; 5] = ["from", "to", "month", "rate", "source"];

/// Reads a table of rates: CSV with the columns `From`, `To`, `Month` (2026-10) or `Date`
/// (2026-10-31), `Rate` and `Source`.
pub(crate) fn read(path: &Path) -> Result<Rates, ReportError> {
    let fault =
        |line, say: String| ReportError::Rates { file: path.display().to_string(), line, say };
    let file = File::open(path).map_err(|error| fault(0, error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fault(0, error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(fault(
            0,
            format!("it has over {} MiB; is it a table of rates?", BYTES_MAX >> 20),
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| fault(1, error.to_string()))?.clone();
    let place = |name: &str| {
        let is = |found: &str| {
            let found = found.to_ascii_lowercase();
            found == name || (name == "month" && found == "date")
        };
        let say = || {
            format!("no column {name}; a table of rates has From, To, Month or Date, Rate, Source")
        };
        header.iter().position(is).ok_or_else(|| fault(1, say()))
    };
    let places: Vec<usize> = COLUMNS.iter().map(|name| place(name)).collect::<Result<_, _>>()?;
    let mut rates = Rates::default();
    for record in reader.records() {
        let record = record.map_err(|error| fault(0, error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(places[at]).unwrap_or_default();
        let rate = rate([0, 1, 2, 3, 4].map(field)).map_err(|say| fault(line, say))?;
        rates.add(rate).map_err(|error| fault(line, error.to_string()))?;
    }
    Ok(rates)
}

fn rate([from, to, month, rate, source]: [&str; 5]) -> Result<Rate, String> {
    if from.is_empty() || to.is_empty() || source.is_empty() {
        return Err("From, To and Source are needed".to_owned());
    }
    let day: Option<Date> = month.parse().ok().filter(|_| month.len() == 10);
    let named = day.map_or(month, |_| &month[..7]);
    let period: Month = named.parse().map_err(|_| {
        format!("{month:?} is neither a month, as 2026-10, nor a day, as 2026-10-31")
    })?;
    let rate = Decimal::parse(rate).ok_or_else(|| format!("{rate:?} is no rate, as 0.9214"))?;
    let (from, to, source) = (from.to_owned(), to.to_owned(), source.to_owned());
    Ok(Rate { from, to, month: period, day, rate, source })
}

/// Converts to one currency, and remembers by which rates.
pub(crate) struct Exchange {
    rates: Rates,
    pub(crate) to: String,
    used: BTreeSet<Rate>,
}

impl Exchange {
    /// By the rates of a file.
    pub(crate) fn open(to: &str, file: Option<&Path>) -> Result<Self, ReportError> {
        let file = file.ok_or_else(|| RateError::NoTable(to.to_owned()))?;
        Ok(Self { rates: read(file)?, to: to.to_owned(), used: BTreeSet::new() })
    }

    /// An amount of a billing period.
    pub(crate) fn convert(
        &mut self,
        amount: Decimal,
        from: &str,
        month: Month,
    ) -> Result<Decimal, ReportError> {
        if from == self.to {
            return Ok(amount);
        }
        let rate = self.rates.of(from, &self.to, month)?;
        let product = functions::product(amount, rate.rate).ok_or(ReportError::TooLarge)?;
        if !self.used.contains(rate) {
            self.used.insert(rate.clone());
        }
        Ok(product)
    }

    /// Its currency, as a line has it.
    pub(crate) fn value(&self) -> Value {
        Value::Text(self.to.clone())
    }

    /// The rates that amounts were converted by.
    pub(crate) fn used(self) -> Vec<Rate> {
        self.used.into_iter().collect()
    }
}

impl From<RateError> for ReportError {
    fn from(error: RateError) -> Self {
        Self::NoRate(error)
    }
}
