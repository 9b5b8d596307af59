//! The vendors' usage objects, as they write them.

use money::{ServiceTier, TokenUsage};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Used;
use crate::demand::{Fee, Ratio};

/// No request has used more tokens of a class than this; a larger figure is garbage.
const TOKENS_MOST: u64 = 1_000_000_000;

/// Anthropic's, whole or as much of it as an event tells. What an event leaves out, an earlier one
/// has said.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub(super) struct AnthropicUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerToolUse>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

#[derive(Deserialize)]
struct AnthropicAnswer {
    model: Option<String>,
    usage: Option<AnthropicUsage>,
}

pub(super) fn anthropic_answer(body: &[u8]) -> Option<Used> {
    let answer: AnthropicAnswer = serde_json::from_slice(body).ok()?;
    answer.usage?.used(answer.model)
}

impl AnthropicUsage {
    /// Takes over what a later event says.
    pub(super) fn merge(&mut self, later: AnthropicUsage) {
        fn take<T>(known: &mut Option<T>, later: Option<T>) {
            if later.is_some() {
                *known = later;
            }
        }
        take(&mut self.input_tokens, later.input_tokens);
        take(&mut self.output_tokens, later.output_tokens);
        take(&mut self.cache_creation_input_tokens, later.cache_creation_input_tokens);
        take(&mut self.cache_read_input_tokens, later.cache_read_input_tokens);
        take(&mut self.cache_creation, later.cache_creation);
        take(&mut self.server_tool_use, later.server_tool_use);
        take(&mut self.service_tier, later.service_tier);
        take(&mut self.inference_geo, later.inference_geo);
    }

    pub(super) fn used(&self, model: Option<String>) -> Option<Used> {
        let searches = self.server_tool_use.as_ref().and_then(|tools| tools.web_search_requests);
        let searches = searches.unwrap_or(0);
        if searches > TOKENS_MOST {
            return None;
        }
        let (write_5m, write_1h, untold_writes) = self.writes();
        let tokens = TokenUsage {
            input: self.input_tokens?,
            output: self.output_tokens?,
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
        };
        let is_american = self.inference_geo.as_deref() == Some("us");
        Some(Used {
            tokens: sane(tokens)?,
            tier: tier(self.service_tier.as_deref()),
            fees: (searches > 0)
                .then_some((Fee::AnthropicWebSearch, searches))
                .into_iter()
                .collect(),
            multiplier: if is_american { Ratio::UNITED_STATES } else { Ratio::ONE },
            model,
            is_tier_told: self.service_tier.is_some(),
            untold_writes,
        })
    }

    /// Cache writes by their time to live, and those of which it is not told. What the sum has beyond
    /// the parts, which a stream tells at its beginning alone, is taken for the five-minute cache,
    /// which is the default.
    fn writes(&self) -> (u64, u64, u64) {
        let all = self.cache_creation_input_tokens.unwrap_or(0);
        let Some(parts) = &self.cache_creation else { return (all, 0, all) };
        let write_1h = parts.ephemeral_1h_input_tokens.unwrap_or(0);
        let write_5m = parts.ephemeral_5m_input_tokens.unwrap_or(0);
        let rest = all.saturating_sub(write_1h);
        (write_5m.max(rest), write_1h, rest.saturating_sub(write_5m))
    }
}

/// OpenAI's: of chats and embeddings, and of responses.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OpenAiUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    /// The words of responses. Some servers write both, and what they don't mean as zero.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<PromptDetails>,
    /// DeepSeek's word for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Clone, Default, Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    cache_creation_tokens: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct OpenAiAnswer {
    pub(super) model: Option<String>,
    pub(super) usage: Option<OpenAiUsage>,
    pub(super) service_tier: Option<String>,
    pub(super) error: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    /// The items of a response.
    #[serde(default)]
    output: Option<Vec<Item>>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

pub(super) fn openai_answer(body: &[u8], has_output: bool) -> Option<Used> {
    let answer: OpenAiAnswer = serde_json::from_slice(body).ok()?;
    answer.used(has_output)
}

impl OpenAiAnswer {
    pub(super) fn used(&self, has_output: bool) -> Option<Used> {
        let usage = self.usage.as_ref()?;
        let details = [&usage.prompt_tokens_details, &usage.input_tokens_details];
        let of = |count: fn(&PromptDetails) -> Option<u64>| {
            details.iter().filter_map(|details| details.as_ref().and_then(count)).max()
        };
        let read = of(|details| details.cached_tokens).or(usage.prompt_cache_hit_tokens);
        let read = read.unwrap_or(0);
        let written = of(|details| details.cache_write_tokens.max(details.cache_creation_tokens));
        let written = written.unwrap_or(0);
        let prompt = usage.prompt_tokens.max(usage.input_tokens)?;
        let completion = usage.completion_tokens.max(usage.output_tokens);
        let output = match has_output {
            // Some vendors count thoughts in the sum alone (xAI, Google).
            true => completion?.max(usage.total_tokens.unwrap_or(0).saturating_sub(prompt)),
            false => completion.unwrap_or(0),
        };
        let tokens = TokenUsage {
            input: prompt.checked_sub(read)?.checked_sub(written)?,
            output,
            cache_read: read,
            cache_write_5m: written,
            cache_write_1h: 0,
        };
        Some(Used {
            tokens: sane(tokens)?,
            tier: tier(self.service_tier.as_deref()),
            fees: self.fees(),
            multiplier: Ratio::ONE,
            model: self.model.clone(),
            is_tier_told: self.service_tier.is_some(),
            untold_writes: written,
        })
    }

    /// The searches among a response's items. A web search that only opened a page is no search.
    fn fees(&self) -> Vec<(Fee, u64)> {
        let items = self.output.as_deref().unwrap_or_default();
        let count = |kind: &str| {
            let of_kind = items.iter().filter(|item| item.kind.as_deref() == Some(kind));
            let action = |item: &&Item| item.action.as_ref().and_then(|action| action.kind.clone());
            let billed = of_kind.filter(|item| action(item).is_none_or(|kind| kind == "search"));
            billed.count() as u64
        };
        let tools = self.tools.as_deref().unwrap_or_default();
        let is_preview = |tool: &Tool| {
            tool.kind.as_ref().is_some_and(|kind| kind.starts_with("web_search_preview"))
        };
        // Of the preview, only models that don't reason cost more.
        let reasons = self.model.as_ref().is_none_or(|model| !model.starts_with("gpt-4"));
        let web = match !reasons && tools.iter().any(is_preview) {
            true => Fee::OpenAiWebSearchPreview,
            false => Fee::OpenAiWebSearch,
        };
        let all =
            [(web, count("web_search_call")), (Fee::OpenAiFileSearch, count("file_search_call"))];
        all.into_iter().filter(|(_, uses)| *uses > 0).collect()
    }
}

fn tier(word: Option<&str>) -> ServiceTier {
    match word {
        Some("priority" | "fast") => ServiceTier::Priority,
        Some("flex") => ServiceTier::Flex,
        Some("batch") => ServiceTier::Batch,
        _ => ServiceTier::Standard,
    }
}

fn sane(tokens: TokenUsage) -> Option<TokenUsage> {
    let classes = [
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
    ];
    classes.iter().all(|count| *count <= TOKENS_MOST).then_some(tokens)
}
