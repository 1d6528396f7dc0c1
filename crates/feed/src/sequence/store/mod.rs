//! Where packets are kept that have come ahead of others.

mod bip;
mod pool;
mod slots;

pub use self::bip::Bip;
pub use self::pool::{Pool, PoolKey};
pub use self::slots::Slots;

/// Memory of a fixed size for the bodies of packets, or parts of them.
///
/// | store | memory | taking out | for |
/// | --- | --- | --- | --- |
/// | [`Pool`] | slots of one size | at once | packets that are about as large as a datagram can be |
/// | [`Slots`] | blocks of 64 bytes times a power of two | O(log n), at once | packets of all sizes |
/// | [`Bip`] | one ring, in the order in which they come | in that order | gaps that are short |
pub trait Store {
    /// What was kept.
    type Key: Copy + Default;

    /// Most bytes that it keeps in one piece, when it is empty.
    fn largest(&self) -> usize;

    /// Keeps a copy; `None`: there is no room.
    fn keep(&mut self, bytes: &[u8]) -> Option<Self::Key>;

    /// What was kept.
    fn get(&self, key: Self::Key) -> &[u8];

    /// Lets it go. Once for each key.
    fn release(&mut self, key: Self::Key);
}

/// Why there is no such store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There would be nothing in it.
    #[error("a store of {packets} packets of {bytes} bytes keeps nothing: both must be above zero")]
    Empty {
        /// Packets.
        packets: usize,
        /// Bytes of each.
        bytes: usize,
    },
    /// The system has not so much memory, or nobody could count it.
    #[error("{bytes} bytes of memory are not to be had for a store: make it smaller")]
    Memory {
        /// As many, at most what can be counted.
        bytes: usize,
    },
}

/// Memory of so many bytes, zeroed.
fn memory(packets: usize, bytes: usize) -> Result<Box<[u8]>, StoreError> {
    if packets == 0 || bytes == 0 {
        return Err(StoreError::Empty { packets, bytes });
    }
    let all = packets.checked_mul(bytes).filter(|all| u32::try_from(*all).is_ok());
    let all = all.ok_or(StoreError::Memory { bytes: packets.saturating_mul(bytes) })?;
    table(all, 0)
}

/// So many of something.
fn table<T: Clone>(len: usize, each: T) -> Result<Box<[T]>, StoreError> {
    let mut table = Vec::new();
    table.try_reserve_exact(len).map_err(|_| too_much::<T>(len))?;
    table.resize(len, each);
    Ok(table.into())
}

fn too_much<T>(len: usize) -> StoreError {
    StoreError::Memory { bytes: len.saturating_mul(size_of::<T>()) }
}

#[cfg(test)]
mod tests;
