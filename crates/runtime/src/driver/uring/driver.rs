//! The driver itself: submits, cancels, enters, reaps, and ends cleanly.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};

use super::error::SetupError;
use super::ledger::Ledger;
use super::ring::{Cqe, KernelRing, Ring};
use super::{entry, setup};
use crate::driver::config::DriverConfig;
use crate::driver::pool::Pool;
use crate::driver::sys::{self, EventFd};
use crate::driver::{Attempt, BufferId, Completion, Driver, Full, Op, Token, Wait, Wake};
use crate::time::Instant;

/// Enters of the kernel that the end of the driver waits through, and how long each
/// may take: two seconds in all.
const LAST_ENTERS: u32 = 200;
const LAST_WAIT: Duration = Duration::from_millis(10);

/// How long a wait may last while the kernel refuses to take entries.
const REFUSED_WAIT: Duration = Duration::from_millis(1);

/// A [`Driver`] on a ring.
pub(crate) struct UringDriver<R: Ring = KernelRing> {
    /// The ring. Declared before the pool, so that it goes first.
    ring: R,
    /// The receive buffers; `None` after they had to be given up (see `drop`).
    pool: Option<Pool>,
    /// What is armed.
    ledger: Ledger,
    /// Cancels that found no room; at most one per armed operation.
    cancels: Vec<Token>,
    /// Entries of the submission queue that operations may fill; the rest is for
    /// cancels and the wake-up. At least 1, less than the capacity.
    usable: u32,
    /// What wakes the loop.
    wake: Arc<EventFd>,
    /// The wake-up's poll is armed (or pushed).
    hearing: bool,
    /// A wake-up was heard that [`Driver::poll`] has not told of yet.
    woken: bool,
    /// Buffers were given back that the kernel has not been shown.
    staged: bool,
}

impl UringDriver {
    /// A driver on a ring of the kernel.
    ///
    /// # Errors
    /// [`SetupError`] names the step that was refused, why, and the remedy.
    pub(crate) fn new(config: &DriverConfig) -> Result<Self, SetupError> {
        setup::driver(&mut setup::Kernel, config)
    }
}

impl<R: Ring> UringDriver<R> {
    /// Puts the parts together: a ring with the pool registered, and nothing armed.
    pub(super) fn assemble(ring: R, pool: Pool, wake: EventFd, operations: usize) -> Self {
        let capacity = ring.capacity();
        let reserve = (capacity / 8).clamp(1, 32);
        let mut driver = Self {
            ring,
            pool: Some(pool),
            ledger: Ledger::new(operations),
            cancels: Vec::with_capacity(operations),
            usable: capacity.saturating_sub(reserve).max(1),
            wake: Arc::new(wake),
            hearing: false,
            woken: false,
            staged: false,
        };
        driver.provide_all();
        driver.hear_wake();
        driver
    }

    /// Operations whose final completion has not come out of [`Driver::poll`] nor waits
    /// to: the kernel may still touch their memory.
    pub(crate) fn in_flight(&self) -> usize {
        self.ledger.in_flight()
    }

    /// Ends everything that is armed and reaps it, closing descriptors that arrive; for
    /// the end of the loop. Returns how many operations the kernel still holds after
    /// two seconds: their memory must then never be freed.
    pub(crate) fn drain(&mut self) -> usize {
        self.cancel_everything();
        for _ in 0..LAST_ENTERS {
            self.reap_last();
            if self.quiet() {
                break;
            }
            let entered = self.enter(Wait::AtMost(LAST_WAIT));
            if entered.is_err() {
                break;
            }
        }
        self.reap_last();
        self.in_flight()
    }

    fn provide_all(&mut self) {
        let count = self.pool.as_ref().map_or(0, Pool::count);
        for id in 0..count {
            self.provide(BufferId(id));
        }
        self.publish();
    }

    fn provide(&mut self, id: BufferId) {
        let Some(pool) = &self.pool else { return };
        self.ring.provide(id, pool.ptr(id), pool.size() as u32);
        self.staged = true;
    }

    fn publish(&mut self) {
        if mem::take(&mut self.staged) {
            self.ring.publish();
        }
    }

    /// Arms the wake-up's poll if there is room; if not, the next poll tries again. While
    /// it is armed each write is an edge, so that the descriptor need not be read.
    fn hear_wake(&mut self) {
        self.woken |= self.wake.drain();
        let heard = entry::hear_wake(self.wake.as_raw_fd());
        // SAFETY: the entry names no memory.
        self.hearing = unsafe { self.ring.push(&heard) }.is_ok();
    }

