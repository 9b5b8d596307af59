//! Takes the usage that a caller didn't ask for out of a chat stream.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::event::{BOM, data_of};
use super::stream::has_usage;

/// An event that is longer passes without being looked at.
const HELD_MOST: usize = 64 * 1024;

/// Takes exactly the event with `"choices": []` and a usage out of a stream, and passes every other
/// byte. Only the event that is not at its end is held back.
#[derive(Default)]
pub struct UsageChunkFilter {
    held: Vec<u8>,
    /// The line that is not at its end has bytes.
    line_begun: bool,
    /// The event is too long, and passes as it comes.
    is_passing: bool,
    /// The last byte was a carriage return: where a line feed next belongs.
    after_return: Option<Belongs>,
}

#[derive(Clone, Copy)]
enum Belongs {
    Event,
    Passed,
    Removed,
}

impl UsageChunkFilter {
    /// A filter at a stream's beginning.
    pub fn new() -> UsageChunkFilter {
        UsageChunkFilter::default()
    }

    /// Takes bytes, and appends those that pass.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let [first, rest @ ..] = bytes {
            if let Some(belongs) = self.after_return.take()
                && *first == b'\n'
            {
                match belongs {
                    Belongs::Event => self.hold(b"\n", out),
                    Belongs::Passed => out.push(b'\n'),
                    Belongs::Removed => {}
                }
                bytes = rest;
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line_begun = true;
                return self.hold(bytes, out);
            };
            let (line, rest) = bytes.split_at(end + 1);
            self.hold(line, out);
            let is_empty = end == 0 && !std::mem::take(&mut self.line_begun);
            self.line_begun = false;
            let belongs = if is_empty { self.close(out) } else { Belongs::Event };
            self.after_return = line.ends_with(b"\r").then_some(belongs);
            bytes = rest;
        }
    }

    /// The stream is over: what is held passes, for it is no whole event.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        *self = UsageChunkFilter::default();
    }

    fn hold(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.is_passing |= self.held.len() > HELD_MOST;
        if self.is_passing {
            out.append(&mut self.held);
        }
    }

    /// An event is at its end: it goes or passes.
    fn close(&mut self, out: &mut Vec<u8>) -> Belongs {
        if !std::mem::take(&mut self.is_passing) && is_usage_chunk(&self.held) {
            self.held.clear();
            return Belongs::Removed;
        }
        out.append(&mut self.held);
        Belongs::Passed
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<IgnoredAny>,
    usage: Option<IgnoredAny>,
}

fn is_usage_chunk(event: &[u8]) -> bool {
    if !has_usage(event) {
        return false;
    }
    let event = event.strip_prefix(BOM).unwrap_or(event);
    let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    let data: Vec<_> = lines.filter_map(data_of).collect();
    serde_json::from_slice::<Chunk>(&data.join(&b'\n'))
        .is_ok_and(|chunk| chunk.choices.is_empty() && chunk.usage.is_some())
}
