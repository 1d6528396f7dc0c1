//! The seam between the loop and the kernel: what every driver promises.
//!
//! A driver knows descriptors, raw operations and completions. It knows nothing of
//! continuations, deadlines, ordering or ownership: those live above, in the
//! engine, once for all drivers. Three drivers serve this contract and pass one
//! suite: `uring` (io_uring), `readiness` (epoll) and `sim` (a seeded world with
//! virtual time).
//!
//! The contract:
//!
//! 1. [`Driver::attempt`] tries an operation at once and never blocks.
//! 2. [`Driver::submit`] arms an operation. It then completes through
//!    [`Driver::poll`]: once, or for a multishot operation any number of times with
//!    [`Completion::more`] set and exactly once without it. That last completion is
//!    *final*: only after it may the memory that the operation names be touched.
//! 3. [`Driver::cancel`] asks an armed operation to end. It still gets its final
//!    completion: the result it had reached, or `ECANCELED`. Cancelling a token that
//!    is unknown or already final does nothing.
//! 4. At most one receiving and one sending operation is armed on a descriptor at a
//!    time (the engine keeps the order); any number of `Poll`, `ReadAt`, `WriteAt`
//!    and `Fsync` may be.
//! 5. A descriptor is closed only when nothing is armed on it.

pub(crate) mod any;
pub(crate) mod config;
mod option;
pub(crate) mod pool;
pub(crate) mod readiness;
pub mod sim;
#[cfg(test)]
pub(crate) mod suite;
pub(crate) mod sys;
pub(crate) mod uring;

use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Type};

pub(crate) use crate::mailbox::Wake;
use crate::time::Instant;

pub use self::option::{KeepAlive, SocketOption, Stamp};

/// Names one armed operation: a slot of the engine's table and the slot's generation,
/// so that a completion that comes late never meets the slot's next tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct Token(u64);

impl Token {
    /// The token of generation `generation` of slot `index`.
    ///
    /// `index` stays below `u32::MAX - 16`: the last ones are the drivers' own.
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | index as u64)
    }

    /// The slot.
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    /// The slot's generation.
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// As the kernel carries it.
    pub(crate) const fn as_u64(self) -> u64 {
        self.0
    }

    /// Back from what the kernel carried.
    pub(crate) const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }
}

/// One raw operation. The memory it names belongs to the engine and stays valid and
/// unmoved from [`Driver::submit`] to the final completion.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// `recv(2)` into `len` bytes at `buf`.
    Recv { fd: RawFd, buf: *mut u8, len: usize },
    /// One `recv(2)` into a buffer of the driver's pool, chosen when bytes are there.
    RecvPool { fd: RawFd },
    /// `recv(2)` into pool buffers again and again, until cancelled, failed, at the
    /// end of the stream, or out of buffers (`ENOBUFS`).
    RecvMulti { fd: RawFd },
    /// `send(2)` with `MSG_NOSIGNAL`; may be short.
    Send { fd: RawFd, buf: *const u8, len: usize },
    /// `read(2)` on a descriptor that is no socket (pipe, terminal, eventfd).
    Read { fd: RawFd, buf: *mut u8, len: usize },
    /// `write(2)` on a descriptor that is no socket.
    Write { fd: RawFd, buf: *const u8, len: usize },
    /// `readv(2)`.
    Readv { fd: RawFd, iov: *const libc::iovec, count: usize },
    /// `writev(2)`; without `SIGPIPE`, which the runtime ignores for the process.
    Writev { fd: RawFd, iov: *const libc::iovec, count: usize },
    /// `recvmsg(2)`. The result is the length of the message; `msg_flags` tells of truncation.
    RecvMsg { fd: RawFd, msg: *mut libc::msghdr },
    /// `sendmsg(2)` with `MSG_NOSIGNAL`.
    SendMsg { fd: RawFd, msg: *const libc::msghdr },
    /// `accept4(2)`, close-on-exec and non-blocking. The result is the descriptor.
    Accept { fd: RawFd },
    /// `accept4(2)` again and again.
    AcceptMulti { fd: RawFd },
    /// `connect(2)`; completes when the connection stands or failed.
    Connect { fd: RawFd, addr: *const SockAddr },
    /// Waits until `fd` is ready; the result holds the ready `POLL*` bits.
    Poll { fd: RawFd, interest: Interest },
    /// `Poll` again and again, once per edge.
    PollMulti { fd: RawFd, interest: Interest },
    /// `pread(2)` on a regular file. Only where [`Driver::files`] is true.
    ReadAt { fd: RawFd, buf: *mut u8, len: usize, offset: u64 },
    /// `pwrite(2)` on a regular file. Only where [`Driver::files`] is true.
    WriteAt { fd: RawFd, buf: *const u8, len: usize, offset: u64 },
    /// `fsync(2)`, or `fdatasync(2)` with `data_only`. Only where [`Driver::files`] is true.
    Fsync { fd: RawFd, data_only: bool },
    /// `openat(2)` at the working directory, close-on-exec. The result is the
    /// descriptor. `path` is NUL-terminated. Only where [`Driver::files`] is true.
    Open { path: *const libc::c_char, flags: i32, mode: u32 },
}

