//! The driver: armed operations on the world, and the memory that they name.

use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Type};

use super::super::config::DriverConfig;
use super::super::pool::{FreeList, Pool};
use super::super::{
    Attempt, BufferId, Completion, Driver, Full, Interest, Op, SocketOption, Token, Wait, Wake,
};
use super::operations::{Operations, label};
use super::perform::outcome;
use super::world::{Fired, World};
use super::{Config, Stop};
use crate::sync::{AtomicBool, Ordering};
use crate::time::Instant;

/// The driver on a simulated world. See the module.
pub(crate) struct SimDriver {
    pub(super) world: World,
    operations: Operations,
    pub(super) pool: Pool,
    pub(super) free: FreeList,
    waker: Arc<Flag>,
    turn: Duration,
    patience: Duration,
    #[cfg(test)]
    bug: Option<super::config::Bug>,
}

/// Set by whoever wakes the loop.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(&self) {
        // Release: what was posted before is seen by the loop that takes the flag.
        self.0.store(true, Ordering::Release);
    }
}

impl Flag {
    fn take(&self) -> bool {
        // Acquire: pairs with the store in `wake`.
        self.0.swap(false, Ordering::Acquire)
    }
}

/// The loop waits for what never comes.
#[derive(Debug, thiserror::Error)]
#[error(
    "deadlock in the simulated world at {at:?}: nothing is under way, no timer is armed and no \
     thread woke the loop within {patience:?}; {count} operations wait for ever{examples}"
)]
struct Deadlock {
    at: Duration,
    patience: Duration,
    count: usize,
    /// The first few of them.
    examples: String,
}

impl SimDriver {
    /// A driver on a new world. Of `size`, only the pool matters to it.
    ///
    /// # Errors
    /// As `mmap(2)`: the receive pool does not fit.
    pub(crate) fn new(size: &DriverConfig, config: &Config) -> io::Result<Self> {
        config.handle.begin(config.start, config.lines);
        Ok(Self {
            world: World::new(config),
            operations: Operations::default(),
            pool: Pool::new(size.pool_buffers, size.pool_buffer_size)?,
            free: FreeList::new(size.pool_buffers),
            waker: Arc::new(Flag(AtomicBool::new(false))),
            turn: config.turn.max(Duration::from_nanos(1)),
            patience: config.patience,
            #[cfg(test)]
            bug: config.bug,
        })
    }

    /// Goes on with all that waits where something has happened.
    fn serve_touched(&mut self) {
        for (fd, interest) in self.world.take_touched() {
            for index in self.operations.waiting_on(fd, interest) {
                self.drive(index);
            }
        }
    }

