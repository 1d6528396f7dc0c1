//! Cipher bytes on their way out.

use std::fmt;

/// Cipher bytes that are to leave, in memory that is used again and again.
#[derive(Default)]
pub struct Outgoing {
    /// All of it is initialised; the first `len` bytes are to leave.
    bytes: Vec<u8>,
    len: usize,
}

impl Outgoing {
    /// With memory for `size` bytes; it grows where that does not do.
    pub fn with_capacity(size: usize) -> Self {
        Self { bytes: vec![0; size], len: 0 }
    }

    /// Room for at least `size` bytes behind those that are there.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < size {
            self.bytes.resize(self.len + size, 0);
        }
        &mut self.bytes[self.len..]
    }

    /// So many bytes of the spare room were filled.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.len, "no more than there was room for");
        self.len += count;
    }

    /// What is to leave.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything has left.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("len", &self.len).finish_non_exhaustive()
    }
}
