//! Blocking-style calls on a descriptor, with buffers that are borrowed.
//!
//! What a call lends to the kernel is its caller's: the call neither returns nor unwinds before
//! the operation is over. That holds when the fiber is cancelled, when the runtime is dropped
//! and when the deadline passes: each asks the kernel to let go, and is waited for. A fiber that
//! is never resumed keeps its stack for ever, and with it what it has lent of its own. What it
//! has borrowed from a value of its thread it keeps as long as the thread does: that is the limit
//! which `fiber/mod.rs` states.

use std::fmt;
use std::io;

use socket2::SockAddr;

use crate::buf::{IoBuf, IoBufMut};
use crate::descriptor::Descriptor;
use crate::driver::Interest;
use crate::engine::io::Class;
use crate::engine::outcome::Failure;
use crate::fiber::cancel::Here;
use crate::fiber::wait::yield_now;
use crate::kinds::{
    Accept, Connect, Datagram, Fsync, Read, ReadAt, Ready, ReceiveFrom, SendTo, Slices, Write,
    WriteAt, Yield,
};
use crate::time::Instant;

/// Borrowed memory under way to the kernel. Made and used up within one call of the fiber face,
/// which outlasts the operation.
struct Lent {
    start: *mut u8,
    len: usize,
}

impl Lent {
    /// To be read from only.
    fn of(bytes: &[u8]) -> Self {
        Self { start: bytes.as_ptr().cast_mut(), len: bytes.len() }
    }

    fn of_mut(bytes: &mut [u8]) -> Self {
        Self { start: bytes.as_mut_ptr(), len: bytes.len() }
    }
}

// SAFETY: the bytes are elsewhere: moving this does not move them. The call that has made it
// keeps them borrowed until it is gone.
unsafe impl IoBuf for Lent {
    fn bytes(&self) -> &[u8] {
        // SAFETY: borrowed for as long as this exists.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

// SAFETY: as above. Only `of_mut` makes those that are received into.
unsafe impl IoBufMut for Lent {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: borrowed for as long as this exists, and by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// The calls of a [`Descriptor`] that wait, for fibers: [`Descriptor::blocking`].
///
/// Called outside a fiber, each fails with the error [`NotInFiber`](crate::Error::NotInFiber);
/// in one that was cancelled, as [`Fiber::cancel`](super::Fiber::cancel) says.
#[derive(Clone, Copy)]
pub struct Blocking<'d> {
    descriptor: &'d Descriptor,
    deadline: Option<Instant>,
}

impl Descriptor {
    /// Its calls that wait, for fibers.
    ///
    /// ```
    /// # use tautline_runtime::{Config, Descriptor, Runtime, fiber::Stack};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Runtime::new(Config::default())?;
    /// let (a, b) = Descriptor::pair()?;
    /// let read = runtime.run_fiber(Stack::Small, move || {
    ///     a.blocking().write_all(b"hello")?;
    ///     let mut buf = [0; 16];
    ///     b.blocking().read(&mut buf)
    /// })??;
    /// assert_eq!(read, 5);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking { descriptor: self, deadline: None }
    }
}

impl<'d> Blocking<'d> {
    /// Gives calls up at `deadline`: they then fail with [`TimedOut`](io::ErrorKind::TimedOut).
    #[inline]
    pub fn deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    #[inline]
    fn perform<K: Yield>(&self, kind: K, call: &'static str) -> K::Output {
        let conn = &self.descriptor.conn;
        conn.core.perform(conn.key, self.deadline, kind, call)
    }

    fn class(&self) -> Class {
        let conn = &self.descriptor.conn;
        conn.core.with(|engine| engine.io(conn.key).map_or(Class::Plain, |io| io.class))
    }

    /// A read into nothing: the kernel would wait for a byte that is not taken.
    #[cold]
    fn nothing(&self) -> io::Result<usize> {
        Here::of(&self.descriptor.conn.core)?.checkpoint()?;
        Ok(0)
    }

