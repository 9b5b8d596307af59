//! What a request to a model vendor can cost at most.
//!
//! Owns how a body is read into a [`Demand`], what a demand holds at a price, and how a body is
//! changed before it goes upstream. Pure: no clock, no I/O. Invariant: the hold is never below what
//! the vendor can bill for the request; what has no such bound is refused as [`Unmetered`] or
//! [`Unbounded`], with words for the caller on what to send instead.

mod chat;
mod embeddings;
mod hold;
mod image;
mod json;
mod messages;
mod prompt;
mod responses;
mod rewrite;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

pub use self::hold::Unbounded;
pub use self::rewrite::{Edits, rewrite};

use self::json::Node;
use self::prompt::{Prompt, Tokenizer};
use crate::dialect::Api;

/// What a request asks for, as far as it decides its cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The model, as the caller wrote it.
    pub model: String,
    /// The model that has its price. Where both are names of OpenAI's models, what is dearer counts:
    /// a deployment's name says nothing of the model, and an operator may call a price what he likes.
    pub kind: String,
    /// Whether the answer is to be a stream.
    pub is_stream: bool,
    /// Whether the caller asked a chat stream to end with its usage.
    pub wants_usage: bool,
    /// Upper bound of the prompt's tokens.
    pub prompt: PromptBound,
    /// The request's own limit of output tokens per choice.
    pub output: Option<u64>,
    /// Output tokens that may come on top: a thinking budget above the limit, a predicted output.
    pub output_extra: u64,
    /// A limit must be above this many tokens: the vendor refuses one that its thinking fills.
    pub output_floor: u64,
    /// How many answers are asked for.
    pub choices: u64,
    /// The service tier asked for.
    pub tier: TierAsked,
    /// The caches that the prompt may be written to.
    pub cache: CacheAsked,
    /// Tools of the vendor that have a fee.
    pub fees: Vec<FeeAsked>,
    /// How often the vendor may bill the prompt: once, and once more for each use of its tools, or as
    /// often as he lets the model go on.
    pub rounds: u64,
    /// What the vendor multiplies every token's price with.
    pub multiplier: Ratio,
    /// Whether the model may think out of sight, and be billed for it.
    pub thinks: bool,
}

/// The names of a request's model: what the caller wrote, and whose price it has.
#[derive(Clone, Copy)]
struct Names<'a>([&'a str; 2]);

impl<'a> Names<'a> {
    /// Both, as they are and without the vendor before a slash (`openai/gpt-4o-mini`).
    fn each(self) -> [&'a str; 4] {
        let bare = |name: &'a str| name.rsplit_once('/').map_or(name, |(_, name)| name);
        let [model, kind] = self.0;
        [model, bare(model), kind, bare(kind)]
    }
}

/// Upper bound of a prompt's tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PromptBound {
    /// So many tokens.
    Tokens(u64),
    /// Only the model's context window bounds it: files by id, PDFs, stored conversations.
    Window,
}

/// The service tier that a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TierAsked {
    /// The list price and no other.
    Standard,
    /// The vendor chooses; it may serve and bill priority.
    Auto,
    /// Cheaper and later, or standard.
    Flex,
    /// Dearer and sooner, or standard.
    Priority,
    /// A batch.
    Batch,
}

/// The caches that a prompt may be written to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CacheAsked {
    /// The five-minute (or only) cache.
    pub write_5m: bool,
    /// The one-hour cache.
    pub write_1h: bool,
}

/// A vendor's tool with a fee for each use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fee {
    /// Anthropic's web search: $10 per 1,000 searches, beside the tokens of what was found.
    /// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>, "Usage and
    /// pricing".
    AnthropicWebSearch,
    /// OpenAI's web search: $10 per 1,000 calls on all models, beside the tokens of what was found;
    /// those are a fixed 8,000 a call on 4o-mini and 4.1-mini.
    /// <https://developers.openai.com/api/docs/pricing>, "Built-in tools".
    OpenAiWebSearch,
    /// OpenAI's web search preview: $25 per 1,000 calls on models that don't reason, with what was
    /// found for free; on those that do, as [`Fee::OpenAiWebSearch`]. Same source.
    OpenAiWebSearchPreview,
    /// OpenAI's file search: $2.50 per 1,000 calls, in the Responses API alone. Same source.
    OpenAiFileSearch,
}

/// A tool with a fee that a request allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeeAsked {
    /// The tool.
    pub fee: Fee,
    /// The most uses; without it the request has no bound.
    pub uses_most: Option<u64>,
}

/// An exact factor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio {
    /// Above the line.
    pub numerator: u32,
    /// Below the line.
    pub denominator: NonZeroU32,
}

impl Ratio {
    /// Nothing changes.
    pub const ONE: Ratio = Ratio { numerator: 1, denominator: NonZeroU32::MIN };
    /// Anthropic's factor for inference in the United States (`inference_geo`): 1.1 on tokens of
    /// every class, on Opus 4.6, Sonnet 4.6 and later models; others refuse the parameter.
    /// <https://platform.claude.com/docs/en/manage-claude/data-residency>, "Pricing".
    pub const UNITED_STATES: Ratio = Ratio {
        numerator: 11,
        denominator: match NonZeroU32::new(10) {
            Some(ten) => ten,
            None => NonZeroU32::MIN,
        },
    };
}

