//! CSV bills: any bytes are records, each once and in order, or an error in words.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lake::fuzz::csv(data));