/// Which readiness an operation waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interest {
    /// Bytes, a connection or the end can be taken.
    Read,
    /// Bytes can be given.
    Write,
}

impl Interest {
    /// As `poll(2)` names it. `POLLRDHUP` comes with reading, so that an end is seen.
    pub(crate) const fn poll_bits(self) -> i16 {
        match self {
            Self::Read => libc::POLLIN | libc::POLLRDHUP,
            Self::Write => libc::POLLOUT,
        }
    }
}

impl Op {
    /// The descriptor and the direction that the operation waits for; `None` for those on
    /// files, which know no readiness. The descriptor may be negative.
    pub(crate) const fn waits_for(&self) -> Option<(RawFd, Interest)> {
        Some(match *self {
            Self::Recv { fd, .. }
            | Self::RecvPool { fd }
            | Self::RecvMulti { fd }
            | Self::Read { fd, .. }
            | Self::Readv { fd, .. }
            | Self::RecvMsg { fd, .. }
            | Self::Accept { fd }
            | Self::AcceptMulti { fd } => (fd, Interest::Read),
            Self::Send { fd, .. }
            | Self::Write { fd, .. }
            | Self::Writev { fd, .. }
            | Self::SendMsg { fd, .. }
            | Self::Connect { fd, .. } => (fd, Interest::Write),
            Self::Poll { fd, interest } | Self::PollMulti { fd, interest } => (fd, interest),
            Self::ReadAt { .. } | Self::WriteAt { .. } | Self::Fsync { .. } | Self::Open { .. } => {
                return None;
            }
        })
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// It is done: a count or descriptor if not negative, else `-errno`.
    Done(i32),
    /// Not now (`EAGAIN`, `EINPROGRESS`): arm it.
    WouldBlock,
}

/// An operation's end, or one of several for a multishot operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Completion {
    /// What was submitted.
    pub(crate) token: Token,
    /// A count, descriptor or readiness if not negative, else `-errno`.
    pub(crate) result: i32,
    /// The pool buffer that holds the `result` bytes; the engine gives it back by
    /// [`Driver::recycle`].
    pub(crate) buffer: Option<BufferId>,
    /// More completions of this token will come.
    pub(crate) more: bool,
}

/// A buffer of the driver's receive pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BufferId(pub(crate) u16);

/// The submission queue has no room now; the engine tries again after the next poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// How long [`Driver::poll`] may wait when nothing has completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until something completes, the loop is woken or the time is over.
    AtMost(Duration),
    /// Until something completes or the loop is woken.
    Forever,
}

/// What the loop needs of the kernel, or of a simulation of it. See the module's contract.
pub(crate) trait Driver {
    /// `uring`, `readiness` or `sim`.
    fn name(&self) -> &'static str;

    /// The simulation's time; `None` where time is real.
    fn virtual_now(&self) -> Option<Instant>;

    /// Whether files are served (`ReadAt`, `WriteAt`, `Fsync`, `Open`); if not, the
    /// engine runs them on the offload pool.
    fn files(&self) -> bool;

