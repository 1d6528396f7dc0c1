//! What each case of the suite stands on: a driver, and a keeper of its promises.

use std::any::Any;
use std::collections::BTreeSet;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Type};

use super::super::config::DriverConfig;
use super::super::{Attempt, BufferId, Completion, Driver, Full, Op, Token, Wait};

/// The size that the suite asks of a driver: small, so that limits are met.
pub(crate) const CONFIG: DriverConfig = DriverConfig {
    entries: 64,
    operations: 2048,
    pool_buffers: 8,
    pool_buffer_size: 1024,
    events: 64,
};

/// Turns after which something that should have happened counts as missing.
const PATIENCE: usize = 2000;
/// Longest wait of one such turn.
const TURN: Duration = Duration::from_millis(5);
/// Completions that one turn takes.
const LIMIT: usize = 64;

/// Bytes that an operation may name. They live as long as the bench.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) start: *mut u8,
    pub(crate) len: usize,
}

impl Memory {
    /// A copy of the first `count` bytes.
    pub(crate) fn first(&self, count: usize) -> Vec<u8> {
        assert!(count <= self.len, "{count} bytes of {}", self.len);
        // SAFETY: within the memory, which the bench keeps; the operation that wrote
        // it has ended.
        unsafe { std::slice::from_raw_parts(self.start, count) }.to_vec()
    }
}

/// A driver under test. Checks on every turn that no more completions come than the
/// limit allows, and that only armed operations complete, and end once.
pub(crate) struct Bench<D: Driver> {
    pub(crate) driver: D,
    /// Completions that came and that no case has taken.
    pub(crate) seen: Vec<Completion>,
    /// Submitted, and without final completion.
    armed: BTreeSet<Token>,
    /// Index of the next token.
    next: u32,
    /// Open descriptors.
    open: Vec<RawFd>,
    /// What operations name; freed only if no operation is left.
    kept: Vec<*mut dyn Any>,
}

impl<D: Driver> Bench<D> {
    pub(crate) fn new(driver: D) -> Self {
        Self {
            driver,
            seen: Vec::new(),
            armed: BTreeSet::new(),
            next: 0,
            open: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Cancels what is armed, sees everything end, and closes all.
    pub(crate) fn finish(mut self) {
        for token in self.armed.clone() {
            self.driver.cancel(token);
        }
        self.until("cancelled operations end", |bench| bench.armed.is_empty());
        self.recycle_seen();
        for fd in mem::take(&mut self.open) {
            self.driver.close(fd);
        }
    }

    /// Puts `value` where operations may name it.
    pub(crate) fn keep<T: 'static>(&mut self, value: T) -> *mut T {
        let pointer = Box::into_raw(Box::new(value));
        self.kept.push(pointer);
        pointer
    }

    /// A copy of `bytes` that operations may name.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Memory {
        let kept = self.keep(bytes.to_vec());
        // SAFETY: just made; the vector is never resized.
        let start = unsafe { (*kept).as_mut_ptr() };
        Memory { start, len: bytes.len() }
    }

    /// `len` zero bytes.
    pub(crate) fn zeroed(&mut self, len: usize) -> Memory {
        self.copy(&vec![0; len])
    }

    /// A token that no operation of this bench has had.
    pub(crate) fn fresh(&mut self) -> Token {
        self.next += 1;
        Token::new(self.next - 1, 7)
    }

    /// Arms `op`, which names memory of this bench, under a fresh token.
    pub(crate) fn submit(&mut self, op: Op) -> Token {
        let token = self.fresh();
        self.submit_as(token, op);
        token
    }

    /// Arms `op` under `token`; when the queue is full, after the next turns.
    pub(crate) fn submit_as(&mut self, token: Token, op: Op) {
        for _ in 0..PATIENCE {
            if self.try_submit_as(token, op) == Ok(()) {
                return;
            }
            self.turn(Wait::No);
        }
        panic!("{op:?} found the queue full for ever");
    }

    /// Arms `op` under `token`, if the queue has room.
    pub(crate) fn try_submit_as(&mut self, token: Token, op: Op) -> Result<(), Full> {
        // SAFETY: the memory is kept until the driver is gone or the operation ended.
        unsafe { self.driver.submit(token, &op) }?;
        assert!(self.armed.insert(token), "the case armed {token:?} twice");
        Ok(())
    }

    /// Whether `token` has not ended.
    pub(crate) fn is_armed(&self, token: Token) -> bool {
        self.armed.contains(&token)
    }

    /// Tries `op`, which names memory of this bench.
    pub(crate) fn attempt(&mut self, op: Op) -> Attempt {
        // SAFETY: the memory is kept.
        unsafe { self.driver.attempt(&op) }
    }

