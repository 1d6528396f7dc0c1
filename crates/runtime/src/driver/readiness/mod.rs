//! The driver on `epoll(7)`: operations are attempted when their descriptor may be
//! ready.
//!
//! A descriptor is registered when something on it first has to wait, edge-triggered
//! for both directions, and stays so until it is closed: no `epoll_ctl(2)` around each
//! read. An edge that epoll has told is told no more, so the driver keeps what it
//! learnt: each side of a descriptor is *ready* from an event (or its birth) until an
//! attempt would block, and while it is ready and something is armed on it, it stands
//! in the ready queue. The queue goes round: each side gets a few completions, then the
//! next, so that a socket that is always ready starves no other.

mod epoll;
mod serve;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Type};

use self::epoll::{Epoll, Event};
use self::table::{Descriptor, Operations, Registration, Side, SideState};
use super::config::DriverConfig;
use super::pool::{FreeList, Pool};
use super::sys::{self, EventFd};
use super::{Attempt, BufferId, Completion, Driver, Full, Interest, Op, Token, Wait, Wake};
use crate::time::Instant;

/// The driver on `epoll(7)`. See the module.
pub(crate) struct ReadinessDriver {
    epoll: Epoll,
    waker: Arc<EventFd>,
    pool: Pool,
    free: FreeList,
    /// By descriptor number; grows at a descriptor's birth only.
    descriptors: Vec<Descriptor>,
    operations: Operations,
    /// Sides that are ready and have something armed, each once (see
    /// [`SideState::queued`]); room for both sides of each descriptor.
    queue: VecDeque<Side>,
    /// Final completions that wait for the next poll: at most one per armed operation.
    finished: VecDeque<Completion>,
}

/// What an operation that cannot go on has to expect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registered {
    /// An event, if anything comes at all.
    Waits,
    /// epoll has just refused the descriptor, which is always ready: another turn.
    JustRefused,
}

/// What the waker is registered with; no descriptor has this number.
const WAKE: u64 = u64::MAX;

/// Bits that end the rule that a short read has emptied a socket.
const UNUSUAL: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI) as u32;
/// Bits after which receiving is worth an attempt.
const READABLE: u32 = libc::EPOLLIN as u32 | UNUSUAL;
/// Bits after which sending is.
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;

impl ReadinessDriver {
    /// A driver of that size. `entries` means nothing to it.
    ///
    /// # Errors
    /// As `epoll_create1(2)`, `eventfd(2)` (no descriptors left) and `mmap(2)` (the
    /// receive pool does not fit).
    pub(crate) fn new(config: &DriverConfig) -> io::Result<Self> {
        let epoll = Epoll::new(config.events)?;
        let waker = Arc::new(EventFd::new()?);
        // Edge-triggered, each wake is an event of its own: it is never read.
        epoll.add_waker(waker.as_fd(), WAKE)?;
        Ok(Self {
            epoll,
            waker,
            pool: Pool::new(config.pool_buffers, config.pool_buffer_size)?,
            free: FreeList::new(config.pool_buffers),
            descriptors: Vec::new(),
            operations: Operations::new(config.operations),
            queue: VecDeque::new(),
            finished: VecDeque::with_capacity(config.operations as usize),
        })
    }

