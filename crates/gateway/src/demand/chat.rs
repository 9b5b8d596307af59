//! OpenAI's Chat Completions API, as its many speakers have it.

use super::image::{self, Detail};
use super::json::Node;
use super::messages::caches;
use super::prompt::Prompt;
use super::{Demand, Names, TierAsked, Unmetered};

/// What surrounds a message, a part of one, a tool and the prompt. The figures that OpenAI
/// publishes are 3 for a message, 1 for its name, 3 for the reply's beginning, and up to 22 for a
/// function besides 3 for each property and value of an enumeration
/// (<https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken>).
/// They are for models that frame messages by themselves; other vendors' templates take more.
pub(super) const AROUND_MESSAGE: u64 = 12;
pub(super) const AROUND_PART: u64 = 4;
pub(super) const AROUND_TOOL: u64 = 32;
pub(super) const AROUND_PROMPT: u64 = 32;

/// Fields that neither stand in the prompt nor change what a token costs.
const FREE: [&str; 25] = [
    "model",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "seed",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "metadata",
    "store",
    "parallel_tool_calls",
    "service_tier",
    "best_of",
];

/// Fields whose cost has no bound: sound, searches, answers out of sight, agents with prompts of their
/// own, and, of other vendors, lists of other models, documents that come into the prompt, and
/// templates that write it anew.
pub(super) const REFUSED: [&str; 17] = [
    "modalities",
    "audio",
    "web_search_options",
    "web_search",
    "enable_search",
    "search_parameters",
    "background",
    "deferred",
    "multi_agent",
    "data_sources",
    "plugins",
    "models",
    "fallbacks",
    "route",
    "chat_template",
    "chat_template_kwargs",
    "mm_processor_kwargs",
];

pub(super) fn read(
    node: &Node<'_>,
    prompt: &mut Prompt,
    demand: &mut Demand,
) -> Result<(), Unmetered> {
    demand.output = node.count("max_tokens")?.max(node.count("max_completion_tokens")?);
    demand.choices = node.count("n")?.max(node.count("best_of")?).unwrap_or(1).max(1);
    demand.tier = tier(node)?;
    // Vendors that price cache writes apart fill their cache unasked.
    demand.cache.write_5m = true;
    caches(node, demand);
    demand.thinks = thinks(demand.names(), node.get("reasoning_effort"), node.get("reasoning"));
    if let Some(options) = node.get("stream_options") {
        demand.wants_usage = options.flag("include_usage")?;
    }
    let searches = |name: &str| name.contains("-search-preview") || name.contains("-search-api");
    if demand.names().each().into_iter().any(searches) {
        let message = "it searches the web as often as it likes; use the Responses API with \
                       web_search and max_tool_calls";
        return Err(Unmetered::new("model", message));
    }
    prompt.frame(AROUND_PROMPT);
    for (key, value) in node.members().iter().filter(|(_, value)| !value.is_null()) {
        match key.as_ref() {
            "messages" => messages(value, demand.names(), prompt)?,
            "tools" => tools(value, prompt)?,
            "functions" => {
                prompt.frame(AROUND_TOOL.saturating_mul(value.items().len() as u64));
                prompt.value(value);
            }
            "prediction" => prediction(value, prompt, demand),
            "reasoning" => {
                reasoning(value)?;
                prompt.member(key, value);
            }
            "extra_body" | "google" | "cached_content" if names_a_cache(key, value) => {
                let message = "what a stored cache adds to the prompt is not known; leave it out";
                return Err(Unmetered::new("cached_content", message));
            }
            "modalities" if value.items().iter().all(|word| word.as_str() == Some("text")) => {}
            "background" | "deferred" if matches!(value, Node::Bool(false)) => {}
            known if REFUSED.contains(&known) => return Err(refused(key)),
            known if FREE.contains(&known) => {}
            _ => prompt.member(key, value),
        }
    }
    Ok(())
}

