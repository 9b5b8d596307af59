//! How a call may end, and what that makes of its hold: the table of settles and releases.
//!
//! | ending | the vendor's usage | verdict |
//! |---|---|---|
//! | never sent (no connection, caller gone before), or refused unbegun | – | release |
//! | the vendor answered 4xx or 5xx | – | release: vendors don't bill for refusals and failures |
//! | Azure OpenAI answered 408, or 400 for what its filter found | – | charge the hold, estimated |
//! | Azure OpenAI answered 400 for too long a prompt | – | charge the prompt as it was held, estimated |
//! | sent, and no head of an answer came | – | charge the hold, estimated |
//! | answered to the end | whole | charge the usage |
//! | answered to the end | none, or garbage | charge what was seen, estimated |
//! | cut, timed out, failed midway, or left undrained | whole, before that | charge the usage |
//! | cut, timed out, failed midway, or left undrained | none | charge what was seen, estimated |
//! | the same, of a model that thinks out of sight, before anything of its answer came | none | charge the hold, estimated |
//!
//! What was seen is the prompt as the vendor reported it, or else as it was held; and the output
//! that came by, counted. Invariant: a call has one ending, and an ending one verdict.

#[cfg(test)]
mod tests;

use http::StatusCode;
use money::TokenUsage;
use serde::Deserialize;

use crate::usage::{Partial, Used};

/// How a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing has reached the vendor, or he has not begun with it.
    Unsent,
    /// The vendor has answered with an error instead.
    Rejected,
    /// The same, and it bills what it has done until then.
    Billed,
    /// It was sent; nothing came back.
    Lost,
    /// The answer came to its end.
    Whole,
    /// The answer stopped before its end.
    Cut,
}

impl Ending {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Unsent, Self::Rejected, Self::Billed, Self::Lost, Self::Whole, Self::Cut];

    /// The ending as labels write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Rejected => "rejected",
            Self::Billed => "billed",
            Self::Lost => "lost",
            Self::Whole => "whole",
            Self::Cut => "cut",
        }
    }
}

/// What becomes of a hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The call has cost nothing.
    Release,
    /// The vendor has said what was used.
    Charge(Used),
    /// Nobody has said what was used; this was seen.
    Estimate(TokenUsage),
    /// Nobody knows anything: the most that it may have cost.
    ChargeHold,
}

/// What of a call was held, as far as an estimate needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// The prompt and output that were held.
    pub(crate) usage: TokenUsage,
    /// The model may have thought out of sight.
    pub(crate) thinks: bool,
}

/// The table.
pub(crate) fn verdict(ending: Ending, used: Option<Used>, seen: &Partial, held: Held) -> Verdict {
    match (ending, used) {
        (Ending::Unsent | Ending::Rejected, _) => Verdict::Release,
        (Ending::Billed, _) if seen.failed => Verdict::Estimate(estimate(seen, held)),
        (Ending::Billed | Ending::Lost, _) => Verdict::ChargeHold,
        // How long it has thought nobody has seen.
        (Ending::Cut, None) if held.thinks && seen.output_bytes == 0 && !seen.failed => {
            Verdict::ChargeHold
        }
        (Ending::Whole | Ending::Cut, Some(used)) => Verdict::Charge(used),
        (Ending::Whole | Ending::Cut, None) => Verdict::Estimate(estimate(seen, held)),
    }
}

/// What Azure OpenAI bills of a call that it has answered so, if it does: prompt and completion, how
/// much of them it does not say; of too long a prompt no completion. An answer that broke off may
/// have said so.
/// <https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs>, "HTTP Error response
/// code and billing status", and
/// <https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter>.
pub(crate) fn billed_by_azure(status: StatusCode, body: &[u8], is_whole: bool) -> Option<Partial> {
    #[derive(Deserialize)]
    struct Answer {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }
    let all = Some(Partial::default());
    match status {
        StatusCode::REQUEST_TIMEOUT => all,
        StatusCode::BAD_REQUEST if !is_whole => all,
        StatusCode::BAD_REQUEST => {
            let Answer { error } = serde_json::from_slice(body).ok()?;
            match &*error.code {
                "content_filter" => all,
                "context_length_exceeded" => Some(Partial { failed: true, ..Partial::default() }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The prompt as reported, or as held; the output that was seen, never more than was held.
fn estimate(seen: &Partial, held: Held) -> TokenUsage {
    let prompt = seen.prompt.unwrap_or(held.usage);
    // Four bytes are about one token.
    let output = seen.output_bytes.div_ceil(4);
    TokenUsage { output: output.min(held.usage.output), ..prompt }
}
