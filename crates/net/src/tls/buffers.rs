//! Where cipher bytes lie while they are on their way: memory that all connections of a thread
//! share.

use std::cell::{Cell, RefCell};

use tautline_buffer::{LendError, Lent, Pool};

use super::Error;
use super::session::Outgoing;

/// Bytes of a buffer: the longest message of a handshake (64 KiB), and the record that it ends in.
const SIZE: usize = 80 << 10;

/// Buffers that a thread may have, unless something else is said.
const COUNT: usize = 4096;

/// Bytes that may be enciphered before they are queued: four full records.
pub(super) const BATCH: usize = 4 * (16 << 10);

thread_local! {
    static MOST: Cell<usize> = const { Cell::new(COUNT) };
    static POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
    static SCRATCH: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
}

/// Sets how many connections of this thread may hold an incomplete record at a time; default
/// 4,096. An idle connection holds none. Each buffer is 80 KiB of addresses, of which those pages
/// have memory that were needed, and stays once it was made. When all are in use, the connection
/// that would need another ends with [`Error::Buffers`].
///
/// Connections that stand keep what they have.
pub fn set_buffers(most: usize) {
    MOST.set(most);
    POOL.set(None);
}

/// How many buffers of this thread are lent out now: those of incomplete records.
pub fn buffers_in_use() -> usize {
    POOL.with_borrow(|pool| pool.as_ref().map_or(0, Pool::lent))
}

/// Lends an empty one.
pub(super) fn lend() -> Result<Lent, Error> {
    let lent =
        POOL.with_borrow_mut(|pool| pool.get_or_insert_with(|| Pool::new(MOST.get(), SIZE)).lend());
    lent.map_err(|error| match error {
        LendError::Exhausted { count } => Error::Buffers { count },
        LendError::Map(error) => Error::Memory(error.to_string()),
    })
}

/// Lends the thread's memory for cipher bytes that leave. It comes back empty.
pub(super) fn with_outgoing<R>(act: impl FnOnce(&mut Outgoing) -> R) -> R {
    let fresh = || Box::new(Outgoing::with_capacity(BATCH + (20 << 10)));
    let mut out = SCRATCH.take().unwrap_or_else(fresh);
    let result = act(&mut out);
    out.clear();
    SCRATCH.set(Some(out));
    result
}

/// Lends the thread's memory for what several parts of one record say together.
pub(super) fn with_joined<R>(act: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    thread_local! {
        static JOINED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut joined = JOINED.take();
    let result = act(&mut joined);
    joined.clear();
    JOINED.set(joined);
    result
}
