//! Reads the usage of a stream as its bytes pass.
//!
//! A vendor sends thousands of events with a few letters each and one or two with figures. The
//! former are told by how they begin, and only the length of their text is taken.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use money::TokenUsage;
use serde::Deserialize;

use super::Used;
use super::event::{Data, Events};
use super::vendor::{AnthropicUsage, OpenAiAnswer};
use crate::dialect::Api;

/// Bytes of an event that are kept. The last event of a response repeats all of it, the request's
/// instructions and tools too.
const EVENT_MOST: usize = 1 << 20;
const EVENT_MOST_RESPONSES: usize = 16 << 20;

/// What is looked for in every event. Each is made once: that takes as long as to look for it.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\":"));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// What is known of a stream before its usage is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Partial {
    /// The prompt's tokens, if the vendor has named them. Their output is not final.
    pub prompt: Option<TokenUsage>,
    /// Bytes of text, thought and tool arguments seen so far, escapes included.
    pub output_bytes: u64,
    /// The vendor has ended the stream in its own words.
    pub finished: bool,
    /// The vendor has sent an error.
    pub failed: bool,
}

/// Reads usage from a stream's bytes, whatever way they are cut into chunks.
pub struct StreamReader {
    events: Events,
    state: State,
}

struct State {
    api: Api,
    model: Option<String>,
    anthropic: AnthropicUsage,
    /// The last usage, and whether no later one can come.
    used: Option<Used>,
    has_final: bool,
    is_garbage: bool,
    partial: Partial,
}

impl StreamReader {
    /// A reader of a stream's beginning.
    pub fn new(api: Api) -> StreamReader {
        let most = if api == Api::Responses { EVENT_MOST_RESPONSES } else { EVENT_MOST };
        let state = State {
            api,
            model: None,
            anthropic: AnthropicUsage::default(),
            used: None,
            has_final: false,
            is_garbage: false,
            partial: Partial::default(),
        };
        StreamReader { events: Events::new(most), state }
    }

    /// Takes the bytes that come next.
    pub fn feed(&mut self, bytes: &[u8]) {
        let StreamReader { events, state } = self;
        events.feed(bytes, |data| state.take(data));
    }

    /// The stream is over. An event that the vendor didn't end counts as if it had.
    pub fn end(&mut self) {
        let StreamReader { events, state } = self;
        events.end(|data| state.take(data));
    }

    /// The final usage; `None` before it has come, or if what came can't be true.
    pub fn used(&self) -> Option<Used> {
        let is_final = self.state.has_final || self.state.partial.finished;
        (is_final && !self.state.is_garbage).then(|| self.state.used.clone()).flatten()
    }

    /// What is known so far.
    pub fn partial(&self) -> Partial {
        self.state.partial
    }
}

impl State {
    fn take(&mut self, data: Data<'_>) {
        let bytes = match data {
            Data::Whole(bytes) => bytes,
            Data::TooLarge(length) => return self.count(length),
        };
        match self.api {
            Api::Messages => self.take_anthropic(bytes),
            Api::Responses => self.take_response(bytes),
            Api::ChatCompletions => self.take_chat(bytes),
            Api::Embeddings | Api::CountTokens | Api::MessageBatches => {}
        }
    }

    fn count(&mut self, bytes: u64) {
        self.partial.output_bytes = self.partial.output_bytes.saturating_add(bytes);
    }

    fn take_anthropic(&mut self, bytes: &[u8]) {
        if bytes.starts_with(br#"{"type":"content_block_delta""#) {
            return self.count(delta_bytes(bytes));
        }
        let Ok(event) = serde_json::from_slice::<AnthropicEvent>(bytes) else {
            // Figures that can't be read may be the final ones.
            self.is_garbage |= USAGE.find(bytes).is_some();
            return self.count(delta_bytes(bytes));
        };
        match event.kind.as_deref() {
            Some("content_block_delta") => self.count(delta_bytes(bytes)),
            Some("message_start") => {
                let message = event.message.unwrap_or_default();
                self.model = message.model;
                self.merge(message.usage);
            }
            Some("message_delta") => {
                self.has_final |= event.usage.is_some();
                self.merge(event.usage);
            }
            Some("message_stop") => self.partial.finished = true,
            Some("error") => self.partial.failed = true,
            _ => {}
        }
    }

