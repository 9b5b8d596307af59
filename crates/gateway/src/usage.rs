//! What a vendor says was used, and what that costs.
//!
//! Anthropic ([Messages](https://platform.claude.com/docs/en/api/messages)): `input_tokens` leaves
//! out what was read from a cache and written to one. OpenAI
//! ([chat](https://platform.openai.com/docs/api-reference/chat/object),
//! [responses](https://platform.openai.com/docs/api-reference/responses/object)): the prompt's
//! tokens include cached ones, the output's reasoning. Invariant: usage that contradicts itself or
//! is absurd is no usage.

mod filter;
mod sse;
mod stream;
#[cfg(test)]
mod tests;

use money::{Money, Price, PriceError, Rounding, ServiceTier, TokenUsage};
use serde::Deserialize;

use crate::{dialect::Api, fee::Fee};

pub use filter::UsageChunkFilter;
pub use stream::StreamReader;

/// The most tokens that a vendor may report of one call.
const TOKENS_MOST: u64 = 1_000_000_000;

/// What a call has used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens by class.
    pub tokens: TokenUsage,
    /// How the vendor has served it.
    pub tier: ServiceTier,
    /// Uses of tools with a fee.
    pub fees: Vec<(Fee, u64)>,
    /// Whether it was bound to run in the United States, which costs a tenth more.
    pub is_us_only: bool,
}

impl Used {
    /// What it costs, and whether that is more than its tokens' price.
    pub fn charge(&self, price: &Price) -> Result<(Money, bool), PriceError> {
        let charge = |tier| price.charge(&self.tokens, tier, Rounding::HalfEven);
        let tokens = match charge(self.tier) {
            // Anthropic's priority tier draws on a commitment at the list price.
            Err(PriceError::TierUnpriced { .. }) if price.vendor == "anthropic" => {
                charge(ServiceTier::Standard)
            }
            charged => charged,
        }?;
        let overflow = || PriceError::Overflow { model: price.model.clone() };
        let mut amount = if self.is_us_only { us_only(tokens) } else { tokens };
        for (fee, uses) in &self.fees {
            let fee = fee.each().nanos().checked_mul(i128::from(*uses)).ok_or_else(overflow)?;
            amount = amount.checked_add(Money::from_nanos(fee)).ok_or_else(overflow)?;
        }
        Ok((amount, amount != tokens))
    }
}

/// A tenth more, rounded half up.
pub(crate) fn us_only(amount: Money) -> Money {
    Money::from_nanos((amount.nanos().saturating_mul(11).saturating_add(5)).div_euclid(10))
}

/// What has been seen of an answer without final usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Partial {
    /// The prompt, where the vendor has told it.
    pub prompt: Option<TokenUsage>,
    /// Bytes of text.
    pub output_bytes: u64,
    /// Pieces that they came in.
    pub deltas: u64,
}

impl Partial {
    /// An answer of so many bytes that says nothing of its usage.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { output_bytes: bytes as u64, ..Self::default() }
    }

    /// The output's tokens as far as they can be told: a piece is one or more, four bytes are about
    /// one.
    pub fn output_tokens(&self) -> u64 {
        self.deltas.max(self.output_bytes.div_ceil(4))
    }
}

/// The usage in a whole answer; `None` where it has none that can be believed.
pub fn from_answer(api: Api, body: &[u8]) -> Option<Used> {
    match api {
        Api::Messages => {
            let answer: Anthropic = serde_json::from_slice(body).ok()?;
            answer.usage?.used()
        }
        Api::ChatCompletions | Api::Embeddings => {
            let answer: Chat = serde_json::from_slice(body).ok()?;
            answer.used()
        }
        Api::Responses => {
            let answer: Response = serde_json::from_slice(body).ok()?;
            answer.used()
        }
        Api::CountTokens | Api::MessageBatches => None,
    }
}

/// The part of Anthropic's message that tells its usage.
#[derive(Debug, Deserialize)]
struct Anthropic {
    usage: Option<AnthropicUsage>,
}

/// Anthropic's usage. In a stream every field may come again, and the last one holds.
#[derive(Debug, Clone, Default, Deserialize)]
struct AnthropicUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerToolUse>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

impl AnthropicUsage {
    /// Takes what a later event says.
    fn update(&mut self, later: Self) {
        let Self {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation,
            server_tool_use,
            service_tier,
            inference_geo,
        } = later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.output_tokens = output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = cache_creation.or_else(|| self.cache_creation.take());
        self.server_tool_use = server_tool_use.or_else(|| self.server_tool_use.take());
        self.service_tier = service_tier.or_else(|| self.service_tier.take());
        self.inference_geo = inference_geo.or_else(|| self.inference_geo.take());
    }

