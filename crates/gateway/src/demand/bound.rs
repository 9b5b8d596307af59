//! From a demand to money: the dearest way in which it may be billed.

use money::{Money, Price, PriceError, Rounding, ServiceTier, TokenUsage};

use super::{Demand, PromptBound, TierAsked};
use crate::usage::us_only;

/// Why a demand has no upper bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unbounded {
    /// The member that would give it one.
    pub field: Option<String>,
    /// What is missing, and what to do.
    pub message: String,
}

impl Unbounded {
    fn about(field: &str, message: impl std::fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), message: format!("{field} {message}") }
    }
}

/// The classes that a prompt may be billed in.
const CLASSES: [fn(u64) -> TokenUsage; 4] = [
    |input| TokenUsage { input, ..TokenUsage::default() },
    |cache_read| TokenUsage { cache_read, ..TokenUsage::default() },
    |cache_write_5m| TokenUsage { cache_write_5m, ..TokenUsage::default() },
    |cache_write_1h| TokenUsage { cache_write_1h, ..TokenUsage::default() },
];

impl Demand {
    /// The most that it can cost at a price, rounded up.
    ///
    /// A charge is linear in the classes of one band of prompt length, so that the dearest mix is
    /// one class alone; and a prompt may stay just below each threshold.
    pub fn hold(&self, price: &Price) -> Result<Money, Unbounded> {
        let prompt = self.prompt_most(price)?;
        let output = self.output_most(price)?;
        let thresholds = price.long_context.iter().map(|band| band.above_input_tokens);
        let lengths = thresholds.filter(|length| *length < prompt).chain([prompt]);
        let mut most = Money::ZERO;
        for length in lengths {
            for (class, is_asked) in CLASSES.into_iter().zip(self.classes(price)) {
                if !is_asked {
                    continue;
                }
                let usage = TokenUsage { output, ..class(length) };
                most = most.max(self.dearest(price, &usage)?);
            }
        }
        let whole = || Unbounded::about("max_tokens", "is so high that the cost has no bound");
        let mut nanos = most.nanos().checked_mul(i128::from(self.rounds)).ok_or_else(whole)?;
        if self.is_us_only {
            nanos = us_only(Money::from_nanos(nanos)).nanos() + 1;
        }
        for (fee, uses) in &self.fees {
            nanos += fee.each().nanos() * i128::from(*uses);
        }
        Ok(Money::from_nanos(nanos))
    }

    /// The largest limit of output tokens that costs at most `amount`; `None` where not even the
    /// least that the vendor takes does.
    pub fn affordable_output(&self, price: &Price, amount: Money) -> Option<u64> {
        let most = self.output.or(price.max_output_tokens)?;
        let fits = |output: u64| {
            let demand = Self { output: Some(output), ..self.clone() };
            demand.hold(price).is_ok_and(|hold| hold <= amount)
        };
        if self.output_least > most || !fits(self.output_least) {
            return None;
        }
        let (mut fit, mut beyond) = (self.output_least, most + 1);
        while beyond - fit > 1 {
            let middle = fit + (beyond - fit) / 2;
            if fits(middle) { fit = middle } else { beyond = middle }
        }
        Some(fit)
    }

    /// The tokens that are held, for the record beside the money.
    pub fn usage_bound(&self, price: &Price) -> TokenUsage {
        let input = self.prompt_most(price).unwrap_or(0);
        let output = self.output_most(price).unwrap_or(0);
        TokenUsage { input, output, ..TokenUsage::default() }
    }

    fn prompt_most(&self, price: &Price) -> Result<u64, Unbounded> {
        match self.prompt {
            PromptBound::Tokens(tokens) => Ok(tokens),
            PromptBound::Window => price.max_input_tokens.ok_or_else(|| {
                let message = "has a context whose length is not known here, so that files, and \
                               what is kept at the vendor, can't be bounded; import its price \
                               with max_input_tokens";
                Unbounded::about("model", message)
            }),
        }
    }

    fn output_most(&self, price: &Price) -> Result<u64, Unbounded> {
        let limit = self.output.or(price.max_output_tokens).ok_or_else(|| {
            let message = "is missing, and how long the model's answers may be is not known here: \
                           send it";
            Unbounded::about("max_tokens", message)
        })?;
        Ok(limit.saturating_add(self.output_extra).saturating_mul(self.choices))
    }

    /// Which of [`CLASSES`] a prompt may be billed in.
    fn classes(&self, price: &Price) -> [bool; 4] {
        let has_write = price.standard.cache_write_5m.is_some();
        let is_anthropic = price.vendor == "anthropic";
        let write_5m = self.cache.write_5m && (has_write || is_anthropic);
        [true, price.standard.cache_read.is_some(), write_5m, self.cache.write_1h]
    }

    /// The charge in the dearest tier that may serve it.
    fn dearest(&self, price: &Price, usage: &TokenUsage) -> Result<Money, Unbounded> {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        let tiers: &[ServiceTier] = match self.tier {
            TierAsked::Standard => &[Standard],
            TierAsked::Auto => &[Standard, Priority],
            TierAsked::Flex => &[Flex, Standard],
            TierAsked::Priority => &[Priority],
            TierAsked::Batch => &[Batch],
        };
        let mut most = Money::ZERO;
        for tier in tiers {
            match price.charge(usage, *tier, Rounding::Up) {
                Ok(charge) => most = most.max(charge),
                // Where nobody has published a price for it, it is not sold.
                Err(PriceError::TierUnpriced { .. }) if self.tier == TierAsked::Auto => {}
                Err(error @ PriceError::TierUnpriced { .. }) => {
                    return Err(Unbounded::about("service_tier", format!("is unpriced: {error}")));
                }
                Err(error) => return Err(Unbounded::about("max_tokens", error)),
            }
        }
        Ok(most)
    }
}
