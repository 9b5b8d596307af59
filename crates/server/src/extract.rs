//! What comes in, parsed or refused with the field that is wrong.

use std::{fmt::Display, str::FromStr};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{fault::Fault, service::Shared};

/// A JSON body: an object, or a list as well where `LISTS` says so. Without that, a list of the
/// right values would pass for an object.
pub(crate) struct Json<T, const LISTS: bool = false>(pub(crate) T);

impl<T: DeserializeOwned, const LISTS: bool> FromRequest<Shared> for Json<T, LISTS> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Fault> {
        if !is_json(request.headers()) {
            return Err(Fault::content_type());
        }
        let limit = state.config.body_limit;
        let body = collect(request.into_body(), limit);
        let body = tokio::time::timeout(state.config.body_timeout, body)
            .await
            .map_err(|_| Fault::body_timeout())??;
        if !LISTS && body.trim_ascii_start().starts_with(b"[") {
            return Err(Fault::unprocessable("invalid_body", "the body must be an object"));
        }
        parse(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Fault> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::too_large(limit)),
        Err(_) => Err(Fault::unreadable("body_cut_off", "the body ended before its end")),
    }
}

/// Reads JSON. A second, slower reading says which field is wrong.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Fault::unreadable("not_utf8", "the body is not UTF-8"))?;
    serde_json::from_str(text).or_else(|_| {
        let mut json = serde_json::Deserializer::from_str(text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            explain(text, &path, error.inner())
        })?;
        json.end().map_err(|error| explain(text, ".", &error))?;
        Ok(value)
    })
}

fn explain(body: &str, path: &str, error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    // A number beyond all bounds, say, is called a fault in the JSON, but is a fault of its field.
    if !error.is_data() && serde_json::from_str::<IgnoredAny>(body).is_err() {
        return Fault::unreadable("invalid_json", format!("the body is no valid JSON: {text}"));
    }
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let within = |field: &str| {
        if path == "." { field.to_owned() } else { format!("{path}.{field}") }
    };
    if let Some(field) = named(message, "missing field") {
        return Fault::invalid(&within(field), "is missing");
    }
    if let Some(field) = named(message, "duplicate field") {
        return Fault::invalid(&within(field), "is there twice");
    }
    let message = match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        // So a word is asked for that is one of a few.
        None if message == "expected value" => "expected a string".to_owned(),
        None => message.to_owned(),
    };
    match path {
        "." => Fault::unprocessable("invalid_body", format!("the body is wrong: {message}")),
        path => Fault::invalid(path, format!("is wrong: {message}")),
    }
}

/// The field that serde names after a problem, in backticks.
fn named<'a>(message: &'a str, problem: &str) -> Option<&'a str> {
    message.strip_prefix(problem)?.strip_prefix(" `")?.strip_suffix('`')
}

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        if !is_decodable(parts.uri.query().unwrap_or_default()) {
            return Err(Fault::unreadable("not_utf8", "the query is not UTF-8"));
        }
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| {
            let text = error.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            if let Some(field) = named(text, "duplicate field") {
                return Fault::invalid(field, "is there twice");
            }
            match text.split_once(": ") {
                Some((field, message)) if !field.contains(' ') => {
                    Fault::invalid(field, plain(message))
                }
                _ => Fault::unprocessable("invalid_query", format!("the query is wrong: {text}")),
            }
        })
    }
}

/// What is wrong with a value of the query, for people.
fn plain(message: &str) -> String {
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "must be a whole number".to_owned()
        }
        "number too large to fit in target type" => "is too large".to_owned(),
        _ => format!("is wrong: {message}"),
    }
}

/// Whether what is percent-encoded is UTF-8. The form decoder would put a replacement in its place.
fn is_decodable(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |place: usize| after.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// The one variable part of a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: FromStr<Err: Display>,
    S: Send + Sync,
{
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let text = axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Fault::unreadable("not_utf8", "the path is not UTF-8"))?;
        text.parse().map(Self).map_err(|error| Fault::invalid("id", format!("is wrong: {error}")))
    }
}
