//! Bytes as what has come to a codec: the same in whatever pieces, and nothing sooner than it has said.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_net::trial::codec_framing(bytes));
