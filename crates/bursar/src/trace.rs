//! The trace reader: what real traffic looked like, from a file's bytes.
//!
//! Reads CSV with a header (columns are found by name, in any case and order) and JSON lines.
//! Pure; every line becomes a request or a fault, none is dropped in silence.

use focus::{ModelName, TenantId};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The most tokens that one request of a trace may have on either side.
pub const TOKENS_MOST: u64 = 1_000_000_000;

/// One request of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its line in the file, from 1.
    pub line: u64,
    /// When it was made, in microseconds from any beginning, where the trace says so.
    pub at: Option<i64>,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Completion tokens.
    pub tokens_output: u64,
    /// Who made it, where the trace says so.
    pub tenant: Option<TenantId>,
    /// With what, where the trace says so.
    pub model: Option<ModelName>,
}

/// A line that is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What a file held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The requests, in the file's order.
    pub requests: Vec<Request>,
    /// The lines that are none.
    pub faults: Vec<Fault>,
}

/// Why a file as a whole is no trace.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraceError {
    /// A column that every trace needs is absent.
    #[error("no column for {wanted}: looked for {names}, found {found:?}")]
    Column {
        /// What it would hold.
        wanted: &'static str,
        /// The names that were looked for.
        names: String,
        /// The header.
        found: Vec<String>,
    },
    /// Not even a header.
    #[error("the file is empty")]
    Empty,
    /// The header can't be read.
    #[error("the header can't be read: {0}")]
    Header(String),
}

/// The form of a trace file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated, with a header. A timestamp that is a number counts seconds.
    Csv,
    /// A JSON object a line. A timestamp that is a number counts milliseconds.
    JsonLines,
}

/// The names that a column may have, in lower case.
struct Column {
    wanted: &'static str,
    names: &'static [&'static str],
}

const INPUT: Column = Column {
    wanted: "input tokens",
    names: &["contexttokens", "input_tokens", "prompt_tokens", "input_length"],
};
const OUTPUT: Column = Column {
    wanted: "output tokens",
    names: &["generatedtokens", "output_tokens", "completion_tokens", "output_length"],
};
const TIME: Column = Column { wanted: "the time", names: &["timestamp"] };
const TENANT: Column = Column { wanted: "the tenant", names: &["tenant", "tenant_id"] };
const MODEL: Column = Column { wanted: "the model", names: &["model"] };

impl Column {
    fn is(&self, name: &str) -> bool {
        self.names.contains(&name.to_ascii_lowercase().as_str())
    }
}

/// Reads a trace.
pub fn read(bytes: &[u8], form: Form) -> Result<Trace, TraceError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match form {
        Form::Csv => read_csv(bytes),
        Form::JsonLines => Ok(read_json_lines(bytes)),
    }
}

/// One line's values as text, before they mean anything.
#[derive(Default)]
struct Fields<'a> {
    input: Option<&'a str>,
    output: Option<&'a str>,
    time: Option<&'a str>,
    tenant: Option<&'a str>,
    model: Option<&'a str>,
}

impl Fields<'_> {
    fn request(&self, line: u64, units_per_second: i64) -> Result<Request, String> {
        let given = |text: &&str| !text.is_empty();
        let tenant = self.tenant.filter(given).map(TenantId::parse).transpose();
        let model = self.model.filter(given).map(ModelName::parse).transpose();
        Ok(Request {
            line,
            at: self.time.filter(given).map(|text| time(text, units_per_second)).transpose()?,
            tokens_input: tokens(self.input, &INPUT)?,
            tokens_output: tokens(self.output, &OUTPUT)?,
            tenant: tenant.map_err(|error| format!("{} {error}", TENANT.wanted))?,
            model: model.map_err(|error| format!("{} {error}", MODEL.wanted))?,
        })
    }
}

fn tokens(text: Option<&str>, column: &Column) -> Result<u64, String> {
    let text = text.ok_or_else(|| format!("{} are missing", column.wanted))?;
    // Some tools write whole numbers with a decimal point.
    let digits = text.strip_suffix(".0").unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = if plain { digits.parse().ok() } else { None };
    count.filter(|count| *count <= TOKENS_MOST).ok_or_else(|| {
        format!("{} {:?} are no number from 0 to {TOKENS_MOST}", column.wanted, excerpt(text))
    })
}

