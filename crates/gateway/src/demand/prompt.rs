//! Adds up a prompt. Owns the two measures of text: its bytes, and a tokenizer's count.
//!
//! Invariant: a text's measure is never below its tokens. A token of a byte-level BPE stands for at
//! least one byte, so bytes bound any of them.

use std::ptr;

use tiktoken_rs::CoreBPE;

use super::PromptBound;
use super::json::{NUMBER_MAX, Node};

/// Tokens around each value of an object that a vendor writes into the prompt in its own way: the
/// quotes, colon, comma, comment marks, line break and indent of JSON or TypeScript.
const AROUND_VALUE: u64 = 8;
/// Stretches of text are given to the tokenizer in pieces of about so many bytes.
const STRETCH: usize = 2048;
/// A stretch without a place to cut it is counted by bytes: its words are no words, and the
/// tokenizer's time grows faster than their length.
const STRETCH_MAX: usize = 4096;

/// Which tokens a text is counted in.
#[derive(Clone, Copy)]
pub(super) enum Tokenizer {
    /// None: bytes.
    Bytes,
    /// The model's own, so that the count is exact.
    Own(&'static CoreBPE),
    /// Another model's. An ASCII token counts for two of the model's, or for one per four bytes or
    /// one per digit if that is more; any other for three, or one per two bytes; never for more than
    /// its bytes. Some vocabularies have digits one by one.
    /// Claude's newest vocabularies are told to need up to a third more tokens than those before,
    /// and those some 15 to 30 % more than `o200k_base` for English and code: 1.8 times in all.
    /// Vendors' own counts were not at hand to measure it with; what is above is an overrun.
    Other(&'static CoreBPE),
}

impl Tokenizer {
    /// The public tokenizer of a model by its name and by that of its price, where both say the same;
    /// or the conservative multiple, which bounds `o200k_base` but not `cl100k_base`: that one cuts
    /// many scripts into their bytes.
    pub(super) fn of(model: &str, kind: &str) -> Tokenizer {
        let newest = tiktoken_rs::o200k_base_singleton();
        match (Self::named(model), Self::named(kind)) {
            (Some(one), Some(same)) if ptr::eq(one, same) => Tokenizer::Own(one),
            (one, other) if [one, other].into_iter().flatten().all(|bpe| ptr::eq(bpe, newest)) => {
                Tokenizer::Other(newest)
            }
            _ => Tokenizer::Bytes,
        }
    }

    /// The tokenizer that OpenAI names for a model.
    /// From <https://github.com/openai/tiktoken/blob/main/tiktoken/model.py>.
    fn named(model: &str) -> Option<&'static CoreBPE> {
        const O200K: [&str; 8] =
            ["gpt-4o", "gpt-4.1", "chatgpt-4o", "o1", "o3", "o4-mini", "gpt-5", "gpt-4.5"];
        const CL100K: [&str; 5] = [
            "gpt-4",
            "gpt-3.5-turbo",
            "text-embedding-ada-002",
            "text-embedding-3-small",
            "text-embedding-3-large",
        ];
        let among = |names: &[&str]| {
            let tail = |name: &&str| model.strip_prefix(*name);
            names.iter().filter_map(tail).any(|tail| tail.is_empty() || tail.starts_with('-'))
        };
        match () {
            () if among(&O200K) => Some(tiktoken_rs::o200k_base_singleton()),
            () if among(&CL100K) => Some(tiktoken_rs::cl100k_base_singleton()),
            () => None,
        }
    }

    /// The tokens of a text, or more.
    pub(super) fn count(self, text: &str) -> u64 {
        match self {
            Tokenizer::Bytes => text.len() as u64,
            Tokenizer::Own(bpe) => stretches(text, |piece| bpe.encode_ordinary(piece).len()),
            Tokenizer::Other(bpe) => stretches(text, |piece| {
                let most = |token: &u32| {
                    let bytes = bpe.decode_bytes(&[*token]).unwrap_or_else(|_| vec![0; 8]);
                    let (length, is_ascii) = (bytes.len(), bytes.is_ascii());
                    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
                    let parts = if is_ascii { 2.max(length.div_ceil(4)).max(digits) } else { 3 };
                    length.min(parts.max(if is_ascii { 0 } else { length.div_ceil(2) }))
                };
                bpe.encode_ordinary(piece).iter().map(most).sum()
            }),
        }
    }
}

/// Sums a count over stretches of a text, cut only where no token can reach over.
fn stretches(text: &str, count: impl Fn(&str) -> usize) -> u64 {
    let mut sum = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = (STRETCH..rest.len()).find(|&at| is_border(rest.as_bytes(), at));
        let (stretch, after) = rest.split_at(end.unwrap_or(rest.len()));
        let tokens = match stretch.len() {
            0..=STRETCH_MAX => count(stretch).min(stretch.len()),
            long => long,
        };
        sum = sum.saturating_add(tokens as u64);
        rest = after;
    }
    sum
}

