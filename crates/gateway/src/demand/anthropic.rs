//! Anthropic's Messages API: <https://platform.claude.com/docs/en/api/messages>.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    CacheAsked, Demand, Members, PromptBound, TierAsked, Unmetered,
    special::{self, Foreign},
};
use crate::{dialect::Dialect, fee::Fee};

/// Tokens that the vendor's own words take: around the prompt, and for tools.
const FRAME: u64 = 64;
const TOOLS: u64 = 1_024;
/// A tool of the vendor's schema has its words in the prompt, too.
const SCHEMA: u64 = 2_048;
/// Requests of one batch, at most.
const BATCH_MOST: usize = 100_000;

#[derive(Deserialize)]
struct Thinking {
    budget_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
    max_uses: Option<u64>,
}

/// Reads a message's request.
pub(super) fn read(members: &Members<'_>, body: &[u8]) -> Result<Demand, Unmetered> {
    members.refuse(&[
        ("mcp_servers", "MCP servers that the vendor calls"),
        ("container", "a container at the vendor"),
    ])?;
    if let Some(speed) = members.text("speed")?.filter(|speed| speed != "standard") {
        return Err(Unmetered::unknown("speed", format!("the speed {speed:?}")));
    }
    let model = members.model()?;
    let prompt = special::prompt(Dialect::Anthropic, &model, body)
        .map_err(|Foreign(what)| Unmetered::unknown("messages", what))?;
    let mut demand = Demand::new(model, prompt);
    demand.is_stream = members.flag("stream")?;
    demand.output = members.count("max_tokens")?;
    demand.is_us_only = members.text("inference_geo")?.as_deref() == Some("us");
    demand.cache = cache(body);
    demand.tier = TierAsked::Standard;
    demand.add_prompt(FRAME);
    let thinking: Option<Thinking> = members.get("thinking", "an object with budget_tokens")?;
    if let Some(budget) = thinking.and_then(|thinking| thinking.budget_tokens) {
        if budget >= demand.output.unwrap_or(0) {
            // Thinking between tool calls may go beyond the limit of one answer.
            demand.output_extra = budget;
        } else {
            demand.output_least = budget + 1;
        }
    }
    let tools: Option<Vec<Tool>> = members.get("tools", "a list of tools")?;
    for tool in tools.iter().flatten() {
        add_tool(&mut demand, tool)?;
    }
    if tools.is_some_and(|tools| !tools.is_empty()) {
        demand.add_prompt(TOOLS);
    }
    Ok(demand)
}

fn add_tool(demand: &mut Demand, tool: &Tool) -> Result<(), Unmetered> {
    let Some(kind) = tool.kind.as_deref().filter(|kind| *kind != "custom") else { return Ok(()) };
    let is = |name: &str| kind.starts_with(name);
    if ["bash_", "text_editor_", "computer_", "memory_"].into_iter().any(is) {
        demand.add_prompt(SCHEMA);
        return Ok(());
    }
    if !is("web_search_") && !is("web_fetch_") {
        return Err(Unmetered::unknown("tools", format!("a tool of type {kind:?}")));
    }
    let uses = tool.max_uses.filter(|uses| *uses <= 1_000).ok_or_else(|| {
        let message =
            format!("has {kind}, whose cost has no bound without max_uses: set it, up to 1000");
        Unmetered::about("tools", message)
    })?;
    if is("web_search_") {
        demand.fees.push((Fee::AnthropicWebSearch, uses));
    }
    // What a tool brings is read as a prompt again, each time with all that came before.
    demand.rounds += uses;
    demand.prompt = PromptBound::Window;
    Ok(())
}

/// Caches that the prompt may be written to: told by the bytes, so that nothing is hidden by a
/// name that comes twice.
fn cache(body: &[u8]) -> CacheAsked {
    let is_hidden = special::has_escaped_ascii(body);
    let asks = is_hidden || memmem::find(body, b"\"cache_control\"").is_some();
    let hour = asks && (is_hidden || memmem::find(body, b"\"1h\"").is_some());
    CacheAsked { write_5m: asks, write_1h: hour }
}

#[derive(Deserialize)]
struct BatchRequest<'a> {
    custom_id: String,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// Reads a batch's requests.
pub(super) fn batch(members: &Members<'_>) -> Result<Vec<(String, Demand)>, Unmetered> {
    let wrong = || Unmetered::about("requests", "must be a list of custom_id and params");
    let raw = members.raw("requests").ok_or_else(wrong)?;
    let requests: Vec<BatchRequest<'_>> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if requests.is_empty() || requests.len() > BATCH_MOST {
        let message = format!("must have 1 to {BATCH_MOST} requests");
        return Err(Unmetered::about("requests", message));
    }
    let read = |request: BatchRequest<'_>| {
        let body = request.params.get().as_bytes();
        let mut demand = self::read(&Members::read(body)?, body)?;
        demand.tier = TierAsked::Batch;
        Ok((request.custom_id, demand))
    };
    requests.into_iter().map(read).collect()
}

impl Demand {
    pub(super) fn add_prompt(&mut self, tokens: u64) {
        if let PromptBound::Tokens(bound) = &mut self.prompt {
            *bound = bound.saturating_add(tokens);
        }
    }
}
