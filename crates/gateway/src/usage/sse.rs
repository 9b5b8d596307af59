//! Server-sent events, cut any way into chunks.
//!
//! Source: [the HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html).

use memchr::memchr2;

/// The longest event that is looked into; a longer one is taken for text.
pub(super) const EVENT_MOST: usize = 4 * 1024 * 1024;

/// Takes a stream apart into the data of its events.
#[derive(Default)]
pub(super) struct Events {
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The data of the event so far.
    data: Vec<u8>,
    is_too_long: bool,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    has_begun: bool,
}

impl Events {
    /// Reads on; `told` is given the data of every event that ends here.
    pub(super) fn feed(&mut self, mut bytes: &[u8], told: &mut impl FnMut(&[u8])) {
        if self.after_return && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        if !bytes.is_empty() {
            self.after_return = false;
        }
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.line.is_empty() {
                self.take(line, told);
            } else {
                self.append(line);
                let line = std::mem::take(&mut self.line);
                self.take(&line, told);
                self.line = line;
                self.line.clear();
            }
            let is_return = rest.first() == Some(&b'\r');
            bytes = &rest[1..];
            if is_return {
                match bytes.first() {
                    Some(b'\n') => bytes = &bytes[1..],
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
        }
        self.append(bytes);
    }

    /// The end of the stream: what has come of the last event is told as it is.
    pub(super) fn finish(&mut self, told: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take(&line, told);
        }
        self.dispatch(told);
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > EVENT_MOST {
            self.is_too_long = true;
            // Enough of it stays to see that it is data.
            self.line.truncate(64);
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn take(&mut self, line: &[u8], told: &mut impl FnMut(&[u8])) {
        let mut line = line;
        if !self.has_begun {
            self.has_begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(told);
            return;
        }
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        if self.data.len() + data.len() > EVENT_MOST {
            self.is_too_long = true;
            return;
        }
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
    }

    fn dispatch(&mut self, told: &mut impl FnMut(&[u8])) {
        if !self.data.is_empty() && !self.is_too_long {
            told(&self.data);
        }
        self.data.clear();
        self.is_too_long = false;
    }
}

/// Where the first event in the bytes ends: behind the empty line after it.
pub(super) fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr2(b'\n', b'\r', bytes.get(from..)?) {
        let line_end = from + at + break_length(&bytes[from + at..])?;
        match bytes.get(line_end..).and_then(break_length) {
            Some(length) => return Some(line_end + length),
            None => from = line_end,
        }
    }
    None
}

/// The length of a line break at the start of the bytes; `None` where there is none, or it may go
/// on beyond them.
fn break_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        [b'\r', _, ..] => Some(1),
        _ => None,
    }
}
