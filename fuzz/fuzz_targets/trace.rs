//! The trace reader: any bytes are requests and unreadable lines, or an error in words. What was
//! read is spread over tenants and priced.
#![no_main]

use std::sync::LazyLock;

use bursar::{
    replay::plan::{self, Spread},
    trace::{Form, TOKENS_MOST, Trace, read},
};
use focus::ModelName;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use money::PriceBook;

static BOOK: LazyLock<PriceBook> = LazyLock::new(PriceBook::shipped);

fuzz_target!(|data: &[u8]| {
    match read(data, Form::Csv) {
        Ok(trace) => use_up(data, &trace),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match read(data, Form::JsonLines) {
        Ok(trace) => {
            let blank = |line: &&[u8]| line.trim_ascii().is_empty();
            let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
            let lines = data.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
            assert_eq!(trace.requests.len() + trace.faults.len(), lines, "a line is lost");
            use_up(data, &trace);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn use_up(data: &[u8], trace: &Trace) {
    let most = 1 + data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    let lines = trace.requests.iter().map(|request| request.line);
    for line in lines.chain(trace.faults.iter().map(|fault| fault.line)) {
        assert!((1..=most).contains(&line), "line {line} of {most}");
    }
    assert!(trace.requests.is_sorted_by(|one, other| one.line < other.line));
    for request in &trace.requests {
        assert!(request.tokens_input.max(request.tokens_output) <= TOKENS_MOST);
    }
    let model = ModelName::parse("claude-3-5-sonnet-20241022").expect("a model");
    let spread = Spread { tenants: 3, skew: 1.1, seed: 1, model };
    let calls = plan::spread(&trace.requests, data, &spread, &BOOK).expect("calls");
    assert_eq!(calls.len(), trace.requests.len());
    let keys: std::collections::HashSet<_> = calls.iter().map(|call| call.key).collect();
    assert_eq!(keys.len(), calls.len(), "two calls have one key");
    let _ = plan::costs(&calls, &BOOK, Timestamp::UNIX_EPOCH);
    let _ = plan::costs(&calls, &BOOK, Timestamp::MAX);
}
