//! Anthropic's Messages.

use super::Plan;
use super::script::{Ending, Script};
use super::transcript::{Transcript, filled, repeated, text};
use super::usage::{GARBAGE, Usage};
use super::wish::Wish;

/// Output that a message's start reports.
const FIRST_OUTPUT: u64 = 1;

/// The transcript of a plain answer and of a stream.
macro_rules! transcripts {
    ($name:literal) => {
        (
            include_str!(concat!("transcripts/", $name, ".json")),
            include_str!(concat!("transcripts/", $name, ".sse")),
        )
    };
}

pub(super) fn answer(wish: &Wish<'_>, script: &Script, usage: &Usage, id: &str) -> Plan {
    let tool = wish.tool();
    let (plain, stream) = if wish.searches() {
        transcripts!("messages-search")
    } else if tool.is_some() {
        transcripts!("messages-tool")
    } else if wish.thinks() {
        transcripts!("messages-thinking")
    } else {
        transcripts!("messages-text")
    };
    let member = |text: String| match script.ending {
        Ending::NoUsage => String::new(),
        Ending::GarbageUsage => format!(r#","usage":{GARBAGE}"#),
        _ => format!(r#","usage":{text}"#),
    };
    let common = [("id", id), ("model", &*wish.model), ("tool", tool.as_deref().unwrap_or(""))];
    if !wish.stream {
        let (text, usage) = (text(script.pieces), member(usage.of_message(usage.output)));
        let words = [&common[..], &[("text", &text), ("usage", &usage)]].concat();
        return Some(Transcript::json(filled(plain, &words), id));
    }
    let first = member(usage.of_message(FIRST_OUTPUT));
    let last = member(usage.of_message_end());
    let words = [&common[..], &[("first_usage", &first), ("last_usage", &last)]].concat();
    Some(Transcript::events(&filled(&repeated(stream, script.pieces, 1), &words), id))
}

pub(super) fn count(usage: &Usage) -> Plan {
    Some(Transcript::free(format!(r#"{{"input_tokens":{}}}"#, usage.input)))
}
