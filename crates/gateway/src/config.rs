//! What the gateway is told at its start.

#[cfg(test)]
mod tests;

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use http::{HeaderName, Uri, header};
use ipnet::IpNet;
use secrecy::SecretString;

use crate::dialect::Dialect;

/// What happens to calls while the budget store is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fail {
    /// They are refused.
    #[default]
    Closed,
    /// They are let through and charged when the store is back.
    Open,
}

/// How a vendor is shown its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`, as OpenAI wants it.
    Bearer,
    /// `api-key: KEY`, as Azure OpenAI wants it.
    ApiKey,
    /// `x-api-key: KEY`, as Anthropic wants it.
    XApiKey,
}

impl Auth {
    const NAMES: [(&str, Self); 3] =
        [("bearer", Self::Bearer), ("api-key", Self::ApiKey), ("x-api-key", Self::XApiKey)];

    /// The header that a key stands in, and what it says.
    pub(crate) fn header(self, key: &str) -> (HeaderName, String) {
        match self {
            Self::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
            Self::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
            Self::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
        }
    }
}

impl FromStr for Auth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        let names = Self::NAMES.map(|(name, _)| name).join(", ");
        known.map(|(_, auth)| *auth).ok_or_else(|| format!("{text:?} is none of {names}"))
    }
}

/// A vendor's endpoint.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name in logs, labels and the config.
    pub name: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Its base URL: that of Anthropic ends before `/v1`, that of OpenAI with it.
    pub url: Uri,
    /// An authority, as PEM, that its certificate may come from beside those of the system.
    pub authority: Option<Vec<u8>>,
    /// The vendor's key; some of one's own servers have none.
    pub key: Option<SecretString>,
    /// Under which header the key goes; none: as its API is usually asked.
    pub auth: Option<Auth>,
    /// Whose calls it takes: names, or patterns with `*`.
    pub models: Vec<String>,
    /// From the request to the head of the answer, and to the end of one that is not streamed.
    pub timeout: Duration,
    /// Between two pieces of a stream.
    pub idle_timeout: Duration,
    /// How often a call is tried while the vendor can't be reached or says 429 or 5xx.
    pub attempts: u32,
    /// Whether it understands `stream_options.include_usage`.
    pub stream_usage: bool,
}

impl Upstream {
    /// An endpoint with the usual limits that takes every model.
    pub fn new(name: impl Into<String>, dialect: Dialect, url: Uri) -> Self {
        Self {
            name: name.into(),
            dialect,
            url,
            authority: None,
            key: None,
            auth: None,
            models: vec!["*".to_owned()],
            timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(120),
            attempts: 3,
            stream_usage: true,
        }
    }

    /// How it is shown its key.
    pub(crate) fn auth(&self) -> Auth {
        self.auth.unwrap_or(match self.dialect {
            Dialect::Anthropic => Auth::XApiKey,
            Dialect::OpenAi => Auth::Bearer,
        })
    }

    /// Whether it is Azure OpenAI, which bills some of what it refuses.
    pub(crate) fn is_azure(&self) -> bool {
        let host = self.url.host().unwrap_or_default().to_ascii_lowercase();
        let clouds = [".azure.com", ".azure.us", ".azure.cn", ".azure-api.net"];
        self.auth() == Auth::ApiKey || clouds.iter().any(|cloud| host.ends_with(cloud))
    }

    /// Whether it takes a model's calls.
    pub fn takes(&self, dialect: Dialect, model: &str) -> bool {
        self.dialect == dialect && self.models.iter().any(|pattern| matches(pattern, model))
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

/// What the gateway is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where calls go: the first that takes a model has it.
    pub upstreams: Vec<Upstream>,
    /// Networks whose word on who pays (`x-tenant-id`) is believed.
    pub trusted: Vec<IpNet>,
    /// How long a call may wait that fits but for the holds of others; zero: not at all.
    pub wait: Duration,
    /// While the store is down.
    pub fail: Fail,
    /// How long the store may take to hold a call's cost before it counts as down: longer than a
    /// tenant's row may be locked by others.
    pub store_timeout: Duration,
    /// A folder for usage that could not be recorded.
    pub spool: PathBuf,
    /// The longest request body in bytes.
    pub body_limit: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// Calls at a time; more are told to come again.
    pub calls_most: usize,
    /// Bodies above [`Config::LARGE`] at a time.
    pub large_most: usize,
    /// The longest answer that is not streamed to be read for its usage.
    pub answer_limit: usize,
    /// How often the vendors are asked for batches that may have ended.
    pub batches_every: Duration,
    /// How long an answer is read on once its caller has hung up.
    pub drain: Duration,
}

impl Config {
    /// From how many bytes on a body is a large one.
    pub const LARGE: usize = 1024 * 1024;

    /// The usual limits, with no upstream and a spool in this folder.
    pub fn new(spool: PathBuf) -> Self {
        Self {
            upstreams: Vec::new(),
            trusted: Vec::new(),
            wait: Duration::from_secs(2),
            fail: Fail::Closed,
            store_timeout: Duration::from_secs(12),
            spool,
            body_limit: 32 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
            calls_most: 4096,
            large_most: 16,
            answer_limit: 32 * 1024 * 1024,
            batches_every: Duration::from_secs(30),
            drain: Duration::from_secs(120),
        }
    }

    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}