/// Whether both tokenizers always end a word before `at`: a letter or digit is followed by ASCII
/// that is neither, nor an apostrophe, which may belong to the word; or a line break is followed
/// by a letter or a digit.
fn is_border(text: &[u8], at: usize) -> bool {
    let (Some(&before), Some(&after)) =
        (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at))
    else {
        return false;
    };
    let ends_word = before.is_ascii_alphanumeric()
        && after.is_ascii()
        && !after.is_ascii_alphanumeric()
        && after != b'\'';
    let starts_line = before == b'\n' && after.is_ascii_alphanumeric();
    ends_word || starts_line
}

/// A prompt as it is added up.
pub(super) struct Prompt {
    tokens: u64,
    is_window: bool,
    tokenizer: Tokenizer,
}

impl Prompt {
    pub(super) fn new(tokenizer: Tokenizer) -> Prompt {
        Prompt { tokens: 0, is_window: false, tokenizer }
    }

    pub(super) fn bound(&self) -> PromptBound {
        match self.is_window {
            true => PromptBound::Window,
            false => PromptBound::Tokens(self.tokens),
        }
    }

    /// An empty one with the same measure.
    pub(super) fn beside(&self) -> Prompt {
        Prompt::new(self.tokenizer)
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// What a vendor puts around text. The published figures are for models with a public
    /// tokenizer and half of what is reckoned with elsewhere.
    pub(super) fn frame(&mut self, tokens: u64) {
        self.add(match self.tokenizer {
            Tokenizer::Own(_) => tokens.div_ceil(2),
            Tokenizer::Bytes | Tokenizer::Other(_) => tokens,
        });
    }

    /// Something is in it that only the model's context window bounds.
    pub(super) fn fill_window(&mut self) {
        self.is_window = true;
    }

    pub(super) fn text(&mut self, text: &str) {
        self.add(self.tokenizer.count(text));
    }

    /// A value that the vendor may write into the prompt, keys and all, in whatever form.
    pub(super) fn value(&mut self, node: &Node<'_>) {
        self.frame(AROUND_VALUE);
        match node {
            Node::Null | Node::Bool(_) => {}
            Node::Number(_) => self.add(NUMBER_MAX),
            Node::Text(text) => {
                self.text(text);
                self.add(escapes(text));
            }
            Node::List(items) => items.iter().for_each(|item| self.value(item)),
            Node::Object(members) => members.iter().for_each(|(key, node)| self.member(key, node)),
        }
    }

    /// A key and its value.
    pub(super) fn member(&mut self, key: &str, node: &Node<'_>) {
        self.text(key);
        self.value(node);
    }
}

/// What JSON adds to a text, in bytes: `\n` for a line's end, `\u0001` for what has no such name.
fn escapes(text: &str) -> u64 {
    let more = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 | 0x7f => 5,
        _ => 0,
    });
    more.sum()
}