    /// Tries `op` now, without waiting. Multishot and pool operations, file
    /// operations and `Open` are never attempted.
    ///
    /// # Safety
    /// The memory that `op` names is valid for the call.
    unsafe fn attempt(&mut self, op: &Op) -> Attempt;

    /// `recvmmsg(2)` without waiting: how many of `messages` were filled, or `-errno`.
    ///
    /// # Safety
    /// Every header names valid memory.
    unsafe fn receive_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt;

    /// `sendmmsg(2)` without waiting: how many of `messages` were sent, or `-errno`.
    ///
    /// # Safety
    /// Every header names valid memory.
    unsafe fn send_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt;

    /// Arms `op` under `token`, which no other armed operation has.
    ///
    /// # Errors
    /// [`Full`] when the submission queue has no room; nothing was armed then. Every
    /// other failure comes as a completion.
    ///
    /// # Safety
    /// The memory that `op` names stays valid, unmoved and untouched until the final
    /// completion of `token` has come out of [`Driver::poll`].
    unsafe fn submit(&mut self, token: Token, op: &Op) -> Result<(), Full>;

    /// Asks the operation under `token` to end. Never fails: room is reserved.
    fn cancel(&mut self, token: Token);

    /// Whether [`Driver::has_work`] knows: it looks at memory that the kernel writes.
    fn sees_memory(&self) -> bool {
        false
    }

    /// Whether [`Driver::poll`] has something to do, seen in memory without a system
    /// call. Drivers that cannot tell say `true`.
    fn has_work(&self) -> bool;

    /// Hands what was submitted to the kernel, then appends at most `limit`
    /// completions to `out`. Waits as told only if there is none. Returns whether the
    /// loop was woken by [`Wake`].
    ///
    /// # Errors
    /// Only what ends the loop (a ring that broke); `EINTR` is handled within.
    fn poll(&mut self, wait: Wait, limit: usize, out: &mut Vec<Completion>) -> io::Result<bool>;

    /// The bytes of a pool buffer that a completion named: address of its first byte.
    /// Valid for the pool's buffer size until [`Driver::recycle`].
    fn buffer(&self, id: BufferId) -> *mut u8;

    /// Gives a pool buffer back.
    fn recycle(&mut self, id: BufferId);

    /// How other threads end the wait of [`Driver::poll`].
    fn waker(&self) -> Arc<dyn Wake>;

    /// A new socket, non-blocking and close-on-exec.
    fn socket(
        &mut self,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<RawFd>;
    /// `bind(2)`. This and the next seven go to the kernel, unless the driver has a world
    /// of its own.
    fn bind(&mut self, fd: RawFd, addr: &SockAddr) -> io::Result<()> {
        sys::bind(fd, addr)
    }
    /// `listen(2)`.
    fn listen(&mut self, fd: RawFd, backlog: i32) -> io::Result<()> {
        sys::listen(fd, backlog)
    }
    /// `getsockname(2)`.
    fn local_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        sys::local_addr(fd)
    }
    /// `getpeername(2)`.
    fn peer_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        sys::peer_addr(fd)
    }
    /// `setsockopt(2)`.
    fn set_option(&mut self, fd: RawFd, option: SocketOption) -> io::Result<()> {
        sys::set_option(fd, option)
    }
    /// How many received bytes the socket may hold, as its kernel counts.
    fn receive_buffer(&self, fd: RawFd) -> io::Result<usize> {
        sys::receive_buffer(fd)
    }
    /// How many bytes to be sent the socket may hold, as its kernel counts.
    fn send_buffer(&self, fd: RawFd) -> io::Result<usize> {
        sys::send_buffer(fd)
    }
    /// How many datagrams the socket has dropped.
    fn dropped(&self, fd: RawFd) -> io::Result<u32> {
        sys::dropped(fd)
    }
    /// `shutdown(2)`.
    fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        sys::shutdown(fd, how)
    }
    /// `close(2)`. Nothing is armed on `fd`.
    fn close(&mut self, fd: RawFd);
}