    /// Tries `op` until it is done: bytes may be under way.
    pub(crate) fn attempt_until_done(&mut self, op: Op) -> i32 {
        for _ in 0..PATIENCE {
            match self.attempt(op) {
                Attempt::Done(result) => return result,
                Attempt::WouldBlock => self.turn(Wait::AtMost(TURN)),
            };
        }
        panic!("{op:?} would block for ever");
    }

    /// One poll of the usual limit; whether the loop was woken.
    pub(crate) fn turn(&mut self, wait: Wait) -> bool {
        self.turn_of(wait, LIMIT).1
    }

    /// One poll: how many completions came, and whether the loop was woken.
    pub(crate) fn turn_of(&mut self, wait: Wait, limit: usize) -> (usize, bool) {
        let before = self.seen.len();
        let woken = self.driver.poll(wait, limit, &mut self.seen).expect("the driver works");
        let count = self.seen.len() - before;
        assert!(count <= limit, "{count} completions, but the limit was {limit}");
        for completion in &self.seen[before..] {
            let Completion { token, more, .. } = *completion;
            assert!(self.armed.contains(&token), "{completion:?} of nothing that is armed");
            if !more {
                self.armed.remove(&token);
            }
        }
        (count, woken)
    }

    /// Takes turns until `done`, a bounded number of them.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..PATIENCE {
            if done(self) {
                return;
            }
            self.turn(Wait::AtMost(TURN));
        }
        panic!("waited in vain until {what}; seen: {:?}", self.seen);
    }

    /// A few turns, in which whatever is under way arrives.
    pub(crate) fn settle(&mut self) {
        for _ in 0..5 {
            self.turn(Wait::AtMost(TURN));
        }
    }

    /// Turns of at most `limit` completions, until `count` have come.
    pub(crate) fn settle_by(&mut self, limit: usize, count: usize) {
        let mut came = 0;
        for _ in 0..PATIENCE {
            if came >= count {
                return;
            }
            came += self.turn_of(Wait::AtMost(TURN), limit).0;
        }
        panic!("only {came} of {count} completions came");
    }

    /// Arms a receive into `memory`.
    pub(crate) fn submit_recv(&mut self, fd: RawFd, memory: Memory) -> Token {
        self.submit(Op::Recv { fd, buf: memory.start, len: memory.len })
    }

    /// The next completion of `token`.
    pub(crate) fn next_of(&mut self, token: Token) -> Completion {
        self.until("a completion comes", |bench| bench.position(token).is_some());
        let position = self.position(token).expect("it is there");
        self.seen.remove(position)
    }

    fn position(&self, token: Token) -> Option<usize> {
        self.seen.iter().position(|completion| completion.token == token)
    }

    /// The result of `token`, whose next completion is its last.
    pub(crate) fn result_of(&mut self, token: Token) -> i32 {
        let completion = self.next_of(token);
        assert!(!completion.more, "{completion:?} is not final");
        completion.result
    }

    /// Arms `op` and returns its only result.
    pub(crate) fn run(&mut self, op: Op) -> i32 {
        let token = self.submit(op);
        self.result_of(token)
    }

    /// The bytes of a completion with a pool buffer, which is given back.
    pub(crate) fn take_bytes(&mut self, completion: Completion) -> Vec<u8> {
        let bytes = self.bytes(completion);
        self.driver.recycle(completion.buffer.expect("it has a buffer"));
        bytes
    }

    /// The bytes of a completion with a pool buffer, which stays taken.
    pub(crate) fn bytes(&self, completion: Completion) -> Vec<u8> {
        let count = usize::try_from(completion.result).expect("it brought bytes");
        assert!(count <= CONFIG.pool_buffer_size, "{completion:?} is larger than its buffer");
        let start = self.driver.buffer(completion.buffer.expect("it has a buffer"));
        // SAFETY: the buffer holds as many bytes, and is ours until given back.
        unsafe { std::slice::from_raw_parts(start, count) }.to_vec()
    }

    /// Gives back the buffers of completions that no case took.
    fn recycle_seen(&mut self) {
        let buffers: Vec<BufferId> = self.seen.drain(..).filter_map(|c| c.buffer).collect();
        for buffer in buffers {
            self.driver.recycle(buffer);
        }
    }

    /// Whether the driver's time and world are simulated.
    pub(crate) fn is_virtual(&self) -> bool {
        self.driver.virtual_now().is_some()
    }

    /// Takes over a descriptor, to close it in the end.
    pub(crate) fn adopt(&mut self, fd: RawFd) -> RawFd {
        assert!(fd >= 0, "no descriptor but {}", std::io::Error::from_raw_os_error(-fd));
        self.open.push(fd);
        fd
    }

    /// Leaves `fd` to the case, which closes it.
    pub(crate) fn give_up(&mut self, fd: RawFd) {
        self.open.retain(|&open| open != fd);
    }

    /// Closes `fd` now.
    pub(crate) fn close(&mut self, fd: RawFd) {
        self.give_up(fd);
        self.driver.close(fd);
    }

    pub(crate) fn socket(&mut self, kind: Type) -> RawFd {
        let fd = self.driver.socket(Domain::IPV4, kind, None).expect("a socket");
        self.adopt(fd)
    }

    /// A TCP socket that listens on a free port of loopback, and its address.
    pub(crate) fn listener(&mut self) -> (RawFd, SockAddr) {
        let fd = self.socket(Type::STREAM);
        let addr = self.bind_loopback(fd);
        self.driver.listen(fd, 512).expect("it listens");
        (fd, addr)
    }

    /// Binds `fd` to a free port of loopback.
    pub(crate) fn bind_loopback(&mut self, fd: RawFd) -> SockAddr {
        self.driver.bind(fd, &loopback(0)).expect("a free port");
        self.driver.local_addr(fd).expect("it is bound")
    }

    /// Arms a connect of `fd` to `addr`.
    pub(crate) fn connect(&mut self, fd: RawFd, addr: &SockAddr) -> Token {
        let addr = self.keep(addr.clone());
        self.submit(Op::Connect { fd, addr })
    }

    /// Two ends of one TCP connection: the one that connected, the one accepted.
    pub(crate) fn pair(&mut self) -> (RawFd, RawFd) {
        let (listener, addr) = self.listener();
        let pair = self.pair_by(listener, &addr);
        self.close(listener);
        pair
    }

    /// As [`Bench::pair`], through a listener that stays.
    pub(crate) fn pair_by(&mut self, listener: RawFd, addr: &SockAddr) -> (RawFd, RawFd) {
        let client = self.socket(Type::STREAM);
        let accept = self.submit(Op::Accept { fd: listener });
        let connect = self.connect(client, addr);
        assert_eq!(self.result_of(connect), 0, "connect");
        let server = self.result_of(accept);
        (client, self.adopt(server))
    }

    /// Sends all of `bytes`.
    pub(crate) fn send_all(&mut self, fd: RawFd, bytes: &[u8]) {
        let memory = self.copy(bytes);
        let mut sent = 0;
        while sent < memory.len {
            let buf = memory.start.wrapping_add(sent);
            let result = self.attempt_until_done(Op::Send { fd, buf, len: memory.len - sent });
            assert!(result > 0, "send: {result}");
            sent += result as usize;
        }
    }

    /// Receives exactly `count` bytes by attempts.
    pub(crate) fn receive_exactly(&mut self, fd: RawFd, count: usize) -> Vec<u8> {
        let memory = self.zeroed(count);
        let mut received = 0;
        while received < count {
            let buf = memory.start.wrapping_add(received);
            let result = self.attempt_until_done(Op::Recv { fd, buf, len: count - received });
            assert!(result > 0, "receive after {received} of {count} bytes: {result}");
            received += result as usize;
        }
        memory.first(count)
    }

    /// Sends on `fd` until it would block, at most `limit` bytes; returns how many.
    pub(crate) fn stuff(&mut self, fd: RawFd, limit: usize) -> usize {
        let memory = self.copy(&[0x55; 1 << 14]);
        let mut sent = 0;
        while sent < limit {
            match self.attempt(Op::Send { fd, buf: memory.start, len: memory.len }) {
                Attempt::Done(count) if count > 0 => sent += count as usize,
                Attempt::Done(error) => panic!("send: {error}"),
                Attempt::WouldBlock => break,
            }
        }
        sent
    }

    /// The driver's time since `start`.
    pub(crate) fn clock(&self) -> Clock {
        match self.driver.virtual_now() {
            Some(now) => Clock::Virtual(now),
            None => Clock::Real(Instant::now()),
        }
    }

    /// How much of the driver's time has gone since `start`.
    pub(crate) fn since(&self, start: Clock) -> Duration {
        match (start, self.driver.virtual_now()) {
            (Clock::Virtual(start), Some(now)) => now.saturating_since(start),
            (Clock::Real(start), None) => start.elapsed(),
            _ => panic!("the driver changed its kind of time"),
        }
    }
}

/// A moment of the driver's time.
#[derive(Clone, Copy)]
pub(crate) enum Clock {
    Real(Instant),
    Virtual(crate::time::Instant),
}

impl<D: Driver> Drop for Bench<D> {
    fn drop(&mut self) {
        if !self.armed.is_empty() {
            // A case failed: the kernel may still write where operations point.
            return;
        }
        for pointer in self.kept.drain(..) {
            // SAFETY: made by `Box::into_raw` in `keep`; nothing is armed that names it.
            drop(unsafe { Box::from_raw(pointer) });
        }
    }
}

/// `port` of the loopback interface.
pub(crate) fn loopback(port: u16) -> SockAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).into()
}

/// `len` bytes that differ from their neighbours and from what lies a buffer away.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}
