//! CSV bills: cut into blocks of whole records, and blocks into columns of text.
//!
//! Owns what a record is: it ends with `\n`, `\r` or both outside quotes, and is not empty. One thread cuts ([`Cutter`]), any number make columns of what it cut
//! ([`columns`]). Invariant: memory is bounded by the longest record that is allowed and the size
//! of a block, whatever the file holds.

use std::{io::Read, sync::Arc};

use arrow::{
    array::{ArrayRef, StringArray},
    buffer::{Buffer, NullBuffer, OffsetBuffer},
};
use memchr::{memchr, memchr3};

use crate::{
    findings::{Findings, Rule},
    limit::Limits,
};

#[cfg(test)]
mod tests;

/// Bytes of a block.
const BLOCK: usize = 4 << 20;
/// What some programs put at the beginning of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Bytes of one read.
const READ: usize = 256 << 10;

/// Why a file is refused, at which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) line: u64,
    pub(crate) say: String,
}

fn refuse<T>(line: u64, say: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { line, say: say.into() })
}

/// Whole records, and which they are.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The first record's number; the first below the header is 1.
    pub(crate) row: u64,
    pub(crate) rows: u64,
}

/// Cuts a file at the ends of records.
pub(crate) struct Cutter<R> {
    reader: R,
    limits: Limits,
    /// What was read and not handed out.
    buffer: Vec<u8>,
    /// How far it was looked through, and whether that is inside quotes.
    looked: usize,
    quoted: bool,
    /// Behind the last quote that closed: one right there opens again.
    closed: usize,
    /// Where the record begins that was looked through in part, and how many are before it.
    record: usize,
    rows: u64,
    ended: bool,
    row: u64,
    line: u64,
}

impl<R: Read> Cutter<R> {
    pub(crate) fn new(reader: R, limits: Limits) -> Self {
        Self {
            reader,
            limits,
            buffer: Vec::with_capacity(BLOCK + READ),
            looked: 0,
            quoted: false,
            closed: 0,
            record: 0,
            rows: 0,
            ended: false,
            row: 0,
            line: 1,
        }
    }

    /// The names of the columns.
    pub(crate) fn header(&mut self) -> Result<Vec<String>, Refusal> {
        let block = loop {
            if let Some(end) = self.scan_one()? {
                break self.take(end, 1);
            }
            if !self.fill()? {
                let end = self.buffer.len();
                break self.take(end, 1);
            }
        };
        self.row = 1;
        let bytes = block.bytes.strip_prefix(BOM).unwrap_or(&block.bytes);
        header(bytes)
    }

