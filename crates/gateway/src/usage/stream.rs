//! Usage, read from a stream as it passes.

use memchr::memmem;
use serde::Deserialize;

use super::{AnthropicUsage, Chat, Partial, Response, Used, sse::Events};
use crate::dialect::Api;

/// Reads the usage of one answer, whatever way its bytes are cut.
pub struct StreamReader {
    events: Events,
    seen: Seen,
}

struct Seen {
    api: Api,
    /// Anthropic's usage as it grows.
    anthropic: AnthropicUsage,
    /// The vendor has told what was used up to the end.
    used: Option<Used>,
    partial: Partial,
}

impl StreamReader {
    /// A reader of an answer of this API.
    pub fn new(api: Api) -> Self {
        let (anthropic, partial) = (AnthropicUsage::default(), Partial::default());
        let seen = Seen { api, anthropic, used: None, partial };
        Self { events: Events::default(), seen }
    }

    /// Reads on.
    pub fn feed(&mut self, bytes: &[u8]) {
        let seen = &mut self.seen;
        self.events.feed(bytes, &mut |data| seen.take(data));
    }

    /// What was used, where the vendor has told it; ends the reading.
    pub fn used(&mut self) -> Option<Used> {
        let seen = &mut self.seen;
        self.events.finish(&mut |data| seen.take(data));
        seen.used.clone()
    }

    /// What has been seen so far.
    pub fn partial(&self) -> Partial {
        self.seen.partial
    }
}

#[derive(Deserialize)]
struct AnthropicEvent {
    message: Option<super::Anthropic>,
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct ResponseEvent {
    #[serde(rename = "type")]
    kind: String,
    response: Response,
}

impl Seen {
    fn take(&mut self, data: &[u8]) {
        if tells_usage(data) {
            self.take_usage(data);
        } else {
            self.partial.output_bytes += self.text(data);
        }
    }

    fn take_usage(&mut self, data: &[u8]) {
        match self.api {
            Api::Messages => {
                let Ok(event) = serde_json::from_slice::<AnthropicEvent>(data) else { return };
                if let Some(usage) = event.message.and_then(|message| message.usage) {
                    self.anthropic.update(usage);
                    let prompt = self.anthropic.tokens();
                    self.partial.prompt =
                        prompt.map(|tokens| money::TokenUsage { output: 0, ..tokens });
                }
                if let Some(usage) = event.usage {
                    self.anthropic.update(usage);
                    self.used = self.anthropic.used();
                }
            }
            Api::Responses => {
                let Ok(event) = serde_json::from_slice::<ResponseEvent>(data) else { return };
                let ends = ["response.completed", "response.incomplete", "response.failed"];
                if ends.contains(&event.kind.as_str()) {
                    self.used = event.response.used();
                }
            }
            _ => {
                self.partial.output_bytes += self.text(data);
                let Ok(chunk) = serde_json::from_slice::<Chat>(data) else { return };
                if let Some(used) = chunk.used() {
                    self.used = Some(used);
                }
            }
        }
    }

    /// Bytes of text in an event, and one piece more where there are any.
    fn text(&mut self, data: &[u8]) -> u64 {
        let names: &[&[u8]] = match self.api {
            Api::Messages => &[b"\"text\":", b"\"thinking\":", b"\"partial_json\":"],
            Api::Responses => &[b"\"delta\":"],
            _ => &[b"\"content\":", b"\"arguments\":", b"\"reasoning_content\":"],
        };
        let bytes = names.iter().map(|name| text_after(data, name)).sum();
        self.partial.deltas += u64::from(bytes > 0);
        bytes
    }
}

/// Whether an event has a member `usage` that is an object. In a text of the answer the quotes
/// would be escaped.
pub(super) fn tells_usage(data: &[u8]) -> bool {
    const NAME: &[u8] = b"\"usage\"";
    memmem::find_iter(data, NAME).any(|at| {
        let rest = data[at + NAME.len()..].trim_ascii_start();
        let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| value.first() == Some(&b'{'))
    })
}

/// The length of the text behind a name, as it is escaped.
fn text_after(data: &[u8], name: &[u8]) -> u64 {
    let Some(at) = memmem::find(data, name) else { return 0 };
    let Some(text) = data[at + name.len()..].trim_ascii_start().strip_prefix(b"\"") else {
        return 0;
    };
    let mut length = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[length..]) {
        length += found;
        if text[length] == b'"' {
            break;
        }
        length = (length + 2).min(text.len());
    }
    length as u64
}
