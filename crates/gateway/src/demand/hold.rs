//! What a demand costs at most at a price.

use money::{Money, Price, PriceError, Rounding, ServiceTier, TokenUsage};

use super::{Demand, Fee, PromptBound, Ratio, TierAsked};

/// Output limits are searched up to here, if neither the request nor the price names one.
const OUTPUT_MOST: u64 = 1 << 24;

/// A demand without an upper bound at a price.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unbounded {
    /// Neither the request nor the price limits the output.
    #[error(
        "the answer's length has no limit: send max_tokens, or give {model:?} a price \
         with max_output_tokens"
    )]
    Output {
        /// The model.
        model: String,
    },
    /// The prompt is bounded by the context window alone, and the price doesn't say how long it is.
    #[error(
        "the prompt's length can't be known: send it as text, or give {model:?} a price \
         with max_input_tokens"
    )]
    Window {
        /// The model.
        model: String,
    },
    /// A tool with a fee may be used without limit.
    #[error("a tool with a fee may be used without limit: send max_uses or max_tool_calls")]
    Fee,
    /// The amount can't be told.
    #[error(transparent)]
    Price(#[from] PriceError),
}

impl Fee {
    /// What one use costs.
    pub const fn price(self) -> Money {
        match self {
            Fee::AnthropicWebSearch | Fee::OpenAiWebSearch => Money::from_nanos(10_000_000),
            Fee::OpenAiWebSearchPreview => Money::from_nanos(25_000_000),
            Fee::OpenAiFileSearch => Money::from_nanos(2_500_000),
        }
    }

    /// What so many uses cost; `None` beyond [`Money::MAX`].
    pub fn times(self, uses: u64) -> Option<Money> {
        let nanos = self.price().nanos().checked_mul(i128::from(uses))?;
        (nanos <= Money::MAX.nanos()).then(|| Money::from_nanos(nanos))
    }
}

impl Demand {
    /// The most that the request can cost at a price, rounded up to the nano-dollar.
    ///
    /// That is the dearest of: the classes that its prompt may be billed in, the long-context bands
    /// that it may fall in, the tiers that may serve it; with the output at its limit times
    /// choices, all of it once for each round, times the multiplier, plus the fees.
    pub fn hold(&self, price: &Price) -> Result<Money, Unbounded> {
        self.hold_with(price, self.output_limit(price)?)
    }

    /// The largest output limit per choice whose hold is at most `amount`; `None` if there is none
    /// above [`Demand::output_floor`]. It is never above the request's own limit.
    pub fn affordable_output(&self, price: &Price, amount: Money) -> Option<u64> {
        let fits = |limit: u64| self.hold_with(price, limit).is_ok_and(|hold| hold <= amount);
        let (mut fitting, mut beyond) = (0, self.output_limit(price).unwrap_or(OUTPUT_MOST));
        beyond = beyond.saturating_add(1);
        // The hold never falls as the limit rises, so the border can be searched by halves.
        while beyond - fitting > 1 {
            let middle = fitting + (beyond - fitting) / 2;
            match fits(middle) {
                true => fitting = middle,
                false => beyond = middle,
            }
        }
        (fitting > self.output_floor).then_some(fitting)
    }

    /// The tokens that the hold is for, for the record beside it. What has no bound is zero.
    pub fn usage_bound(&self, price: &Price) -> TokenUsage {
        let limit = self.output_limit(price).unwrap_or(0);
        TokenUsage {
            input: self.prompt_most(price).unwrap_or(0),
            output: self.output_most(limit),
            ..TokenUsage::default()
        }
    }

    fn output_limit(&self, price: &Price) -> Result<u64, Unbounded> {
        self.output
            .or(price.max_output_tokens)
            .ok_or_else(|| Unbounded::Output { model: self.model.clone() })
    }

    /// Output tokens of all choices and rounds. A sum beyond 64 bits stays there: it is refused
    /// when it is priced.
    fn output_most(&self, limit: u64) -> u64 {
        limit
            .saturating_add(self.output_extra)
            .saturating_mul(self.choices)
            .saturating_mul(self.rounds)
    }