    /// The next records; `None` at the end.
    pub(crate) fn block(&mut self) -> Result<Option<Block>, Refusal> {
        loop {
            self.scan()?;
            if self.record >= BLOCK / 2 || (self.record > 0 && self.ended) {
                let block = self.take(self.record, self.rows);
                if block.rows > 0 {
                    return Ok(Some(block));
                }
                // Nothing but empty lines.
                continue;
            }
            if !self.ended && self.fill()? {
                continue;
            }
            self.ended = true;
            if self.quoted {
                let line = self.line + lines(&self.buffer[..self.record]);
                return refuse(line, "a quote opens here and never closes; the file is cut off");
            }
            if self.buffer.len() > self.record {
                // The last record may go without a line end.
                self.buffer.push(b'\n');
            } else if self.record == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> Result<bool, Refusal> {
        let wanted = if self.buffer.len() < READ { READ } else { BLOCK };
        let before = self.buffer.len();
        let line = self.line;
        let read = Read::by_ref(&mut self.reader).take(wanted as u64).read_to_end(&mut self.buffer);
        match read {
            Ok(_) => Ok(self.buffer.len() > before),
            Err(error) => {
                let line = line + lines(&self.buffer);
                refuse(line, format!("{error} after {line} lines; deliver the file again"))
            }
        }
    }

    /// Looks on to the end of one record.
    fn scan_one(&mut self) -> Result<Option<usize>, Refusal> {
        while let Some(at) = self.next_mark() {
            if self.step(at) {
                return Ok(Some(self.looked));
            }
            self.check_length()?;
        }
        self.check_length()?;
        Ok(None)
    }

    /// Looks through what was read, for the ends of records.
    fn scan(&mut self) -> Result<(), Refusal> {
        while let Some(at) = self.next_mark() {
            if self.step(at) {
                self.check_length()?;
                // An empty line is no record; one stands between `\r` and `\n`.
                self.rows += u64::from(at > self.record);
                self.record = self.looked;
            }
        }
        self.check_length()
    }

    fn check_length(&self) -> Result<(), Refusal> {
        if self.looked - self.record > self.limits.record_bytes {
            return self.too_long();
        }
        Ok(())
    }

    fn too_long<T>(&self) -> Result<T, Refusal> {
        let line = self.line + lines(&self.buffer[..self.record]);
        let most = self.limits.record_bytes;
        refuse(
            line,
            format!("a record of over {most} bytes; is a quote left open, or is it no CSV?"),
        )
    }

    /// The next quote or line end that is not looked at.
    fn next_mark(&mut self) -> Option<usize> {
        let rest = &self.buffer[self.looked..];
        let found = match self.quoted {
            true => memchr(b'"', rest),
            false => memchr3(b'"', b'\n', b'\r', rest),
        };
        if found.is_none() {
            self.looked = self.buffer.len();
        }
        found.map(|at| self.looked + at)
    }

    /// Goes past a mark; true if a record ends there.
    fn step(&mut self, at: usize) -> bool {
        self.looked = at + 1;
        if matches!(self.buffer[at], b'\n' | b'\r') {
            return true;
        }
        if self.quoted {
            // Two quotes are one; the second opens again.
            self.quoted = false;
            self.closed = self.looked;
            return false;
        }
        let before = at.checked_sub(1).map(|before| self.buffer[before]);
        let bom = self.row == 0 && at == 3 && self.buffer.starts_with(BOM);
        let again = at > 0 && self.closed == at;
        self.quoted = bom || again || matches!(before, None | Some(b',' | b'\n' | b'\r'));
        false
    }

    fn take(&mut self, end: usize, rows: u64) -> Block {
        let rest = self.buffer.split_off(end);
        let mut bytes = Vec::with_capacity(BLOCK + READ);
        bytes.extend_from_slice(&rest);
        std::mem::swap(&mut bytes, &mut self.buffer);
        let row = self.row;
        self.row += rows;
        self.line += lines(&bytes);
        (self.looked, self.record, self.closed, self.rows) = (0, 0, 0, 0);
        self.quoted = false;
        Block { bytes, row, rows }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn reader<R: Read>(bytes: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes)
}

fn header(bytes: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut record = csv::ByteRecord::new();
    let read = reader(bytes).read_byte_record(&mut record).unwrap_or(false);
    if !read {
        return refuse(1, "no header; the first line has to name the columns");
    }
    let mut names = Vec::new();
    for name in &record {
        match std::str::from_utf8(name) {
            Ok(name) => names.push(name.trim().to_owned()),
            Err(_) => return refuse(1, "a column's name is not UTF-8; save the file as UTF-8"),
        }
    }
    check_header(&names)?;
    Ok(names)
}

/// A header must be split at its commas and name every column once.
pub(crate) fn check_header(names: &[String]) -> Result<(), Refusal> {
    // Columns of tags in AWS's reports tell great letters from small ones.
    match focus::cur::is_report(names) {
        true => unique(names, str::to_owned),
        false => unique(names, str::to_ascii_lowercase),
    }
}

fn unique(names: &[String], key: impl Fn(&str) -> String) -> Result<(), Refusal> {
    if let [only] = names
        && let Some(other) = [';', '\t', '|'].into_iter().find(|other| only.contains(*other))
    {
        let say = format!("columns are parted by {other:?}; FOCUS files part them by commas");
        return refuse(1, say);
    }
    let mut seen = std::collections::BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return refuse(1, format!("column {} has no name", at + 1));
        }
        if let Some(first) = seen.insert(key(name), at) {
            let (first, second) = (first + 1, at + 1);
            return refuse(1, format!("columns {first} and {second} are both named {name:?}"));
        }
    }
    Ok(())
}

/// Records below others: a mark of UTF-8 is one at a file's beginning alone, and here it is text. An
/// empty line before it is no record.
fn below(records: &[u8]) -> impl Read {
    let line: &[u8] = if records.starts_with(BOM) { b"\n" } else { b"" };
    line.chain(records)
}

/// A block as columns of text. Empty, `NULL` and `null` is null. A record with too many or too
/// few fields is a finding, and null everywhere.
pub(crate) fn columns(block: &Block, width: usize, findings: &mut Findings) -> Vec<ArrayRef> {
    let rows = usize::try_from(block.rows).unwrap_or(0);
    let mut columns: Vec<Text> = (0..width).map(|_| Text::with_capacity(rows)).collect();
    let mut reader = reader(below(&block.bytes));
    let mut record = csv::ByteRecord::new();
    let mut row = 0;
    // Bytes in memory: reading them can't fail, and every record is flexible.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        if record.len() == width {
            for (column, field) in columns.iter_mut().zip(&record) {
                column.push(field);
            }
        } else {
            columns.iter_mut().for_each(|column| column.push(b""));
            let found = record.len();
            let say = format!("{found} fields under {width} columns");
            findings.broken(row, Rule::Fields, say);
            findings.keep_record(row, &record);
        }
        row += 1;
    }
    columns.into_iter().map(|column| column.finish(findings)).collect()
}

/// A column of text that grows.
struct Text {
    values: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Text {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { values: Vec::with_capacity(rows * 16), offsets, valid: Vec::with_capacity(rows) }
    }

    fn push(&mut self, field: &[u8]) {
        let valid = !matches!(field, b"" | b"NULL" | b"null");
        if valid {
            self.values.extend_from_slice(field);
        }
        self.valid.push(valid);
        // A block is some megabytes; its end fits.
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
    }

    fn finish(self, findings: &mut Findings) -> ArrayRef {
        let valid = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        let offsets = OffsetBuffer::new(self.offsets.into());
        let values = Buffer::from_vec(self.values);
        let made = StringArray::try_new(offsets.clone(), values.clone(), valid.clone());
        Arc::new(made.unwrap_or_else(|_| lossy(&offsets, &values, valid.as_ref(), findings)))
    }
}

/// Text of which some is not UTF-8: those rows are findings.
fn lossy(
    offsets: &OffsetBuffer<i32>,
    values: &[u8],
    valid: Option<&NullBuffer>,
    findings: &mut Findings,
) -> StringArray {
    let spans = offsets.windows(2).enumerate();
    let texts = spans.map(|(row, span)| {
        if valid.is_some_and(|valid| valid.is_null(row)) {
            return None;
        }
        let (from, to) = (usize::try_from(span[0]).ok()?, usize::try_from(span[1]).ok()?);
        let text = String::from_utf8_lossy(&values[from..to]);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            findings.broken(row, Rule::Utf8, format!("{text:?} is not UTF-8"));
        }
        Some(text.into_owned())
    });
    texts.collect()
}
