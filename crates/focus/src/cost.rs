//! What is asked about costs, and what an answer is.
//!
//! Owns the words of a question ([`Asked`], [`Compared`], [`Tagged`], [`Invoices`]), of its answer
//! ([`Table`]) and the role of who answers ([`Costs`]). Knows nothing of how charges are kept.
//! Invariant: amounts of different currencies are never added, unless a question names the one that
//! they are to be converted to; then the answer tells the rates.

use std::{collections::BTreeMap, error::Error};

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::Decimal;

mod basis;
mod dimension;
mod month;
mod rate;
mod table;
#[cfg(test)]
mod tests;

pub use basis::{Basis, UnknownBasis};
pub use dimension::{Dimension, UnknownDimension};
pub use month::{Month, NotMonth};
pub use rate::{Rate, RateError, Rates};
pub use table::{Heading, Table, Value, ValueKind};

/// How the line is called that the others became.
pub const OTHER: &str = "(other)";

/// A first and a last billing period; both are meant.
pub type Months = (Month, Month);

/// Which state of the charges to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The version with this number.
    Version(u64),
    /// The newest version at this instant.
    Instant(Timestamp),
}

impl AsOf {
    /// The version with this number. Before the first bill there is none that could be named.
    pub fn version(version: u64) -> Option<Self> {
        (version > 0).then_some(Self::Version(version))
    }
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Instant(instant) => write!(f, "{instant}"),
        }
    }
}

impl std::str::FromStr for AsOf {
    type Err = NotAsOf;

    fn from_str(text: &str) -> Result<Self, NotAsOf> {
        let version = || text.parse().ok().map(Self::Version);
        let instant = || text.parse().ok().map(Self::Instant);
        version().or_else(instant).ok_or_else(|| NotAsOf(text.to_owned()))
    }
}

/// Neither a version nor an instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither a version's number nor an instant, as 2026-11-01T00:00:00Z")]
pub struct NotAsOf(String);

/// What to add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// What lines are made by, in this order.
    pub by: Vec<Dimension>,
    /// The billing periods; all of them without it.
    pub months: Option<Months>,
    /// Which cost.
    pub basis: Basis,
    /// Only charges with all of these values; an empty one is that there is none.
    pub only: Vec<(Dimension, String)>,
    /// Only the most costly lines of each currency; the others become one.
    pub top: Option<usize>,
    /// The currency that all costs are converted to.
    pub currency: Option<String>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// Lines, and what they add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// A line a combination of values, then its currency and cost; the most costly first.
    pub table: Table,
    /// What the lines add up to, by currency. Where nothing was left out by `only`, it is what the
    /// imports said.
    pub totals: BTreeMap<String, Decimal>,
}

/// Two months to compare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// The earlier month.
    pub before: Month,
    /// The later month.
    pub after: Month,
    /// Which cost.
    pub basis: Basis,
    /// What lines are made by.
    pub by: Vec<Dimension>,
    /// Only charges with all of these values; an empty one is that there is none.
    pub only: Vec<(Dimension, String)>,
    /// The currency that all costs are converted to, each month's by its own rate.
    pub currency: Option<String>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// Tags to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagged {
    /// Their names; whether there is any, without one.
    pub tags: Vec<String>,
    /// The billing periods; all of them without it.
    pub months: Option<Months>,
    /// Which cost.
    pub basis: Basis,
    /// Only charges with all of these values; an empty one is that there is none.
    pub only: Vec<(Dimension, String)>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// Invoices to compare with what was ingested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invoices {
    /// Their lines; those of one id are added up.
    pub lines: Vec<InvoiceLine>,
    /// Whose invoices they are: charges of theirs that are on none are told, too.
    pub issuer: Option<String>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// What an invoice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    /// `InvoiceId` of the charges.
    pub invoice: String,
    /// Its currency.
    pub currency: String,
    /// The amount, as it is printed.
    pub amount: Decimal,
}

/// A question in SQL.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statement {
    /// One `select`.
    pub text: String,
    /// What its places `?` stand for, in order.
    pub params: Vec<Value>,
    /// A version of the past.
    pub as_of: Option<AsOf>,
}

/// A question whose answer is a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// What drove the change between two months.
    Diff(Compared),
    /// How much of the cost is tagged.
    Tags(Tagged),
    /// Whether the total equals the invoice.
    Reconcile(Invoices),
    /// Anything.
    Sql(Statement),
}

/// Charges of one source in one billing period, as they came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Who delivered.
    pub source: String,
    /// The billing period.
    pub period: Month,
    /// The export's execution, or the content's hash.
    pub execution: String,
    /// In which format it was delivered.
    pub format: String,
    /// When it came in.
    pub at: Timestamp,
    /// Charges.
    pub rows: u64,
    /// Billed and effective cost by billing currency.
    pub sums: BTreeMap<String, (Decimal, Decimal)>,
    /// What there was to know when it came in, a line each: what was rounded, what was assumed.
    pub notes: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum CostsError {
    /// The question is wrong; who asked may read why.
    #[error("{0}")]
    Question(String),
    /// It takes more time, memory or rows than it may; who asked may read what.
    #[error("{0}")]
    Limit(String),
    /// What is kept can't be read, or is damaged; this is for the log.
    #[error("the lake can't answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Who knows what was charged.
#[async_trait]
pub trait Costs: Send + Sync {
    /// The newest version; it grows with every change.
    async fn version(&self) -> Result<u64, CostsError>;
    /// What came in, by billing period and source.
    async fn imports(&self, as_of: Option<AsOf>) -> Result<Vec<Imported>, CostsError>;
    /// Sums by dimensions.
    async fn report(&self, asked: &Asked) -> Result<Report, CostsError>;
    /// Everything else.
    async fn answer(&self, question: &Question) -> Result<Table, CostsError>;
}
