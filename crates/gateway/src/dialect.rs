//! The vendors' APIs that are spoken here, and the paths that belong to them.

use std::{fmt, str::FromStr};

use http::{HeaderMap, Method};

/// Whose shapes a request and its errors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's API, which many vendors speak.
    OpenAi,
}

impl Dialect {
    /// The dialect as the config and labels write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Anthropic, Self::OpenAi]
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
            .ok_or_else(|| format!("{text:?} is neither anthropic nor openai"))
    }
}

/// A vendor's API that can be metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: free of charge.
    CountTokens,
    /// `POST /v1/messages/batches`.
    MessageBatches,
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Api {
    /// The path below the vendor's base URL, which for OpenAI ends in `/v1`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::MessageBatches => "/v1/messages/batches",
            Self::ChatCompletions => "/chat/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Messages,
        Self::CountTokens,
        Self::MessageBatches,
        Self::ChatCompletions,
        Self::Responses,
        Self::Embeddings,
    ];

    /// The API's name as labels write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::MessageBatches => "message_batches",
            Self::ChatCompletions => "chat_completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
        }
    }

    /// Whose API it is.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens | Self::MessageBatches => Dialect::Anthropic,
            Self::ChatCompletions | Self::Responses | Self::Embeddings => Dialect::OpenAi,
        }
    }
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A call that may cost money.
    Call(Api),
    /// The vendor's models: free, and answered by the vendor.
    Models,
    /// The caller's batches: free.
    Batches,
    /// Something about one batch: free.
    Batch(BatchRoute),
}

/// What is asked of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchRoute {
    /// How it stands, or to forget it.
    Itself,
    /// To end it before its time.
    Cancel,
    /// What has come of it.
    Results,
}

/// The batch that a path is about.
pub(crate) fn batch(method: &Method, path: &str) -> Option<(String, BatchRoute)> {
    let rest = path.strip_prefix(Api::MessageBatches.path())?.strip_prefix('/')?;
    let (id, place) = rest.split_once('/').map_or((rest, ""), |(id, place)| (id, place));
    let is_name = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let route = match place {
        "" if [Method::GET, Method::DELETE].contains(method) => BatchRoute::Itself,
        "cancel" if *method == Method::POST => BatchRoute::Cancel,
        "results" if *method == Method::GET => BatchRoute::Results,
        _ => return None,
    };
    is_name.then(|| (id.to_owned(), route))
}

/// Whether it names a model, and no way out of the models: a vendor may resolve dots and escapes.
fn is_model_path(rest: &str) -> bool {
    let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:@+~,=/".contains(byte);
    // Names with slashes come escaped; what is escaped twice is no name.
    let rest: Vec<u8> = percent_encoding::percent_decode_str(rest).collect();
    let mut parts = rest.split(|byte| *byte == b'/');
    rest.iter().all(is_sane) && parts.all(|part| ![&b""[..], b".", b".."].contains(&part))
}

/// Paths that are the gateway's: all of the vendors'.
pub(crate) fn is_vendor_path(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// What is asked for, and in whose dialect errors are told.
pub(crate) fn route(method: &Method, path: &str, headers: &HeaderMap) -> (Dialect, Option<Route>) {
    let place = path.strip_prefix("/v1").unwrap_or(path);
    let model = place.strip_prefix("/models/");
    let is_models = place == "/models" || model.is_some_and(is_model_path);
    let anthropic = place.starts_with("/messages") || headers.contains_key("anthropic-version");
    let dialect = if anthropic { Dialect::Anthropic } else { Dialect::OpenAi };
    if is_models && *method == Method::GET {
        return (dialect, Some(Route::Models));
    }
    if path == Api::MessageBatches.path() && *method == Method::GET {
        return (Dialect::Anthropic, Some(Route::Batches));
    }
    if let Some((_, route)) = batch(method, path) {
        return (Dialect::Anthropic, Some(Route::Batch(route)));
    }
    let call = Api::ALL.into_iter().find(|api| place == api.path().trim_start_matches("/v1"));
    match call {
        Some(api) if *method == Method::POST => (api.dialect(), Some(Route::Call(api))),
        Some(api) => (api.dialect(), None),
        None => (dialect, None),
    }
}
