//! What a vendor says was used, and what that costs.
//!
//! Owns the vendors' usage objects, in whole answers and in streams. Pure: bytes in, figures out;
//! no text of an answer is kept longer than its event. Invariant: a usage that can't be true (a
//! negative or absurd count, more cached tokens than prompt) is no usage, and what was lost is
//! never counted as zero.

mod event;
mod filter;
mod stream;
#[cfg(test)]
mod tests;
mod vendor;

use money::{Money, Price, PriceError, Rates, Rounding, ServiceTier, TokenUsage, UnitPrice};

pub use self::filter::UsageChunkFilter;
pub use self::stream::{Partial, StreamReader};

use crate::demand::{Fee, Ratio};
use crate::dialect::Api;

/// What one request used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    /// Tokens by class.
    pub tokens: TokenUsage,
    /// The tier that served it.
    pub tier: ServiceTier,
    /// Tools with a fee, and how often each was used.
    pub fees: Vec<(Fee, u64)>,
    /// What every token's price is multiplied with.
    pub multiplier: Ratio,
    /// The model that answered, if the vendor says.
    pub model: Option<String>,
    /// The vendor has said which tier it was.
    pub is_tier_told: bool,
    /// Of the writes to the five-minute cache, those that he does not say it of.
    pub untold_writes: u64,
}

/// Reads a whole answer that is no stream; `None` if it has no usage that can be true.
pub fn from_answer(api: Api, body: &[u8]) -> Option<Used> {
    match api {
        Api::Messages => vendor::anthropic_answer(body),
        Api::ChatCompletions => vendor::openai_answer(body, true),
        Api::Responses => vendor::openai_answer(body, true),
        Api::Embeddings => vendor::openai_answer(body, false),
        // Counting is free, and a batch is settled from its results.
        Api::CountTokens | Api::MessageBatches => None,
    }
}

impl Default for Used {
    fn default() -> Self {
        Self {
            tokens: TokenUsage::default(),
            tier: ServiceTier::Standard,
            fees: Vec::new(),
            multiplier: Ratio::ONE,
            model: None,
            is_tier_told: false,
            untold_writes: 0,
        }
    }
}

impl Used {
    /// What the vendor does not say, as it was asked for, where that is dearer: writes to the cache of
    /// an hour, and the priority tier.
    pub(crate) fn completed(mut self, write_1h: bool, tier: ServiceTier) -> Self {
        if write_1h {
            let untold = self.untold_writes.min(self.tokens.cache_write_5m);
            self.tokens.cache_write_5m -= untold;
            self.tokens.cache_write_1h = self.tokens.cache_write_1h.saturating_add(untold);
        }
        if !self.is_tier_told && tier == ServiceTier::Priority {
            self.tier = tier;
        }
        self
    }

    /// What it costs, rounded half-even once, and whether that differs from what the tokens alone
    /// cost at the price, by a fee or a multiplier.
    ///
    /// Anthropic sells priority by commitment and publishes no rate for it: it is charged standard.
    pub fn charge(&self, price: &Price) -> Result<(Money, bool), PriceError> {
        let scaled = match self.multiplier == Ratio::ONE {
            true => None,
            false => Some(scaled(price, self.multiplier)),
        };
        let at = scaled.as_ref().unwrap_or(price);
        let charge = |tier| at.charge(&self.tokens, tier, Rounding::HalfEven);
        let mut sum = match charge(self.tier) {
            Err(PriceError::TierUnpriced { .. }) if price.vendor == "anthropic" => {
                charge(ServiceTier::Standard)?
            }
            other => other?,
        };
        for (fee, uses) in &self.fees {
            let fee = fee.times(*uses).and_then(|fee| sum.checked_add(fee));
            sum = fee
                .filter(|sum| *sum <= Money::MAX)
                .ok_or_else(|| PriceError::Overflow { model: price.model.clone() })?;
        }
        let has_fee = self.fees.iter().any(|(_, uses)| *uses > 0);
        Ok((sum, has_fee || scaled.is_some()))
    }
}

/// A price with every rate multiplied. Rates are nano-dollars per million tokens: the product is
/// whole for every rate with at most eight decimals in dollars, and rounded up for any other.
fn scaled(price: &Price, ratio: Ratio) -> Price {
    let one = |rate: UnitPrice| {
        let product = rate.nanos_per_million().saturating_mul(i128::from(ratio.numerator));
        let line = i128::from(ratio.denominator.get());
        let whole = product.div_euclid(line) + i128::from(product.rem_euclid(line) > 0);
        UnitPrice::from_nanos_per_million(whole).unwrap_or(rate)
    };
    let all = |rates: &Rates| Rates {
        input: one(rates.input),
        output: one(rates.output),
        cache_read: rates.cache_read.map(one),
        cache_write_5m: rates.cache_write_5m.map(one),
        cache_write_1h: rates.cache_write_1h.map(one),
    };
    let mut price = price.clone();
    price.standard = all(&price.standard);
    for rates in [&mut price.batch, &mut price.priority, &mut price.flex].into_iter().flatten() {
        *rates = all(rates);
    }
    for band in &mut price.long_context {
        band.standard = all(&band.standard);
        let others = [&mut band.batch, &mut band.priority, &mut band.flex];
        others.into_iter().flatten().for_each(|rates| *rates = all(rates));
    }
    price
}
