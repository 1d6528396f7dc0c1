//! A descriptor on the loop, owned by its user.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, Type};

use crate::buf::{IoBuf, IoBufMut};
use crate::conn::Conn;
use crate::core::Core;
use crate::driver::{Driver, Interest, SocketOption};
use crate::engine::io::{Class, NO_FD};
use crate::handlers::{Drained, Outcome};
use crate::kinds::{
    Accept, Connect, Fsync, Open, Read, ReadAt, ReadVectored, Ready, ReceiveFrom, SendTo, Write,
    WriteAt, WriteVectored,
};
use crate::machine;
use crate::operation::Operation;
use crate::slab::Key;

/// A descriptor on this thread's loop: a socket, pipe, terminal, file or anything else
/// that the kernel can wait for. Dropping it closes it; what was written is still sent,
/// within `Config::drain_time`.
///
/// This is what the typed sockets are made of, and the adapter for every other
/// non-blocking descriptor. Its calls come in three kinds: operations, which are
/// awaited or given a callback; `try_` calls, which never wait; and persistent
/// handlers (`on_`), which give the descriptor to the loop.
pub struct Descriptor {
    pub(crate) conn: Conn,
}

impl Descriptor {
    /// Takes in a descriptor that was made elsewhere. Its sort is found out; it becomes
    /// non-blocking.
    ///
    /// # Errors
    /// [`Error::NoRuntime`](crate::Error::NoRuntime) on a thread without one; [`Error::Exhausted`](crate::Error::Exhausted); what the
    /// kernel says of the descriptor.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let core = Core::current()?;
        let class = machine::classify(&fd)?;
        if class != Class::File {
            rustix::io::ioctl_fionbio(&fd, true)?;
        }
        Self::adopt(&core, fd.into_raw_fd(), class)
    }

    /// A connected pair of Unix stream sockets.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Self::new(a.into())?, Self::new(b.into())?))
    }

    /// Opens a file: `flags` and `mode` as for `open(2)`; it is close-on-exec. On a
    /// driver without files of its own, a thread for blocking work does it.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte;
    /// [`Error::NoRuntime`](crate::Error::NoRuntime);
    /// [`Error::Exhausted`](crate::Error::Exhausted).
    pub fn open(path: &Path, flags: i32, mode: u32) -> io::Result<Operation<Open>> {
        let core = Core::current()?;
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}: a NUL byte in the path", path.display()),
            )
        })?;
        let host = Self::adopt(&core, NO_FD, Class::File)?;
        let key = host.key();
        Ok(Operation::new(&core, key, Open { path, flags, mode, _host: host }))
    }

    /// A new socket of the driver in use, the simulation's included.
    ///
    /// # Errors
    /// [`Error::NoRuntime`](crate::Error::NoRuntime), [`Error::Exhausted`](crate::Error::Exhausted); what the kernel says.
    pub fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Self> {
        let core = Core::current()?;
        let fd = core.with(|engine| engine.driver.socket(domain, kind, protocol))?;
        let plain = i32::from(kind) & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let class = if plain == libc::SOCK_STREAM { Class::Stream } else { Class::Datagram };
        Self::adopt(&core, fd, class)
    }

    pub(crate) fn adopt(core: &Rc<Core>, fd: RawFd, class: Class) -> io::Result<Self> {
        let key = core.with(|engine| engine.register(fd, class))?;
        Ok(Self { conn: Conn { core: core.clone(), key } })
    }

    fn core(&self) -> &Rc<Core> {
        &self.conn.core
    }

    fn key(&self) -> Key {
        self.conn.key
    }

    fn class(&self) -> Class {
        self.core().with(|engine| engine.io(self.key()).map_or(Class::Plain, |io| io.class))
    }

    fn with_fd<R>(
        &self,
        f: impl FnOnce(&mut crate::driver::any::AnyDriver, RawFd) -> io::Result<R>,
    ) -> io::Result<R> {
        self.core().with(|engine| {
            let fd = engine.io(self.key())?.fd;
            f(&mut engine.driver, fd)
        })
    }

    /// Names it without owning it.
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Gives it to the loop: it stays open until it ends or is closed by its name.
    pub fn into_conn(self) -> Conn {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used again, so the name has one owner.
        unsafe { std::ptr::read(&raw const this.conn) }
    }

    /// Binds a socket to an address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bind(&self, addr: &SockAddr) -> io::Result<()> {
        self.with_fd(|driver, fd| driver.bind(fd, addr))
    }

    /// Makes a bound stream socket listen.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        self.core().with(|engine| {
            let fd = engine.io(self.key())?.fd;
            engine.driver.listen(fd, backlog)?;
            engine.io(self.key())?.class = Class::Listener;
            Ok(())
        })
    }

    /// Connects a socket. Other operations wait until it is done.
    pub fn connect(&self, addr: SockAddr) -> Operation<Connect> {
        Operation::new(self.core(), self.key(), Connect { addr: Box::new(addr) })
    }

    /// Accepts one connection.
    pub fn accept(&self) -> Operation<Accept> {
        Operation::new(self.core(), self.key(), Accept)
    }

    /// Reads what is there, up to the buffer's length. Zero: the peer has ended, or the
    /// buffer has no length: `Vec::with_capacity(n)` has none, `vec![0; n]` has `n`.
    pub fn read<B: IoBufMut>(&self, buf: B) -> Operation<Read<B, false>> {
        Operation::new(self.core(), self.key(), Read { buf, class: self.class() })
    }

    /// Reads until the buffer is full. If the stream ends before, the error is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) and what had arrived stays with
    /// the stream.
    pub fn read_exact<B: IoBufMut>(&self, buf: B) -> Operation<Read<B, true>> {
        Operation::new(self.core(), self.key(), Read { buf, class: self.class() })
    }

    /// Reads what is there into several buffers.
    pub fn read_vectored<B: IoBufMut>(&self, bufs: Vec<B>) -> Operation<ReadVectored<B>> {
        Operation::new(self.core(), self.key(), ReadVectored::new(bufs))
    }

    /// Writes as much as the kernel takes, at least a byte. Dropped before, it writes
    /// everything in the background.
    pub fn write<B: IoBuf>(&self, buf: B) -> Operation<Write<B, false>> {
        Operation::new(self.core(), self.key(), Write { buf, class: self.class() })
    }

    /// Writes everything. Cancelled or timed out after a part has left, the sending
    /// side fails from then on with [`Error::WriteTorn`](crate::Error::WriteTorn), which
    /// states the count; nothing that was queued behind it is sent. Dropped, it goes on in
    /// the background.
    pub fn write_all<B: IoBuf>(&self, buf: B) -> Operation<Write<B, true>> {
        Operation::new(self.core(), self.key(), Write { buf, class: self.class() })
    }

    /// Writes several buffers, as much as the kernel takes. Dropped before, it writes
    /// everything in the background, of at most 1,024 buffers.
    pub fn write_vectored<B: IoBuf>(&self, bufs: Vec<B>) -> Operation<WriteVectored<B>> {
        Operation::new(self.core(), self.key(), WriteVectored::new(bufs))
    }

    /// Receives one datagram and its source.
    pub fn receive_from<B: IoBufMut>(&self, buf: B) -> Operation<ReceiveFrom<B>> {
        Operation::new(self.core(), self.key(), ReceiveFrom::new(buf))
    }

    /// Sends one datagram; `to` is `None` on a connected socket.
    pub fn send_to<B: IoBuf>(&self, buf: B, to: Option<&SockAddr>) -> Operation<SendTo<B>> {
        Operation::new(self.core(), self.key(), SendTo::new(buf, to))
    }

    /// Waits until something can be read.
    pub fn readable(&self) -> Operation<Ready> {
        Operation::new(self.core(), self.key(), Ready { interest: Interest::Read })
    }

    /// Waits until something can be written.
    pub fn writable(&self) -> Operation<Ready> {
        Operation::new(self.core(), self.key(), Ready { interest: Interest::Write })
    }

    /// Reads from a file at `offset`, in bytes.
    pub fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> Operation<ReadAt<B>> {
        Operation::new(self.core(), self.key(), ReadAt { buf, offset })
    }

    /// Writes everything to a file at `offset`, in bytes. Cancelled or timed out, it may
    /// have written a part; dropped, it goes on in the background.
    pub fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> Operation<WriteAt<B>> {
        Operation::new(self.core(), self.key(), WriteAt { buf, offset })
    }

    /// Makes a file durable; with `data_only` without metadata that is not needed to
    /// read it back.
    pub fn fsync(&self, data_only: bool) -> Operation<Fsync> {
        Operation::new(self.core(), self.key(), Fsync { data_only })
    }

    /// Reads what is there now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there or another read
    /// is before it; what the kernel says.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self.core().with(|engine| engine.try_read(self.key(), buf)) {
            Some(outcome) => Ok(outcome?),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads for a task: the borrowed buffer is used during the call alone.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let key = self.key();
        self.core().with(|engine| engine.poll_read(key, buf, cx.waker())).map_err(Into::into)
    }

    /// Writes for a task, through the queue that leaves at the end of the turn.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let key = self.key();
        self.core().with(|engine| engine.poll_write(key, bytes, cx.waker())).map_err(Into::into)
    }

    /// Waits for a task until a write would take at least so many bytes, and says how many: see
    /// [`Conn::room`]. What is more than the write limit never comes.
    pub fn poll_room(&self, cx: &mut Context<'_>, least: usize) -> Poll<io::Result<usize>> {
        let key = self.key();
        self.core().with(|engine| engine.poll_room(key, least, cx.waker())).map_err(Into::into)
    }

    /// Waits for a task until everything that was written has left.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let key = self.key();
        self.core()
            .with(|engine| engine.poll_flush(key, cx.waker()))
            .map(|outcome| outcome.map(|_| ()).map_err(Into::into))
    }

    /// Ends one or both directions of a socket. The sending side ends once everything
    /// that was written has left.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.conn.shutdown_write()?;
        }
        if how == Shutdown::Write {
            return Ok(());
        }
        self.with_fd(|driver, fd| driver.shutdown(fd, Shutdown::Read))
    }

    /// Sets a socket option.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.conn.set_option(option)
    }

    /// Gives the stream to the loop, which calls `handler` with received bytes where
    /// they were received. It is closed when it ends, fails or is closed by its name.
    ///
    /// # Errors
    /// [`Error::Exhausted`](crate::Error::Exhausted) when the operation table is full.
    pub fn on_data<F, R>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, &[u8]) -> R + 'static,
        R: Outcome,
    {
        self.conn.on_data(handler)?;
        Ok(self.into_conn())
    }

    /// Gives the listener to the loop, which calls `handler` with each accepted
    /// connection.
    ///
    /// # Errors
    /// As [`on_data`](Self::on_data).
    pub fn on_accept<F, R>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(Self) -> R + 'static,
        R: Outcome,
    {
        self.conn.on_accept(handler)?;
        Ok(self.into_conn())
    }

    /// Gives the descriptor to the loop, which calls `handler` whenever something can be
    /// taken. The handler takes it by `try_` calls until one would block, or says that
    /// it left some.
    ///
    /// # Errors
    /// As [`on_data`](Self::on_data).
    pub fn on_readable<F>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn) -> io::Result<Drained> + 'static,
    {
        self.conn.on_readable(handler, false)?;
        Ok(self.into_conn())
    }

    /// As [`on_readable`](Self::on_readable), for a handler whose first call finds out whether
    /// there is anything, by [`Batch::receive`](crate::Batch::receive) or another receive of this
    /// crate. While the loop spins and the descriptor is [hot](Conn::is_hot), the handler is
    /// called in every turn and the kernel is not asked before: the shortest way of a datagram.
    /// As long as it is, the handler may say [`Drained::Yes`] although something is left.
    ///
    /// # Errors
    /// As [`on_data`](Self::on_data).
    pub fn on_maybe_readable<F>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn) -> io::Result<Drained> + 'static,
    {
        self.conn.on_readable(handler, true)?;
        Ok(self.into_conn())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.conn.close();
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("key", &self.conn.key).finish_non_exhaustive()
    }
}
