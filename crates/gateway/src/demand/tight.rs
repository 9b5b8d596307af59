//! The tight bound of a prompt, by a tokenizer.
//!
//! OpenAI's models have public vocabularies: each text is counted exactly, and the frame that the
//! API puts around messages, names and tools is counted generously. Other vendors' vocabularies are
//! not public or not ours to ship: twice the count in `o200k_base`, at least a token for four bytes,
//! and half the bytes that are not ASCII. Never above the quick bound.

use serde_json::Value;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::{Demand, PromptBound, special::Special};
use crate::dialect::{Api, Dialect};

/// A body that is longer keeps its quick bound: tokenizing it would take too long.
const BODY_MOST: usize = 2 * 1024 * 1024;
/// A word that is longer is counted by its bytes: tokenizers take very long for such.
const WORD_MOST: usize = 1_024;
/// Tokens around a whole prompt.
const FRAME: u64 = 32;
/// Tokens around a message, a tool or another object.
const OBJECT: u64 = 4;

/// Lowers a demand's prompt to what its texts are in tokens. Takes about a millisecond for a
/// thousand tokens.
pub fn tighten(api: Api, body: &[u8], demand: &mut Demand) {
    let PromptBound::Tokens(quick) = demand.prompt else { return };
    if body.len() > BODY_MOST {
        return;
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let Value::Object(members) = &value else { return };
    let dialect = api.dialect();
    let counter = Counter::new(&demand.model, dialect);
    let mut special = Special::new(dialect, &demand.model);
    let mut tokens = FRAME;
    for (name, value) in members {
        // Settings are no part of a prompt; whatever is not known may be.
        if !SETTINGS.contains(&name.as_str()) {
            let Some(more) = counter.value(value, &mut special) else { return };
            tokens += more;
        }
    }
    if dialect == Dialect::Anthropic && members.contains_key("tools") {
        tokens += 1_024;
    }
    tokens += special.data_tokens;
    demand.prompt = PromptBound::Tokens(tokens.min(quick));
}

/// Members that no vendor puts into a prompt.
const SETTINGS: [&str; 24] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "stop",
    "stop_sequences",
    "seed",
    "user",
    "metadata",
    "service_tier",
    "store",
    "logprobs",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "encoding_format",
    "dimensions",
];

/// Counts texts in a model's vocabulary, or in one that stands for it.
struct Counter {
    vocabulary: &'static CoreBPE,
    is_exact: bool,
}

impl Counter {
    fn new(model: &str, dialect: Dialect) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
        let is_openai = dialect == Dialect::OpenAi;
        let newer = ["gpt-4o", "gpt-4.1", "gpt-5", "chatgpt-4o", "o1", "o3", "o4"];
        let older = ["gpt-4", "gpt-3.5", "text-embedding-3", "text-embedding-ada"];
        if is_openai && is(&newer) {
            Self { vocabulary: o200k_base_singleton(), is_exact: true }
        } else if is_openai && is(&older) {
            Self { vocabulary: cl100k_base_singleton(), is_exact: true }
        } else {
            Self { vocabulary: o200k_base_singleton(), is_exact: false }
        }
    }

    /// Tokens of all texts in a value; `None` where something can't be counted.
    fn value(&self, value: &Value, special: &mut Special<'_>) -> Option<u64> {
        Some(match value {
            Value::Null | Value::Bool(_) => 2,
            Value::Number(number) => number.to_string().len() as u64,
            Value::String(text) => self.text(text),
            // A list of token ids has a token each.
            Value::Array(items) => {
                let mut sum = 1;
                for item in items {
                    sum += self.value(item, special)?;
                }
                sum
            }
            Value::Object(members) => {
                if special.part(members).ok()? {
                    return Some(OBJECT);
                }
                let mut sum = OBJECT;
                for (name, value) in members {
                    sum += self.text(name) + self.value(value, special)?;
                }
                sum
            }
        })
    }

    fn text(&self, text: &str) -> u64 {
        let bytes = text.len() as u64;
        if has_long_word(text) {
            return bytes + 1;
        }
        let tokens = self.vocabulary.encode_ordinary(text).len() as u64;
        if self.is_exact {
            return tokens + 1;
        }
        let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count() as u64;
        (2 * tokens + foreign / 2).max(bytes.div_ceil(4)).min(bytes) + 1
    }
}

/// Whether there is a run of letters, or of spaces, that a tokenizer would take very long for.
fn has_long_word(text: &str) -> bool {
    if text.len() <= WORD_MOST {
        return false;
    }
    let (mut run, mut was_space) = (0, false);
    text.bytes().any(|byte| {
        let is_space = byte.is_ascii_whitespace();
        run = if is_space == was_space { run + 1 } else { 1 };
        was_space = is_space;
        run > WORD_MOST
    })
}
