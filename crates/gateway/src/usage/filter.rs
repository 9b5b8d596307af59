//! Takes the usage chunk out of a chat stream whose caller has not asked for it.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};

use super::{sse::event_end, stream::tells_usage};

/// The longest event that is held back to be looked at.
const HELD_MOST: usize = 64 * 1024;

/// Removes the one event that `stream_options.include_usage` adds, and nothing else.
#[derive(Default)]
pub struct UsageChunkFilter {
    /// An event whose end has not come.
    held: BytesMut,
    /// The rest of an event that was too long to be held back.
    is_passing: bool,
}

impl UsageChunkFilter {
    /// A filter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// What of these bytes, and of those held back, may go on.
    pub fn pass(&mut self, bytes: Bytes) -> Bytes {
        let work = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(&bytes);
            self.held.split().freeze()
        };
        let mut end = 0;
        let mut kept: Option<BytesMut> = None;
        while let Some(length) = event_end(&work[end..]) {
            let event = &work[end..end + length];
            let is_rest = std::mem::take(&mut self.is_passing);
            if !is_rest && is_usage_chunk(event) {
                kept.get_or_insert_with(|| BytesMut::from(&work[..end]));
            } else if let Some(kept) = &mut kept {
                kept.extend_from_slice(event);
            }
            end += length;
        }
        let rest = work.slice(end..);
        let mut out = kept.map_or_else(|| work.slice(..end), BytesMut::freeze);
        if self.is_passing || rest.len() > HELD_MOST {
            self.is_passing = true;
            out = if out.is_empty() { rest } else { [out, rest].concat().into() };
        } else {
            self.held.extend_from_slice(&rest);
        }
        out
    }

    /// What was still held back when the stream ended.
    pub fn finish(&mut self) -> Bytes {
        let held = self.held.split().freeze();
        if is_usage_chunk(&held) { Bytes::new() } else { held }
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<IgnoredAny>,
    usage: Option<IgnoredAny>,
}

fn is_usage_chunk(event: &[u8]) -> bool {
    if !tells_usage(event) {
        return false;
    }
    let lines = event.split(|byte| *byte == b'\n' || *byte == b'\r');
    let data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    let data: Vec<&[u8]> = data.collect();
    let chunk: Option<Chunk> = serde_json::from_slice(&data.join(&b'\n')).ok();
    chunk.is_some_and(|chunk| chunk.choices.is_empty() && chunk.usage.is_some())
}
