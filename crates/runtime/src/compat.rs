//! What typed sockets need of a descriptor beside its operations: direct calls that are
//! right inside handlers too, and the descriptor itself for calls that are not the loop's.

use std::any::type_name;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use socket2::SockAddr;

use crate::Error;
use crate::conn::Conn;
use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::driver::{Attempt, Driver, Op};
use crate::engine::io::{Class, Feeding, Io};
use crate::engine::ops::Finished;
use crate::engine::outbox::Segment;
use crate::engine::outcome::{Failure, Outcome};
use crate::engine::{Engine, Event};
use crate::handlers::{Drained, Named, Outcome as Handled};
use crate::inline_fn::OnceFn;
use crate::kinds::{Datagram, source_address};
use crate::machine;
use crate::parcel::Parcel;
use crate::slab::Key;

/// Reads that one call of a readiness handler may do before others get their turn.
const READS: usize = 16;

impl Descriptor {
    /// As [`new`](Self::new), for a descriptor that other processes share, such as a
    /// standard stream: its file status flags stay as they are, and the loop asks for
    /// readiness before each call instead.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn shared(fd: OwnedFd) -> io::Result<Self> {
        let core = Core::current()?;
        let class = machine::classify(&fd)?;
        Self::adopt(&core, fd.into_raw_fd(), class)
    }

    /// Whether it is a regular file or block device, which is read and written at
    /// offsets alone.
    pub fn is_file(&self) -> bool {
        self.conn.class() == Some(Class::File)
    }
}