/// As much of a text as a message can show.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Microseconds of an instant, of a date and time without a zone, or of a number.
fn time(text: &str, units_per_second: i64) -> Result<i64, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_microsecond());
    }
    let civil = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::UTC).ok());
    if let Some(at) = civil {
        return Ok(at.timestamp().as_microsecond());
    }
    number(text, units_per_second)
        .ok_or_else(|| format!("timestamp {:?} is no time", excerpt(text)))
}

/// A decimal number of units as microseconds; digits past the microsecond are left out.
fn number(text: &str, units_per_second: i64) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) {
        return None;
    }
    let micros_per_unit = 1_000_000 / units_per_second;
    let mut micros = whole.parse::<i64>().ok()?.checked_mul(micros_per_unit)?;
    let mut worth = micros_per_unit;
    for digit in part.bytes() {
        worth /= 10;
        micros = micros.checked_add(i64::from(digit - b'0') * worth)?;
    }
    Some(micros)
}

fn read_csv(bytes: &[u8]) -> Result<Trace, TraceError> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| TraceError::Header(error.to_string()))?.clone();
    if header.is_empty() {
        return Err(TraceError::Empty);
    }
    let find = |column: &Column| header.iter().position(|name| column.is(name));
    let need = |column: &Column| {
        find(column).ok_or_else(|| TraceError::Column {
            wanted: column.wanted,
            names: column.names.join(", "),
            found: header.iter().take(64).map(excerpt).collect(),
        })
    };
    let (input, output) = (need(&INPUT)?, need(&OUTPUT)?);
    let (time, tenant, model) = (find(&TIME), find(&TENANT), find(&MODEL));
    let mut trace = Trace::default();
    let mut record = csv::StringRecord::new();
    let mut lines = Lines { bytes, at: 0, line: 1 };
    loop {
        let line = lines.of(reader.position());
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(trace),
            Ok(true) => {
                let at = |place: Option<usize>| place.and_then(|place| record.get(place));
                let fields = Fields {
                    input: record.get(input),
                    output: record.get(output),
                    time: at(time),
                    tenant: at(tenant),
                    model: at(model),
                };
                trace.add(line, fields.request(line, 1));
            }
            Err(error) => {
                let reason = match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
                    _ => error.to_string(),
                };
                trace.faults.push(Fault { line, reason });
                if error.is_io_error() {
                    return Ok(trace);
                }
            }
        }
    }
}

/// Counts lines as an editor does. The CSV reader counts `\n` alone, and a record's place is where
/// the one before ended, in front of blank lines and of the second half of `\r\n`.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that comes next.
    fn of(&mut self, place: &csv::Position) -> u64 {
        let is_end = |at: usize| matches!(self.bytes.get(at), Some(b'\n' | b'\r'));
        let mut start = usize::try_from(place.byte()).unwrap_or(usize::MAX);
        while is_end(start) {
            start += 1;
        }
        while self.at < start.min(self.bytes.len()) {
            let is_half =
                self.bytes[self.at] == b'\r' && self.bytes.get(self.at + 1) == Some(&b'\n');
            self.line += u64::from(is_end(self.at) && !is_half);
            self.at += 1;
        }
        self.line
    }
}

impl Trace {
    fn add(&mut self, line: u64, request: Result<Request, String>) {
        match request {
            Ok(request) => self.requests.push(request),
            Err(reason) => self.faults.push(Fault { line, reason }),
        }
    }
}

fn read_json_lines(bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        trace.add(line, json_request(line, bytes));
    }
    trace
}

fn json_request(line: u64, bytes: &[u8]) -> Result<Request, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Object(object) = value else { return Err("it is not a JSON object".to_owned()) };
    let find = |column: &Column| {
        let (_, value) = object.iter().find(|(name, _)| column.is(name))?;
        match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    };
    let (input, output) = (find(&INPUT), find(&OUTPUT));
    let (time, tenant, model) = (find(&TIME), find(&TENANT), find(&MODEL));
    let fields = Fields {
        input: input.as_deref(),
        output: output.as_deref(),
        time: time.as_deref(),
        tenant: tenant.as_deref(),
        model: model.as_deref(),
    };
    fields.request(line, 1_000)
}
