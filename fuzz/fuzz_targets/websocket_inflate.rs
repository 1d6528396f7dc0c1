//! Bytes as compressed messages: inflated without harm, the same however they are cut; and as messages that
//! are compressed and come back.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_websocket::trial::inflate(bytes));
