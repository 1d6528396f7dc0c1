//! How a process is woken by another: a socket that the others ring, and that a loop polls.
//!
//! A futex wakes threads, and a loop sleeps on descriptors. What a loop can poll and any process
//! reach is a datagram socket: the *doorbell* of a thread, bound to an abstract address that a
//! number tells. Who is about to sleep leaves that number beside the word that says so, in the
//! segment; who finds the word takes the numbers out and sends a byte to each, once for a batch.
//!
//! Why not something else: an `eventfd` of another process is had by `pidfd_getfd(2)` alone, which
//! asks for the rights of a debugger and is refused by default on many systems (Yama), while a
//! socket's address takes none; `io_uring` waits for a futex since Linux 6.7, but not for epoll, nor
//! for a loop that is not ours. Nothing is left behind: the kernel removes an address with its
//! process. A ring that finds the socket's queue full is not needed, for then it is readable; one to
//! an address whose process has died finds nobody. What another process of the same user writes in
//! place of a number makes a byte go to an address that begins like ours, and no more.
//!
//! One who is killed between publishing and ringing wakes nobody. So whoever waits looks again every
//! [`SLICE`], as threads do.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::Waker;
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// So long may somebody sleep before it looks whether another has died.
pub const SLICE: Duration = Duration::from_millis(5);

/// Bits of the number that tell the doorbells of a process apart; above them is the process.
const COUNT_BITS: u32 = 24;

/// So many numbers are tried.
const ATTEMPTS: u32 = 1 << 10;

/// The doorbell of a thread, and who waits for it to be rung.
///
/// For those who bring a loop: [`Wakeup`](crate::wakeup::Wakeup) is made of one, and so is what the
/// crate `tautline-runtime` does.
#[derive(Debug)]
pub struct Doorbell {
    socket: UnixDatagram,
    /// Its address; never zero.
    number: u64,
    /// Those who have come to wait since it was answered last, each once.
    waiting: RefCell<Vec<Waker>>,
}

/// How something on a thread comes to wait for another process: its waker is left with the thread's
/// doorbell, of which this tells the number, as [`Doorbell::expect`] does. [`UNHEARD`], if there is no
/// doorbell to be had: the waker is called within [`SLICE`]. `None`: nobody would call it.
pub type Hang = fn(&Waker) -> Option<u64>;

/// The number of no doorbell.
pub const UNHEARD: u64 = 0;

thread_local! {
    /// The doorbell that the caller of a poll answers.
    static LENT: RefCell<Option<Rc<Doorbell>>> = const { RefCell::new(None) };
    /// How to wait otherwise.
    static HANG: Cell<Option<Hang>> = const { Cell::new(None) };
}

impl Doorbell {
    /// A doorbell that nobody knows yet.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn new() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = u64::from(std::process::id()) << COUNT_BITS;
        for _ in 0..ATTEMPTS {
            // Relaxed: any number will do that this process has not used.
            let count = COUNT.fetch_add(1, Ordering::Relaxed) & ((1 << COUNT_BITS) - 1);
            let number = process | count;
            match UnixDatagram::bind_addr(&address(number)?) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    return Ok(Self { socket, number, waiting: RefCell::default() });
                }
                // A process of another PID namespace may have the same number.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Whether anybody has come to wait since it was answered last.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Takes what was rung, and wakes all who wait: those for whom nothing has come wait again. For
    /// when the descriptor is readable, and every [`SLICE`].
    pub fn answer(&self) {
        self.silence();
        // One by one, and not borrowed while it runs: it may poll whoever waits here. Those who
        // come meanwhile are for the next time.
        let count = self.waiting.borrow().len();
        for _ in 0..count {
            let waker = self.waiting.borrow_mut().pop();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Takes what was rung, and forgets who waits.
    pub(crate) fn clear(&self) {
        self.silence();
        let waiting = self.waiting.take();
        drop(waiting);
    }

    fn silence(&self) {
        // Bounded: those who ring may go on.
        for _ in 0..64 {
            if self.socket.recv(&mut [0; 1]).is_err() {
                return;
            }
        }
    }

    /// Lends this to what `work` polls.
    pub(crate) fn lend<R>(self: &Rc<Self>, work: impl FnOnce() -> R) -> R {
        /// Puts the one before back, also when `work` panics.
        struct Before(Option<Rc<Doorbell>>);
        impl Drop for Before {
            fn drop(&mut self) {
                let before = self.0.take();
                LENT.with(|lent| lent.replace(before));
            }
        }
        let before = LENT.with(|lent| lent.replace(Some(self.clone())));
        let _before = Before(before);
        work()
    }

    /// Leaves a waker, to be called when this is answered; returns the number by which it is rung.
    pub fn expect(&self, waker: &Waker) -> u64 {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        self.number
    }
}

/// Readable when it was rung.
impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Says how something on this thread comes to wait, or that nobody looks after it any more. The
/// doorbell that it is left with is answered by whoever has said so.
pub fn hang(hang: Option<Hang>) {
    // The thread's own values may be gone already, and nothing waits on it any more.
    _ = HANG.try_with(|before| before.set(hang));
}

/// Leaves a waker with the thread's doorbell; returns the number by which it is rung, as [`Hang`]
/// does.
pub(crate) fn expect(waker: &Waker) -> Option<u64> {
    let lent = LENT.with(|lent| lent.borrow().clone());
    match lent {
        Some(doorbell) => Some(doorbell.expect(waker)),
        None => HANG.get()?(waker),
    }
}

/// Rings a doorbell, of any process.
pub(crate) fn ring(number: u64) {
    // Nothing to be done about a failure: see the module.
    if let (Some(ringer), Ok(address)) = (ringer(), address(number)) {
        _ = ringer.send_to_addr(&[1], &address);
    }
}

/// By what this process rings; it is tried again as long as there is no descriptor for it.
fn ringer() -> Option<&'static UnixDatagram> {
    static RINGER: OnceLock<UnixDatagram> = OnceLock::new();
    if let Some(ringer) = RINGER.get() {
        return Some(ringer);
    }
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    // Another thread's, if that was faster.
    Some(RINGER.get_or_init(|| socket))
}

fn address(number: u64) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("tautline-bell/{number:x}"))
}
