//! Bytes as what a snapshot server sends: read alike in whatever pieces they come, and in order.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_market::trial::parts(bytes));
