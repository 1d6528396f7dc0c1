//! A byte stream of whatever sort, as the protocols above see it.

use std::fmt;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use tautline_runtime::{Conn, Descriptor, Drained, Operation};

use crate::{TcpStream, UnixStream, op};

/// A byte stream on the loop: TCP, a Unix stream or any descriptor, as it is or through a
/// [`Layer`] such as TLS. What codecs and WebSocket stand on.
///
/// Its calls never wait. Whoever uses it waits for [`readable`](Self::readable), or gives the
/// descriptor to the loop and is [called](Self::on_readable).
///
/// ```
/// # use std::io::IoSlice;
/// # use tautline_net::{Link, Received, UnixStream};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let (near, far) = UnixStream::pair()?;
/// let (mut near, mut far) = (Link::from(near), Link::from(far));
/// let received = runtime.block_on(async {
///     near.send(&[IoSlice::new(b"head"), IoSlice::new(b"body")])?;
///     far.readable().await?;
///     let mut buf = [0; 16];
///     far.receive(&mut buf).map(|received| (received, buf[..8].to_vec()))
/// })??;
/// assert_eq!(received, (Received::Bytes { count: 8, more: false }, b"headbody".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Link {
    conn: Conn,
    /// Absent once the loop owns it.
    descriptor: Option<Descriptor>,
    layer: Option<Box<dyn Layer>>,
}

/// What lies between a protocol and the bytes of a descriptor, such as TLS.
pub trait Layer {
    /// Takes in what has arrived at `conn`, and puts the bytes that it stands for into `into`,
    /// which is not empty. What it has to answer on its own account it queues.
    ///
    /// # Errors
    /// When the stream is broken, or what has arrived cannot be.
    fn receive(&mut self, conn: &Conn, into: &mut [u8]) -> io::Result<Received>;

    /// Queues bytes, to leave at the end of the turn. Returns how many were taken: fewer than all
    /// when the queue of `conn` is full; its `on_writable` tells when to go on.
    ///
    /// # Errors
    /// As [`Conn::write`].
    fn send(&mut self, conn: &Conn, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Queues whatever says that nothing more will be sent.
    ///
    /// # Errors
    /// As [`Conn::write`].
    fn finish(&mut self, conn: &Conn) -> io::Result<()>;

    /// Whether something lies in it that [`receive`](Self::receive) would give although nothing
    /// more arrives at `conn`, of which nobody will tell.
    fn holds(&self) -> bool {
        false
    }
}

/// What [`Link::receive`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// Bytes.
    Bytes {
        /// How many; at least one.
        count: usize,
        /// There are more at once, as far as that is known: ask again before anything else. If not, an end
        /// may still lie behind them of which nobody will tell: ask again when others had their turn.
        more: bool,
    },
    /// Nothing is there now. Whoever waits for readiness will be told.
    Nothing,
    /// The peer has ended its side in order.
    End,
}

/// What a stream says that has a handler.
const GIVEN: &str = "the loop has this stream: its handler is called when something arrives";

impl Link {
    /// Through a layer.
    #[must_use]
    pub fn with_layer(mut self, layer: Box<dyn Layer>) -> Self {
        self.layer = Some(layer);
        self
    }

    /// Takes in what has arrived, at most as much as `into` holds.
    ///
    /// # Errors
    /// What the kernel or the layer says.
    #[inline]
    pub fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        if into.is_empty() {
            return Ok(Received::Nothing);
        }
        if let Some(layer) = &mut self.layer {
            return layer.receive(&self.conn, into);
        }
        match self.conn.try_read(into) {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Bytes { count, more: count == into.len() }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Queues bytes that follow each other, to leave at the end of the turn with everything else
    /// that the turn writes. Returns how many were taken: fewer than all when the queue is full;
    /// [`Conn::on_writable`] tells when to go on.
    ///
    /// # Errors
    /// As [`Conn::write`].
    #[inline]
    pub fn send(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.layer {
            None => self.conn.write_vectored(parts),
            Some(layer) => layer.send(&self.conn, parts),
        }
    }

    /// As [`send`](Self::send), but they leave now: for the end of whatever answers all that one
    /// receive has brought.
    ///
    /// # Errors
    /// As [`Conn::write`].
    #[inline]
    pub fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(layer) = &mut self.layer else { return self.conn.write_now(bytes) };
        let taken = layer.send(&self.conn, &[IoSlice::new(bytes)])?;
        self.conn.flush();
        Ok(taken)
    }

    /// Nothing more will be sent: says so, and ends sending once everything has left.
    ///
    /// # Errors
    /// As [`Conn::write`].
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(layer) = &mut self.layer {
            layer.finish(&self.conn)?;
        }
        self.conn.shutdown_write()
    }

    /// Names its descriptor: queued bytes, marks, pausing, closing.
    #[inline]
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Waits until something may be received.
    ///
    /// # Errors
    /// When it was given to the loop; when the operation table is full.
    pub async fn readable(&self) -> io::Result<()> {
        let descriptor = self.owned()?;
        if self.holds() {
            return Ok(());
        }
        descriptor.readable().await.map(drop)
    }

    /// The same as an operation, which outlives a borrow of the link. It tells of what arrives,
    /// and not of what a layer holds already: for whoever has just received all that there was.
    ///
    /// # Errors
    /// When it was given to the loop.
    pub fn readiness(&self) -> io::Result<Operation<op::Ready>> {
        Ok(self.owned()?.readable())
    }

    /// Waits for a task until a write would take at least so many bytes.
    ///
    /// # Errors
    /// When it was given to the loop; once sending has ended or failed.
    pub fn poll_room(&self, cx: &mut Context<'_>, least: usize) -> Poll<io::Result<usize>> {
        self.owned()?.poll_room(cx, least)
    }

    /// Whether its user holds it still, and not the loop.
    pub fn is_owned(&self) -> bool {
        self.descriptor.is_some()
    }

    fn holds(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| layer.holds())
    }

    /// The descriptor, while the loop does not have it.
    pub(crate) fn owned(&self) -> io::Result<&Descriptor> {
        self.descriptor.as_ref().ok_or_else(|| io::Error::other(GIVEN))
    }

    /// Gives the descriptor to the loop, which calls `handler` whenever something may be there;
    /// the link stays the name by which to receive and send. The handler
    /// [receives](Self::receive) until there is nothing, or says that it has left some. It is
    /// closed when it fails or is closed by its name; the handler closes it at its end.
    ///
    /// # Errors
    /// When the operation table is full, or when it was given to the loop before.
    pub fn on_readable<F>(&mut self, handler: F) -> io::Result<()>
    where
        F: FnMut(&Conn) -> io::Result<Drained> + 'static,
    {
        let Some(descriptor) = self.descriptor.take() else {
            return Err(io::Error::other(GIVEN));
        };
        let conn = descriptor.on_maybe_readable(handler)?;
        if self.holds() {
            conn.look_again();
        }
        Ok(())
    }
}

impl From<Descriptor> for Link {
    fn from(descriptor: Descriptor) -> Self {
        Self { conn: descriptor.conn().clone(), descriptor: Some(descriptor), layer: None }
    }
}

impl From<TcpStream> for Link {
    fn from(stream: TcpStream) -> Self {
        stream.into_descriptor().into()
    }
}

impl From<UnixStream> for Link {
    fn from(stream: UnixStream) -> Self {
        stream.into_descriptor().into()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layered = self.layer.is_some();
        f.debug_struct("Link").field("conn", &self.conn).field("layered", &layered).finish()
    }
}
