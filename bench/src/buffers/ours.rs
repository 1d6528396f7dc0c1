//! Tautline's buffers.

use tautline_buffer::{Bip, ByteBuffer, Error, Fifo, Mirrored};

use super::{Kind, Pipe, Shape, contender as named};
use crate::harness::{Contender, Failure, Role};

/// Our buffer of one kind.
pub(super) fn contender(kind: Kind, shape: Shape) -> Contender {
    match kind {
        Kind::Mirrored => named::<Queue<Mirrored>>("tautline", Role::Tautline, shape),
        Kind::Bip => named::<Queue<Bip>>("tautline", Role::Tautline, shape),
        Kind::Byte => named::<Queue<ByteBuffer>>("tautline", Role::Tautline, shape),
    }
}

/// Any of our buffers, by its one trait.
struct Queue<F>(F);

/// What [`Queue`] needs beyond [`Fifo`]: to be made.
trait Construct: Fifo + Sized {
    /// A buffer of at least `capacity` bytes.
    fn of(capacity: usize) -> Result<Self, Error>;
}

impl Construct for Mirrored {
    fn of(capacity: usize) -> Result<Self, Error> {
        Self::new(capacity)
    }
}

impl Construct for Bip {
    fn of(capacity: usize) -> Result<Self, Error> {
        Self::new(capacity)
    }
}

impl Construct for ByteBuffer {
    fn of(capacity: usize) -> Result<Self, Error> {
        Self::new(capacity)
    }
}

impl<F: Construct> Pipe for Queue<F> {
    fn with_capacity(capacity: usize) -> Result<Self, Failure> {
        F::of(capacity).map(Self).map_err(|error| Failure::Io(std::io::Error::other(error)))
    }

    fn write(&mut self, message: &[u8]) {
        let mut written = 0;
        while written < message.len() {
            let put = self.0.put(&message[written..]);
            assert!(put > 0, "the benchmark never writes more than fits");
            written += put;
        }
    }

    fn read(&mut self, target: &mut [u8]) {
        let mut read = 0;
        while read < target.len() {
            let taken = self.0.take(&mut target[read..]);
            assert!(taken > 0, "the benchmark never reads more than was written");
            read += taken;
        }
    }
}
