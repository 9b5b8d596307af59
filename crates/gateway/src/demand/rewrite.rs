//! Changes to a body before it goes upstream. Everything else stays byte for byte.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Names, Unmetered};
use crate::dialect::Api;

/// What is changed in a body.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Edits {
    /// Another model.
    pub model: Option<String>,
    /// Another limit of output tokens per choice.
    pub output_limit: Option<u64>,
    /// Which model is meant where its name does not say so: it decides how that limit is called.
    pub kind: Option<String>,
    /// A chat stream is to end with its usage.
    pub include_usage: bool,
}

/// A body with edits. Members keep their order and their bytes; a member that was not there comes
/// last.
pub fn rewrite(api: Api, body: &[u8], edits: &Edits) -> Result<Vec<u8>, Unmetered> {
    let wrong = |error: serde_json::Error| {
        Unmetered::new("body", format!("it is not a JSON object that can be changed: {error}"))
    };
    let members = members(body).map_err(wrong)?;
    let mut changes = Changes { list: Vec::new() };
    if let Some(model) = &edits.model {
        changes.set("model", serde_json::Value::from(model.as_str()).to_string());
    }
    if let Some(limit) = edits.output_limit {
        let model = edits.model.as_deref().unwrap_or(model_of(&members));
        let names = limits(api, Names([model, edits.kind.as_deref().unwrap_or_default()]));
        let present = names.iter().filter(|name| has(&members, name));
        let present: Vec<_> = present.copied().collect();
        let chosen = match present.as_slice() {
            [] => names.get(..1).unwrap_or_default(),
            present => present,
        };
        chosen.iter().for_each(|name| changes.set(name, limit.to_string()));
    }
    if edits.include_usage && api == Api::ChatCompletions {
        let known = members.iter().find(|(key, _)| key == "stream_options");
        let options = known.map(|(_, value)| value.get()).filter(|value| *value != "null");
        changes.set("stream_options", with_usage(options).map_err(wrong)?);
    }
    Ok(changes.apply(body, &members))
}

/// The model's name, if it is written without escapes.
fn model_of<'a>(members: &Members<'a>) -> &'a str {
    let (_, model) = match members.iter().find(|(key, _)| key == "model") {
        Some(member) => member,
        None => return "",
    };
    model.get().trim_matches('"')
}

/// The fields that limit the output, the one to add first. OpenAI's models that reason know only
/// the newer name of it, and most other vendors only the older.
fn limits(api: Api, names: Names<'_>) -> &'static [&'static str] {
    let reasons = names.each().into_iter().any(|model| {
        ["o1", "o3", "o4", "gpt-5", "gpt-6"].iter().any(|name| model.starts_with(name))
    });
    match api {
        Api::Messages => &["max_tokens"],
        Api::ChatCompletions if reasons => &["max_completion_tokens", "max_tokens"],
        Api::ChatCompletions => &["max_tokens", "max_completion_tokens"],
        Api::Responses => &["max_output_tokens"],
        Api::CountTokens | Api::MessageBatches | Api::Embeddings => &[],
    }
}

fn has(members: &Members<'_>, name: &str) -> bool {
    members.iter().any(|(key, value)| key == name && value.get() != "null")
}

/// Stream options that ask for usage, all others kept.
fn with_usage(options: Option<&str>) -> Result<String, serde_json::Error> {
    let body = options.unwrap_or("{}").as_bytes();
    let mut changes = Changes { list: Vec::new() };
    changes.set("include_usage", "true".to_owned());
    let text = changes.apply(body, &members(body)?);
    String::from_utf8(text).map_err(serde_json::Error::custom)
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// An object's members, decoded keys beside values as they were written.
fn members(body: &[u8]) -> Result<Members<'_>, serde_json::Error> {
    struct Read;
    impl<'de> Visitor<'de> for Read {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
            let mut members = Vec::new();
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                members.push((key, map.next_value::<&'de RawValue>()?));
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let members = deserializer.deserialize_map(Read)?;
    deserializer.end()?;
    Ok(members)
}

struct Changes {
    list: Vec<(String, String)>,
}

impl Changes {
    fn set(&mut self, name: &str, value: String) {
        self.list.push((name.to_owned(), value));
    }

    /// The body with each change in its place. A value's place is where it lies in the body.
    fn apply(self, body: &[u8], members: &Members<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + 64);
        let mut done = 0;
        for (key, value) in members {
            let Some((_, new)) = self.list.iter().find(|(name, _)| key == name) else { continue };
            let start = offset(body, value.get());
            out.extend_from_slice(&body[done..start]);
            out.extend_from_slice(new.as_bytes());
            done = start + value.get().len();
        }
        let end = body.iter().rposition(|byte| *byte == b'}').unwrap_or(body.len()).max(done);
        out.extend_from_slice(&body[done..end]);
        let mut is_first = members.is_empty();
        let absent = |name: &String| !members.iter().any(|(key, _)| key == name);
        for (name, value) in self.list.iter().filter(|(name, _)| absent(name)) {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            out.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
        }
        out.extend_from_slice(&body[end..]);
        out
    }
}

/// Where a part of the body begins in it.
fn offset(body: &[u8], part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize).min(body.len())
}