    /// Makes sure that the table has an entry for `fd`. `false` if there is no such
    /// descriptor.
    fn admit(&mut self, fd: RawFd) -> bool {
        let Ok(index) = usize::try_from(fd) else {
            return false;
        };
        if index < self.descriptors.len() {
            return true;
        }
        // SAFETY: asks for flags, names no memory; fails for what is not open.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            return false;
        }
        self.grow(index);
        true
    }

    fn grow(&mut self, index: usize) {
        let len = (index + 1).next_power_of_two().max(64);
        self.descriptors.resize(len, Descriptor::NEW);
        self.queue.reserve(2 * len - self.queue.len());
    }

    /// A new file has the number `fd`.
    fn born(&mut self, fd: RawFd, short_empties: bool) {
        if self.admit(fd) {
            self.descriptors[fd as usize].renew(short_empties);
        }
    }

    fn state(&mut self, side: Side) -> &mut SideState {
        self.descriptors[side.fd() as usize].side_mut(side.interest())
    }

    /// Takes from an attempt's result what it tells of the descriptor.
    fn learn(&mut self, op: &Op, result: Attempt) {
        let Some((fd, interest)) = op.waits_for() else {
            return;
        };
        match (result, *op) {
            (Attempt::WouldBlock, _) if self.admit(fd) => {
                self.state(Side::new(fd, interest)).ready = false;
            }
            (Attempt::Done(child), Op::Accept { .. }) if child >= 0 => self.accepted(fd, child),
            (Attempt::Done(count), Op::Recv { len, .. }) => {
                self.received(fd, count, len);
            }
            _ => {}
        }
    }

    /// The listener `fd` brought `child`.
    fn accepted(&mut self, fd: RawFd, child: RawFd) {
        let short_empties = self.descriptors.get(fd as usize).is_some_and(|d| d.short_empties);
        self.born(child, short_empties);
    }

    /// A receive of up to `len` bytes on `fd` brought `count`. Whether the socket is
    /// known to be empty now.
    fn received(&mut self, fd: RawFd, count: i32, len: usize) -> bool {
        let Some(descriptor) = self.descriptors.get_mut(fd as usize) else {
            return false;
        };
        let empty = descriptor.short_empties && count > 0 && (count as usize) < len;
        if empty {
            descriptor.read.ready = false;
        }
        empty
    }

    /// Puts `side` at the end of the ready queue, unless it stands there.
    fn enqueue(&mut self, side: Side) {
        let state = self.state(side);
        if !state.queued {
            state.queued = true;
            self.queue.push_back(side);
        }
    }

    /// Has epoll tell of `fd`, which is in the table, from now on.
    ///
    /// # Errors
    /// `-errno`: no such descriptor, or no more may be registered.
    fn register(&mut self, fd: RawFd) -> Result<Registered, i32> {
        if self.descriptors[fd as usize].registration != Registration::None {
            return Ok(Registered::Waits);
        }
        // SAFETY: in the table, so not negative; borrowed for the calls below, during
        // which the engine does not close it.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        let added = match self.epoll.add(source, fd as u64) {
            Err(rustix::io::Errno::EXIST) => self.epoll.modify(source, fd as u64),
            result => result,
        };
        let (registration, result) = match added {
            Ok(()) => (Registration::Epoll, Registered::Waits),
            Err(rustix::io::Errno::PERM) => (Registration::Always, Registered::JustRefused),
            Err(e) => return Err(-e.raw_os_error()),
        };
        self.descriptors[fd as usize].registration = registration;
        Ok(result)
    }

    /// Waits up to `timeout` for events and marks what they tell; whether the loop was
    /// woken.
    fn collect(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut woken = false;
        for index in 0..self.epoll.wait(timeout)? {
            match self.epoll.event(index) {
                Event { data: WAKE, .. } => woken = true,
                Event { data, bits } => self.mark(data as RawFd, bits),
            }
        }
        Ok(woken)
    }

    fn mark(&mut self, fd: RawFd, bits: u32) {
        if bits & UNUSUAL != 0 {
            self.descriptors[fd as usize].short_empties = false;
        }
        if bits & READABLE != 0 {
            self.mark_side(Side::new(fd, Interest::Read));
        }
        if bits & WRITABLE != 0 {
            self.mark_side(Side::new(fd, Interest::Write));
        }
    }

    fn mark_side(&mut self, side: Side) {
        let state = self.state(side);
        state.ready = true;
        let mut index = state.first();
        if state.is_idle() {
            return;
        }
        while let Some(armed) = self.operations.get_mut(index) {
            armed.edge = true;
            index = armed.next;
        }
        self.enqueue(side);
    }

    /// `token` gets its final completion at the next poll.
    fn finish_later(&mut self, token: Token, result: i32) {
        self.finished.push_back(Completion { token, result, buffer: None, more: false });
    }

    fn deliver_finished(&mut self, limit: usize, out: &mut Vec<Completion>) {
        let count = self.finished.len().min(limit.saturating_sub(out.len()));
        out.extend(self.finished.drain(..count));
    }
}