impl Conn {
    /// Reads what is there now; inside an [`on_readable`](Descriptor::on_readable)
    /// handler as well.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there, another read is
    /// before it, or a data handler gets the bytes; what the kernel says.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        settle(self.core.with(|engine| engine.take_bytes(self.key, buf)))
    }

    /// Accepts a connection that waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_accept(&self) -> io::Result<Descriptor> {
        let fd = settle(self.core.with(|engine| engine.take_accepted(self.key)))?;
        Descriptor::adopt(&self.core, fd as RawFd, Class::Stream)
    }

    /// Receives one datagram and its source, now.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        // SAFETY: all of it is plain C data for which zeroes are valid.
        let (mut header, mut name) = unsafe {
            (std::mem::zeroed::<libc::msghdr>(), std::mem::zeroed::<libc::sockaddr_storage>())
        };
        let mut vector = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let len = settle(self.core.with(|engine| {
            // SAFETY: the header names `buf` and `name`, which outlive the call.
            unsafe { engine.take_message(self.key, &raw mut header) }
        }))?;
        Ok(Datagram {
            len: len.min(buf.len()),
            // SAFETY: the kernel (or `fill_message`) wrote `msg_namelen` bytes there.
            from: unsafe { source_address(&header) },
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        })
    }

    /// Sends one datagram now; `to` is `None` on a connected socket.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room or another send
    /// is before it; what the kernel says.
    pub fn try_send_to(&self, bytes: &[u8], to: Option<&SockAddr>) -> io::Result<usize> {
        // SAFETY: zeroes are a valid empty header.
        let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        let mut vector =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
        settle(self.core.with(|engine| {
            let msg = &raw const header;
            // SAFETY: the header names `bytes` and `to`, which outlive the call.
            engine.send_now(self.key, |driver, fd| unsafe {
                driver.attempt(&Op::SendMsg { fd, msg })
            })
        }))
    }

    /// Connects a socket whose connecting never waits: one of datagrams.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect_now(&self, addr: &SockAddr) -> io::Result<()> {
        settle(self.core.with(|engine| {
            // SAFETY: the address outlives the call.
            engine.send_now(self.key, |driver, fd| unsafe {
                let op = Op::Connect { fd, addr };
                // A ring wants to see every `connect` itself; this one never waits.
                let simulated = driver.virtual_now().is_some();
                if simulated { driver.attempt(&op) } else { crate::driver::sys::attempt(&op) }
            })
        }))?;
        Ok(())
    }

    /// Asks for one of the immediate completions that this turn still has. A task that
    /// works by `try_` calls asks before each, so that it cannot keep the loop.
    pub fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        self.core.with(|engine| {
            if engine.inline_left == 0 {
                engine.events.push_back(Event::Wake(cx.waker().clone()));
                return Poll::Pending;
            }
            engine.inline_left -= 1;
            Poll::Ready(())
        })
    }

    /// Lends the descriptor to a call that does not wait, such as one that asks for an
    /// option. The runtime must not be used inside.
    ///
    /// # Errors
    /// When it is closed; [`Unsupported`](io::ErrorKind::Unsupported) in the simulation,
    /// whose descriptors the kernel does not know; what `call` returns.
    ///
    /// # Panics
    /// If `call` uses the runtime.
    pub fn with_fd<R>(&self, call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        self.core.with(|engine| {
            let fd = engine.io(self.key)?.fd;
            if engine.driver.virtual_now().is_some() {
                return Err(io::ErrorKind::Unsupported.into());
            }
            // SAFETY: the engine owns `fd`, is borrowed during the call, and so cannot
            // close it meanwhile.
            call(unsafe { BorrowedFd::borrow_raw(fd) })
        })
    }

    /// Ends it as its peer would: the close handler is called with `result`, in this
    /// turn or the next, and it is closed. For those who feed a handler themselves.
    ///
    /// # Errors
    /// When the loop is gone.
    pub fn end(&self, result: io::Result<()>) -> Result<(), Error> {
        let conn = self.clone();
        defer(result, move |result| conn.core.end(conn.key, result))
    }

    /// What sort of descriptor it is, while it is open.
    pub(crate) fn class(&self) -> Option<Class> {
        self.core.with(|engine| engine.io(self.key).ok().map(|io| io.class))
    }

    /// Feeds a data handler on a descriptor that is no stream socket, by readiness.
    pub(crate) fn feed<F, R>(&self, mut handler: F) -> io::Result<()>
    where
        F: FnMut(&Self, &[u8]) -> R + 'static,
        R: Handled,
    {
        let mut buf = vec![0; self.core.config.receive_buffer_size];
        let call = Box::new(move |conn: &Self| conn.feed_some(&mut buf, &mut handler));
        self.set(|handlers| handlers.readable = Some(Named { name: type_name::<F>(), call }));
        self.pump()
    }

    fn feed_some<F, R>(&self, buf: &mut [u8], handler: &mut F) -> io::Result<Drained>
    where
        F: FnMut(&Self, &[u8]) -> R,
        R: Handled,
    {
        for _ in 0..READS {
            if self.is_paused() {
                return Ok(Drained::Yes);
            }
            match self.try_read(buf) {
                Ok(0) if self.class() != Some(Class::Datagram) => {
                    self.core.with(|engine| engine.events.push_back(Event::Ended(self.key, None)));
                    return Ok(Drained::Yes);
                }
                Ok(n) => handler(self, &buf[..n]).into_result()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Drained::Yes),
                Err(error) => return Err(error),
            }
        }
        Ok(Drained::No)
    }

    /// Whether its handler is called in every turn, come what may, and need not take all that is
    /// there: see [`Descriptor::on_maybe_readable`]. So it is as long as the loop spins and this is
    /// among the few descriptors that receive most.
    ///
    /// [`Descriptor::on_maybe_readable`]: crate::Descriptor::on_maybe_readable
    pub fn is_hot(&self) -> bool {
        self.core.with(|engine| engine.is_own_probe(self.key))
    }

    /// Whether receiving stands still, by [`pause`](Self::pause) or because it is closed. A
    /// handler that takes several things in a call asks after each.
    pub fn is_paused(&self) -> bool {
        self.core.with(|engine| engine.io(self.key).map_or(true, |io| io.paused))
    }
}

impl Datagram {
    /// Who sent it, where that is an IP address.
    pub fn source(&self) -> Option<SocketAddr> {
        self.from.as_ref()?.as_socket()
    }
}

