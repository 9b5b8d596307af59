//! Who calls, and how they behave: the table of callers, and the requests that they make.

use std::fmt::Write as _;

/// What a caller does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Asks three times on one connection and reads each answer.
    Keeps,
    /// Asks once and reads to the end.
    Reads,
    /// As before, a little at a time.
    ReadsSlowly,
    /// Hangs up after the first bytes.
    HangsUp,
    /// Hangs up before there is anything to read.
    HangsUpEarly,
    /// Closes its own side as soon as it has asked, and waits.
    HalfCloses,
    /// Begins a head and goes on byte by byte.
    SlowHead,
    /// Sends a whole head, and a body byte by byte.
    SlowBody,
}

/// Some of the callers.
pub(super) struct Role {
    pub(super) name: &'static str,
    /// Out of the sum of all.
    weight: u64,
    script: &'static str,
    pub(super) act: Act,
    /// None: now and then.
    is_stream: Option<bool>,
    /// Whether nothing but a store that is down excuses any other answer than 200.
    pub(super) is_good: bool,
}

const fn good(
    name: &'static str,
    weight: u64,
    script: &'static str,
    act: Act,
    stream: bool,
) -> Role {
    Role { name, weight, script, act, is_stream: Some(stream), is_good: true }
}

const fn bad(name: &'static str, weight: u64, act: Act, stream: bool) -> Role {
    Role { name, weight, script: "slow-300ms", act, is_stream: Some(stream), is_good: false }
}

const fn fault(script: &'static str, weight: u64) -> Role {
    Role { name: script, weight, script, act: Act::Reads, is_stream: None, is_good: false }
}

pub(super) const ROLES: &[Role] = &[
    good("plain, a kept connection", 200, "plain", Act::Keeps, false),
    good("plain", 100, "plain", Act::Reads, false),
    good("plain, after half a second", 40, "slow-500ms", Act::Reads, false),
    good("streamed", 200, "plain", Act::Reads, true),
    good("streamed, any length", 60, "random-output", Act::Reads, true),
    good("streamed, seven bytes at a time", 20, "trickle", Act::Reads, true),
    good("streamed, read slowly", 20, "plain", Act::ReadsSlowly, true),
    bad("hangs up in a stream", 60, Act::HangsUp, true),
    bad("hangs up before a stream", 20, Act::HangsUpEarly, true),
    bad("hangs up before an answer", 20, Act::HangsUpEarly, false),
    bad("closes its side, streamed", 20, Act::HalfCloses, true),
    bad("closes its side", 20, Act::HalfCloses, false),
    bad("half a head", 15, Act::SlowHead, false),
    bad("half a body", 15, Act::SlowBody, false),
    good("500-then-ok", 10, "500-then-ok", Act::Reads, false),
    fault("cut-mid-stream", 15),
    fault("cut-before-body", 10),
    fault("hang-mid-stream", 10),
    fault("error-mid-stream", 10),
    fault("no-usage", 10),
    fault("garbage", 10),
    fault("garbage-usage", 10),
    fault("never-ends", 10),
    fault("oversized", 1),
    fault("header-bomb", 5),
    fault("timeout", 10),
    fault("error-400", 10),
    fault("error-429", 10),
    fault("error-500", 10),
    fault("error-529", 10),
    fault("usage-above-bound", 10),
];

/// Scripts whose usage a gateway reads to the end, if it takes their answers whole.
pub(super) const EXACT: &[&str] = &[
    "plain",
    "random-output",
    "trickle",
    "slow-300ms",
    "slow-500ms",
    "500-then-ok",
    "usage-above-bound",
];

/// Models, and nano-dollars for each token in and out.
pub(super) const MODELS: [(&str, i128, i128); 2] =
    [("claude-3-5-sonnet-20241022", 3_000, 15_000), ("gpt-4o-2024-08-06", 2_500, 10_000)];

/// A request as it goes over the wire.
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: String,
}

/// Somebody, by a number of any size.
pub(super) fn somebody(number: u64) -> usize {
    let all: u64 = ROLES.iter().map(|role| role.weight).sum();
    let mut left = number % all;
    ROLES
        .iter()
        .position(|role| match left.checked_sub(role.weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
        .unwrap_or(0)
}

impl Role {
    /// What the caller asks for, in either dialect.
    pub(super) fn asks(&self, random: u64) -> Asked {
        let is_stream = self.is_stream.unwrap_or(random & 1 == 1);
        let tenant = random >> 1 & 15;
        let api = random >> 8 & 3;
        let mut prompt = String::new();
        // Writing to memory does not fail.
        for number in 0..20 + (random >> 16 & 63) {
            let _ = write!(prompt, "Item {number} of {random} came to {} dollars. ", number * 7);
        }
        let (path, model, limit) = match api {
            0 | 1 => ("/v1/messages", MODELS[0].0, "max_tokens"),
            2 => ("/v1/chat/completions", MODELS[1].0, "max_tokens"),
            _ => ("/v1/responses", MODELS[1].0, "max_output_tokens"),
        };
        let input = match api {
            3 => format!(r#""input":"{prompt}""#),
            _ => format!(r#""messages":[{{"role":"user","content":"{prompt}"}}]"#),
        };
        let body = format!(r#"{{"model":"{model}","{limit}":500,"stream":{is_stream},{input}}}"#);
        let pace = if self.act == Act::HangsUp { "x-script-pace-ms: 20\r\n" } else { "" };
        let connection = if self.act == Act::Keeps { "keep-alive" } else { "close" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: {connection}\r\nx-tenant-id: soak-{tenant}\r\nx-script: {}\r\n{pace}\
             content-length: {}\r\n\r\n",
            self.script,
            body.len()
        );
        Asked { head, body }
    }
}
