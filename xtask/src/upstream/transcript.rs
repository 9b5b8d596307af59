//! Answers as bytes: transcripts with places to fill.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Response};

use super::Plan;
use super::script::mixed;
use super::told::Told;

/// Whose language is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Anthropic,
    OpenAi,
}

/// An answer as it would be if nothing went wrong.
pub(super) struct Transcript {
    pub(super) is_stream: bool,
    pub(super) pieces: Vec<Bytes>,
    /// Whether the vendor bills for it.
    pub(super) bills: bool,
    pub(super) id: String,
}

impl Transcript {
    pub(super) fn json(text: String, id: &str) -> Self {
        let pieces = vec![Bytes::from(text)];
        Self { is_stream: false, pieces, bills: true, id: id.to_owned() }
    }

    pub(super) fn free(text: impl Into<Bytes>) -> Self {
        Self { is_stream: false, pieces: vec![text.into()], bills: false, id: String::new() }
    }

    /// Each event a piece.
    pub(super) fn events(text: &str, id: &str) -> Self {
        let events = text.split_inclusive("\n\n").map(|event| Bytes::from(event.to_owned()));
        Self { is_stream: true, pieces: events.collect(), bills: true, id: id.to_owned() }
    }
}

/// Words for the places in a transcript.
pub(super) type Words<'a> = [(&'a str, &'a str)];

/// The text with each `$name` replaced; a name that has no words stays, which no JSON reader takes.
pub(super) fn filled(text: &str, words: &Words<'_>) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut rest = text.trim_end_matches(' ');
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let length = after.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let (name, tail) = after.split_at(length.unwrap_or(after.len()));
        match words.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => drop(write!(out, "${name}")),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The events with every one that has a `$word` said once for each piece, and for each choice first.
pub(super) fn repeated(text: &str, pieces: u64, choices: u64) -> String {
    let mut out = String::with_capacity(text.len() * 8);
    for event in text.split_inclusive("\n\n") {
        let choices = if event.contains("$index") { choices } else { 1 };
        let pieces = if event.contains("$word") { pieces } else { 1 };
        for piece in 0..pieces {
            let word = if piece == 0 { "Twelve" } else { " degrees" };
            for choice in 0..choices {
                let event = event.replace("$word", word);
                out.push_str(&event.replace("$index", &choice.to_string()));
            }
        }
    }
    out
}

/// The text that the pieces add up to.
pub(super) fn text(pieces: u64) -> String {
    let mut text = String::from("Twelve");
    (1..pieces).for_each(|_| text.push_str(" degrees"));
    text
}

/// A vendor's name of something: the same for the same seed.
pub(super) fn id(seed: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut left = (u128::from(mixed(seed)) << 64) | u128::from(mixed(!seed));
    let mut id = String::from("01");
    for _ in 0..22 {
        id.push(char::from(DIGITS[(left % DIGITS.len() as u128) as usize]));
        left /= DIGITS.len() as u128;
    }
    id
}

impl Dialect {
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        let is_anthropic = path.starts_with("/v1/messages")
            || path.starts_with("/v1/models") && headers.contains_key("anthropic-version");
        if is_anthropic { Self::Anthropic } else { Self::OpenAi }
    }

    pub(super) fn models(self) -> Plan {
        let text = match self {
            Self::Anthropic => include_str!("transcripts/messages-models.json"),
            Self::OpenAi => include_str!("transcripts/chat-models.json"),
        };
        Some(Transcript::free(text))
    }

    /// The headers that the vendor sends along.
    pub(super) fn headers(self, id: &str, is_stream: bool) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        let content =
            if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
        let mut set = |name: &'static str, value: HeaderValue| {
            headers.insert(HeaderName::from_static(name), value);
        };
        set("content-type", HeaderValue::from_static(content));
        let request = format!("req_{id}");
        match self {
            Self::Anthropic => {
                set("anthropic-ratelimit-requests-limit", HeaderValue::from_static("4000"));
                set("anthropic-ratelimit-requests-remaining", HeaderValue::from_static("3999"));
                set("anthropic-organization-id", HeaderValue::from_static("27796668-7351-40ac"));
            }
            Self::OpenAi => {
                set("openai-version", HeaderValue::from_static("2020-10-01"));
                set("openai-processing-ms", HeaderValue::from_static("212"));
                set("x-ratelimit-remaining-requests", HeaderValue::from_static("9999"));
            }
        }
        let name = if self == Self::Anthropic { "request-id" } else { "x-request-id" };
        // An id has letters and digits alone.
        if let Ok(value) = HeaderValue::from_str(&request) {
            set(name, value);
        }
        headers
    }

    /// An error in the vendor's own words.
    pub(super) fn error(self, status: u16, message: &str) -> Response<Told> {
        super::fault::error(self, status, message)
    }
}
