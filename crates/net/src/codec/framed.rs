//! A codec and a stream.

use std::io;

use super::options::Options;
use super::{Decode, Encode, Error, Reader, SendError, Writer};
use crate::Link;

/// A codec on a stream of whatever sort: items come out of it and go into it.
///
/// ```
/// use tautline_net::UnixStream;
/// use tautline_net::codec::{Framed, LengthPrefix};
///
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// # let done = runtime.block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// let mut near = Framed::new(near, LengthPrefix::u16());
/// let mut far = Framed::new(far, LengthPrefix::u16());
/// near.send("hello")?;
/// near.flush().await?;
/// let item = far.next().await.expect("it has not ended")?;
/// assert_eq!(item, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # });
/// # done??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An item borrows from the buffer that it was received into, so its stream is borrowed while it is
/// looked at. To answer meanwhile, send by the other [half](Self::halves).
#[derive(Debug)]
pub struct Framed<D, E = D> {
    pub(crate) reader: Reader<D>,
    pub(crate) writer: Writer<E>,
}

impl<C: Decode + Clone> Framed<C> {
    /// Couples a codec with a stream, with the default [options](Options).
    pub fn new(stream: impl Into<Link>, codec: C) -> Self {
        Options::default().open(stream, codec)
    }
}

impl<D, E> Framed<D, E> {
    /// To couple them with other options.
    pub fn options() -> Options {
        Options::default()
    }

    /// Both halves, to send while an item is looked at:
    ///
    /// ```
    /// # use tautline_net::codec::{Framed, Lines};
    /// # async fn echo(mut framed: Framed<Lines>) -> std::io::Result<()> {
    /// let (reader, writer) = framed.halves();
    /// while let Some(line) = reader.next().await {
    ///     writer.send(line?)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn halves(&mut self) -> (&mut Reader<D>, &mut Writer<E>) {
        (&mut self.reader, &mut self.writer)
    }

    /// Both halves, each with an owner of its own.
    pub fn split(self) -> (Reader<D>, Writer<E>) {
        (self.reader, self.writer)
    }

    /// Makes one of two halves of a stream again.
    ///
    /// # Panics
    /// If they are of two streams.
    pub fn unite(reader: Reader<D>, writer: Writer<E>) -> Self {
        assert!(reader.is_other_half_of(&writer), "halves of two streams make no stream");
        Self { reader, writer }
    }
}

impl<D: Decode, E> Framed<D, E> {
    /// The next item: see [`Reader::next`].
    ///
    /// # Errors
    /// As there.
    pub async fn next(&mut self) -> Option<Result<D::Item<'_>, Error<D::Error>>> {
        self.reader.next().await
    }

    /// Sends an item: see [`Writer::send`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send<I>(&mut self, item: I) -> Result<(), SendError<E::Error>>
    where
        E: Encode<I>,
    {
        self.writer.send(item)
    }

    /// Waits until the peer takes what is sent: see [`Writer::ready`].
    ///
    /// # Errors
    /// As there.
    pub async fn ready(&mut self) -> io::Result<()> {
        self.writer.ready().await
    }

    /// Waits until everything has left: see [`Writer::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().await
    }

    /// Nothing more will be sent: see [`Writer::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self) -> io::Result<()> {
        self.writer.finish()
    }

    /// Ends it in order: what was sent leaves, the peer is told that nothing more will be, and the
    /// stream is closed. What is still received is dropped.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(mut self) -> io::Result<()> {
        self.writer.flush().await?;
        self.writer.finish()
    }
}
