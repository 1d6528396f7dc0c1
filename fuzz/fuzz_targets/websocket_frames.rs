//! Bytes as frames: read without harm, the same however they are cut, and as tungstenite reads them; what
//! was read is sent, and read by tungstenite as what it was.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_websocket::trial::frames(bytes));
