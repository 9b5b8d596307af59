//! Anthropic's Messages API.

use super::json::Node;
use super::prompt::Prompt;
use super::{Demand, Fee, FeeAsked, Ratio, TierAsked, Unmetered, image};

/// The system prompt that makes tools usable. Published figures go from 159 tokens (Claude 3 Sonnet)
/// to 804 (Opus 4.7 with `tool_choice` any or tool), 290 to 589 for most since 4.5
/// (<https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview>, "Pricing"); twice the
/// largest, for models that are newer than the table.
const TOOLS_PROMPT: u64 = 1_608;
/// What the definition of one of Anthropic's own client tools adds. Published: 245 for bash, 700
/// for the text editor, 735 and a system prompt of up to 499 for computer use.
const TOOL_DEFINED: u64 = 2_048;
/// What surrounds a message, a system prompt or a block: role marks and separators.
const AROUND_MESSAGE: u64 = 16;
const AROUND_BLOCK: u64 = 8;
/// What surrounds the whole prompt.
const AROUND_PROMPT: u64 = 16;

/// How often the vendor runs the model at most while it uses his tools, before he pauses the turn: also
/// beyond `max_uses`, for a use too many is answered with an error that the model reads.
/// <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>, "pause_turn".
const LOOP_MOST: u64 = 10;

/// Fields that neither stand in the prompt nor change what a token costs.
const FREE: [&str; 10] = [
    "model",
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "user_profile_id",
    "betas",
];

pub(super) fn read(
    node: &Node<'_>,
    prompt: &mut Prompt,
    demand: &mut Demand,
) -> Result<(), Unmetered> {
    demand.output = node.count("max_tokens")?;
    demand.tier = TierAsked::Auto;
    prompt.frame(AROUND_PROMPT);
    for (key, value) in node.members().iter().filter(|(_, value)| !value.is_null()) {
        match key.as_ref() {
            "messages" => messages(value, prompt)?,
            "system" => content(value, prompt)?,
            "tools" => tools(value, prompt, demand)?,
            "tool_choice" => prompt.value(value),
            // A schema for the answer comes with a system prompt of its own.
            "output_config" | "output_format" => {
                prompt.add(TOOLS_PROMPT);
                prompt.value(value);
            }
            "thinking" => thinking(value, demand)?,
            "service_tier" => demand.tier = tier(value)?,
            "inference_geo" => demand.multiplier = geography(value)?,
            "speed" if value.as_str() == Some("standard") => {}
            "cache_control" => {}
            "context_management" => context_management(value, prompt)?,
            "mcp_servers" if matches!(value, Node::List(servers) if servers.is_empty()) => {}
            known if FREE.contains(&known) => {}
            known => return Err(refused(known)),
        }
    }
    if demand.rounds > 1 {
        prompt.fill_window();
    }
    caches(node, demand);
    Ok(())
}

fn refused(field: &str) -> Unmetered {
    let message = match field {
        "speed" => "fast mode has no price here; leave it out",
        "mcp_servers" => "what the MCP connector brings into the prompt has no bound; leave it out",
        "container" => "a container is billed by the hour, which no request bounds; leave it out",
        "fallbacks" => "it may be served by another model; send that request by itself",
        _ => "Bursar doesn't know what it may cost; leave it out",
    };
    Unmetered::new(field.chars().take(64).collect::<String>(), message)
}

fn tier(value: &Node<'_>) -> Result<TierAsked, Unmetered> {
    match value.as_str() {
        Some("auto") => Ok(TierAsked::Auto),
        Some("standard_only") => Ok(TierAsked::Standard),
        _ => Err(Unmetered::new("service_tier", "use auto or standard_only")),
    }
}

fn geography(value: &Node<'_>) -> Result<Ratio, Unmetered> {
    match value.as_str() {
        Some("global") => Ok(Ratio::ONE),
        Some("us") => Ok(Ratio::UNITED_STATES),
        _ => Err(Unmetered::new("inference_geo", "its price is not known; use global or us")),
    }
}

/// A budget below `max_tokens` is part of it; with interleaved thinking it may be above.
fn thinking(value: &Node<'_>, demand: &mut Demand) -> Result<(), Unmetered> {
    let budget = value.count("budget_tokens")?.unwrap_or(0);
    demand.thinks = value.word("type") != "disabled";
    demand.output_extra = budget.saturating_sub(demand.output.unwrap_or(0));
    demand.output_floor = budget;
    Ok(())
}

/// Edits that clear are free; those that compact let the model run once more.
fn context_management(value: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let edits = value.get("edits").map_or(&[][..], Node::items);
    if edits.iter().any(|edit| !edit.word("type").starts_with("clear_")) {
        let message =
            "only edits of the types clear_… are metered; compaction runs the model again";
        return Err(Unmetered::new("context_management", message));
    }
    prompt.value(value);
    Ok(())
}

fn messages(list: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let Node::List(messages) = list else {
        return Err(Unmetered::new("messages", "it must be a list"));
    };
    for message in messages {
        prompt.frame(AROUND_MESSAGE);
        for (key, value) in message.members() {
            match key.as_ref() {
                "role" => {}
                "content" => content(value, prompt)?,
                _ => prompt.member(key, value),
            }
        }
    }
    Ok(())
}

/// Text, or a list of blocks.
fn content(value: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    prompt.frame(AROUND_MESSAGE);
    match value {
        Node::List(blocks) => blocks.iter().try_for_each(|one| block(one, prompt)),
        Node::Object(_) => block(value, prompt),
        Node::Text(text) => {
            prompt.text(text);
            Ok(())
        }
        other => {
            prompt.value(other);
            Ok(())
        }
    }
}

