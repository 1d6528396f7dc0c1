//! Whatever may come, played from bytes: for fuzz targets, and for tests that replay what they have
//! found.
//!
//! A fuzzer makes up bytes, the functions here make of them what they like, and panic if something
//! is not as it should be. The targets are in `fuzz/`.

mod framing;
mod tls;

pub use self::framing::codec_framing;
pub use self::tls::tls_session;
