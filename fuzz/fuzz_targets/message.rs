//! Bytes as a message of an exchange: read without harm, and the same when it is written again.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_market::trial::message(bytes));