    /// Brings what waits for room into the submission queue, oldest first.
    fn push_waiting(&mut self) {
        if !self.hearing {
            self.hear_wake();
        }
        let mut pushed = 0;
        for &token in &self.cancels {
            // SAFETY: the entry names no memory.
            if unsafe { self.ring.push(&entry::cancel(token)) }.is_err() {
                break;
            }
            pushed += 1;
        }
        self.cancels.drain(..pushed);
    }

    /// Whether the kernel must be entered even without a wait.
    fn must_enter(&self) -> bool {
        self.ring.unsubmitted() > 0 || self.ring.wants_enter()
    }

    /// Enters the kernel as far as `wait` and what is at hand ask for it.
    fn enter_if_due(&mut self, wait: Wait) -> io::Result<()> {
        let idle = !self.woken && !self.ring.has_completions();
        let wait = if idle { wait } else { Wait::No };
        if self.must_enter() || wait != Wait::No {
            self.enter(wait)?;
        }
        Ok(())
    }

    /// Enters the kernel. What it refuses for now stays in the queue for the next time.
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let submit = self.ring.unsubmitted();
        match self.ring.enter(submit, wait) {
            Ok(taken) if taken < submit => self.enter_after_refusal(wait),
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The time is over, or a signal came: the caller looks around.
                Some(libc::ETIME | libc::EINTR) => Ok(()),
                // Too many completions unseen, no memory for requests: nothing was taken.
                Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => self.enter_after_refusal(wait),
                _ => Err(error),
            },
        }
    }

    /// Waits without submitting, briefly: completions make the room that was missing.
    fn enter_after_refusal(&mut self, wait: Wait) -> io::Result<()> {
        let wait = match wait {
            Wait::No => Wait::No,
            Wait::Forever => Wait::AtMost(REFUSED_WAIT),
            Wait::AtMost(time) => Wait::AtMost(time.min(REFUSED_WAIT)),
        };
        match self.ring.enter(0, wait) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => {
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    /// Appends at most `limit` completions to `out`.
    fn reap(&mut self, limit: usize, out: &mut Vec<Completion>) {
        let Self { ring, ledger, hearing, woken, .. } = self;
        let mut room = limit;
        if room == 0 {
            return;
        }
        ring.reap(|cqe| {
            let token = Token::from_u64(cqe.user_data);
            if token == entry::WAKE {
                *woken |= cqe.result >= 0;
                *hearing = more(cqe);
            } else if !entry::is_own(token)
                && let Some(completion) = settle(ledger, token, cqe)
            {
                out.push(completion);
                room -= 1;
            }
            room > 0
        });
    }

    /// Reaps until nothing has overflowed into the kernel's own list, or `limit` is reached.
    fn reap_all(&mut self, limit: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        let before = out.len();
        loop {
            let seen = out.len();
            self.reap(limit - (seen - before), out);
            let full = out.len() - before == limit;
            if full || out.len() == seen || !self.ring.overflowed() {
                return Ok(());
            }
            self.enter(Wait::No)?;
        }
    }

    /// Sends the cancel of everything, whatever the queue holds.
    fn cancel_everything(&mut self) {
        self.cancels.clear();
        for _ in 0..LAST_ENTERS {
            // SAFETY: the entry names no memory.
            if unsafe { self.ring.push(&entry::cancel_everything()) }.is_ok() {
                return;
            }
            if self.enter(Wait::No).is_err() {
                return;
            }
            self.reap_last();
        }
    }

    /// Nothing is armed any more, the wake-up included.
    fn quiet(&self) -> bool {
        self.ledger.in_flight() == 0 && !self.hearing && self.ring.unsubmitted() == 0
    }

    /// Reaps for nobody: closes the descriptors that would have been delivered.
    fn reap_last(&mut self) {
        let Self { ring, ledger, hearing, .. } = self;
        ring.reap(|cqe| {
            let token = Token::from_u64(cqe.user_data);
            if token == entry::WAKE {
                *hearing = more(cqe);
            } else if !entry::is_own(token) {
                let past = ledger.complete(token, more(cqe));
                if past.is_some_and(|past| past.descriptor) && cqe.result >= 0 {
                    sys::close(cqe.result);
                }
            }
            true
        });
    }
}

/// What the kernel is asked for. A multishot receive that finds the last bytes of a Unix
/// stream and its end at once brings the bytes and overlooks the end, for good: there, each
/// receive is asked for anew.
fn served(op: &Op) -> Op {
    match *op {
        Op::RecvMulti { fd } if sys::is_local(fd) => Op::RecvPool { fd },
        op => op,
    }
}

/// Whether the entry that `cqe` answers will complete again.
fn more(cqe: Cqe) -> bool {
    io_uring::cqueue::more(cqe.flags)
}

/// Notes a completion in the ledger and gives it the contract's shape; `None` if it
/// belongs to an operation that has ended.
fn settle(ledger: &mut Ledger, token: Token, cqe: Cqe) -> Option<Completion> {
    let more = more(cqe);
    let Some(past) = ledger.complete(token, more) else {
        log::warn!("io_uring completed {token:?} once too often: {cqe:?}; ignored");
        return None;
    };
    // A worker that is interrupted by a cancel says so in its own words.
    let interrupted = past.cancelled && cqe.result == -libc::EINTR;
    let result = if interrupted { -libc::ECANCELED } else { cqe.result };
    Some(Completion { token, result, buffer: buffer(cqe), more })
}

/// The buffer that holds the bytes of `cqe`. Without bytes there is none, whatever the
/// flags say: a failed request gives its buffer back in the kernel, and handing it out a
/// second time would let two receives write into it.
fn buffer(cqe: Cqe) -> Option<BufferId> {
    let taken = if cqe.result > 0 { io_uring::cqueue::buffer_select(cqe.flags) } else { None };
    taken.map(BufferId)
}

impl<R: Ring> Driver for UringDriver<R> {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn virtual_now(&self) -> Option<Instant> {
        None
    }

    fn files(&self) -> bool {
        true
    }

    unsafe fn attempt(&mut self, op: &Op) -> Attempt {
        match op {
            // The ring's connect must be the first one: a second gets `EALREADY`.
            Op::Connect { .. } => Attempt::WouldBlock,
            // SAFETY: the caller keeps what `op` names valid.
            _ => unsafe { sys::attempt(op) },
        }
    }

    unsafe fn receive_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: the caller keeps what the headers name valid.
        unsafe { sys::receive_many(fd, messages) }
    }

    unsafe fn send_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: the caller keeps what the headers name valid.
        unsafe { sys::send_many(fd, messages) }
    }

    unsafe fn submit(&mut self, token: Token, op: &Op) -> Result<(), Full> {
        debug_assert!(!entry::is_own(token), "{token:?} is the driver's own");
        if self.ring.unsubmitted() >= self.usable {
            return Err(Full);
        }
        let op = &served(op);
        // SAFETY: the caller keeps what `op` names valid until the final completion.
        unsafe { self.ring.push(&entry::of(token, op)) }?;
        self.ledger.arm(token, entry::yields_descriptor(op));
        // One that waits was meant for the operation of this token before.
        self.cancels.retain(|&waiting| waiting != token);
        Ok(())
    }

    fn cancel(&mut self, token: Token) {
        if !self.ledger.cancel(token) {
            return;
        }
        // SAFETY: the entry names no memory.
        if unsafe { self.ring.push(&entry::cancel(token)) }.is_err() {
            self.cancels.push(token);
        }
    }

    fn sees_memory(&self) -> bool {
        true
    }

    fn has_work(&self) -> bool {
        self.ring.has_completions()
            || self.must_enter()
            || self.staged
            || !self.hearing
            || !self.cancels.is_empty()
    }

    fn poll(&mut self, wait: Wait, limit: usize, out: &mut Vec<Completion>) -> io::Result<bool> {
        debug_assert!(limit > 0, "a poll that may take nothing would never end");
        let before = out.len();
        loop {
            self.publish();
            self.push_waiting();
            self.enter_if_due(wait)?;
            self.reap_all(limit, out)?;
            if out.len() > before || self.woken || wait != Wait::Forever {
                return Ok(mem::take(&mut self.woken));
            }
        }
    }

    fn buffer(&self, id: BufferId) -> *mut u8 {
        match &self.pool {
            Some(pool) => pool.ptr(id),
            None => std::ptr::null_mut(),
        }
    }

    fn recycle(&mut self, id: BufferId) {
        self.provide(id);
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.wake.clone()
    }

    fn socket(
        &mut self,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<RawFd> {
        sys::socket(domain, kind, protocol)
    }

    fn close(&mut self, fd: RawFd) {
        sys::close(fd);
    }
}

impl<R: Ring> Drop for UringDriver<R> {
    fn drop(&mut self) {
        let left = self.drain();
        if left > 0 {
            log::error!(
                "io_uring still holds {left} operations after being asked to end them; \
                 the receive pool is given up, as the kernel may still write to it"
            );
            mem::forget(self.pool.take());
        }
    }
}
