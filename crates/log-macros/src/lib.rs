//! Call sites of `tautline-log`: format strings taken apart at compile time.
//!
//! Used through `tautline_log`, which re-exports it.

#![forbid(unsafe_code)] // what it writes into other crates is theirs