    /// Goes on with operation `index` as far as that is possible now.
    fn drive(&mut self, index: u32) {
        while let Some(armed) = self.operations.pending(index) {
            let (token, op) = (armed.token, armed.op);
            let goes_on = match op {
                Op::RecvPool { fd } => self.receive_into_pool(token, fd, false),
                Op::RecvMulti { fd } => self.receive_into_pool(token, fd, true),
                Op::AcceptMulti { fd } => {
                    let result = self.world.accept(fd);
                    self.finish(token, result, true)
                }
                _ => {
                    // SAFETY: it is armed, so that the engine keeps what it names.
                    let result = unsafe { self.perform(&op) };
                    self.finish(token, result, matches!(op, Op::PollMulti { .. }));
                    false
                }
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Completes `token` with `result`, unless there is none yet; `more` unless it is an
    /// error. Whether it completed.
    pub(super) fn finish(&mut self, token: Token, result: Result<i32, Stop>, more: bool) -> bool {
        let (result, more) = match result {
            Ok(count) => (count, more),
            Err(Stop::Errno(errno)) => (-errno, false),
            Err(Stop::WouldBlock) => return false,
        };
        self.complete(Completion { token, result, buffer: None, more });
        true
    }

    /// `completion` is told at the next poll, or later by fault.
    pub(super) fn complete(&mut self, completion: Completion) {
        let token = completion.token;
        if !self.operations.complete(completion) {
            return;
        }
        if self.world.chance(|faults| faults.late) {
            self.operations.announce_later(token.index());
            self.world.announce_later(token);
        } else {
            self.operations.announce(token);
        }
    }

    /// A poll tells of readiness that is not there.
    fn pretend_ready(&mut self, token: Token) {
        let Some(armed) = self.operations.find(token) else {
            return;
        };
        let (op, bits) = (armed.op, |interest| match interest {
            Interest::Read => i32::from(libc::POLLIN),
            Interest::Write => i32::from(libc::POLLOUT),
        });
        match op {
            Op::Poll { interest, .. } => drop(self.finish(token, Ok(bits(interest)), false)),
            Op::PollMulti { interest, .. } => drop(self.finish(token, Ok(bits(interest)), true)),
            _ => {}
        }
    }

    /// Lets the next event happen, if there is one by `until`.
    fn step(&mut self, until: Instant) -> bool {
        match self.world.step(until) {
            None => return false,
            Some(Fired::Within) => {}
            Some(Fired::Spurious(token)) => self.pretend_ready(token),
            Some(Fired::Announce(token)) => self.operations.announce(token),
        }
        self.serve_touched();
        true
    }

    /// Appends completions until `out` holds `limit`.
    fn deliver(&mut self, limit: usize, out: &mut Vec<Completion>) {
        while out.len() < limit && self.operations.telling() > 0 {
            let count = self.operations.telling();
            let elsewhere = self.world.chance(|faults| faults.shuffle);
            let place = if elsewhere { self.world.below(count) } else { 0 };
            let Some(completion) = self.operations.tell(place) else {
                continue;
            };
            let word = completion.token.as_u64();
            self.world.note("complete", word, completion.result.into());
            out.push(completion);
            #[cfg(test)]
            if self.bug == Some(super::config::Bug::CompletesTwice) && !completion.more {
                out.push(completion);
            }
        }
    }

    /// Waits, in real time, until another thread wakes the loop.
    fn await_wake(&self) -> io::Result<bool> {
        const NAP: Duration = Duration::from_millis(1);
        let mut left = self.patience;
        loop {
            if self.waker.take() {
                return Ok(true);
            }
            if left.is_zero() {
                return Err(io::Error::other(self.deadlock()));
            }
            thread::sleep(NAP.min(left));
            left = left.saturating_sub(NAP);
        }
    }

    fn deadlock(&self) -> Deadlock {
        let name = |op: &Op| (label(op), op.waits_for().map_or(-1, |(fd, _)| fd));
        let pending: Vec<_> = self.operations.all_pending().map(|a| name(&a.op)).collect();
        let first = pending.iter().take(4).map(|(op, fd)| format!("{op} on {fd}"));
        let first: Vec<String> = first.collect();
        let examples =
            if first.is_empty() { String::new() } else { format!(": {}", first.join(", ")) };
        let at = Duration::from_nanos(self.world.now.as_nanos());
        Deadlock { at, patience: self.patience, count: pending.len(), examples }
    }

    #[cfg(test)]
    fn misbehaves_on_cancel(&mut self, token: Token) -> bool {
        use super::config::Bug;
        let armed = self.operations.find(token).and_then(|armed| armed.op.waits_for());
        match (self.bug, armed) {
            (Some(Bug::CancelIsSilent), _) => {
                self.operations.forget(token.index());
                true
            }
            (Some(Bug::CancelLosesBytes), Some((fd, Interest::Read))) => {
                let soon = self.world.now + Duration::from_micros(20);
                while self.world.step(soon).is_some() {}
                drop(self.world.receive(fd, usize::MAX));
                false
            }
            _ => false,
        }
    }
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl Driver for SimDriver {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn virtual_now(&self) -> Option<Instant> {
        Some(self.world.now)
    }

    fn files(&self) -> bool {
        false
    }

    unsafe fn attempt(&mut self, op: &Op) -> Attempt {
        let Some((fd, interest)) = op.waits_for() else {
            return Attempt::WouldBlock;
        };
        let decisive = matches!(op, Op::Connect { .. } | Op::Poll { .. });
        let result = if !decisive && self.hides(fd, interest) {
            Err(Stop::WouldBlock)
        } else {
            // SAFETY: as the caller promises.
            unsafe { self.perform(op) }
        };
        let attempt = outcome(result);
        let word = if let Attempt::Done(result) = attempt { result } else { -libc::EAGAIN };
        self.world.note(label(op), fd as u64, word.into());
        attempt
    }

    unsafe fn receive_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: as the caller promises.
        let receive = |driver: &mut Self, msg: &mut _| unsafe { driver.receive_message(fd, msg) };
        self.many((fd, Interest::Read), messages, receive)
    }

    unsafe fn send_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: as the caller promises.
        let send = |driver: &mut Self, msg: &mut _| unsafe { driver.send_message(fd, msg) };
        self.many((fd, Interest::Write), messages, send)
    }

    unsafe fn submit(&mut self, token: Token, op: &Op) -> Result<(), Full> {
        if self.world.chance(|faults| faults.queue_full) {
            self.world.note("queue full", token.as_u64(), 0);
            return Err(Full);
        }
        self.world.note(label(op), token.as_u64(), 1);
        self.operations.arm(token, *op);
        match op.waits_for().map(|(fd, _)| self.world.find(fd)) {
            None => drop(self.finish(token, Err(Stop::Errno(libc::EOPNOTSUPP)), false)),
            Some(Err(errno)) => drop(self.finish(token, Err(Stop::Errno(errno)), false)),
            Some(Ok(_)) => self.drive(token.index()),
        }
        let polls = matches!(op, Op::Poll { .. } | Op::PollMulti { .. });
        if polls && self.world.chance(|faults| faults.spurious_ready) {
            self.world.pretend_later(token);
        }
        Ok(())
    }

    fn cancel(&mut self, token: Token) {
        self.world.note("cancel", token.as_u64(), 0);
        if self.operations.find(token).is_none() {
            return;
        }
        #[cfg(test)]
        if self.misbehaves_on_cancel(token) {
            return;
        }
        self.finish(token, Err(Stop::Errno(libc::ECANCELED)), false);
    }

    fn has_work(&self) -> bool {
        // Time itself needs polls to pass.
        true
    }

    fn poll(&mut self, wait: Wait, limit: usize, out: &mut Vec<Completion>) -> io::Result<bool> {
        let start = out.len();
        let limit = start.saturating_add(limit);
        let woken = self.waker.take();
        let turn_ends = self.world.now + self.turn;
        let deadline = match wait {
            Wait::No => turn_ends,
            Wait::AtMost(time) if time < self.turn => turn_ends,
            Wait::AtMost(time) => self.world.now + time,
            Wait::Forever => Instant::MAX,
        };
        self.serve_touched();
        while self.step(turn_ends) {}
        self.world.advance(turn_ends);
        self.deliver(limit, out);
        while out.len() == start && !woken && self.world.now < deadline {
            if self.step(deadline) {
                self.deliver(limit, out);
            } else if deadline == Instant::MAX {
                return self.await_wake();
            } else {
                self.world.advance(deadline);
            }
        }
        Ok(woken)
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

    fn socket(&mut self, domain: Domain, kind: Type, _: Option<Protocol>) -> io::Result<RawFd> {
        let result = self.world.open(domain, kind);
        self.world.note("socket", 0, result.unwrap_or_else(|errno| -errno).into());
        result.map_err(error)
    }

    fn bind(&mut self, fd: RawFd, addr: &SockAddr) -> io::Result<()> {
        let result = self.world.bind(fd, addr);
        self.world.note("bind", fd as u64, result.err().unwrap_or(0).into());
        result.map_err(error)
    }

    fn listen(&mut self, fd: RawFd, backlog: i32) -> io::Result<()> {
        let result = self.world.listen(fd, backlog);
        self.world.note("listen", fd as u64, result.err().unwrap_or(0).into());
        result.map_err(error)
    }

    fn local_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        self.world.local_addr(fd).map_err(error)
    }

    fn peer_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        self.world.peer_addr(fd).map_err(error)
    }

    fn set_option(&mut self, fd: RawFd, option: SocketOption) -> io::Result<()> {
        self.world.set_option(fd, option).map_err(error)
    }

    fn receive_buffer(&self, fd: RawFd) -> io::Result<usize> {
        self.world.options_of(fd).map(|options| options.receive_buffer).map_err(error)
    }

    fn send_buffer(&self, fd: RawFd) -> io::Result<usize> {
        self.world.options_of(fd).map(|options| options.send_buffer).map_err(error)
    }

    fn dropped(&self, fd: RawFd) -> io::Result<u32> {
        self.world.dropped(fd).map_err(error)
    }

    fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        let result = self.world.shutdown(fd, how);
        self.world.note("shutdown", fd as u64, result.err().unwrap_or(0).into());
        result.map_err(error)
    }

    fn close(&mut self, fd: RawFd) {
        self.world.note("close", fd as u64, 0);
        self.world.close(fd);
    }
}
