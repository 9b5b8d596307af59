//! What a request can cost at most: read from its body before anything goes out.
//!
//! Two bounds of the prompt: a quick one, by bytes, for a token of a byte-level vocabulary is a byte
//! or more; and a tight one, by a tokenizer, for calls that the quick one would refuse. Invariant:
//! what can't be bounded is not read as a demand, and says why.

mod anthropic;
mod bound;
mod image;
mod members;
mod openai;
mod rewrite;
mod special;
#[cfg(test)]
mod tests;
mod tight;

use money::ServiceTier;

use crate::{dialect::Api, fee::Fee};

pub use bound::Unbounded;
use members::Members;
pub use rewrite::{Edits, rewrite};
pub use tight::tighten;

/// What a request asks for, as far as it decides its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The model, as its caller wrote it.
    pub model: String,
    /// The answer comes as a stream.
    pub is_stream: bool,
    /// The caller of a chat stream wants to be told its usage.
    pub wants_usage: bool,
    /// The most that the prompt may be.
    pub prompt: PromptBound,
    /// The request's own limit of output tokens for each choice.
    pub output: Option<u64>,
    /// Below how many output tokens the vendor would not take it.
    pub output_least: u64,
    /// Output tokens that may come on top of the limit.
    pub output_extra: u64,
    /// Answers to one prompt.
    pub choices: u64,
    /// How it may be served.
    pub tier: TierAsked,
    /// Caches that the prompt may be written to.
    pub cache: CacheAsked,
    /// Tools with a fee, and their uses at most.
    pub fees: Vec<(Fee, u64)>,
    /// How often the vendor may read its context anew, for tools that it runs itself.
    pub rounds: u64,
    /// Bound to run in the United States, which costs a tenth more.
    pub is_us_only: bool,
}

/// The most that a prompt may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptBound {
    /// So many tokens.
    Tokens(u64),
    /// As long as the model's context: part of it is kept elsewhere.
    Window,
}

/// How a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TierAsked {
    /// At the list price.
    #[default]
    Standard,
    /// At the list price, or as priority if the vendor likes.
    Auto,
    /// Cheaper and later.
    Flex,
    /// Dearer and sooner.
    Priority,
    /// Within hours.
    Batch,
}

impl TierAsked {
    /// The tier by which an estimate is priced.
    pub fn served(self) -> ServiceTier {
        match self {
            Self::Standard | Self::Auto => ServiceTier::Standard,
            Self::Flex => ServiceTier::Flex,
            Self::Priority => ServiceTier::Priority,
            Self::Batch => ServiceTier::Batch,
        }
    }
}

/// Caches that a prompt may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheAsked {
    /// The one that lives five minutes, or the vendor's ordinary one.
    pub write_5m: bool,
    /// The one that lives an hour.
    pub write_1h: bool,
}

/// Why a request can't be metered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unmetered {
    /// The member that it is about.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Unmetered {
    fn about(field: &str, message: impl std::fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), message: format!("{field} {message}") }
    }

    fn body(message: impl std::fmt::Display) -> Self {
        Self { field: None, message: format!("the body {message}") }
    }

    /// Something that costs money in a way that is not metered here.
    fn unknown(field: &str, what: impl std::fmt::Display) -> Self {
        let message = "can't be metered here, and what is not metered is not let through";
        Self::about(field, format!("asks for {what}, which {message}"))
    }
}

/// Reads a body, with the quick bound of its prompt.
pub fn read(api: Api, body: &[u8]) -> Result<Demand, Unmetered> {
    let members = Members::read(body)?;
    match api {
        Api::Messages | Api::CountTokens => anthropic::read(&members, body),
        Api::ChatCompletions => openai::chat(&members, body),
        Api::Responses => openai::responses(&members, body),
        Api::Embeddings => openai::embeddings(&members, body),
        Api::MessageBatches => Err(Unmetered::body("is a batch: its requests are read one by one")),
    }
}

/// Reads the requests of a batch by their ids.
pub fn read_batch(body: &[u8]) -> Result<Vec<(String, Demand)>, Unmetered> {
    anthropic::batch(&Members::read(body)?)
}

impl Demand {
    fn new(model: String, prompt: PromptBound) -> Self {
        Self {
            model,
            is_stream: false,
            wants_usage: false,
            prompt,
            output: None,
            output_least: 1,
            output_extra: 0,
            choices: 1,
            tier: TierAsked::Standard,
            cache: CacheAsked::default(),
            fees: Vec::new(),
            rounds: 1,
            is_us_only: false,
        }
    }
}
