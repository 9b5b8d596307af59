//! What a request wants to be answered, told by its headers.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;

use super::journal::Journal;
use super::usage::Usage;
use super::wish::Wish;

/// Tokens where the request says nothing.
const INPUT: u64 = 1_000;
const OUTPUT: u64 = 500;
/// Pieces of text in a stream.
const PIECES: u64 = 20;

/// Headers: `x-script` names the ending; the others have numbers.
pub(super) struct Script {
    pub(super) name: String,
    pub(super) ending: Ending,
    /// `x-script-latency-ms`: from the request to the head of the answer.
    pub(super) latency: Duration,
    /// `x-script-pace-ms`: between two pieces of a stream.
    pub(super) pace: Duration,
    /// `x-script-pieces`.
    pub(super) pieces: u64,
    /// `x-script-seed`: two answers with the same seed have the same bytes.
    pub(super) seed: Option<u64>,
    /// `x-script-input`, `-output`, `-cache-read`, `-cache-write-5m`, `-cache-write-1h`, `-reasoning`, `-searches`.
    wanted: Usage,
}

/// How the answer goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should.
    Whole,
    /// An HTTP error.
    Status(u16),
    /// An HTTP error at first, and to the same body again: an answer.
    StatusThenWhole(u16),
    /// Half of the pieces, then the connection is gone.
    CutMidStream,
    /// The head, then the connection is gone.
    CutBeforeBody,
    /// Half of the pieces, then nothing for ever.
    HangMidStream,
    /// Half of the pieces, then the dialect's own error event.
    ErrorMidStream,
    NoUsage,
    /// Bytes that are no JSON and no events.
    Garbage,
    /// JSON of the right shape, with nonsense where the numbers should be.
    GarbageUsage,
    /// Pieces without an end.
    NeverEnds,
    /// An answer of 64 MiB.
    Oversized,
    /// Two thousand headers.
    HeaderBomb,
    /// No head at all.
    Timeout,
    /// Seven bytes at a time.
    Trickle,
    /// More tokens than the request permits.
    UsageAboveBound,
    /// Output anywhere from one token to the limit.
    RandomOutput,
    /// Stopped by its limit (Responses: `response.incomplete`).
    Incomplete,
    /// Responses: `response.failed`.
    Failed,
}

impl Script {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| match text(name) {
            Some(value) => value.parse().map(Some).map_err(|_| format!("{name}: not a number")),
            None => Ok(None),
        };
        let or = |name: &str, default| number(name).map(|value| value.unwrap_or(default));
        let name = text("x-script").unwrap_or("plain");
        let (ending, delay) = ending(name).ok_or_else(|| format!("no script is named {name}"))?;
        let latency = or("x-script-latency-ms", delay)?;
        Ok(Self {
            name: name.to_owned(),
            ending,
            latency: Duration::from_millis(latency),
            pace: Duration::from_millis(or("x-script-pace-ms", 0)?),
            pieces: or("x-script-pieces", PIECES)?.max(1),
            seed: number("x-script-seed")?,
            wanted: Usage {
                input: or("x-script-input", INPUT)?,
                output: or("x-script-output", OUTPUT)?,
                cache_read: or("x-script-cache-read", 0)?,
                cache_write_5m: or("x-script-cache-write-5m", 0)?,
                cache_write_1h: or("x-script-cache-write-1h", 0)?,
                reasoning: or("x-script-reasoning", 0)?,
                searches: or("x-script-searches", 0)?,
            },
        })
    }

    /// What the answer will say that it used.
    pub(super) fn usage(&self, wish: &Wish<'_>, bytes: usize, number: u64) -> Usage {
        let limit = wish.limit();
        let mut usage = self.wanted;
        match self.ending {
            Ending::UsageAboveBound => {
                usage.input = bytes as u64 * 4;
                usage.output = limit.unwrap_or(OUTPUT) * 3 + 1_000;
            }
            Ending::RandomOutput => {
                let seed = self.seed.unwrap_or(number);
                usage.output = 1 + mixed(seed) % limit.unwrap_or(OUTPUT).max(1);
            }
            // A vendor keeps to the limit.
            _ => usage.output = usage.output.min(limit.unwrap_or(u64::MAX)),
        }
        usage
    }

    /// The answer's status; errors that pass are counted by the body that they answer.
    pub(super) fn status(&self, body: &Bytes, journal: &Journal) -> u16 {
        match self.ending {
            Ending::Status(status) => status,
            Ending::StatusThenWhole(status) if journal.is_first(&self.name, body) => status,
            _ => 200,
        }
    }
}

/// The ending and the milliseconds before it that a name means.
fn ending(name: &str) -> Option<(Ending, u64)> {
    let ending = match name {
        "plain" => Ending::Whole,
        "cut-mid-stream" => Ending::CutMidStream,
        "cut-before-body" => Ending::CutBeforeBody,
        "hang-mid-stream" => Ending::HangMidStream,
        "error-mid-stream" => Ending::ErrorMidStream,
        "no-usage" => Ending::NoUsage,
        "garbage" => Ending::Garbage,
        "garbage-usage" => Ending::GarbageUsage,
        "never-ends" => Ending::NeverEnds,
        "oversized" => Ending::Oversized,
        "header-bomb" => Ending::HeaderBomb,
        "timeout" => Ending::Timeout,
        "trickle" => Ending::Trickle,
        "usage-above-bound" => Ending::UsageAboveBound,
        "random-output" => Ending::RandomOutput,
        "incomplete" => Ending::Incomplete,
        "failed" => Ending::Failed,
        _ => return numbered(name),
    };
    Some((ending, 0))
}

/// `slow-50ms`, `error-529`, `500-then-ok`.
fn numbered(name: &str) -> Option<(Ending, u64)> {
    if let Some(delay) = name.strip_prefix("slow-").and_then(|rest| rest.strip_suffix("ms")) {
        return Some((Ending::Whole, delay.parse().ok()?));
    }
    let known = |text: &str| text.parse().ok().filter(|status| (400..600).contains(status));
    if let Some(status) = name.strip_prefix("error-") {
        return Some((Ending::Status(known(status)?), 0));
    }
    let status = known(name.strip_suffix("-then-ok")?)?;
    Some((Ending::StatusThenWhole(status), 0))
}

/// SplitMix64's finish: neighbours become strangers.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
