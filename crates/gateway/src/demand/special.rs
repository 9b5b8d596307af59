//! What in a prompt is more, or less, than its bytes: pictures, files, things kept elsewhere.

use memchr::memmem;
use serde_json::Value;

use super::{PromptBound, image};
use crate::dialect::Dialect;

/// How the names of such things begin. In a text of the prompt their quotes would be escaped.
const MARKS: [&[u8]; 9] = [
    b"\"image",
    b"\"input_",
    b"\"file",
    b"\"document",
    b"\"url",
    b"\"audio",
    b"\"container",
    b"\"video",
    b"\"search_result",
];

/// A part of a prompt that costs what is not metered.
pub(super) struct Foreign(pub(super) &'static str);

/// The quick bound of a prompt of this body.
pub(super) fn prompt(dialect: Dialect, model: &str, body: &[u8]) -> Result<PromptBound, Foreign> {
    let is_marked = MARKS.iter().any(|mark| memmem::find(body, mark).is_some());
    if !is_marked && !has_escaped_ascii(body) {
        return Ok(PromptBound::Tokens(body.len() as u64));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Ok(PromptBound::Window);
    };
    let mut special = Special::new(dialect, model);
    special.walk(&value, 0)?;
    Ok(special.bound(body.len() as u64))
}

/// Whether a name may be hidden behind escapes.
pub(super) fn has_escaped_ascii(body: &[u8]) -> bool {
    memmem::find_iter(body, b"\\u00").any(|at| matches!(body.get(at + 4), Some(b'2'..=b'7')))
}

/// What was found in a prompt.
pub(super) struct Special<'a> {
    dialect: Dialect,
    model: &'a str,
    /// Bytes of pictures and files in the body, which are no text.
    pub(super) data_bytes: u64,
    /// Their tokens.
    pub(super) data_tokens: u64,
    /// Something is kept elsewhere.
    pub(super) is_elsewhere: bool,
}

impl<'a> Special<'a> {
    pub(super) fn new(dialect: Dialect, model: &'a str) -> Self {
        Self { dialect, model, data_bytes: 0, data_tokens: 0, is_elsewhere: false }
    }

    pub(super) fn bound(&self, body_bytes: u64) -> PromptBound {
        if self.is_elsewhere {
            return PromptBound::Window;
        }
        PromptBound::Tokens(body_bytes.saturating_sub(self.data_bytes) + self.data_tokens)
    }

    /// Looks for parts of every kind, at any depth.
    fn walk(&mut self, value: &Value, depth: usize) -> Result<(), Foreign> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item, depth + 1)),
            Value::Object(members) => {
                if self.part(members)? {
                    return Ok(());
                }
                members.values().try_for_each(|member| self.walk(member, depth + 1))
            }
            _ => Ok(()),
        }
    }

    /// Takes an object that is a part of its own kind; false where it is none.
    pub(super) fn part(&mut self, part: &serde_json::Map<String, Value>) -> Result<bool, Foreign> {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        let text = |name: &str| part.get(name).and_then(Value::as_str);
        match kind {
            "image" => {
                let source = part.get("source");
                let data = source.and_then(|source| source.get("data")).and_then(Value::as_str);
                self.picture(data, None);
                Ok(true)
            }
            "image_url" => {
                let image = part.get("image_url");
                let url = image.and_then(|image| image.get("url").or(Some(image)));
                let detail = image.and_then(|image| image.get("detail")).and_then(Value::as_str);
                self.picture(url.and_then(Value::as_str).and_then(data_url), detail);
                Ok(true)
            }
            "input_image" => {
                self.picture(text("image_url").and_then(data_url), text("detail"));
                Ok(true)
            }
            "document" => {
                self.document(part);
                // A document's texts and its cache_control are looked at like any others.
                Ok(false)
            }
            "file" | "input_file" | "container_upload" | "item_reference" => {
                self.is_elsewhere = true;
                Ok(false)
            }
            "input_audio" | "audio" | "audio_url" => Err(Foreign("audio")),
            "video" | "video_url" | "input_video" => Err(Foreign("video")),
            _ => Ok(false),
        }
    }

    fn picture(&mut self, data: Option<&str>, detail: Option<&str>) {
        let size = data.and_then(image::size);
        self.data_bytes += data.map_or(0, str::len) as u64;
        self.data_tokens += match self.dialect {
            Dialect::Anthropic => image::anthropic(size),
            Dialect::OpenAi => image::openai(self.model, size, detail),
        };
    }

    /// Text and lists of parts are in the body; whatever else a document's source is, is not.
    fn document(&mut self, part: &serde_json::Map<String, Value>) {
        let source = part.get("source");
        let kind = source.and_then(|source| source.get("type")).and_then(Value::as_str);
        let media = source.and_then(|source| source.get("media_type")).and_then(Value::as_str);
        let is_text = kind == Some("text") && media == Some("text/plain");
        if !is_text && kind != Some("content") {
            self.is_elsewhere = true;
        }
    }
}

/// The data of a `data:` URL in base64.
fn data_url(url: &str) -> Option<&str> {
    let (_, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(data)
}
