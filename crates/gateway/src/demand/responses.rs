//! OpenAI's Responses API.

use super::chat::{
    AROUND_MESSAGE, AROUND_PROMPT, AROUND_TOOL, REFUSED, content, reasoning, refused, thinks, tier,
};
use super::json::Node;
use super::messages::caches;
use super::prompt::Prompt;
use super::{Demand, Fee, FeeAsked, Names, Unmetered};

/// What the definition of one of OpenAI's own tools adds to the prompt; the figures are not
/// published.
const TOOL_DEFINED: u64 = 2_048;

/// Fields that neither stand in the prompt nor change what a token costs.
const FREE: [&str; 19] = [
    "model",
    "stream",
    "stream_options",
    "max_output_tokens",
    "max_tool_calls",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "metadata",
    "store",
    "parallel_tool_calls",
    "service_tier",
    "include",
    "truncation",
    "prompt_cache_options",
];

pub(super) fn read(
    node: &Node<'_>,
    prompt: &mut Prompt,
    demand: &mut Demand,
) -> Result<(), Unmetered> {
    demand.output = node.count("max_output_tokens")?;
    demand.tier = tier(node)?;
    // Vendors that price cache writes apart fill their cache unasked.
    demand.cache.write_5m = true;
    caches(node, demand);
    demand.thinks = thinks(demand.names(), None, node.get("reasoning"));
    let calls = node.count("max_tool_calls")?;
    prompt.frame(AROUND_PROMPT);
    for (key, value) in node.members().iter().filter(|(_, value)| !value.is_null()) {
        match key.as_ref() {
            "input" => input(value, demand.names(), prompt)?,
            "instructions" => {
                prompt.frame(AROUND_MESSAGE);
                input(value, demand.names(), prompt)?;
            }
            "tools" => tools(value, calls, prompt, demand)?,
            "reasoning" => reasoning(value)?,
            "previous_response_id" | "conversation" => prompt.fill_window(),
            "prompt" => {
                let message = "a stored prompt may bring tools whose cost has no bound; send its \
                               instructions and tools themselves";
                return Err(Unmetered::new("prompt", message));
            }
            "background" | "deferred" if matches!(value, Node::Bool(false)) => {}
            "context_management" => {
                let message = "compaction runs the model again without a bound; leave it out";
                return Err(Unmetered::new("context_management", message));
            }
            known if REFUSED.contains(&known) => return Err(refused(key)),
            known if FREE.contains(&known) => {}
            _ => prompt.member(key, value),
        }
    }
    if demand.rounds > 1 {
        prompt.fill_window();
    }
    Ok(())
}

/// Text, or a list of items.
fn input(value: &Node<'_>, names: Names<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let Node::List(items) = value else {
        prompt.frame(AROUND_MESSAGE);
        return content(value, names, prompt);
    };
    for item in items {
        prompt.frame(AROUND_MESSAGE);
        match item.word("type") {
            "item_reference" | "compaction" => prompt.fill_window(),
            "mcp_call" | "mcp_list_tools" | "code_interpreter_call" | "image_generation_call" => {
                prompt.fill_window();
            }
            "compaction_trigger" => {
                let message = "compaction runs the model again without a bound; leave it out";
                return Err(Unmetered::new("input.compaction_trigger", message));
            }
            kind => {
                // What the vendor has stored is read by its id.
                let has = |name| item.get(name).is_some_and(|value| !value.is_null());
                if kind.is_empty() && !has("content")
                    || kind == "reasoning" && !has("encrypted_content")
                {
                    prompt.fill_window();
                }
                item.get("tools").map_or(Ok(()), own_tools)?;
                members(item, names, prompt)?;
            }
        }
    }
    Ok(())
}

/// Tools that come in the middle of a conversation: the caller's own alone, for the vendor's are
/// bounded with `tools`.
fn own_tools(list: &Node<'_>) -> Result<(), Unmetered> {
    list.items().iter().try_for_each(|tool| match tool.word("type") {
        "function" | "custom" => Ok(()),
        "namespace" => tool.get("tools").map_or(Ok(()), own_tools),
        _ => {
            let message = "only tools of the types function and custom are metered there; send \
                           others in the request's own tools";
            Err(Unmetered::new("input.tools", message))
        }
    })
}

fn members(item: &Node<'_>, names: Names<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    for (key, value) in item.members() {
        match key.as_ref() {
            "type" | "role" => prompt.text(value.as_str().unwrap_or_default()),
            "content" | "output" => content(value, names, prompt)?,
            _ => prompt.member(key, value),
        }
    }
    if !matches!(item, Node::Object(_)) {
        prompt.value(item);
    }
    Ok(())
}

fn tools(
    list: &Node<'_>,
    calls: Option<u64>,
    prompt: &mut Prompt,
    demand: &mut Demand,
) -> Result<(), Unmetered> {
    prompt.value(list);
    let mut dearest: Option<Fee> = None;
    for tool in list.items() {
        let kind = tool.word("type");
        let fee = match kind {
            "function" | "custom" => {
                prompt.frame(AROUND_TOOL);
                continue;
            }
            // The caller runs these.
            "computer_use_preview" | "computer" | "local_shell" | "apply_patch" => {
                prompt.add(TOOL_DEFINED);
                continue;
            }
            "file_search" => Fee::OpenAiFileSearch,
            _ if kind.starts_with("web_search_preview") => Fee::OpenAiWebSearchPreview,
            _ if kind.starts_with("web_search") => Fee::OpenAiWebSearch,
            _ => {
                let kind: String = kind.chars().take(64).collect();
                let message = format!("what {kind:?} costs has no bound; leave it out");
                return Err(Unmetered::new("tools.type", message));
            }
        };
        prompt.add(TOOL_DEFINED);
        dearest = dearest.into_iter().chain([fee]).max_by_key(|fee| fee.price());
    }
    let Some(fee) = dearest else { return Ok(()) };
    let Some(calls) = calls else {
        let message = "a tool of OpenAI's may be used without limit; send max_tool_calls";
        return Err(Unmetered::new("max_tool_calls", message));
    };
    // The limit is for all tools together, so that all may go to the dearest.
    demand.fees.push(FeeAsked { fee, uses_most: Some(calls) });
    demand.rounds = demand.rounds.saturating_add(calls);
    Ok(())
}
