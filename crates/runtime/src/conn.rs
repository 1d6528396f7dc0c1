//! A name for a descriptor that the loop owns, as handlers see it.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;

use socket2::SockAddr;

use crate::core::Core;
use crate::driver::{Driver, SocketOption};
use crate::engine::io::Class;
use crate::handlers::{Drained, Handlers, Named, Outcome};
use crate::slab::Key;

/// Names a descriptor whose owner is the loop: what handlers are given, and what
/// registering a handler returns. Cheap to clone. Once the descriptor is closed, every
/// call fails with the error [`Closed`](crate::Error::Closed).
#[derive(Clone)]
pub struct Conn {
    pub(crate) core: Rc<Core>,
    pub(crate) key: Key,
}

impl Conn {
    /// Queues `bytes` to leave in one call at the end of the turn, with everything else
    /// that this turn writes. A run of at least `Config::send_chunk_size` with nothing
    /// queued before it goes to the kernel at once. Returns how many bytes were taken:
    /// fewer than all when the stream's write limit or the chunk pool is full; then
    /// [`on_writable`](Self::on_writable) tells when to go on.
    ///
    /// # Errors
    /// When the stream is closed, was shut down, or sending has failed.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.core.with(|engine| engine.write(self.key, bytes))?;
        Ok(self.took(taken, bytes))
    }

    /// Notes a write that fell short: see [`Outcome`].
    fn took(&self, taken: usize, bytes: &[u8]) -> usize {
        if taken < bytes.len() {
            self.core.fell_short.set(Some((taken, bytes.len())));
        }
        taken
    }

    /// Sends what is queued and then `bytes` at once; what the kernel does not take is
    /// queued. Returns how many bytes were taken.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.core.with(|engine| engine.write_now(self.key, bytes))?;
        Ok(self.took(taken, bytes))
    }

    /// Sends `bytes` at once as far as the kernel takes them, and queues nothing.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`WouldBlock`](io::ErrorKind::WouldBlock) when
    /// nothing was taken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.core.with(|engine| engine.try_write(self.key, bytes))? {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(self.took(taken, bytes)),
        }
    }

    /// As [`write`](Self::write), for parts that follow each other, such as a header and what it
    /// heads. A large run leaves in one call with no copy. Returns how many bytes were taken of all
    /// together.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let (taken, of) = self.core.with(|engine| engine.write_vectored(self.key, parts))?;
        if taken < of {
            self.core.fell_short.set(Some((taken, of)));
        }
        Ok(taken)
    }

    /// Sends what is queued now rather than at the end of the turn.
    pub fn flush(&self) {
        self.core.with(|engine| engine.flush_inline(self.key));
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.core.with(|engine| engine.io(self.key).map_or(0, |io| io.outbox.len()))
    }

    /// How many bytes a write would take now; none once sending has ended or failed. For
    /// whoever cannot take back what was not taken, such as an encrypted record.
    pub fn room(&self) -> usize {
        self.core.with(|engine| engine.room(self.key)).unwrap_or(0)
    }

    /// Notes that of so many bytes so few were taken by whoever stands between this and the one
    /// that writes: then all is as after a [`write`](Self::write) that was not taken whole.
    pub fn fell_short(&self, taken: usize, of: usize) {
        self.core.fell_short.set(Some((taken, of)));
        self.core.with(|engine| engine.want_room(self.key));
    }

    /// Queues bytes as [`write`](Self::write), whatever the write limit is: for the few that a
    /// protocol has to say on its own account, such as that it is about to end. Returns how many
    /// were taken: fewer than all only when the chunk pool is used up.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_beyond(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.core.with(|engine| engine.write_beyond(self.key, bytes))?)
    }

    /// Has the readiness handler called in the next turn although nothing arrives: for whoever
    /// holds what had arrived before the handler was there.
    pub fn look_again(&self) {
        self.core.with(|engine| engine.look_again(self.key));
    }

    /// Sets how many bytes may wait to be sent; the default is `Config::write_limit`.
    pub fn set_write_limit(&self, bytes: usize) {
        self.core.with(|engine| {
            if let Ok(io) = engine.io(self.key) {
                io.outbox.set_limit(bytes);
            }
        });
    }

    /// Stops receiving: the data handler is not called until [`resume`](Self::resume).
    /// Nothing that arrives meanwhile is lost.
    pub fn pause(&self) {
        self.core.with(|engine| engine.pause(self.key));
    }

    /// Receives again.
    ///
    /// # Errors
    /// When the descriptor is closed or the operation table full.
    pub fn resume(&self) -> io::Result<()> {
        self.core.with(|engine| engine.resume(self.key)).map_or(Ok(()), |f| Err(f.into()))
    }

    /// Waits while it is paused. False: it is closed. For whoever feeds a handler by a task
    /// of their own, as the regular files of `net` do; one task at a time waits.
    pub async fn resumed(&self) -> bool {
        poll_fn(|cx| self.core.with(|engine| engine.poll_resumed(self.key, cx.waker()))).await
    }

    /// Ends sending once everything that was written has left; receiving goes on.
    ///
    /// # Errors
    /// When the descriptor is closed.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(self.core.with(|engine| engine.shut_write(self.key))?)
    }

    /// Closes it: receiving ends now, and what was written is still sent, within
    /// `Config::drain_time`. The close handler is not called.
    pub fn close(&self) {
        self.core.refresh_if_idle();
        self.core.with(|engine| engine.close(self.key));
    }

    /// Closes it at once; what was not sent is dropped.
    pub fn abort(&self) {
        self.core.with(|engine| engine.abort(self.key));
    }

    /// Whether it is still open.
    pub fn is_open(&self) -> bool {
        self.core.with(|engine| engine.io(self.key).is_ok())
    }

    /// Its own address.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn local_addr(&self) -> io::Result<SockAddr> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.local_addr(fd)
        })
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When it is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<SockAddr> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.peer_addr(fd)
        })
    }

    /// Sets a socket option.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.set_option(fd, option)
        })
    }

    /// How many received bytes the socket may hold: what was granted of
    /// [`SocketOption::ReceiveBuffer`], as the kernel counts. Linux counts what it needs for
    /// itself, and so grants twice what was asked for, up to twice `net.core.rmem_max`.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.receive_buffer(fd)
        })
    }

    /// How many bytes to be sent the socket may hold: what was granted of
    /// [`SocketOption::SendBuffer`], as the kernel counts; see
    /// [`receive_buffer`](Self::receive_buffer). The limit is `net.core.wmem_max`.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn send_buffer(&self) -> io::Result<usize> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.send_buffer(fd)
        })
    }

    /// How many datagrams the socket has dropped since it was made, for want of room above all
    /// (`SO_MEMINFO`). What [comes with each datagram](crate::Details::drops) is the same count as
    /// it was when that one arrived; this one is told when nothing arrives too, and costs nothing
    /// for each.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn dropped(&self) -> io::Result<u32> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            engine.driver.dropped(fd)
        })
    }

    /// Calls `handler` when the queue has room again: after a write was not taken
    /// whole, once it has fallen to a quarter of the write limit.
    pub fn on_writable<F, R>(&self, mut handler: F) -> &Self
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        self.set(|handlers| {
            let call = Box::new(move |conn: &Self| handler(conn).into_result());
            handlers.writable = Some(Named { name: std::any::type_name::<F>(), call });
        });
        self
    }

    /// Calls `handler` once when the stream ends: `Ok` when the peer ended it in order,
    /// an error when it broke or when a handler returned one. The descriptor is closed
    /// afterwards.
    pub fn on_close<F>(&self, handler: F) -> &Self
    where
        F: FnOnce(&Self, io::Result<()>) + 'static,
    {
        self.set(|handlers| {
            let call = Box::new(handler);
            handlers.close = Some(Named { name: std::any::type_name::<F>(), call });
        });
        self
    }

    /// Keeps the stream open for sending after the peer has ended its side; the close
    /// handler is still called at that end. Close it yourself.
    pub fn keep_half_open(&self) -> &Self {
        self.set(|handlers| handlers.half_open = true);
        self
    }

    pub(crate) fn on_data<F, R>(&self, mut handler: F) -> io::Result<()>
    where
        F: FnMut(&Self, &[u8]) -> R + 'static,
        R: Outcome,
    {
        if self.class() != Some(Class::Stream) {
            return self.feed(handler);
        }
        self.set(|handlers| {
            let call =
                Box::new(move |conn: &Self, bytes: &[u8]| handler(conn, bytes).into_result());
            handlers.data = Some(Named { name: std::any::type_name::<F>(), call });
        });
        self.pump()
    }

    pub(crate) fn on_accept<F, R>(&self, mut handler: F) -> io::Result<()>
    where
        F: FnMut(crate::Descriptor) -> R + 'static,
        R: Outcome,
    {
        self.set(|handlers| {
            let call = Box::new(move |accepted| handler(accepted).into_result());
            handlers.accept = Some(Named { name: std::any::type_name::<F>(), call });
        });
        self.pump()
    }

    pub(crate) fn on_readable<F>(&self, handler: F, looks_itself: bool) -> io::Result<()>
    where
        F: FnMut(&Self) -> io::Result<Drained> + 'static,
    {
        self.set(|handlers| {
            let call = Box::new(handler);
            handlers.readable = Some(Named { name: std::any::type_name::<F>(), call });
            (handlers.by_readiness, handlers.looks_itself) = (true, looks_itself);
        });
        self.pump()
    }

    pub(crate) fn pump(&self) -> io::Result<()> {
        self.set(|handlers| handlers.pumped = true);
        self.core.with(|engine| engine.start_pump(self.key)).map_or(Ok(()), |f| Err(f.into()))
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Handlers)) {
        // Changed outside the engine, since that may drop a handler and what it holds.
        let taken = self.core.with(|engine| {
            let io = engine.io(self.key).ok()?;
            Some(io.handlers.take().unwrap_or_default())
        });
        let Some(mut handlers) = taken else { return };
        change(&mut handlers);
        let unused = self.core.with(|engine| match engine.io(self.key) {
            Ok(io) => io.handlers.replace(handlers),
            Err(_) => Some(handlers),
        });
        drop(unused);
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("key", &self.key).finish_non_exhaustive()
    }
}
