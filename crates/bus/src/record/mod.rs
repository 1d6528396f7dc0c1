//! A ring of records between two threads, which can lie in a file and then outlasts the process.
//!
//! It is what a log stands on: one thread writes records, each in one piece, at the price of one
//! release store; another copies them out. Neither sleeps in here: the writer is told when there is
//! no room, and the reader looks when it likes. When the writer is dropped, the ring is *closed*;
//! after all has been read, it can be opened again for another thread.
//!
//! In a file ([`in_file`]) all that was committed is there at once, whatever becomes of the process:
//! [`Remains`] tells it from the bytes of the file alone, and holds nothing in there for true before
//! it has checked it.
//!
//! ```
//! use tautline_bus::record::{self, Config};
//!
//! let (mut writer, mut reader) = record::in_memory(Config::default())?;
//! let thread = std::thread::spawn(move || {
//!     let mut claim = writer.claim(100).expect("an empty ring has room");
//!     claim[..5].copy_from_slice(b"hello");
//!     claim.commit(5);
//! });
//! thread.join().unwrap();
//! let mut record = Vec::new();
//! assert!(reader.take(&mut record)?);
//! assert_eq!(record, b"hello");
//! reader.release(reader.position());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A child that is made by a bare `fork` shares the memory with its parent. It is refused to write
//! ([`Refusal::Forked`]), from Linux 4.14 on.

#[cfg(not(loom))]
mod clock;
mod error;
#[cfg(not(loom))]
mod exit;
mod kept;
#[cfg(not(loom))]
mod page;
mod reader;
#[cfg(not(loom))]
mod remains;
mod writer;

#[cfg(not(loom))]
pub use self::clock::Clock;
pub use self::error::{MakeError, Refusal};
#[cfg(not(loom))]
pub use self::exit::at_exit;
pub use self::reader::Reader;
#[cfg(not(loom))]
pub use self::remains::{Record, Remains, RemainsError};
pub use self::writer::{Claim, Writer};

use tautline_buffer::MapOptions;

use self::kept::Kept;
use crate::sync::Arc;

/// What a ring of records is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes that there is room for: each record takes 8 more than it has, rounded up to a multiple
    /// of 8. Rounded up to a power of two, and to whole pages.
    pub capacity: usize,
    /// The longest record that can be claimed, in bytes: at most half the capacity, less 8.
    pub longest: usize,
    /// Which pages the memory stands on, and whether they are there from the start. Huge pages are
    /// not for files.
    pub memory: MapOptions,
}

impl Default for Config {
    /// 256 KiB, prefaulted; records of up to 4 KiB.
    fn default() -> Self {
        Self { capacity: 256 << 10, longest: 4096, memory: MapOptions::new().prefault(true) }
    }
}

/// A ring in memory that vanishes with the process.
///
/// # Errors
/// [`MakeError`].
pub fn in_memory(config: Config) -> Result<(Writer, Reader), MakeError> {
    Ok(ends(Kept::in_memory(config)?))
}

/// A ring in a new file, of which its owner alone can read and write. The file stays when the ring
/// is dropped.
///
/// # Errors
/// [`MakeError`], also when there is such a file already.
#[cfg(not(loom))]
pub fn in_file(path: &std::path::Path, config: Config) -> Result<(Writer, Reader), MakeError> {
    Ok(ends(Kept::in_file(path, config)?))
}

fn ends(kept: Kept) -> (Writer, Reader) {
    let kept = Arc::new(kept);
    let reader = Reader::new(kept.clone());
    (Writer::new(kept), reader)
}
