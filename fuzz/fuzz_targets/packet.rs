//! Bytes as packets of all formats: read without harm, and the same when they are written again.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_feed::trial::packet(bytes));
