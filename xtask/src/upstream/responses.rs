//! OpenAI's Responses.

use super::Plan;
use super::script::{Ending, Script};
use super::transcript::{Transcript, filled, repeated, text};
use super::usage::{GARBAGE, Usage};
use super::wish::Wish;

pub(super) fn answer(wish: &Wish<'_>, script: &Script, usage: &Usage, id: &str) -> Plan {
    let tool = wish.tool();
    let limit = wish.limit().map_or_else(|| "null".to_owned(), |limit| limit.to_string());
    let text = text(script.pieces);
    let common = [
        ("id", id),
        ("model", &*wish.model),
        ("tool", tool.as_deref().unwrap_or("")),
        ("limit", &limit),
        ("text", &text),
    ];
    let told = match script.ending {
        Ending::NoUsage => String::new(),
        Ending::GarbageUsage => format!(r#","usage":{GARBAGE}"#),
        _ => format!(r#","usage":{}"#, usage.of_response()),
    };
    let (status, error, details) = match script.ending {
        Ending::Incomplete => ("incomplete", "null", r#"{"reason":"max_output_tokens"}"#),
        Ending::Failed => ("failed", FAILURE, "null"),
        _ => ("completed", "null", "null"),
    };
    let output = match tool {
        Some(_) => include_str!("transcripts/response-call.json"),
        None => include_str!("transcripts/response-message.json"),
    };
    let output = filled(output.trim_end(), &common);
    let closing = [("status", status), ("error", error), ("details", details)];
    let whole = [("output", output.as_str()), ("usage", &told)];
    let closed = filled(RESPONSE.trim_end(), &[&common[..], &closing, &whole].concat());
    if !wish.stream {
        return Some(Transcript::json(closed, id));
    }
    let opening = [("status", "in_progress"), ("error", "null"), ("details", "null")];
    let nothing = [("output", ""), ("usage", r#","usage":null"#)];
    let opened = filled(RESPONSE.trim_end(), &[&common[..], &opening, &nothing].concat());
    let words = [("opened", opened.as_str()), ("closed", &closed), ("status", status)];
    let events = repeated(include_str!("transcripts/response.sse"), script.pieces, 1);
    let events = filled(&events, &[&common[..], &words].concat());
    Some(Transcript::events(&numbered(&events), id))
}

const RESPONSE: &str = include_str!("transcripts/response.json");
const FAILURE: &str =
    r#"{"code":"server_error","message":"The model failed to generate a response."}"#;

/// The events with their sequence numbers as they stand.
fn numbered(events: &str) -> String {
    const MARK: &str = r#""sequence_number":"#;
    let mut out = String::with_capacity(events.len() + 64);
    for (number, event) in events.split_inclusive("\n\n").enumerate() {
        match event.split_once(MARK) {
            Some((before, after)) => {
                let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
                out.push_str(&format!("{before}{MARK}{number}{after}"));
            }
            None => out.push_str(event),
        }
    }
    out
}
