//! The least of an HTTP/1.1 client: one answer off the wire, known by its `content-length` or its last chunk.

use anyhow::{Context, Result};

/// One answer as far as a load generator cares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where the body begins in the bytes.
    pub(crate) body: usize,
    /// Where the answer ends in the bytes.
    pub(crate) end: usize,
}

/// The answer at the start of `bytes`, or nothing while it is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..head_end];
    let status = head.get(9..12).context("failed to read a status line")?;
    let status = std::str::from_utf8(status)?.parse().context("failed to read a status")?;
    let (mut length, mut is_chunked) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(std::str::from_utf8(value)?.parse::<usize>()?);
        }
        is_chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    let body = head_end + 4;
    if is_chunked {
        // The last chunk; what is in the others is not ours to read.
        let is_whole = bytes[body..].ends_with(b"\r\n0\r\n\r\n");
        return Ok(is_whole.then_some(Answer { status, body, end: bytes.len() }));
    }
    let end = body + length.unwrap_or(0);
    Ok((bytes.len() >= end).then_some(Answer { status, body, end }))
}