pub(super) fn refused(field: &str) -> Unmetered {
    let message = match field {
        "modalities" => "only text is metered; leave it out",
        "audio" => "audio has no price here; leave it out",
        "web_search_options" => {
            "searches have no limit here; use the Responses API with web_search and max_tool_calls"
        }
        "background" | "deferred" => "an answer in the background is not seen here; leave it out",
        _ => "what it costs has no bound; leave it out",
    };
    Unmetered::new(field, message)
}

/// The tier that both of OpenAI's APIs ask for in the same words.
pub(super) fn tier(node: &Node<'_>) -> Result<TierAsked, Unmetered> {
    match node.get("service_tier").map(Node::as_str) {
        // Without a word the vendor takes what its project is set to, which is the list price unless
        // somebody has asked for more there.
        None | Some(Some("default" | "standard")) => Ok(TierAsked::Standard),
        Some(Some("auto" | "scale")) => Ok(TierAsked::Auto),
        Some(Some("flex")) => Ok(TierAsked::Flex),
        Some(Some("priority" | "fast")) => Ok(TierAsked::Priority),
        Some(_) => {
            Err(Unmetered::new("service_tier", "use auto, default, flex, priority or nothing"))
        }
    }
}

/// Whether a model thinks out of sight, as far as the request and the names of OpenAI's models tell.
pub(super) fn thinks(
    names: Names<'_>,
    effort: Option<&Node<'_>>,
    reasoning: Option<&Node<'_>>,
) -> bool {
    let effort = effort.or_else(|| reasoning.and_then(|asked| asked.get("effort")));
    match effort.and_then(Node::as_str) {
        Some(effort) => effort != "none",
        None => names.each().into_iter().any(|model| {
            ["o1", "o3", "o4", "gpt-5", "gpt-6"].iter().any(|name| model.starts_with(name))
                && !model.contains("-chat")
        }),
    }
}

/// Pro mode runs the model several times and bills all of it.
/// <https://developers.openai.com/api/docs/guides/reasoning>
pub(super) fn reasoning(value: &Node<'_>) -> Result<(), Unmetered> {
    match value.get("mode") {
        None | Some(Node::Null) => Ok(()),
        Some(mode) if mode.as_str() == Some("standard") => Ok(()),
        Some(_) => {
            let message = "it runs the model as often as it likes; use standard or leave it out";
            Err(Unmetered::new("reasoning.mode", message))
        }
    }
}

/// Whether a prompt is to be read from a cache that the vendor has stored by name (Google).
fn names_a_cache(key: &str, value: &Node<'_>) -> bool {
    key == "cached_content" && !value.is_null()
        || value.members().iter().any(|(key, value)| names_a_cache(key, value))
}

/// Predicted text that the model does not take is billed as output.
fn prediction(value: &Node<'_>, prompt: &mut Prompt, demand: &mut Demand) {
    let mut predicted = prompt.beside();
    predicted.value(value);
    demand.output_extra = demand.output_extra.saturating_add(predicted.tokens());
    prompt.value(value);
}

fn messages(list: &Node<'_>, names: Names<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    let Node::List(messages) = list else {
        return Err(Unmetered::new("messages", "it must be a list"));
    };
    for message in messages {
        prompt.frame(AROUND_MESSAGE);
        for (key, value) in message.members().iter().filter(|(_, value)| !value.is_null()) {
            match key.as_ref() {
                "role" => prompt.text(value.as_str().unwrap_or_default()),
                "content" => content(value, names, prompt)?,
                "audio" => {
                    return Err(Unmetered::new("messages.audio", "audio has no price here"));
                }
                _ => prompt.member(key, value),
            }
        }
    }
    Ok(())
}