    /// Reads what is there, waiting for the first byte. Zero: the peer has ended, or `buf` is
    /// empty.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.nothing();
        }
        let kind = Read::<Lent, false> { buf: Lent::of_mut(buf), class: self.class() };
        self.perform(kind, "read").0
    }

    /// Reads until `buf` is full. If the stream ends before, the error is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), and what had arrived stays with it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        if buf.is_empty() {
            return self.nothing().map(|_| ());
        }
        let kind = Read::<Lent, true> { buf: Lent::of_mut(buf), class: self.class() };
        self.perform(kind, "read_exact").0.map(|_| ())
    }

    /// Reads what is there into one buffer after the other, in one call, waiting for the first
    /// byte. Zero: the peer has ended, or there is no room in `bufs`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return self.nothing();
        }
        self.perform(Slices::to_fill(bufs), "read_vectored")
    }

    /// Queues `buf` to leave in one call at the end of the turn, with everything else that this
    /// turn writes; waits where the queue is full. Returns how much it has taken, at least a
    /// byte.
    ///
    /// # Errors
    /// What the kernel says, also of earlier writes; what all calls say.
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.take_turn(0)?;
        match self.queue(buf)? {
            0 if !buf.is_empty() => {
                let kind = Write::<Lent, false> { buf: Lent::of(buf), class: self.class() };
                self.perform(kind, "write").0
            }
            taken => Ok(taken),
        }
    }

    /// Queues one buffer after the other, to leave in one call; where the queue is full, waits
    /// and hands all to the kernel in one. Returns how much was taken, at least a byte.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // Once: nobody writes in between.
        self.take_turn(0)?;
        let mut taken = 0;
        for buf in bufs {
            let queued = match self.queue(buf) {
                // The next call tells of it.
                Err(_) if taken > 0 => break,
                queued => queued?,
            };
            taken += queued;
            if queued < buf.len() {
                break;
            }
        }
        if taken > 0 || bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(taken);
        }
        self.perform(Slices::to_send(bufs), "write_vectored")
    }

    /// Queues all of `buf`, or waits until it has left. Cancelled or timed out in its midst, the
    /// sending side fails from then on with an error that states the count.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.take_turn(0)?;
        let taken = self.queue(buf)?;
        let rest = &buf[taken..];
        if rest.is_empty() {
            return Ok(());
        }
        let torn = Torn { descriptor: self.descriptor, written: taken, of: buf.len() };
        let kind = Write::<Lent, true> { buf: Lent::of(rest), class: self.class() };
        self.perform(kind, "write_all").0?;
        std::mem::forget(torn);
        Ok(())
    }

    /// What the queue takes of `buf` now; a large one may leave at once. Whoever calls has taken
    /// its turn.
    #[inline]
    fn queue(&self, buf: &[u8]) -> io::Result<usize> {
        let conn = &self.descriptor.conn;
        Ok(conn.core.with(|engine| engine.write_in_turn(conn.key, buf))?)
    }

    /// Sends now what was written, and waits until the kernel has taken all of it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&self) -> io::Result<()> {
        let kind = Write::<Lent, true> { buf: Lent::of(&[]), class: self.class() };
        self.perform(kind, "flush").0.map(|_| ())
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn accept(&self) -> io::Result<Descriptor> {
        self.perform(Accept, "accept")
    }

    /// Connects a socket.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn connect(&self, addr: SockAddr) -> io::Result<()> {
        self.perform(Connect { addr: Box::new(addr) }, "connect")
    }

    /// Waits until something can be read.
    ///
    /// # Errors
    /// What all calls say.
    pub fn readable(&self) -> io::Result<()> {
        self.perform(Ready { interest: Interest::Read }, "readable")
    }

    /// Waits until something can be written.
    ///
    /// # Errors
    /// What all calls say.
    pub fn writable(&self) -> io::Result<()> {
        self.perform(Ready { interest: Interest::Write }, "writable")
    }

    /// Receives one datagram, and says how long it is, who sent it, and whether `buf` was too
    /// short for it. One that is there already costs no allocation.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        self.take_turn(1)?;
        match self.descriptor.conn.try_receive_from(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.perform(ReceiveFrom::new(Lent::of_mut(buf)), "receive_from").0
            }
            received => received,
        }
    }

    /// Sends one datagram; `to` is `None` on a connected socket.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn send_to(&self, buf: &[u8], to: Option<&SockAddr>) -> io::Result<usize> {
        self.take_turn(1)?;
        match self.descriptor.conn.try_send_to(buf, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.perform(SendTo::new(Lent::of(buf), to), "send_to").0
            }
            sent => sent,
        }
    }

    /// A call begins that may be over at once, and takes so many of the immediate completions
    /// that the fiber has. With none left it lets the others run first, so that it cannot keep
    /// the loop.
    #[inline]
    fn take_turn(&self, completions: u32) -> io::Result<()> {
        let core = &self.descriptor.conn.core;
        let here = Here::of(core)?;
        here.checkpoint()?;
        here.refill();
        let left = core.hold(|engine| {
            let left = engine.inline_left;
            engine.inline_left = left.saturating_sub(completions);
            left
        });
        if left == 0 {
            yield_now()?;
            here.refill();
        }
        Ok(())
    }

    /// Reads from a file at `offset`, in bytes, up to the length of `buf`. Zero: that is the
    /// end.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.perform(ReadAt { buf: Lent::of_mut(buf), offset }, "read_at").0
    }

    /// Writes all of `buf` to a file at `offset`, in bytes.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.perform(WriteAt { buf: Lent::of(buf), offset }, "write_at").0.map(|_| ())
    }

    /// Makes a file durable; with `data_only` without metadata that is not needed to read it
    /// back.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn fsync(&self, data_only: bool) -> io::Result<()> {
        self.perform(Fsync { data_only }, "fsync")
    }
}

/// The first part of a write was queued. If the rest does not follow, nothing may.
struct Torn<'d> {
    descriptor: &'d Descriptor,
    written: usize,
    of: usize,
}

impl Drop for Torn<'_> {
    fn drop(&mut self) {
        let (conn, written, of) = (&self.descriptor.conn, self.written, self.of);
        if written > 0 {
            conn.core.with(|e| e.break_sending(conn.key, Failure::Torn { written, of }));
        }
    }
}

impl fmt::Debug for Blocking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(self.descriptor).finish()
    }
}