    fn tokens(&self) -> Option<TokenUsage> {
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let split = self.cache_creation.as_ref();
        let hour = split.and_then(|split| split.ephemeral_1h_input_tokens).unwrap_or(0);
        let five = split.and_then(|split| split.ephemeral_5m_input_tokens).unwrap_or(0);
        let tokens = TokenUsage {
            input: self.input_tokens?,
            output: self.output_tokens.unwrap_or(0),
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            // What the split leaves out was written to the ordinary cache.
            cache_write_5m: five.max(written.saturating_sub(hour)),
            cache_write_1h: hour,
        };
        is_sane(&tokens).then_some(tokens)
    }

    fn used(&self) -> Option<Used> {
        self.output_tokens?;
        let searches = self.server_tool_use.as_ref().and_then(|tools| tools.web_search_requests);
        let searches = searches.unwrap_or(0);
        if searches > TOKENS_MOST {
            return None;
        }
        let tier = match self.service_tier.as_deref() {
            Some("priority") => ServiceTier::Priority,
            Some("batch") => ServiceTier::Batch,
            _ => ServiceTier::Standard,
        };
        let fees = (searches > 0).then_some((Fee::AnthropicWebSearch, searches));
        let is_us_only = self.inference_geo.as_deref() == Some("us");
        Some(Used { tokens: self.tokens()?, tier, fees: fees.into_iter().collect(), is_us_only })
    }
}

/// The part of a chat completion, or one of its chunks, that tells its usage.
#[derive(Debug, Deserialize)]
struct Chat {
    usage: Option<OpenAiUsage>,
    service_tier: Option<String>,
}

impl Chat {
    fn used(self) -> Option<Used> {
        let tokens = self.usage?.tokens()?;
        let tier = openai_tier(self.service_tier.as_deref());
        Some(Used { tokens, tier, ..Used::default() })
    }
}

/// The part of a response that tells its usage.
#[derive(Debug, Deserialize)]
struct Response {
    usage: Option<OpenAiUsage>,
    service_tier: Option<String>,
    #[serde(default)]
    output: Vec<Item>,
    #[serde(default)]
    tools: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
}

impl Response {
    fn used(self) -> Option<Used> {
        let tokens = self.usage?.tokens()?;
        let tier = openai_tier(self.service_tier.as_deref());
        let count = |kind: &str| self.output.iter().filter(|item| item.kind == kind).count() as u64;
        let is_preview = self.tools.iter().any(|tool| tool.kind.starts_with("web_search_preview"));
        let search = if is_preview { Fee::OpenAiWebSearchPreview } else { Fee::OpenAiWebSearch };
        let fees = [
            (search, count("web_search_call")),
            (Fee::OpenAiFileSearch, count("file_search_call")),
        ];
        let fees = fees.into_iter().filter(|(_, uses)| *uses > 0).collect();
        Some(Used { tokens, tier, fees, is_us_only: false })
    }
}

/// OpenAI's usage, under the names of both of its APIs.
#[derive(Debug, Clone, Default, Deserialize)]
struct OpenAiUsage {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

impl OpenAiUsage {
    fn tokens(&self) -> Option<TokenUsage> {
        let prompt = self.prompt_tokens?;
        let told = self.completion_tokens.unwrap_or(0);
        // Some vendors leave reasoning out of the completion, but not out of the total.
        let output = told.max(self.total_tokens.unwrap_or(0).saturating_sub(prompt));
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens);
        let cached = cached.or(self.prompt_cache_hit_tokens).unwrap_or(0);
        let written = details.and_then(|details| details.cache_write_tokens).unwrap_or(0);
        let input = prompt.checked_sub(cached)?.checked_sub(written)?;
        let (cache_read, cache_write_5m) = (cached, written);
        let tokens = TokenUsage { input, output, cache_read, cache_write_5m, cache_write_1h: 0 };
        is_sane(&tokens).then_some(tokens)
    }
}

fn openai_tier(word: Option<&str>) -> ServiceTier {
    match word {
        Some("priority") => ServiceTier::Priority,
        Some("flex") => ServiceTier::Flex,
        Some("batch") => ServiceTier::Batch,
        _ => ServiceTier::Standard,
    }
}

fn is_sane(tokens: &TokenUsage) -> bool {
    tokens.prompt() <= u128::from(TOKENS_MOST) && tokens.output <= TOKENS_MOST
}
