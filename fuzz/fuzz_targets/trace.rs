//! The trace reader: any bytes are requests and unreadable lines, or an error in words.
#![no_main]

use bursar::trace::{Form, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = read(data, Form::Csv);
    let _ = read(data, Form::JsonLines);
});
