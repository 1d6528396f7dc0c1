//! What all buffers have in common.

/// Bytes in, bytes out, in order. Writers `claim` room, fill it and `commit`; readers look at
/// `readable` and `consume`.
///
/// No call fails or allocates: what cannot be granted is cut, and the count says by how much. The
/// trait is object safe. Capacities are fixed at construction, in bytes.
///
/// ```
/// use tautline_buffer::{Bip, Fifo};
///
/// fn shout(fifo: &mut dyn Fifo) {
///     let claim = fifo.claim(5);
///     claim.copy_from_slice(b"hello");
///     assert_eq!(fifo.commit(5), 5);
///     fifo.readable_mut().make_ascii_uppercase();
///     assert_eq!(fifo.readable(), b"HELLO");
///     assert_eq!(fifo.consume(5), 5);
/// }
/// shout(&mut Bip::new(64)?);
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
pub trait Fifo {
    /// Room to write into: `min(n, self.free())` contiguous bytes with unspecified contents.
    /// Replaces an earlier claim that was not committed. A consume between claim and commit leaves
    /// the claim as it is.
    fn claim(&mut self, n: usize) -> &mut [u8];

    /// Makes the first `n` claimed bytes readable and ends the claim. Returns how many became
    /// readable: at most what was claimed, 0 without a claim.
    fn commit(&mut self, n: usize) -> usize;

    /// The oldest readable bytes, contiguous; empty only if [`used`](Self::used) is zero.
    fn readable(&self) -> &[u8];

    /// As [`readable`](Self::readable), to be changed in place, such as unmasked or decrypted.
    fn readable_mut(&mut self) -> &mut [u8];

    /// Forgets the oldest `n` readable bytes. Returns how many: at most `readable().len()`.
    fn consume(&mut self, n: usize) -> usize;

    /// Bytes committed and not yet consumed.
    fn used(&self) -> usize;

    /// Length of the longest claim that would be granted now.
    fn free(&self) -> usize;

    /// The most bytes that can be in use at once; `used() + free()` never exceeds it.
    fn capacity(&self) -> usize;

    /// Whether nothing is readable.
    #[inline]
    fn is_empty(&self) -> bool {
        self.used() == 0
    }

    /// Consumes everything.
    #[inline]
    fn clear(&mut self) {
        while self.consume(usize::MAX) > 0 {}
    }

    /// Copies as much of `bytes` in as one claim takes. Returns how many bytes that was.
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> usize {
        let claim = self.claim(bytes.len());
        let n = claim.len();
        claim.copy_from_slice(&bytes[..n]);
        self.commit(n)
    }

    /// Copies the oldest contiguous bytes out, as many as `out` holds, and consumes them. Returns
    /// how many bytes that was.
    #[inline]
    fn take(&mut self, out: &mut [u8]) -> usize {
        let readable = self.readable();
        let n = readable.len().min(out.len());
        out[..n].copy_from_slice(&readable[..n]);
        self.consume(n)
    }
}