/// Text, or a list of parts.
pub(super) fn content(
    value: &Node<'_>,
    names: Names<'_>,
    prompt: &mut Prompt,
) -> Result<(), Unmetered> {
    match value {
        Node::List(parts) => parts.iter().try_for_each(|one| part(one, names, prompt)),
        Node::Object(_) => part(value, names, prompt),
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

fn part(part: &Node<'_>, names: Names<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    prompt.frame(AROUND_PART);
    if !matches!(part, Node::Object(_)) {
        // Some servers take text as a part by itself.
        prompt.value(part);
        return Ok(());
    }
    let kind = part.word("type");
    // The members that say what a part is, by its type; all others count as text.
    let known: &[&str] = match kind {
        "text" | "input_text" | "output_text" => &["type", "text"],
        "image_url" => &["type", "image_url", "detail"],
        "input_image" | "computer_screenshot" => &["type", "image_url", "file_id", "detail"],
        "file" => &["type", "file"],
        "input_file" => &["type", "file_id", "file_data", "file_url", "filename", "detail"],
        "input_audio" | "audio" | "audio_url" | "input_video" | "video_url" | "video" => {
            let field = format!("content.{kind}");
            return Err(Unmetered::new(field, "sound and film have no price here; send text"));
        }
        _ => &[],
    };
    match kind {
        "text" | "input_text" | "output_text" => prompt.text(part.word("text")),
        "image_url" | "input_image" | "computer_screenshot" => picture(part, names, prompt),
        "file" | "input_file" => prompt.fill_window(),
        _ => {}
    }
    let others = part.members().iter();
    let others = others.filter(|(key, value)| !known.contains(&key.as_ref()) && !value.is_null());
    for (key, value) in others {
        // Some vendors tell a part's type by its members.
        if ["audio", "video"].iter().any(|word| key.contains(word)) {
            let field = format!("content.{}", key.chars().take(64).collect::<String>());
            return Err(Unmetered::new(field, "sound and film have no price here; send text"));
        }
        if is_away(kind, key, value) || ["image", "file"].iter().any(|word| key.contains(word)) {
            prompt.fill_window();
        }
        prompt.member(key, value);
    }
    Ok(())
}

/// Whether a part's member is the address of a document or a picture, which does not bound it.
fn is_away(kind: &str, key: &str, value: &Node<'_>) -> bool {
    let is_address = |key: &str| ["url", "uri", "id"].iter().any(|word| key.contains(word));
    let is_document = key.contains("document");
    match value {
        Node::Text(_) => {
            let is_of = ["image", "document", "file"].iter().any(|word| kind.contains(word));
            is_document || is_of && is_address(key)
        }
        value => is_document && value.members().iter().any(|(key, _)| is_address(key)),
    }
}

/// The URL stands in the part itself or in an object beside its detail.
fn picture(part: &Node<'_>, names: Names<'_>, prompt: &mut Prompt) {
    let inner = part.get("image_url");
    let url = inner.and_then(|inner| inner.as_str().or(inner.get("url").and_then(Node::as_str)));
    let beside = part.word("detail");
    let detail = match inner.map_or("", |inner| inner.word("detail")) {
        "" => beside,
        inside if beside.is_empty() || beside == inside => inside,
        // Two that differ: whichever is read, it is no dearer than the dearest.
        _ => "",
    };
    let (detail, size) = (Detail::of(detail), url.and_then(image::size_of_url));
    // The dearest, and where one is not known that.
    let tokens = names.each().map(|model| image::openai(model, detail, size));
    match tokens.into_iter().collect::<Option<Vec<_>>>() {
        Some(tokens) => prompt.add(tokens.into_iter().max().unwrap_or_default()),
        None => prompt.fill_window(),
    }
}

fn tools(list: &Node<'_>, prompt: &mut Prompt) -> Result<(), Unmetered> {
    for tool in list.items() {
        if !matches!(tool.word("type"), "function" | "custom") {
            let message = "only tools of the types function and custom are metered";
            return Err(Unmetered::new("tools.type", message));
        }
        prompt.frame(AROUND_TOOL);
    }
    prompt.value(list);
    Ok(())
}
