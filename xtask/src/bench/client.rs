//! The least of an HTTP/1.1 client: one answer off the wire, known by its `content-length`.

use anyhow::{Context, Result, bail};

/// One answer as far as a load generator cares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where the body begins in the bytes.
    pub(super) body: usize,
    /// Where the answer ends in the bytes.
    pub(super) end: usize,
}

/// The answer at the start of `bytes`, or nothing while it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..head_end];
    let status = head.get(9..12).context("failed to read a status line")?;
    let status = std::str::from_utf8(status)?.parse().context("failed to read a status")?;
    let mut length = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(std::str::from_utf8(value)?.parse::<usize>()?);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            bail!("an answer without content-length: the load generator reads none such");
        }
    }
    let body = head_end + 4;
    let end = body + length.unwrap_or(0);
    Ok((bytes.len() >= end).then_some(Answer { status, body, end }))
}
