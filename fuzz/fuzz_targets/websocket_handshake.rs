//! Bytes as the heads of an opening handshake: read without harm, the same however they are cut, and what
//! is granted is understood by a client that has asked for it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_websocket::trial::handshake(bytes));
