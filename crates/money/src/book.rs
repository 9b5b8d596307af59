//! The book of prices: a model's name and a moment lead to one price.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::catalogue;
use crate::money::Money;
use crate::price::{Price, PriceError};
use crate::rounding::Rounding;
use crate::usage::{ServiceTier, TokenUsage};

/// Prices by model and day. Lookups hash the name and search the model's few dated prices.
#[derive(Clone, Default, Debug)]
pub struct PriceBook {
    /// Each model's prices, oldest first, one a day at most.
    by_model: HashMap<String, Vec<Price>>,
    /// Other names, to the model's.
    aliases: HashMap<String, String>,
}

static SHIPPED: LazyLock<PriceBook> = LazyLock::new(|| {
    catalogue::SHIPPED.iter().fold(PriceBook::default(), |book, (name, text)| {
        match catalogue::parse(text) {
            Ok(prices) => book.with(prices),
            // A test reads every file, so a released binary can't come here.
            Err(error) => panic!("{name} is not a price file: {error}"),
        }
    })
});

impl PriceBook {
    /// The catalogue that ships with the product, from `prices/*.toml`.
    pub fn shipped() -> PriceBook {
        SHIPPED.clone()
    }

    /// This book with more prices; see [`PriceBook::extend`].
    #[must_use]
    pub fn with(mut self, prices: impl IntoIterator<Item = Price>) -> PriceBook {
        self.extend(prices);
        self
    }

    /// Adds prices. A price of the same model and day replaces the one there; an alias that led to
    /// another model leads to this one from now on.
    pub fn extend(&mut self, prices: impl IntoIterator<Item = Price>) {
        for price in prices {
            for alias in &price.aliases {
                self.aliases.insert(alias.clone(), price.model.clone());
            }
            let dated = self.by_model.entry(price.model.clone()).or_default();
            match dated.binary_search_by_key(&price.effective_from, |known| known.effective_from) {
                Ok(same_day) => dated[same_day] = price,
                Err(place) => dated.insert(place, price),
            }
        }
    }

    /// The canonical name: an alias's model, or the name itself if it is a model's or unknown.
    pub fn canonical<'a>(&'a self, model: &'a str) -> &'a str {
        if self.by_model.contains_key(model) {
            return model;
        }
        self.aliases.get(model).map_or(model, String::as_str)
    }

    /// Whether a name means a model, or has meant it before it became a model of its own.
    pub fn leads(&self, name: &str, model: &str) -> bool {
        self.canonical(name) == self.canonical(model)
            || self.aliases.get(name).is_some_and(|aliased| aliased == model)
    }

    /// The price in force at a moment: the latest from that UTC day or before.
    ///
    /// A name that has become a model of its own, by an import, still leads to the model it was an
    /// alias of for moments before its own first price.
    pub fn price(&self, model: &str, at: Timestamp) -> Option<&Price> {
        let day = Offset::UTC.to_datetime(at).date();
        self.candidates(model).find_map(|dated| in_force(dated, day))
    }

    /// What `usage` costs, rounded as asked to the nano-dollar. See [`Price::charge`].
    ///
    /// Errors carry the name that was asked for, not the canonical one.
    pub fn charge(
        &self,
        model: &str,
        usage: &TokenUsage,
        tier: ServiceTier,
        at: Timestamp,
        rounding: Rounding,
    ) -> Result<Money, PriceError> {
        let asked = || model.to_owned();
        let price = self.price(model, at).ok_or_else(|| {
            let first = self.candidates(model).filter_map(|dated| dated.first());
            match first.map(|price| price.effective_from).min() {
                Some(from) => PriceError::NotYet { model: asked(), from },
                None => PriceError::Unpriced { model: asked() },
            }
        })?;
        price.charge(usage, tier, rounding).map_err(|error| match error {
            PriceError::TierUnpriced { tier, .. } => {
                PriceError::TierUnpriced { model: asked(), tier }
            }
            PriceError::Overflow { .. } => PriceError::Overflow { model: asked() },
            other => other,
        })
    }

    /// What to hold before `usage` happens: its charge rounded up, never below the charge.
    pub fn hold(
        &self,
        model: &str,
        usage: &TokenUsage,
        tier: ServiceTier,
        at: Timestamp,
    ) -> Result<Money, PriceError> {
        self.charge(model, usage, tier, at, Rounding::Up)
    }

    /// Every price, by vendor, model and day.
    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        let mut prices: Vec<&Price> = self.by_model.values().flatten().collect();
        prices.sort_by_key(|price| (&price.vendor, &price.model, price.effective_from));
        prices.into_iter()
    }

    /// The dated prices under a name: its own, then those of the model it is an alias of.
    fn candidates(&self, model: &str) -> impl Iterator<Item = &[Price]> + use<'_> {
        let own = self.by_model.get(model);
        let aliased = self.aliases.get(model).and_then(|model| self.by_model.get(model));
        own.into_iter().chain(aliased).map(Vec::as_slice)
    }
}

fn in_force(dated: &[Price], day: Date) -> Option<&Price> {
    let begun = dated.partition_point(|price| price.effective_from <= day);
    begun.checked_sub(1).and_then(|latest| dated.get(latest))
}