/// A request whose cost has no known bound.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} can't be metered: {message}")]
pub struct Unmetered {
    /// The field that it is about, as in `tools`.
    pub field: String,
    /// Why, and what to send instead.
    pub message: String,
}

impl Unmetered {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Unmetered {
        Unmetered { field: field.into(), message: message.into() }
    }
}

/// Reads a body by the quick bound: text counts by its bytes, images by their size.
///
/// `canonical` knows which model a name means, as the price book does: a deployment's own name says
/// nothing of how its pictures are counted. A batch is read by [`read_batch`] and refused here.
pub fn read(
    api: Api,
    body: &[u8],
    canonical: impl FnOnce(&str) -> String,
) -> Result<Demand, Unmetered> {
    let node = json::parse(body)?;
    let model = model_of(&node)?;
    read_node(api, &node, (model, canonical(model)), Tokenizer::Bytes)
}

/// Reads a body as [`read`] does, as it is once it goes to another model than it names.
pub fn read_for(
    api: Api,
    body: &[u8],
    model: &str,
    canonical: impl FnOnce(&str) -> String,
) -> Result<Demand, Unmetered> {
    read_node(api, &json::parse(body)?, (model, canonical(model)), Tokenizer::Bytes)
}

/// Lowers a demand's prompt to the tight bound: a tokenizer's count where the model has a public
/// one, a conservative multiple of another's elsewhere. Never raises it.
///
/// `demand` was read from this same body, for the model to which it goes.
pub fn tighten(api: Api, body: &[u8], demand: &mut Demand) {
    if let Ok(node) = json::parse(body) {
        lower(api, &node, demand);
    }
}

fn lower(api: Api, node: &Node<'_>, demand: &mut Demand) {
    let tokenizer = Tokenizer::of(&demand.model, &demand.kind);
    let names = (&*demand.model, demand.kind.clone());
    let Ok(tight) = read_node(api, node, names, tokenizer) else { return };
    demand.output_extra = demand.output_extra.min(tight.output_extra);
    if let (PromptBound::Tokens(quick), PromptBound::Tokens(tight)) = (demand.prompt, tight.prompt)
    {
        demand.prompt = PromptBound::Tokens(quick.min(tight));
    }
}

/// Reads a batch of messages: each request's name and demand, in order; by the quick bound, or by the
/// tight one.
pub fn read_batch(body: &[u8], is_tight: bool) -> Result<Vec<(String, Demand)>, Unmetered> {
    let node = json::parse(body)?;
    let Some(Node::List(requests)) = node.get("requests") else {
        return Err(Unmetered::new("requests", "it must be a list"));
    };
    let one = |request: &Node<'_>| {
        let Some(Node::Text(name)) = request.get("custom_id") else {
            return Err(Unmetered::new("requests.custom_id", "it must be text"));
        };
        let Some(params) = request.get("params") else {
            return Err(Unmetered::new("requests.params", "it must be an object"));
        };
        let model = model_of(params)?;
        // Whatever it is called, it has no public tokenizer.
        let names = (model, String::new());
        let mut demand = read_node(Api::Messages, params, names, Tokenizer::Bytes)?;
        if is_tight {
            lower(Api::Messages, params, &mut demand);
        }
        demand.tier = TierAsked::Batch;
        Ok((name.clone().into_owned(), demand))
    };
    requests.iter().map(one).collect()
}

/// The model that a body names.
fn model_of<'n>(node: &'n Node<'_>) -> Result<&'n str, Unmetered> {
    if !matches!(node, Node::Object(_)) {
        return Err(Unmetered::new("body", "it must be a JSON object"));
    }
    match node.get("model") {
        Some(Node::Text(model)) if !model.is_empty() => Ok(model.as_ref()),
        _ => Err(Unmetered::new("model", "it must name a model")),
    }
}

/// A body that names a model, read for the one that is called and the one by whose rules it counts.
fn read_node(
    api: Api,
    node: &Node<'_>,
    (model, kind): (&str, String),
    tokenizer: Tokenizer,
) -> Result<Demand, Unmetered> {
    model_of(node)?;
    let mut demand = Demand::plain(model, kind);
    demand.is_stream = node.flag("stream")?;
    let mut prompt = Prompt::new(tokenizer);
    match api {
        Api::Messages => messages::read(node, &mut prompt, &mut demand)?,
        Api::ChatCompletions => chat::read(node, &mut prompt, &mut demand)?,
        Api::Responses => responses::read(node, &mut prompt, &mut demand)?,
        Api::Embeddings => embeddings::read(node, &mut prompt, &mut demand)?,
        // It is free: nothing of it is billed.
        Api::CountTokens => demand.output = Some(0),
        Api::MessageBatches => {
            return Err(Unmetered::new("requests", "a batch is read request by request"));
        }
    }
    demand.prompt = prompt.bound();
    Ok(demand)
}

impl Demand {
    fn names(&self) -> Names<'_> {
        Names([&self.model, &self.kind])
    }

    /// One choice of one round at the list price, with nothing in its prompt.
    fn plain(model: &str, kind: String) -> Demand {
        Demand {
            model: model.to_owned(),
            kind,
            is_stream: false,
            wants_usage: false,
            prompt: PromptBound::Tokens(0),
            output: None,
            output_extra: 0,
            output_floor: 0,
            choices: 1,
            tier: TierAsked::Standard,
            cache: CacheAsked::default(),
            fees: Vec::new(),
            rounds: 1,
            multiplier: Ratio::ONE,
            thinks: false,
        }
    }
}
