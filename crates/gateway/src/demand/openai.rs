//! OpenAI's API, and those of vendors that speak it:
//! [chat](https://platform.openai.com/docs/api-reference/chat/create),
//! [responses](https://platform.openai.com/docs/api-reference/responses/create),
//! [embeddings](https://platform.openai.com/docs/api-reference/embeddings/create).

use serde::Deserialize;

use super::{
    CacheAsked, Demand, Members, PromptBound, TierAsked, Unmetered,
    special::{self, Foreign},
};
use crate::{dialect::Dialect, fee::Fee};

/// Tokens of the frame around a prompt.
const FRAME: u64 = 64;
/// The fewest output tokens that a response may be limited to.
const RESPONSE_LEAST: u64 = 16;
const TOOL_CALLS_MOST: u64 = 1_000;

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Reads a chat completion's request.
pub(super) fn chat(members: &Members<'_>, body: &[u8]) -> Result<Demand, Unmetered> {
    members.refuse(&[
        ("audio", "audio"),
        ("web_search_options", "web search, whose fee the answer does not tell"),
        ("models", "other models than the one named"),
        ("plugins", "plugins of the vendor"),
    ])?;
    let modalities: Option<Vec<String>> = members.get("modalities", "a list of texts")?;
    if let Some(other) = modalities.iter().flatten().find(|kind| *kind != "text") {
        return Err(Unmetered::unknown("modalities", other));
    }
    let mut demand = start(members, body, "messages")?;
    let limits = [members.count("max_tokens")?, members.count("max_completion_tokens")?];
    demand.output = limits.into_iter().flatten().max();
    let choices = [members.count("n")?, members.count("best_of")?];
    demand.choices = choices.into_iter().flatten().max().unwrap_or(1).max(1);
    if demand.choices > 128 {
        return Err(Unmetered::about("n", "must be at most 128"));
    }
    let options: Option<StreamOptions> = members.get("stream_options", "an object")?;
    demand.wants_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    // What was predicted wrongly is billed as output beside the answer.
    demand.output_extra = members.raw("prediction").map_or(0, |raw| raw.get().len() as u64);
    let tools: Option<Vec<Tool>> = members.get("tools", "a list of tools")?;
    let kinds = tools.iter().flatten().filter_map(|tool| tool.kind.as_deref());
    match kinds.into_iter().find(|kind| !["function", "custom"].contains(kind)) {
        Some(kind) => Err(Unmetered::unknown("tools", format!("a tool of type {kind:?}"))),
        None => Ok(demand),
    }
}

/// Reads a response's request.
pub(super) fn responses(members: &Members<'_>, body: &[u8]) -> Result<Demand, Unmetered> {
    members.refuse(&[("background", "an answer in the background")])?;
    let mut demand = start(members, body, "input")?;
    demand.output = members.count("max_output_tokens")?;
    demand.output_least = RESPONSE_LEAST;
    let elsewhere = ["previous_response_id", "conversation", "prompt"];
    if elsewhere.into_iter().any(|name| members.raw(name).is_some()) {
        demand.prompt = PromptBound::Window;
    }
    let calls = members.count("max_tool_calls")?;
    let tools: Option<Vec<Tool>> = members.get("tools", "a list of tools")?;
    let mut fee: Option<Fee> = None;
    for kind in tools.iter().flatten().filter_map(|tool| tool.kind.as_deref()) {
        let other = match kind {
            "function" | "custom" | "computer_use_preview" | "local_shell" | "apply_patch" => {
                continue;
            }
            "file_search" => Fee::OpenAiFileSearch,
            kind if kind.starts_with("web_search_preview") => Fee::OpenAiWebSearchPreview,
            kind if kind.starts_with("web_search") => Fee::OpenAiWebSearch,
            kind => return Err(Unmetered::unknown("tools", format!("a tool of type {kind:?}"))),
        };
        fee = Some(fee.map_or(other, |fee| if fee.each() > other.each() { fee } else { other }));
    }
    if let Some(fee) = fee {
        let uses = calls.filter(|calls| *calls <= TOOL_CALLS_MOST).ok_or_else(|| {
            let message = "is missing: tools that the vendor runs have no bound without it; set \
                           it, up to 1000";
            Unmetered::about("max_tool_calls", message)
        })?;
        demand.fees.push((fee, uses));
        demand.rounds += uses;
        demand.prompt = PromptBound::Window;
    }
    Ok(demand)
}

/// Reads an embedding's request.
pub(super) fn embeddings(members: &Members<'_>, body: &[u8]) -> Result<Demand, Unmetered> {
    let mut demand = start(members, body, "input")?;
    demand.output = Some(0);
    demand.is_stream = false;
    Ok(demand)
}

/// What all of them have.
fn start(members: &Members<'_>, body: &[u8], field: &str) -> Result<Demand, Unmetered> {
    let model = members.model()?;
    let prompt = special::prompt(Dialect::OpenAi, &model, body)
        .map_err(|Foreign(what)| Unmetered::unknown(field, what))?;
    let mut demand = Demand::new(model, prompt);
    demand.add_prompt(FRAME);
    demand.is_stream = members.flag("stream")?;
    // Vendors that bill for writing to their cache do so unasked.
    demand.cache = CacheAsked { write_5m: true, write_1h: false };
    demand.tier = match members.text("service_tier")?.as_deref() {
        None | Some("default" | "standard") => TierAsked::Standard,
        Some("auto") => TierAsked::Auto,
        Some("flex") => TierAsked::Flex,
        Some("priority") => TierAsked::Priority,
        Some(other) => {
            return Err(Unmetered::unknown("service_tier", format!("the tier {other:?}")));
        }
    };
    Ok(demand)
}
