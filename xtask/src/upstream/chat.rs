//! OpenAI's chat completions and embeddings.

use std::fmt::Write as _;

use super::Plan;
use super::script::{Ending, Script};
use super::transcript::{Transcript, filled, repeated, text};
use super::usage::{GARBAGE, Usage};
use super::wish::Wish;

pub(super) fn answer(wish: &Wish<'_>, script: &Script, usage: &Usage, id: &str) -> Plan {
    let tool = wish.tool();
    let choices = wish.n.unwrap_or(1).max(1);
    let told = match script.ending {
        Ending::NoUsage => String::new(),
        Ending::GarbageUsage => format!(r#","usage":{GARBAGE}"#),
        _ => format!(r#","usage":{}"#, usage.of_chat()),
    };
    let common = [("id", id), ("model", &*wish.model), ("tool", tool.as_deref().unwrap_or(""))];
    if wish.stream {
        let events = match tool {
            Some(_) => include_str!("transcripts/chat-tool.sse"),
            None => include_str!("transcripts/chat-text.sse"),
        };
        let mut events = repeated(events, script.pieces, choices);
        // Without being asked the vendor says nothing of usage, and its last chunk is missing.
        let asked = wish.wants_usage() && script.ending != Ending::NoUsage;
        if !asked {
            let kept = events.split_inclusive("\n\n").filter(|e| !e.contains("$usage_chunk"));
            events = kept.collect();
        }
        let none_yet = if asked { r#","usage":null"# } else { "" };
        let words = [("no_usage_yet", none_yet), ("usage_chunk", told.as_str())];
        let words = [&common[..], &words].concat();
        return Some(Transcript::events(&filled(&events, &words), id));
    }
    let choice = match tool {
        Some(_) => include_str!("transcripts/chat-tool-choice.json"),
        None => include_str!("transcripts/chat-choice.json"),
    };
    let text = text(script.pieces);
    let mut all = String::new();
    for index in 0..choices {
        let comma = if index > 0 { "," } else { "" };
        let index = index.to_string();
        let words = [&common[..], &[("text", text.as_str()), ("index", &index)]].concat();
        // Writing to a string does not fail.
        let _ = write!(all, "{comma}{}", filled(choice.trim_end(), &words));
    }
    let words = [&common[..], &[("choices", all.as_str()), ("usage", &told)]].concat();
    Some(Transcript::json(filled(include_str!("transcripts/chat-text.json"), &words), id))
}

pub(super) fn embeddings(wish: &Wish<'_>, script: &Script, usage: &Usage) -> Plan {
    let told = match script.ending {
        Ending::NoUsage => String::new(),
        Ending::GarbageUsage => format!(r#","usage":{GARBAGE}"#),
        _ => format!(r#","usage":{}"#, usage.of_embeddings()),
    };
    // 0.5, -0.25, 0.125 as they are, and as the little-endian floats that the SDK asks for.
    let vector = match wish.wants_base64() {
        true => r#""AAAAPwAAgL4AAAA+""#,
        false => "[0.5,-0.25,0.125]",
    };
    let vectors: Vec<_> = (0..wish.texts())
        .map(|index| format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#))
        .collect();
    let vectors = vectors.join(",");
    let words = [("vectors", vectors.as_str()), ("model", &*wish.model), ("usage", &told)];
    let text = filled(include_str!("transcripts/embedding.json"), &words);
    Some(Transcript::json(text, ""))
}