    fn merge(&mut self, usage: Option<AnthropicUsage>) {
        let Some(usage) = usage else { return };
        self.anthropic.merge(usage);
        self.used = self.anthropic.used(self.model.clone());
        self.is_garbage = self.used.is_none();
        self.partial.prompt = self.used.as_ref().map(|used| used.tokens);
        if !self.has_final {
            // The beginning's figures are of the prompt; its output is a token or two.
            self.used = None;
        }
    }

    fn take_response(&mut self, bytes: &[u8]) {
        let kind = bytes.strip_prefix(br#"{"type":"response."#);
        let is = |names: &[&[u8]]| {
            kind.is_some_and(|kind| names.iter().any(|name| kind.starts_with(name)))
        };
        let is_last = is(&[b"completed\"", b"incomplete\"", b"failed\""]);
        if kind.is_some() && !is_last {
            return self.count(delta_bytes(bytes));
        }
        let Ok(event) = serde_json::from_slice::<ResponseEvent>(bytes) else {
            self.is_garbage |= is_last;
            return self.count(delta_bytes(bytes));
        };
        match event.kind.as_deref() {
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                self.partial.finished = true;
                self.partial.failed |= event.kind.as_deref() == Some("response.failed");
                let used = event.response.and_then(|response| response.used(true));
                self.partial.prompt = used.as_ref().map(|used| used.tokens);
                self.used = used;
            }
            Some("error") => self.partial.failed = true,
            _ => self.count(delta_bytes(bytes)),
        }
    }

    fn take_chat(&mut self, bytes: &[u8]) {
        if bytes.trim_ascii() == b"[DONE]" {
            self.partial.finished = true;
            return;
        }
        self.count(delta_bytes(bytes));
        let has_error = ERROR.find(bytes).is_some();
        if !has_usage(bytes) && !has_error {
            return;
        }
        let Ok(chunk) = serde_json::from_slice::<OpenAiAnswer>(bytes) else {
            self.is_garbage |= has_usage(bytes);
            return;
        };
        self.partial.failed |= chunk.error.is_some();
        if chunk.usage.is_some() {
            self.used = chunk.used(true);
            self.is_garbage = self.used.is_none();
            self.partial.prompt = self.used.as_ref().map(|used| used.tokens);
            // Some vendors say in each chunk what was used so far: the last is whole.
            let choices = chunk.choices.unwrap_or_default();
            self.has_final =
                choices.is_empty() || choices.iter().any(|choice| choice.finish_reason.is_some());
        }
    }
}

#[derive(Deserialize)]
struct AnthropicEvent {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<AnthropicMessage>,
    usage: Option<AnthropicUsage>,
}

#[derive(Default, Deserialize)]
struct AnthropicMessage {
    model: Option<String>,
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct ResponseEvent {
    #[serde(rename = "type")]
    kind: Option<String>,
    response: Option<OpenAiAnswer>,
}

/// Whether there is a usage that is not null.
pub(super) fn has_usage(bytes: &[u8]) -> bool {
    let mut found = USAGE.find_iter(bytes);
    found.any(|at| {
        let rest = bytes[at + 7..].trim_ascii_start();
        let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| !value.starts_with(b"null"))
    })
}

/// The bytes of text in an event's deltas, without reading it as JSON.
fn delta_bytes(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    for at in DELTA.find_iter(bytes) {
        let value = bytes[at + 8..].trim_ascii_start();
        sum += match value.first() {
            Some(b'"') => string_length(&value[1..]) as u64,
            Some(b'{') => strings_inside(value),
            _ => 0,
        };
    }
    sum
}

/// The lengths of an object's strings, keys and marks aside.
fn strings_inside(object: &[u8]) -> u64 {
    let (mut sum, mut depth, mut at) = (0u64, 0usize, 0usize);
    let mut key: &[u8] = &[];
    while let Some(&byte) = object.get(at) {
        at += 1;
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => break,
            b'}' => depth -= 1,
            b'"' => {
                let length = string_length(&object[at..]);
                let text = object.get(at..at + length).unwrap_or_default();
                at += length + 1;
                match object.get(at..).unwrap_or_default().trim_ascii_start().first() {
                    Some(b':') => key = text,
                    _ if matches!(key, b"type" | b"role" | b"id" | b"signature") => {}
                    _ => sum += length as u64,
                }
            }
            _ => {}
        }
    }
    sum
}

/// The length of a string that begins here, up to its closing quote.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
    text.len()
}
