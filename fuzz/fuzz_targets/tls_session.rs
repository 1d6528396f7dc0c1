//! Bytes as the peer of a TLS session, or as changes to what two sessions say to each other: no panic, no
//! progress after a failure, and no failure where nothing was changed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tautline_net::trial::tls_session(bytes));
