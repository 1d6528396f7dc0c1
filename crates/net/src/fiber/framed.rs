//! Codecs on streams, for fibers.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tautline_runtime::Conn;

use super::calls::{read_timeout, write_timeout};
use super::timeouts::Timeouts;
use super::{wait_until, wait_within};
use crate::Link;
use crate::codec::{self, Decode, Encode, Error, SendError};

/// A codec on a stream: as [`codec::Framed`], with calls that wait in this fiber.
///
/// ```
/// use tautline_net::UnixStream;
/// use tautline_net::codec::Lines;
/// use tautline_net::fiber::Framed;
/// use tautline_runtime::{Runtime, fiber::Stack};
///
/// # let runtime = Runtime::new(Default::default())?;
/// # let done = runtime.run_fiber(Stack::Small, || {
/// let (near, far) = UnixStream::pair()?;
/// let mut near = Framed::new(near, Lines::new(80));
/// let mut far = Framed::new(far, Lines::new(80));
/// near.send("hello")?;
/// near.flush()?;
/// assert_eq!(far.next().expect("it has not ended")?, "hello");
/// # std::io::Result::Ok(())
/// # });
/// # done??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Framed<D, E = D> {
    reader: Reader<D>,
    writer: Writer<E>,
}

/// The half that receives: as [`codec::Reader`].
#[derive(Debug)]
pub struct Reader<D> {
    inner: codec::Reader<D>,
    timeouts: Timeouts,
}

/// The half that sends: as [`codec::Writer`].
#[derive(Clone, Debug)]
pub struct Writer<E> {
    inner: codec::Writer<E>,
    timeouts: Timeouts,
}

read_timeout!([D] Reader<D>);
write_timeout!([E] Writer<E>);

impl<C: Decode + Clone> Framed<C> {
    /// Couples a codec with a stream. To couple them with other options, make a view of what
    /// [`Options::open`](codec::Options::open) returns.
    pub fn new(stream: impl Into<Link>, codec: C) -> Self {
        codec::Framed::new(stream, codec).into()
    }
}

impl<D, E> Framed<D, E> {
    /// Both halves, to send while an item is looked at.
    pub fn halves(&mut self) -> (&mut Reader<D>, &mut Writer<E>) {
        (&mut self.reader, &mut self.writer)
    }

    /// Both halves, each with an owner of its own, for two fibers.
    pub fn split(self) -> (Reader<D>, Writer<E>) {
        (self.reader, self.writer)
    }
}

impl<D: Decode, E> Framed<D, E> {
    /// The next item: see [`Reader::next`].
    ///
    /// # Errors
    /// As there.
    #[allow(clippy::should_implement_trait, reason = "its items borrow from it")]
    pub fn next(&mut self) -> Option<Result<D::Item<'_>, Error<D::Error>>> {
        self.reader.next()
    }

    /// Sends an item: see [`codec::Writer::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send<I>(&mut self, item: I) -> Result<(), SendError<E::Error>>
    where
        E: Encode<I>,
    {
        self.writer.send(item)
    }

    /// Waits until the peer takes what is sent: see [`codec::Writer::ready`].
    ///
    /// # Errors
    /// As there; what all calls say.
    pub fn ready(&mut self) -> io::Result<()> {
        self.writer.ready()
    }

    /// Waits until everything has left: see [`codec::Writer::flush`].
    ///
    /// # Errors
    /// As there; what all calls say.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Nothing more will be sent: see [`codec::Writer::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self) -> io::Result<()> {
        self.writer.finish()
    }

    /// Ends it in order: see [`codec::Framed::close`].
    ///
    /// # Errors
    /// As there; what all calls say.
    pub fn close(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.finish()
    }
}

impl<D: Decode> Reader<D> {
    /// Waits for the next item, which borrows from the buffer that it was received into; `None` once
    /// the peer has ended its side in order. Before it waits, what was sent leaves.
    ///
    /// # Errors
    /// [`Error`]; what all calls say. In a fiber that is cancelled nothing is lost, nor at a timeout.
    ///
    /// # Panics
    /// If the codec says that an item has no bytes, or more than there are.
    #[allow(clippy::should_implement_trait, reason = "its items borrow from it")]
    pub fn next(&mut self) -> Option<Result<D::Item<'_>, Error<D::Error>>> {
        let deadline = match self.timeouts.read.deadline() {
            Ok(deadline) => deadline,
            Err(error) => return Some(Err(error.into())),
        };
        let mut this = &mut self.inner;
        loop {
            match this.at_hand() {
                Ok(found) => return found,
                Err(reader) => this = reader,
            }
            let more = poll_fn(|cx| this.poll_more(cx).map(Ok));
            let waited = wait_until("Reader::next", deadline, more).map_err(Error::Io);
            if let Err(error) = waited.flatten() {
                return Some(Err(error));
            }
        }
    }

    /// What it is a view of.
    pub fn get_ref(&self) -> &codec::Reader<D> {
        &self.inner
    }

    /// Names the stream's descriptor.
    pub fn conn(&self) -> Conn {
        self.inner.conn()
    }
}

impl<E> Writer<E> {
    /// Sends an item: see [`codec::Writer::send`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send<I>(&mut self, item: I) -> Result<(), SendError<E::Error>>
    where
        E: Encode<I>,
    {
        self.inner.send(item)
    }

    /// Waits until the peer takes what is sent: see [`codec::Writer::ready`].
    ///
    /// # Errors
    /// As there; what all calls say.
    pub fn ready(&mut self) -> io::Result<()> {
        wait_within("Writer::ready", self.timeouts.write.get(), self.inner.ready())
    }

    /// Waits until everything has left: see [`codec::Writer::flush`].
    ///
    /// # Errors
    /// As there; what all calls say.
    pub fn flush(&mut self) -> io::Result<()> {
        wait_within("Writer::flush", self.timeouts.write.get(), self.inner.flush())
    }

    /// Nothing more will be sent: see [`codec::Writer::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self) -> io::Result<()> {
        self.inner.finish()
    }

    /// What it is a view of.
    pub fn get_ref(&self) -> &codec::Writer<E> {
        &self.inner
    }

    /// Names the stream's descriptor.
    pub fn conn(&self) -> Conn {
        self.inner.conn()
    }
}

impl<D> From<codec::Reader<D>> for Reader<D> {
    fn from(inner: codec::Reader<D>) -> Self {
        Self { inner, timeouts: Timeouts::default() }
    }
}

impl<E> From<codec::Writer<E>> for Writer<E> {
    fn from(inner: codec::Writer<E>) -> Self {
        Self { inner, timeouts: Timeouts::default() }
    }
}

impl<D, E> From<codec::Framed<D, E>> for Framed<D, E> {
    fn from(framed: codec::Framed<D, E>) -> Self {
        let (reader, writer) = framed.split();
        let (reader, writer) = (Reader::from(reader), Writer::from(writer));
        Self { reader, writer }
    }
}

impl<D, E> From<Framed<D, E>> for codec::Framed<D, E> {
    fn from(view: Framed<D, E>) -> Self {
        Self { reader: view.reader.inner, writer: view.writer.inner }
    }
}
