//! What of a request's body decides its answer; everything else is skipped unread.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize, Default)]
pub(super) struct Wish<'a> {
    #[serde(borrow, default)]
    pub(super) model: Cow<'a, str>,
    #[serde(default)]
    pub(super) stream: bool,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    pub(super) n: Option<u64>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    thinking: Option<Kind>,
    stream_options: Option<StreamOptions>,
    /// One text or many, of embeddings.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    encoding_format: Option<String>,
    /// Of batches.
    #[serde(default)]
    pub(super) requests: Vec<BatchRequest>,
}

/// One request of a batch.
#[derive(Deserialize, Clone)]
pub(super) struct BatchRequest {
    pub(super) custom_id: String,
    pub(super) params: BatchParameters,
}

#[derive(Deserialize, Clone)]
pub(super) struct BatchParameters {
    pub(super) model: String,
    pub(super) max_tokens: u64,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type", default)]
    kind: String,
    name: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

impl Wish<'_> {
    /// The longest answer that is permitted, of one choice.
    pub(super) fn limit(&self) -> Option<u64> {
        self.max_output_tokens.or(self.max_completion_tokens).or(self.max_tokens)
    }

    pub(super) fn thinks(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking.kind == "enabled")
    }

    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    fn tools(&self) -> Vec<Tool> {
        self.tools.and_then(|tools| serde_json::from_str(tools.get()).ok()).unwrap_or_default()
    }

    /// The tool that the caller runs.
    pub(super) fn tool(&self) -> Option<String> {
        let ours = |tool: Tool| tool.name.or(tool.function.map(|function| function.name));
        let mut tools = self.tools().into_iter();
        tools.find(|tool| !tool.kind.starts_with("web_search")).and_then(ours)
    }

    /// Whether the vendor may search.
    pub(super) fn searches(&self) -> bool {
        self.tools.is_some() && self.tools().iter().any(|tool| tool.kind.starts_with("web_search"))
    }

    /// Texts to embed.
    pub(super) fn texts(&self) -> usize {
        let many = self
            .input
            .and_then(|input| serde_json::from_str::<Vec<serde_json::Value>>(input.get()).ok());
        // A list of numbers is one text, given as tokens.
        many.map_or(1, |many| match many.first() {
            Some(first) if first.is_number() => 1,
            _ => many.len(),
        })
    }

    pub(super) fn wants_base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }
}
