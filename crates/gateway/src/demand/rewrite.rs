//! Changes to a body before it goes out. What is not changed stays byte for byte.

use serde_json::{Map, Value};

use super::{Members, Unmetered};
use crate::dialect::Api;

/// What is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Another model.
    pub model: Option<String>,
    /// Another limit of output tokens.
    pub output_limit: Option<u64>,
    /// A chat stream ends with its usage.
    pub include_usage: bool,
}

impl Edits {
    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The body with its changes.
pub fn rewrite(api: Api, body: &[u8], edits: &Edits) -> Result<Vec<u8>, Unmetered> {
    let members = Members::read(body)?;
    let mut added: Vec<(&str, String)> = Vec::new();
    if let Some(model) = &edits.model {
        added.push(("model", Value::from(model.as_str()).to_string()));
    }
    if let Some(limit) = edits.output_limit {
        for name in limits(api, &members) {
            added.push((name, limit.to_string()));
        }
    }
    if edits.include_usage {
        let options: Option<Map<String, Value>> = members.get("stream_options", "an object")?;
        let mut options = options.unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        added.push(("stream_options", Value::Object(options).to_string()));
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut put = |name: &str, value: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    };
    for (name, value) in &members.0 {
        match added.iter().position(|(changed, _)| changed == name) {
            Some(at) => put(name, &added.swap_remove(at).1),
            None => put(name, value.get()),
        }
    }
    for (name, value) in &added {
        put(name, value);
    }
    out.push(b'}');
    Ok(out)
}

/// The members that limit the output: those that the body has, or else the API's own.
fn limits(api: Api, members: &Members<'_>) -> Vec<&'static str> {
    match api {
        Api::ChatCompletions => {
            let names = ["max_tokens", "max_completion_tokens"];
            let known = names.into_iter().filter(|name| members.raw(name).is_some());
            let known: Vec<_> = known.collect();
            // The older name is what every vendor takes.
            if known.is_empty() { vec!["max_tokens"] } else { known }
        }
        Api::Responses => vec!["max_output_tokens"],
        _ => vec!["max_tokens"],
    }
}
