//! The two directions of a stream, each with an owner of its own.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tautline_runtime::{Descriptor, IoBuf, IoBufMut, Operation};

use crate::calls::{Stands, reading, writing};
use crate::op;

/// A stream that can be split.
#[expect(private_bounds, reason = "the streams are those of this crate")]
pub trait Duplex: Stands {}

/// The receiving half of a stream.
pub struct ReadHalf<S: Duplex> {
    stream: Rc<S>,
}

/// The sending half of a stream. Dropping it ends sending, once everything that was
/// written has left; the other half goes on.
pub struct WriteHalf<S: Duplex> {
    stream: Rc<S>,
    /// It goes back to its stream instead of ending it.
    rejoins: bool,
}

pub(crate) fn split<S: Duplex>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(stream);
    (ReadHalf { stream: stream.clone() }, WriteHalf { stream, rejoins: false })
}

impl<S: Duplex> ReadHalf<S> {
    /// Makes one stream of its halves again.
    ///
    /// # Errors
    /// Gives both back if they are of different streams.
    pub fn reunite(self, mut other: WriteHalf<S>) -> Result<S, (Self, WriteHalf<S>)> {
        if !Rc::ptr_eq(&self.stream, &other.stream) {
            return Err((self, other));
        }
        other.rejoins = true;
        drop(other);
        Rc::try_unwrap(self.stream).map_err(|_| unreachable!("a stream has two halves"))
    }

    /// The stream that it is a half of.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn descriptor(&self) -> &Descriptor {
        self.stream.stands()
    }
}

impl<S: Duplex> WriteHalf<S> {
    /// The stream that it is a half of.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn descriptor(&self) -> &Descriptor {
        self.stream.stands()
    }

    fn end(&self) -> io::Result<()> {
        self.descriptor().shutdown(Shutdown::Write)
    }
}

impl<S: Duplex> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if !self.rejoins {
            // It fails only if the stream is closed, and then sending has ended.
            let _ = self.end();
        }
    }
}

reading!([S: Duplex] ReadHalf<S>);
writing!([S: Duplex] WriteHalf<S>);

impl<S: Duplex> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(self.descriptor()).finish()
    }
}

impl<S: Duplex> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(self.descriptor()).finish()
    }
}