    /// Prompt tokens of all rounds. A tool's results come into the prompt of the next round, so
    /// that more than one round is bounded by the window alone.
    fn prompt_most(&self, price: &Price) -> Result<u64, Unbounded> {
        let window = price.max_input_tokens;
        let round = match (self.prompt, self.rounds) {
            (PromptBound::Tokens(tokens), 0 | 1) => Some(tokens),
            (PromptBound::Tokens(tokens), _) => window.map(|window| window.max(tokens)),
            (PromptBound::Window, _) => window,
        };
        let round = round.ok_or_else(|| Unbounded::Window { model: self.model.clone() })?;
        Ok(round.saturating_mul(self.rounds.max(1)))
    }

    fn hold_with(&self, price: &Price, limit: u64) -> Result<Money, Unbounded> {
        let output = self.output_most(limit);
        let most = self.prompt_most(price)?;
        let borders = price.long_context.iter().map(|band| band.above_input_tokens);
        let prompts = borders.filter(|border| *border < most).chain([most]);
        let mut tokens = Money::ZERO;
        for prompt in prompts {
            for (tier, is_sure) in self.tiers() {
                for usage in self.classes(prompt, output) {
                    match price.charge(&usage, tier, Rounding::Up) {
                        Ok(amount) => tokens = tokens.max(amount),
                        // A tier that the vendor sells no such model in won't serve it.
                        Err(PriceError::TierUnpriced { .. }) if !is_sure => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        let overflow = || PriceError::Overflow { model: self.model.clone() };
        let mut sum = self.multiplier.of(tokens, Rounding::Up).ok_or_else(overflow)?;
        for asked in &self.fees {
            let uses = asked.uses_most.ok_or(Unbounded::Fee)?;
            let fee = asked.fee.times(uses).ok_or_else(overflow)?;
            sum = sum.checked_add(fee).ok_or_else(overflow)?;
        }
        if sum > Money::MAX {
            return Err(overflow().into());
        }
        Ok(sum)
    }

    /// The tiers that may serve the request, and whether each is one that was asked for by name.
    fn tiers(&self) -> impl Iterator<Item = (ServiceTier, bool)> + use<> {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        let tiers: &[(ServiceTier, bool)] = match self.tier {
            TierAsked::Standard => &[(Standard, true)],
            TierAsked::Auto => &[(Standard, true), (Priority, false)],
            TierAsked::Flex => &[(Standard, true), (Flex, true)],
            TierAsked::Priority => &[(Standard, true), (Priority, true)],
            TierAsked::Batch => &[(Batch, true)],
        };
        tiers.iter().copied()
    }

    /// The prompt in each class that it may be billed in. A mixture costs no more than the dearest.
    fn classes(&self, prompt: u64, output: u64) -> impl Iterator<Item = TokenUsage> + use<> {
        let none = TokenUsage { output, ..TokenUsage::default() };
        let write_5m = self.cache.write_5m.then_some(TokenUsage { cache_write_5m: prompt, ..none });
        let write_1h = self.cache.write_1h.then_some(TokenUsage { cache_write_1h: prompt, ..none });
        [TokenUsage { input: prompt, ..none }, TokenUsage { cache_read: prompt, ..none }]
            .into_iter()
            .chain(write_5m)
            .chain(write_1h)
    }
}

impl Ratio {
    /// An amount times the factor, rounded once; `None` beyond the range of amounts.
    pub fn of(self, amount: Money, rounding: Rounding) -> Option<Money> {
        let line = i128::from(self.denominator.get());
        let product = amount.nanos().checked_mul(i128::from(self.numerator))?;
        let (whole, rest) = (product.div_euclid(line), product.rem_euclid(line));
        let up = match rounding {
            Rounding::Up => rest > 0,
            Rounding::HalfEven => rest * 2 > line || (rest * 2 == line && whole % 2 != 0),
        };
        Some(Money::from_nanos(whole + i128::from(up)))
    }
}
