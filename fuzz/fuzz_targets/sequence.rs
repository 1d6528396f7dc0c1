//! Bytes as whatever may happen to a sequencer: all is told in order and once, and it stays sound.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_feed::trial::sequence(bytes));