impl Driver for ReadinessDriver {
    fn name(&self) -> &'static str {
        "readiness"
    }

    fn virtual_now(&self) -> Option<Instant> {
        None
    }

    fn files(&self) -> bool {
        false
    }

    unsafe fn attempt(&mut self, op: &Op) -> Attempt {
        // SAFETY: as the caller promises.
        let result = unsafe { sys::attempt(op) };
        self.learn(op, result);
        result
    }

    unsafe fn receive_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: as the caller promises.
        let result = unsafe { sys::receive_many(fd, messages) };
        if result == Attempt::WouldBlock && self.admit(fd) {
            self.state(Side::new(fd, Interest::Read)).ready = false;
        }
        result
    }

    unsafe fn send_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: as the caller promises.
        let result = unsafe { sys::send_many(fd, messages) };
        if result == Attempt::WouldBlock && self.admit(fd) {
            self.state(Side::new(fd, Interest::Write)).ready = false;
        }
        result
    }

    unsafe fn submit(&mut self, token: Token, op: &Op) -> Result<(), Full> {
        let Some((fd, interest)) = op.waits_for() else {
            self.finish_later(token, -libc::EOPNOTSUPP);
            return Ok(());
        };
        if !self.admit(fd) {
            self.finish_later(token, -libc::EBADF);
            return Ok(());
        }
        let descriptor = &mut self.descriptors[fd as usize];
        let always = descriptor.registration == Registration::Always;
        let state = descriptor.side_mut(interest);
        self.operations.arm(state, token, *op);
        if state.ready || always {
            self.enqueue(Side::new(fd, interest));
        } else {
            self.await_event(token.index(), Side::new(fd, interest));
        }
        Ok(())
    }

    fn cancel(&mut self, token: Token) {
        let Some(armed) = self.operations.find(token) else {
            return;
        };
        let Some((fd, interest)) = armed.op.waits_for() else {
            return;
        };
        self.disarm(token.index(), Side::new(fd, interest));
        self.finish_later(token, -libc::ECANCELED);
    }

    fn has_work(&self) -> bool {
        true
    }

    fn poll(&mut self, wait: Wait, limit: usize, out: &mut Vec<Completion>) -> io::Result<bool> {
        debug_assert!(limit > 0, "a poll that may bring nothing would wait for ever");
        let start = out.len();
        let limit = start.saturating_add(limit);
        let deadline = Deadline::new(wait);
        self.deliver_finished(limit, out);
        loop {
            let idle = out.len() == start && self.queue.is_empty();
            let woken = self.collect(if idle { deadline.left() } else { Some(Duration::ZERO) })?;
            self.serve_ready(limit, out);
            self.deliver_finished(limit, out);
            if woken || out.len() > start || deadline.is_over() {
                return Ok(woken);
            }
        }
    }

    fn buffer(&self, id: BufferId) -> *mut u8 {
        self.pool.ptr(id)
    }

    fn recycle(&mut self, id: BufferId) {
        self.free.give(id);
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn socket(
        &mut self,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<RawFd> {
        let fd = sys::socket(domain, kind, protocol)?;
        let tcp = kind == Type::STREAM && (domain == Domain::IPV4 || domain == Domain::IPV6);
        self.born(fd, tcp);
        Ok(fd)
    }

    fn close(&mut self, fd: RawFd) {
        if let Some(descriptor) = self.descriptors.get_mut(fd as usize) {
            if descriptor.registration == Registration::Epoll {
                // SAFETY: in the table, so not negative; open until the close below.
                // A duplicate would keep the registration alive. If it is gone already,
                // nothing is lost.
                let _ = self.epoll.delete(unsafe { BorrowedFd::borrow_raw(fd) });
            }
            descriptor.renew(false);
        }
        sys::close(fd);
    }
}

/// When a poll has waited long enough.
enum Deadline {
    Now,
    /// On the monotonic clock.
    At(Duration),
    Never,
}

impl Deadline {
    fn new(wait: Wait) -> Self {
        match wait {
            Wait::No => Self::Now,
            Wait::Forever => Self::Never,
            Wait::AtMost(time) => monotonic().checked_add(time).map_or(Self::Never, Self::At),
        }
    }

    /// How long is left; `None` if there is no end.
    fn left(&self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::At(end) => Some(end.saturating_sub(monotonic())),
            Self::Never => None,
        }
    }

    fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
