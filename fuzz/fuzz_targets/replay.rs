//! Bytes as what a replay server sends: read alike in whatever pieces they come.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_market::trial::answers(bytes));
