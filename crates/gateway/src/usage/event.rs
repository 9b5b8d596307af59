//! Server-sent events, by the rules of
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
//!
//! Owns how bytes become lines and lines become an event's data, whatever way they are cut.
//! Invariant: memory is bounded; an event that is larger is counted, not kept.

/// The mark that a stream may begin with.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Puts events together. Only the `data` of an event matters here: both vendors repeat the event's
/// name in it.
pub(super) struct Events {
    /// The line that is not at its end.
    line: Vec<u8>,
    /// The data of the event that is not at its end.
    data: Vec<u8>,
    has_data: bool,
    /// Bytes that were too many to keep.
    dropped: u64,
    /// The last line ended with a carriage return, so that a line feed next belongs to it.
    after_return: bool,
    is_first_line: bool,
    most: usize,
}

/// An event's data.
pub(super) enum Data<'a> {
    Whole(&'a [u8]),
    /// It was too large: so many bytes.
    TooLarge(u64),
}

impl Events {
    /// Keeps at most so many bytes of an event.
    pub(super) fn new(most: usize) -> Events {
        Events {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            dropped: 0,
            after_return: false,
            is_first_line: true,
            most,
        }
    }

    /// Takes bytes and gives each event that they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Data<'_>)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes);
                return;
            };
            self.after_return = bytes[end] == b'\r';
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.line.is_empty() && line.len() <= self.most {
                self.take_line(line, &mut each);
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.line);
                self.take_line(&whole, &mut each);
                // The memory is used again, unless it is much.
                if whole.capacity() <= 64 * 1024 {
                    self.line = whole;
                    self.line.clear();
                }
            }
        }
    }

    /// The stream is over: gives the event that no empty line has ended.
    pub(super) fn end(&mut self, mut each: impl FnMut(Data<'_>)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, &mut each);
        }
        self.take_line(&[], &mut each);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (kept, over) = bytes.split_at(bytes.len().min(self.most - self.line.len()));
        self.line.extend_from_slice(kept);
        self.dropped = self.dropped.saturating_add(over.len() as u64);
    }

    fn take_line(&mut self, line: &[u8], each: &mut impl FnMut(Data<'_>)) {
        let line = match std::mem::take(&mut self.is_first_line) {
            true => line.strip_prefix(BOM).unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            return self.dispatch(each);
        }
        let Some(value) = data_of(line) else { return };
        if self.data.len() + value.len() + 1 > self.most {
            self.dropped = self.dropped.saturating_add(value.len() as u64);
            return;
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
    }

    fn dispatch(&mut self, each: &mut impl FnMut(Data<'_>)) {
        let kept = self.data.len() as u64;
        match std::mem::take(&mut self.dropped) {
            0 if std::mem::take(&mut self.has_data) => each(Data::Whole(&self.data)),
            0 => {}
            dropped => {
                self.has_data = false;
                each(Data::TooLarge(dropped.saturating_add(kept)));
            }
        }
        self.data.clear();
        self.data.shrink_to(64 * 1024);
    }
}

/// The value of a `data` field; `None` for comments and other fields.
pub(super) fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
