//! The usual answer: `bytes::BytesMut`, which moves its content to the front when it runs out.

use bytes::{Buf, BytesMut};

use super::Pipe;
use crate::harness::Failure;

/// A `BytesMut` that is appended to and advanced.
pub(super) struct Growing(BytesMut);

impl Pipe for Growing {
    fn with_capacity(capacity: usize) -> Result<Self, Failure> {
        Ok(Self(BytesMut::with_capacity(capacity)))
    }

    fn write(&mut self, message: &[u8]) {
        self.0.extend_from_slice(message);
    }

    fn read(&mut self, target: &mut [u8]) {
        self.0.copy_to_slice(target);
    }
}
