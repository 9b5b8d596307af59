//! Price files for people: TOML with one `[[price]]` table a price.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use jiff::civil::Date;
use serde::Deserialize;

use crate::price::Price;

/// The price files that ship with the product, by name.
pub(crate) const SHIPPED: [(&str, &str); 6] = [
    ("prices/anthropic.toml", include_str!("../../../prices/anthropic.toml")),
    ("prices/openai.toml", include_str!("../../../prices/openai.toml")),
    ("prices/google.toml", include_str!("../../../prices/google.toml")),
    ("prices/mistral.toml", include_str!("../../../prices/mistral.toml")),
    ("prices/deepseek.toml", include_str!("../../../prices/deepseek.toml")),
    ("prices/bedrock.toml", include_str!("../../../prices/bedrock.toml")),
];

/// Why a price file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not of this shape. The message has the line and the column.
    #[error("{0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// Two prices of one model from the same day.
    #[error("model {model:?} has two prices from {effective_from}; keep one")]
    PriceTwice {
        /// The model.
        model: String,
        /// The day both come into force.
        effective_from: Date,
    },
    /// One name leads to two models.
    #[error("alias {alias:?} names both {first:?} and {second:?}; keep one")]
    AliasTwice {
        /// The name.
        alias: String,
        /// A model it leads to.
        first: String,
        /// The other model.
        second: String,
    },
    /// A price without a model, or with an empty alias.
    #[error("a price has an empty model or alias")]
    NameEmpty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    price: Vec<Price>,
}

/// Reads a price file. Every price is there or none is.
pub fn parse(text: &str) -> Result<Vec<Price>, CatalogueError> {
    let file: File = toml::from_str(text).map_err(Box::new)?;
    check(&file.price)?;
    Ok(file.price)
}

/// Refuses prices among which a name would not lead to exactly one price.
pub fn check(prices: &[Price]) -> Result<(), CatalogueError> {
    let mut dated = HashSet::new();
    let mut names: HashMap<&str, &str> =
        prices.iter().map(|price| (price.model.as_str(), price.model.as_str())).collect();
    for price in prices {
        if price.model.is_empty() || price.aliases.iter().any(String::is_empty) {
            return Err(CatalogueError::NameEmpty);
        }
        if !dated.insert((price.model.as_str(), price.effective_from)) {
            return Err(CatalogueError::PriceTwice {
                model: price.model.clone(),
                effective_from: price.effective_from,
            });
        }
        for alias in &price.aliases {
            let first = *names.entry(alias).or_insert(&price.model);
            if first != price.model {
                return Err(CatalogueError::AliasTwice {
                    alias: alias.clone(),
                    first: first.to_owned(),
                    second: price.model.clone(),
                });
            }
        }
    }
    Ok(())
}
