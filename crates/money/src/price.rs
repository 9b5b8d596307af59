//! The dated price of one model, and what usage costs under it.

#[cfg(test)]
mod tests;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::rounding::{Rounding, divide};
use crate::unit_price::UnitPrice;
use crate::usage::{ServiceTier, TokenUsage};

/// Rates are per million tokens.
const TOKENS_PER_RATE: i128 = 1_000_000;

/// What each class of tokens costs in one service tier and one band of prompt length.
///
/// A cache class without a rate is billed at the input rate, or at a dearer rate that is published
/// for that class beside it (see [`Price::charge`]), so that nothing is billed below its vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Prompt tokens.
    pub input: UnitPrice,
    /// Generated tokens; zero for embeddings.
    pub output: UnitPrice,
    /// Prompt tokens read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<UnitPrice>,
    /// Prompt tokens written to the five-minute (or only) cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<UnitPrice>,
    /// Prompt tokens written to the one-hour cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<UnitPrice>,
}

/// The rates of a request whose prompt is longer than a threshold. All its tokens switch to them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    /// Prompt tokens (see [`TokenUsage::prompt`]) that a request must exceed.
    pub above_input_tokens: u64,
    /// Rates of the standard tier.
    pub standard: Rates,
    /// Rates of the batch tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Rates>,
    /// Rates of the priority tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Rates>,
    /// Rates of the flex tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex: Option<Rates>,
}

/// What one model costs from one day on. The same shape is JSON in a database and TOML in a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The model's canonical name.
    pub model: String,
    /// Who bills for it, as in `anthropic`.
    pub vendor: String,
    /// Other names of the same model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// In force from this day's midnight UTC until a later price of the same model.
    pub effective_from: Date,
    /// Where the figures are published: a URL or a document.
    pub source: String,
    /// Longest prompt, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// Longest answer, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Rates of the standard tier.
    pub standard: Rates,
    /// Rates of the batch tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Rates>,
    /// Rates of the priority tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Rates>,
    /// Rates of the flex tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex: Option<Rates>,
    /// Rates of longer prompts, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
}

/// Why usage has no charge.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PriceError {
    /// No price is known for the model.
    #[error("model {model:?} has no price; add one for it before it is used")]
    Unpriced {
        /// The model that was asked for.
        model: String,
    },
    /// The model's first price comes into force later.
    #[error("model {model:?} has no price before {from}; add one with an earlier effective_from")]
    NotYet {
        /// The model that was asked for.
        model: String,
        /// The day from which it has a price.
        from: Date,
    },
    /// The tier may cost more than standard and its rates aren't known.
    #[error("model {model:?} has no {tier} price for a prompt of this length")]
    TierUnpriced {
        /// The model that was asked for.
        model: String,
        /// The tier without rates.
        tier: ServiceTier,
    },
    /// The charge is beyond [`Money::MAX`].
    #[error("the charge for model {model:?} is beyond {}; check the token counts", Money::MAX)]
    Overflow {
        /// The model that was asked for.
        model: String,
    },
}

impl Price {
    /// What `usage` costs: units times rates, summed exactly, divided and rounded once.
    ///
    /// * The band is the long context with the highest threshold that the prompt exceeds.
    /// * Batch and flex without rates are charged at the band's standard rates, which are dearer.
    ///   Priority without rates is [`PriceError::TierUnpriced`], for standard would be too cheap.
    /// * A cache class without a rate costs the dearest of the tier's input rate, the tier's
    ///   five-minute write rate (for one-hour writes), and the standard rate of that class in the
    ///   same band or in the price itself. Where nothing is published, that is the input rate.
    pub fn charge(
        &self,
        usage: &TokenUsage,
        tier: ServiceTier,
        rounding: Rounding,
    ) -> Result<Money, PriceError> {
        let prices = self.unit_prices(usage, tier)?;
        let units = [
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
        ];
        let mut lines = units.into_iter().zip(prices);
        let sum = lines.try_fold(0i128, |sum, (units, rate)| {
            sum.checked_add(i128::from(units).checked_mul(rate.nanos_per_million())?)
        });
        sum.and_then(|sum| Money::within_range(divide(sum, TOKENS_PER_RATE, rounding)))
            .ok_or_else(|| PriceError::Overflow { model: self.model.clone() })
    }

    /// The rates by which [`Price::charge`] charges a usage, in the order of its classes: input,
    /// output, cache read, cache write of five minutes, of an hour.
    pub fn unit_prices(
        &self,
        usage: &TokenUsage,
        tier: ServiceTier,
    ) -> Result<[UnitPrice; 5], PriceError> {
        let (rates, fallbacks) = self.rates(usage.prompt(), tier)?;
        let dearest = |class: fn(&Rates) -> Option<UnitPrice>| {
            let published = fallbacks.iter().filter_map(|rates| class(rates)).max();
            class(rates).unwrap_or_else(|| rates.input.max(published.unwrap_or_default()))
        };
        let cache_write_5m = dearest(|rates| rates.cache_write_5m);
        let cache_write_1h = rates
            .cache_write_1h
            .unwrap_or_else(|| dearest(|rates| rates.cache_write_1h).max(cache_write_5m));
        let cache_read = dearest(|rates| rates.cache_read);
        Ok([rates.input, rates.output, cache_read, cache_write_5m, cache_write_1h])
    }

    /// The rates of a tier for a prompt of this length, and the standard rates beside them.
    fn rates(&self, prompt: u128, tier: ServiceTier) -> Result<(&Rates, [&Rates; 2]), PriceError> {
        let band = self
            .long_context
            .iter()
            .filter(|band| prompt > u128::from(band.above_input_tokens))
            .max_by_key(|band| band.above_input_tokens);
        let (standard, batch, priority, flex) = match band {
            Some(band) => (&band.standard, &band.batch, &band.priority, &band.flex),
            None => (&self.standard, &self.batch, &self.priority, &self.flex),
        };
        let rates = match tier {
            ServiceTier::Standard => standard,
            ServiceTier::Batch => batch.as_ref().unwrap_or(standard),
            ServiceTier::Flex => flex.as_ref().unwrap_or(standard),
            ServiceTier::Priority => priority
                .as_ref()
                .ok_or_else(|| PriceError::TierUnpriced { model: self.model.clone(), tier })?,
        };
        Ok((rates, [standard, &self.standard]))
    }
}
