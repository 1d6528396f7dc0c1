//! FIFO byte buffers whose every claim and read is contiguous.
//!
//! | type | memory | for |
//! | --- | --- | --- |
//! | [`Mirrored`] | one memory file, mapped twice in a row | streams: contiguous across the wrap |
//! | [`Bip`] | heap | packets: each claim contiguous, small, no mapping |
//! | [`ByteBuffer`] | mapped, address space for its limit | codecs: partial messages, saved pieces |
//! | [`Region`] | mapped | pools that others carve up |
//! | [`Mirror`] | one memory file, mapped twice in a row | rings of others: no indices of its own |
//! | [`Pool`] | rings of the first sort | many connections, few of them busy |
//!
//! All buffers speak [`Fifo`]: claim, commit, readable, consume. Nothing allocates after
//! construction, nothing copies except for
//! [`ByteBuffer`]'s counted compaction, and whatever the system refuses at construction
//! is an [`Error`] that names the remedy.
//!
//! ```
//! use tautline_buffer::{Fifo, Mirrored};
//!
//! let mut buffer = Mirrored::new(64 * 1024)?;
//! let room = buffer.claim(1024);          // at most 1024 bytes
//! room[..5].copy_from_slice(b"hello");    // a socket would write here
//! buffer.commit(5);
//! assert_eq!(buffer.readable(), b"hello");
//! buffer.consume(5);
//! # Ok::<(), tautline_buffer::Error>(())
//! ```

mod error;
pub use error::{Error, SaveError};

mod fifo;
pub use fifo::Fifo;

mod options;
pub use options::{HugePages, MapOptions, Pages};

mod map;

pub mod region;
pub use region::Region;

mod mirror;
pub use mirror::Mirror;

mod mirrored;
pub use mirrored::Mirrored;

mod pool;
pub use pool::{LendError, Lending, Lent, Pool};

mod bip;
pub use bip::Bip;

pub mod byte;
pub use byte::{ByteBuffer, Slot};

pub mod kernels;
