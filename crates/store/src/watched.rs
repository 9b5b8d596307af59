//! What a cloud budget watches, as the tables keep it: the filter is JSON, values by dimension.

use std::collections::BTreeMap;

use budget::{StoreError, Watched};
use focus::{Decimal, cost::Dimension};

/// The columns of what is watched.
pub(crate) struct Columns<'a> {
    /// Values by dimension, as JSON.
    pub(crate) filter: &'a str,
    /// Which cost.
    pub(crate) basis: &'a str,
    /// The currency.
    pub(crate) currency: &'a str,
    /// How long a period is.
    pub(crate) period: &'a str,
}

impl Columns<'_> {
    /// What they say is watched.
    pub(crate) fn read(&self) -> Result<Watched, StoreError> {
        let named: BTreeMap<String, String> = serde_json::from_str(self.filter).map_err(corrupt)?;
        let dimension = |(name, value): (String, String)| {
            name.parse::<Dimension>().map(|dimension| (dimension, value)).map_err(corrupt)
        };
        let filter = named.into_iter().map(dimension).collect::<Result<_, _>>()?;
        let basis = self.basis.parse().map_err(corrupt)?;
        let period = self.period.parse().map_err(corrupt)?;
        Watched::new(filter, basis, self.currency, period).map_err(corrupt)
    }
}

/// The filter's text.
pub(crate) fn filter_text(watched: &Watched) -> Result<String, StoreError> {
    let name = |(dimension, value): (&Dimension, &String)| (dimension.to_string(), value.clone());
    let named: BTreeMap<String, String> = watched.filter.iter().map(name).collect();
    serde_json::to_string(&named).map_err(corrupt)
}

/// An amount from its text.
pub(crate) fn amount(text: &str) -> Result<Decimal, StoreError> {
    Decimal::parse(text).ok_or_else(|| corrupt(format!("{text:?} is no amount")))
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("cloud budget: {error}"))
}
