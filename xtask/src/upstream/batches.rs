//! Anthropic's message batches: made, asked for (from the second time on they have ended), cancelled, read.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use hyper::Method;

use super::Plan;
use super::transcript::{Transcript, filled, text};
use super::usage::Usage;
use super::wish::{BatchRequest, Wish};

#[derive(Default)]
pub(super) struct Batches(Mutex<HashMap<String, Batch>>);

struct Batch {
    requests: Vec<BatchRequest>,
    usage: Usage,
    asked: u32,
    is_cancelled: bool,
}

/// How one request of a batch ends; its `custom_id` says so.
fn outcome(batch: &Batch, request: &BatchRequest) -> &'static str {
    match &request.custom_id {
        _ if batch.is_cancelled => "canceled",
        id if id.starts_with("errored") => "errored",
        id if id.starts_with("expired") => "expired",
        _ => "succeeded",
    }
}

impl Batches {
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        wish: &Wish<'_>,
        usage: &Usage,
        id: &str,
    ) -> Plan {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = path.strip_prefix("/v1/messages/batches")?.trim_start_matches('/');
        let name = rest.split('/').next().unwrap_or_default().to_owned();
        match (method.as_str(), rest.split_once('/').map(|(_, action)| action)) {
            ("POST", None) if name.is_empty() => {
                let name = format!("msgbatch_{id}");
                let requests = wish.requests.clone();
                let batch = Batch { requests, usage: *usage, asked: 0, is_cancelled: false };
                let text = told(&name, &batch);
                batches.insert(name, batch);
                Some(Transcript::free(text))
            }
            ("GET", None) if !name.is_empty() => {
                let batch = batches.get_mut(&name)?;
                batch.asked += 1;
                Some(Transcript::free(told(&name, batch)))
            }
            ("POST", Some("cancel")) => {
                let batch = batches.get_mut(&name)?;
                batch.is_cancelled = true;
                Some(Transcript::free(told(&name, batch)))
            }
            ("GET", Some("results")) => Some(Transcript::free(results(batches.get(&name)?))),
            _ => None,
        }
    }
}

fn told(name: &str, batch: &Batch) -> String {
    let has_ended = batch.asked >= 2;
    let count = |word: &str| {
        let all = batch.requests.iter().filter(|request| outcome(batch, request) == word);
        if has_ended { all.count() } else { 0 }.to_string()
    };
    let status = match (has_ended, batch.is_cancelled) {
        (true, _) => "ended",
        (false, true) => "canceling",
        (false, false) => "in_progress",
    };
    let processing = if has_ended { 0 } else { batch.requests.len() };
    // As the vendor names it: at his own place, wherever he was asked.
    let url = format!("\"https://api.anthropic.com/v1/messages/batches/{name}/results\"");
    let time = "\"2025-11-13T02:20:00Z\"";
    let words = [
        ("id", name),
        ("status", status),
        ("processing", &processing.to_string()),
        ("succeeded", &count("succeeded")),
        ("errored", &count("errored")),
        ("canceled", &count("canceled")),
        ("expired", &count("expired")),
        ("ended", if has_ended { time } else { "null" }),
        ("cancelled", if batch.is_cancelled { time } else { "null" }),
        ("results", if has_ended { &url } else { "null" }),
    ];
    filled(include_str!("transcripts/batch.json"), &words)
}

fn results(batch: &Batch) -> String {
    let mut lines = String::new();
    for (index, request) in batch.requests.iter().enumerate() {
        let outcome = outcome(batch, request);
        let more = match outcome {
            "succeeded" => {
                let output = batch.usage.output.min(request.params.max_tokens);
                let usage = format!(r#","usage":{}"#, batch.usage.of_message(output));
                let usage = usage.replace("standard", "batch");
                let id = super::transcript::id(index as u64);
                let words = [
                    ("id", id.as_str()),
                    ("model", &request.params.model),
                    ("text", &text(3)),
                    ("usage", &usage),
                ];
                let message = filled(include_str!("transcripts/messages-text.json"), &words);
                format!(r#","message":{}"#, message.trim_end())
            }
            "errored" => concat!(
                r#","error":{"type":"error","error":{"type":"invalid_request_error","#,
                r#""message":"max_tokens: must be at least 1"}}"#
            )
            .to_owned(),
            _ => String::new(),
        };
        let name = &request.custom_id;
        // Writing to a string does not fail.
        let _ =
            writeln!(lines, r#"{{"custom_id":"{name}","result":{{"type":"{outcome}"{more}}}}}"#);
    }
    lines
}