fn block(block: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    prompt.frame(AROUND_BLOCK);
    match block.word("type") {
        "text" => rest(block, prompt, &["type", "text", "cache_control"], |prompt| {
            prompt.text(block.word("text"));
            Ok(())
        }),
        "image" => rest(block, prompt, &["type", "source", "cache_control"], |prompt| {
            picture(block.get("source"), prompt);
            Ok(())
        }),
        "document" => rest(block, prompt, &["type", "source", "cache_control"], |prompt| {
            // A document that is cited is cut into sentences, each with a mark of unknown size.
            if block.get("citations").is_some_and(|how| !matches!(how.flag("enabled"), Ok(false))) {
                prompt.fill_window();
            }
            document(block.get("source"), prompt)
        }),
        "tool_result" => rest(block, prompt, &["type", "content", "cache_control"], |prompt| {
            block.get("content").map_or(Ok(()), |value| content(value, prompt))
        }),
        // What a tool is asked is text, whatever it looks like.
        "tool_use" | "server_tool_use" => {
            rest(block, prompt, &["type", "cache_control"], |_| Ok(()))
        }
        "container_upload" => {
            let message = "a container is billed by the hour, which no request bounds";
            Err(Unmetered::new("messages.content.container_upload", message))
        }
        _ => inside(block, prompt),
    }
}

/// A value of another kind counts as text, but for the pictures and documents in it: a tool's
/// results carry them.
fn inside(node: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let one = |node: &Node<'_>, prompt: &mut Prompt| match node.word("type") {
        "image" | "document" | "tool_result" | "tool_use" | "server_tool_use" => {
            block(node, prompt)
        }
        _ => inside(node, prompt),
    };
    prompt.frame(AROUND_BLOCK);
    match node {
        Node::List(items) => items.iter().try_for_each(|item| one(item, prompt)),
        Node::Object(members) => members.iter().try_for_each(|(key, value)| {
            prompt.text(key);
            one(value, prompt)
        }),
        leaf => {
            prompt.value(leaf);
            Ok(())
        }
    }
}

/// Reads a block's known members by `known`, and counts all others as text.
fn rest(
    block: &Node<'_>,
    prompt: &mut Prompt,
    names: &[&str],
    known: impl FnOnce(&mut Prompt) -> Result<(), Unmetered>,
) -> Result<(), Unmetered> {
    let others = block.members().iter().filter(|(key, _)| !names.contains(&key.as_ref()));
    others.for_each(|(key, value)| prompt.member(key, value));
    known(prompt)
}

fn picture(source: Option<&Node<'_>>, prompt: &mut Prompt) {
    let size = source
        .filter(|source| source.word("type") == "base64")
        .and_then(|source| image::size_of_base64(source.word("data")));
    prompt.add(image::anthropic(size));
}

/// Text by itself or in base64 counts by its bytes, a list of blocks by them; a PDF's pages are
/// neither known before nor bounded.
fn document(source: Option<&Node<'_>>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let Some(source) = source else { return Ok(()) };
    let data = source.word("data");
    match (source.word("type"), source.word("media_type")) {
        ("text", _) => prompt.text(data),
        ("content", _) => {
            return source.get("content").map_or(Ok(()), |value| content(value, prompt));
        }
        ("base64", "text/plain") => prompt.add(data.len() as u64),
        _ => prompt.fill_window(),
    }
    Ok(())
}

fn tools(list: &Node<'_>, prompt: &mut Prompt, demand: &mut Demand) -> Result<(), Unmetered> {
    let Node::List(tools) = list else {
        return Err(Unmetered::new("tools", "it must be a list"));
    };
    if !tools.is_empty() {
        prompt.add(TOOLS_PROMPT);
    }
    let mut is_looping = false;
    for tool in tools {
        prompt.value(tool);
        prompt.frame(AROUND_MESSAGE);
        let kind = tool.word("type");
        let is = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
        match () {
            () if tool.get("type").is_none() || kind == "custom" => {}
            () if is(&["bash_", "text_editor_", "computer_", "memory_"]) => {
                prompt.add(TOOL_DEFINED);
            }
            () if is(&["web_search_", "web_fetch_"]) => {
                let Some(uses) = tool.count("max_uses")? else {
                    let message = format!("{kind} may be used without limit; send max_uses");
                    return Err(Unmetered::new("tools.max_uses", message));
                };
                prompt.add(TOOL_DEFINED);
                demand.rounds = demand.rounds.saturating_add(uses);
                is_looping = true;
                if is(&["web_search_"]) {
                    let fee = Fee::AnthropicWebSearch;
                    demand.fees.push(FeeAsked { fee, uses_most: Some(uses) });
                }
            }
            () => {
                let kind: String = kind.chars().take(64).collect();
                let message = format!("what {kind:?} costs has no bound; leave it out");
                return Err(Unmetered::new("tools.type", message));
            }
        }
    }
    if is_looping {
        demand.rounds = demand.rounds.max(LOOP_MOST);
    }
    Ok(())
}

/// Every `cache_control`, wherever it stands. An unknown time to live counts as the dearest.
pub(super) fn caches(node: &Node<'_>, demand: &mut Demand) {
    node.items().iter().for_each(|item| caches(item, demand));
    for (key, value) in node.members() {
        if key == "cache_control" && !value.is_null() {
            demand.cache.write_5m = true;
            demand.cache.write_1h |= !matches!(value.word("ttl"), "" | "5m");
        }
        caches(value, demand);
    }
}
