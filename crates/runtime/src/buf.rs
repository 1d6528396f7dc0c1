//! Buffers that an operation may own while the kernel uses them.

/// A buffer of initialised bytes at an address that does not change while the buffer
/// is moved, so that the kernel may read it while an operation owns it.
///
/// # Safety
/// The slice of [`bytes`](Self::bytes) must stay at the same address, with the same
/// length, while `self` is moved and not otherwise touched, and must stay valid until
/// `self` is dropped.
pub unsafe trait IoBuf: 'static {
    /// The bytes to send.
    fn bytes(&self) -> &[u8];
}

/// A buffer that the kernel may also write to.
///
/// # Safety
/// As for [`IoBuf`], for the slice of [`bytes_mut`](Self::bytes_mut).
pub unsafe trait IoBufMut: IoBuf {
    /// The bytes to receive into: all of its length.
    fn bytes_mut(&mut self) -> &mut [u8];
}

// SAFETY: the bytes lie on the heap; moving the owner moves only the pointer to them.
unsafe impl IoBuf for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above; a unique owner.
unsafe impl IoBufMut for Vec<u8> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: the bytes lie on the heap; moving the owner moves only the pointer to them.
unsafe impl IoBuf for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above; a unique owner.
unsafe impl IoBufMut for Box<[u8]> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: static bytes never move.
unsafe impl IoBuf for &'static [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: static bytes never move.
unsafe impl IoBuf for &'static str {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

// SAFETY: the bytes lie on the heap.
unsafe impl IoBuf for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

// SAFETY: the bytes lie on the heap, shared and immutable while any owner lives.
unsafe impl IoBuf for std::rc::Rc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: the bytes lie on the heap, shared and immutable while any owner lives.
unsafe impl IoBuf for std::sync::Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
