//! The limit: two plain copies through one area, no bookkeeping but two places.

use super::Pipe;
use crate::harness::Failure;

/// An area of which each copy takes the next contiguous piece.
pub(super) struct Area {
    bytes: Vec<u8>,
    head: usize,
    tail: usize,
}

/// The next piece of `length` bytes at or after `place`, from the start if it does not fit.
fn next(place: usize, length: usize, all: usize) -> usize {
    if place + length > all { 0 } else { place }
}

impl Pipe for Area {
    fn with_capacity(capacity: usize) -> Result<Self, Failure> {
        Ok(Self { bytes: vec![0; capacity], head: 0, tail: 0 })
    }

    fn write(&mut self, message: &[u8]) {
        let start = next(self.tail, message.len(), self.bytes.len());
        self.tail = start + message.len();
        self.bytes[start..self.tail].copy_from_slice(message);
    }

    fn read(&mut self, target: &mut [u8]) {
        let start = next(self.head, target.len(), self.bytes.len());
        self.head = start + target.len();
        target.copy_from_slice(&self.bytes[start..self.head]);
    }
}
