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
use super::names::Name;
use super::operations::{Operations, label, target};
use super::world::{Family, Fired, World};
use super::{Config, Stop, memory};
use crate::sync::{AtomicBool, Ordering};
use crate::time::Instant;

/// Most datagrams into which one message may be cut, as on Linux.
const MOST_SEGMENTS: usize = 128;

/// The driver on a simulated world. See the module.
pub(crate) struct SimDriver {
    world: World,
    operations: Operations,
    pool: Pool,
    free: FreeList,
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

    /// Does `op` if it can be done now.
    ///
    /// # Safety
    /// The memory that `op` names is valid for the call.
    unsafe fn perform(&mut self, op: &Op) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        unsafe {
            match *op {
                Op::Recv { fd, buf, len } | Op::Read { fd, buf, len } => {
                    let received = self.world.receive(fd, len)?;
                    memory::write(buf, &received.bytes);
                    Ok(received.bytes.len() as i32)
                }
                Op::Readv { fd, iov, count } => {
                    let received = self.world.receive(fd, memory::capacity(iov, count))?;
                    memory::scatter(iov, count, &received.bytes);
                    Ok(received.bytes.len() as i32)
                }
                Op::RecvMsg { fd, msg } => self.receive_message(fd, msg),
                Op::Send { fd, buf, len } | Op::Write { fd, buf, len } => {
                    self.send(fd, memory::read(buf, len), None)
                }
                Op::Writev { fd, iov, count } => self.send(fd, &memory::gather(iov, count), None),
                Op::SendMsg { fd, msg } => self.send_message(fd, msg),
                Op::Accept { fd } => self.world.accept(fd),
                Op::Connect { fd, addr } => {
                    let to = Name::of(&*addr).ok_or(libc::EAFNOSUPPORT)?;
                    self.world.connect(fd, to).map(|()| 0)
                }
                Op::Poll { fd, interest } | Op::PollMulti { fd, interest } => {
                    self.ready(fd, interest)
                }
                _ => Err(Stop::WouldBlock),
            }
        }
    }

    fn ready(&self, fd: RawFd, interest: Interest) -> Result<i32, Stop> {
        let told = interest.poll_bits() | libc::POLLERR | libc::POLLHUP;
        match self.world.readiness(fd)? & told {
            0 => Err(Stop::WouldBlock),
            bits => Ok(i32::from(bits)),
        }
    }

    fn send(&mut self, fd: RawFd, bytes: &[u8], to: Option<Name>) -> Result<i32, Stop> {
        // No more at a time than the kernel moves.
        let bytes = &bytes[..bytes.len().min(i32::MAX as usize)];
        self.world.send(fd, bytes, to).map(|count| count as i32)
    }

    /// # Safety
    /// The header and what it names are valid for the call.
    unsafe fn receive_message(&mut self, fd: RawFd, msg: *mut libc::msghdr) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        let room = unsafe { memory::capacity((*msg).msg_iov, (*msg).msg_iovlen) };
        let received = self.world.receive(fd, room)?;
        let v6 = self.world.socket_of(fd)?.1.family == Family::V6;
        // SAFETY: as the caller promises; no more came than there is room for.
        unsafe { memory::fill(msg, &received, v6) };
        Ok(received.bytes.len() as i32)
    }

    /// # Safety
    /// The header and what it names are valid for the call.
    unsafe fn send_message(&mut self, fd: RawFd, msg: *const libc::msghdr) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        let (to, bytes, size) = unsafe {
            let bytes = memory::gather((*msg).msg_iov, (*msg).msg_iovlen);
            (memory::destination(msg)?, bytes, memory::segment_size(msg))
        };
        match size {
            Some(size) if bytes.len() > size => self.send_segments(fd, &bytes, size, to),
            _ => self.send(fd, &bytes, to),
        }
    }

    /// Sends `bytes` as datagrams of `size`. Those for which there is no room after the
    /// first are lost, as datagrams may be.
    fn send_segments(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        size: usize,
        to: Option<Name>,
    ) -> Result<i32, Stop> {
        let mut segments = bytes.chunks(size);
        if segments.len() > MOST_SEGMENTS {
            return Err(Stop::Errno(libc::EINVAL));
        }
        if let Some(first) = segments.next() {
            self.send(fd, first, to.clone())?;
        }
        for segment in segments {
            if self.send(fd, segment, to.clone()).is_err() {
                break;
            }
        }
        Ok(bytes.len() as i32)
    }

    /// Does for each of `messages` what `one` does, until one cannot be done.
    fn many(
        &mut self,
        (fd, interest): (RawFd, Interest),
        messages: &mut [libc::mmsghdr],
        mut one: impl FnMut(&mut Self, &mut libc::msghdr) -> Result<i32, Stop>,
    ) -> Attempt {
        if self.hides(fd, interest) {
            return Attempt::WouldBlock;
        }
        let mut count = 0;
        for message in messages {
            match one(self, &mut message.msg_hdr) {
                Ok(len) => message.msg_len = len as u32,
                Err(stop) if count == 0 => return outcome(Err(stop)),
                Err(Stop::Errno(errno)) => {
                    self.world.tell_later(fd, errno);
                    break;
                }
                Err(Stop::WouldBlock) => break,
            }
            count += 1;
        }
        self.world.note("many", fd as u64, count.into());
        Attempt::Done(count)
    }

    /// Whether a fault hides that something can be done on `fd`.
    fn hides(&mut self, fd: RawFd, interest: Interest) -> bool {
        let hides = self.world.chance(|faults| faults.would_block);
        if hides {
            self.world.touch_soon(fd, interest);
        }
        hides
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
                _ => {
                    let more = matches!(op, Op::AcceptMulti { .. } | Op::PollMulti { .. });
                    // SAFETY: the operation is armed, so that the engine keeps what it
                    // names.
                    let result = match op {
                        Op::AcceptMulti { fd } => self.world.accept(fd),
                        _ => unsafe { self.perform(&op) },
                    };
                    self.finish(token, result, more) && matches!(op, Op::AcceptMulti { .. })
                }
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Completes `token` with `result`, unless there is none yet; `more` unless it is an
    /// error. Whether it completed.
    fn finish(&mut self, token: Token, result: Result<i32, Stop>, more: bool) -> bool {
        let (result, more) = match result {
            Ok(count) => (count, more),
            Err(Stop::Errno(errno)) => (-errno, false),
            Err(Stop::WouldBlock) => return false,
        };
        self.complete(Completion { token, result, buffer: None, more });
        true
    }

    /// Receives into a pool buffer, which is taken only for bytes that are there. Whether
    /// something came and more is wanted.
    fn receive_into_pool(&mut self, token: Token, fd: RawFd, multi: bool) -> bool {
        let some = self.world.readiness(fd).is_ok_and(|bits| bits & libc::POLLIN != 0);
        let lacking = some && self.world.chance(|faults| faults.no_buffer);
        let buffer = if lacking { None } else { self.free.take() };
        let Some(buffer) = buffer else {
            let result = self.receive_without_buffer(fd);
            self.finish(token, result, false);
            return false;
        };
        let received = self.world.receive(fd, self.pool.size());
        match received {
            Ok(received) if received.source.is_some() || !received.bytes.is_empty() => {
                let result = received.bytes.len() as i32;
                // SAFETY: no more than the buffer holds; the buffer is the driver's.
                unsafe { memory::write(self.pool.ptr(buffer), &received.bytes) };
                let more = multi && result > 0;
                self.complete(Completion { token, result, buffer: Some(buffer), more });
                more
            }
            other => {
                self.free.give(buffer);
                self.finish(token, other.map(|_| 0), false);
                false
            }
        }
    }

    /// What a pool receive comes to without a buffer: an end or an error needs none.
    fn receive_without_buffer(&mut self, fd: RawFd) -> Result<i32, Stop> {
        if self.world.has_bytes(fd) {
            return Err(Stop::Errno(libc::ENOBUFS));
        }
        self.world.receive(fd, 0).map(|_| 0)
    }

    /// `completion` is told at the next poll, or later by fault.
    fn complete(&mut self, completion: Completion) {
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
        let name = |op: &Op| (label(op), target(op).map_or(-1, |(fd, _)| fd));
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
        let armed = self.operations.find(token).and_then(|armed| target(&armed.op));
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

/// As an attempt tells it.
fn outcome(result: Result<i32, Stop>) -> Attempt {
    match result {
        Ok(count) => Attempt::Done(count),
        Err(Stop::Errno(errno)) => Attempt::Done(-errno),
        Err(Stop::WouldBlock) => Attempt::WouldBlock,
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
        let Some((fd, interest)) = target(op) else {
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
        match target(op).map(|(fd, _)| self.world.find(fd)) {
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
        self.world.note("socket", 0, result.map_or_else(|errno| -errno, |fd| fd).into());
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
