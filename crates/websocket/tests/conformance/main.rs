//! What RFC 6455 and RFC 7692 demand, a test for each clause, over sockets and in simulated worlds. What
//! they say of heads alone is tested where heads are read and written (`src/handshake/tests`), and what
//! they say of compressed bytes in `src/deflate/tests`; `docs/conformance.md` lists all of them.

#[path = "../raw/mod.rs"]
mod raw;

mod closing;
mod compression;
mod control;
mod framing;
mod opening;
mod text;