/// What a direct call brought; nothing means that it would block.
pub(crate) fn settle(outcome: Option<Outcome>) -> io::Result<usize> {
    match outcome {
        Some(outcome) => Ok(outcome?),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Whether a direct receive overtakes nobody. A pump that only learns of readiness takes
/// nothing away, so it is in nobody's way.
fn may_receive(io: &Io) -> bool {
    let only_polls = io.feeding() == Feeding::Readiness;
    io.read.is_idle() || only_polls && io.read.head == io.pump
}

impl Engine {
    fn take_bytes(&mut self, key: Key, buf: &mut [u8]) -> Option<Outcome> {
        let io = match self.io(key) {
            Ok(io) => io,
            Err(failure) => return Some(Err(failure)),
        };
        let handled = io.feeding() == Feeding::Bytes && io.pump.is_some() && io.wants_pump();
        if handled || io.read.is_idle() || !io.inbox.is_empty() {
            return if handled { None } else { self.try_read(key, buf) };
        }
        let (fd, len, buf) = (io.fd, buf.len(), buf.as_mut_ptr());
        let op = if io.class.is_socket() {
            Op::Recv { fd, buf, len }
        } else {
            Op::Read { fd, buf, len }
        };
        // SAFETY: the memory is borrowed for this call.
        self.receive_now(key, |driver, _| unsafe { driver.attempt(&op) })
    }

    fn take_accepted(&mut self, key: Key) -> Option<Outcome> {
        if let Ok(io) = self.io(key)
            && let Some(fd) = io.accepted.pop_front()
        {
            return Some(Ok(fd as usize));
        }
        // SAFETY: an accept names no memory.
        self.receive_now(key, |driver, fd| unsafe { driver.attempt(&Op::Accept { fd }) })
    }

    /// # Safety
    /// `msg` and what it names are valid for writing.
    pub(crate) unsafe fn take_message(
        &mut self,
        key: Key,
        msg: *mut libc::msghdr,
    ) -> Option<Outcome> {
        // SAFETY: the caller's promise, passed on.
        if let Some(saved) = unsafe { self.take_saved_message(key, msg) } {
            return Some(Ok(saved));
        }
        // SAFETY: the same.
        self.receive_now(key, |driver, fd| unsafe { driver.attempt(&Op::RecvMsg { fd, msg }) })
    }

    /// A datagram that was received for someone who had gone.
    ///
    /// # Safety
    /// As [`take_message`](Self::take_message).
    pub(crate) unsafe fn take_saved_message(
        &mut self,
        key: Key,
        msg: *mut libc::msghdr,
    ) -> Option<usize> {
        let inbox = &mut self.io(key).ok()?.inbox;
        if !matches!(inbox.front_mut(), Some(Segment::Datagram { .. })) {
            return None;
        }
        let Some(Segment::Datagram { bytes, from, truncated, .. }) = inbox.pop() else {
            return None;
        };
        // SAFETY: the caller's promise, passed on.
        Some(unsafe { crate::kinds::fill_message(msg, &bytes, from, truncated) })
    }

    /// Receives directly, if that overtakes nobody. `None`: it would block.
    pub(crate) fn receive_now(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut crate::driver::any::AnyDriver, RawFd) -> Attempt,
    ) -> Option<Outcome> {
        let fd = match self.io(key) {
            Ok(io) if may_receive(io) => io.fd,
            Ok(_) => return None,
            Err(failure) => return Some(Err(failure)),
        };
        let tried = tried(call(&mut self.driver, fd));
        if let Some(Ok(_)) = tried {
            let _ = self.note_hit(key);
        }
        tried
    }

    /// Sends directly, if that overtakes nobody. `None`: it would block.
    pub(crate) fn send_now(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut crate::driver::any::AnyDriver, RawFd) -> Attempt,
    ) -> Option<Outcome> {
        self.flush_inline(key);
        let fd = match self.io(key) {
            Ok(Io { broken: Some(failure), .. }) => return Some(Err(*failure)),
            Ok(io) if io.write.is_idle() && io.outbox.len() == 0 => io.fd,
            Ok(_) => return None,
            Err(failure) => return Some(Err(failure)),
        };
        let sent = tried(call(&mut self.driver, fd));
        if let Some(Ok(_)) = sent {
            self.note_sent(key);
        }
        sent
    }
}

fn tried(attempt: Attempt) -> Option<Outcome> {
    match attempt {
        Attempt::WouldBlock => None,
        Attempt::Done(n) => Some(usize::try_from(n).map_err(|_| Failure::Errno(-n))),
    }
}

/// Has `call` called with `argument` on this thread's loop, in its next turn. A panic in
/// it is caught, named and counted like any handler's.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn defer<T: 'static, F: FnOnce(T) + 'static>(argument: T, call: F) -> Result<(), Error> {
    let core = Core::current()?;
    let call = OnceFn::named_after::<F, _>(move |_: Finished| call(argument));
    core.later(call, Finished { outcome: Ok(0), parcel: Parcel::empty() });
    Ok(())
}
