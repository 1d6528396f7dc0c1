//! A waker that is a descriptor: for a loop that is not ours, and polls.
//!
//! A [`Wakeup`] is made for who waits, not for what is waited for: one will do for any number of
//! receivers of any kind. The protocol:
//!
//! 1. [Arm](Wakeup::arm) it by looking with its context, until every look is pending: whoever finds
//!    nothing leaves the waker.
//! 2. Wait until the descriptor is readable, by `poll`, `epoll`, or whatever the loop has. It is, or
//!    becomes so, when there is something; what is published is told by at most one write to it, for
//!    whoever wakes takes the waker out.
//! 3. Begin again. Arming takes back what made it readable, before it looks.
//!
//! ```
//! use std::os::fd::AsFd;
//! use std::task::Poll;
//! use tautline_bus::{Local, channel::{Channel, Config}, wakeup::Wakeup};
//!
//! let numbers = Channel::<u32, Local>::new(Config::default())?;
//! let (mut sender, mut receiver) = (numbers.sender()?, numbers.receiver()?);
//! let wakeup = Wakeup::new()?;
//! assert!(wakeup.arm(|context| receiver.poll_receive(context)).is_pending());
//! let thread = std::thread::spawn(move || sender.send_batch(1..=2));
//!
//! let mut descriptors = [rustix::event::PollFd::new(&wakeup, rustix::event::PollFlags::IN)];
//! rustix::event::poll(&mut descriptors, None)?;               // any loop will do
//! assert_eq!(wakeup.arm(|context| receiver.poll_receive(context)), Poll::Ready(Ok(1)));
//! # thread.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Objects that never sleep ([`Wait::Spin`](crate::Wait::Spin), [`Wait::Yield`](crate::Wait::Yield))
//! wake whoever waits at once, so that the descriptor stays readable; and so does it if an object of
//! the scope `Shared` is looked at by one that was made by [`Wakeup::new`], which other processes
//! cannot reach: make it by [`Wakeup::between_processes`].

use std::fmt;
use std::io;
#[cfg(not(loom))]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(not(loom))]
use std::rc::Rc;
use std::sync::Arc as StdArc;
use std::task::{Context, Wake, Waker};

use self::counter::Counter;
#[cfg(not(loom))]
use crate::shared::doorbell::Doorbell;
use crate::sync::{AtomicU32, Ordering};

/// Nothing was written since the last look, or is about to be.
const QUIET: u32 = 0;
/// Something was, or is about to be.
const RUNG: u32 = 1;

/// What the waker points at.
#[derive(Debug)]
struct Bell {
    state: AtomicU32,
    counter: Counter,
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &StdArc<Self>) {
        // AcqRel: Release pairs with the Acquire in `silence`, also where this finds it rung: who
        // looks after that sees what was published before this.
        if self.state.swap(RUNG, Ordering::AcqRel) == QUIET {
            self.counter.add();
        }
    }
}

impl Bell {
    fn new() -> io::Result<Self> {
        Ok(Self { state: AtomicU32::new(QUIET), counter: Counter::new()? })
    }

    /// Takes back what was written. Whoever rings from then on writes again.
    fn silence(&self) {
        // Acquire pairs with the Release in `wake_by_ref`.
        if self.state.load(Ordering::Acquire) == QUIET {
            return;
        }
        // Where it was not written yet, the state stays: the descriptor becomes readable, and the
        // next look takes it back.
        if self.counter.take() {
            // AcqRel: sees what those published who have found it rung until now.
            self.state.swap(QUIET, Ordering::AcqRel);
        }
    }
}

/// A waker that makes a descriptor readable. See the [module](self). It stays on its thread.
pub struct Wakeup {
    bell: StdArc<Bell>,
    waker: Waker,
    #[cfg(not(loom))]
    others: Option<Others>,
}

/// What other processes ring, and the set that holds it and our own.
#[cfg(not(loom))]
struct Others {
    doorbell: Rc<Doorbell>,
    both: OwnedFd,
}

impl Wakeup {
    /// One that is woken by threads of this process: an `eventfd`.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let bell = StdArc::new(Bell::new()?);
        let waker = Waker::from(bell.clone());
        Ok(Self {
            bell,
            waker,
            #[cfg(not(loom))]
            others: None,
        })
    }

    /// One that other processes wake as well, for receivers of the scope
    /// [`Shared`](crate::Shared): an `epoll` set that can itself be polled. One who is killed in the
    /// midst of a send wakes nobody: arm it again after [`SLICE`](crate::shared::doorbell::SLICE) at
    /// the latest.
    ///
    /// # Errors
    /// The process has no descriptor left.
    #[cfg(not(loom))]
    pub fn between_processes() -> io::Result<Self> {
        use rustix::event::epoll;
        let mut wakeup = Self::new()?;
        let doorbell = Rc::new(Doorbell::new()?);
        let both = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&both, &wakeup.bell.counter, data, epoll::EventFlags::IN)?;
        epoll::add(&both, &*doorbell, data, epoll::EventFlags::IN)?;
        wakeup.others = Some(Others { doorbell, both });
        Ok(wakeup)
    }

    /// Takes back what made the descriptor readable, and looks: with the context of this, so that
    /// what is not there yet will make it readable again.
    pub fn arm<R>(&self, look: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.bell.silence();
        let mut context = Context::from_waker(&self.waker);
        #[cfg(not(loom))]
        if let Some(others) = &self.others {
            others.doorbell.clear();
            return others.doorbell.lend(|| look(&mut context));
        }
        look(&mut context)
    }
}

/// Readable when there may be something.
#[cfg(not(loom))]
impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.others {
            Some(others) => others.both.as_fd(),
            None => self.bell.counter.as_fd(),
        }
    }
}

impl fmt::Debug for Wakeup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeup").field("bell", &self.bell).finish_non_exhaustive()
    }
}

/// The kernel's part.
#[cfg(not(loom))]
mod counter {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// An `eventfd`.
    #[derive(Debug)]
    pub(super) struct Counter(OwnedFd);

    impl Counter {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        pub(super) fn add(&self) {
            // It fails when it is near its end, and then it is readable.
            _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        /// Makes it zero; whether it was not.
        pub(super) fn take(&self) -> bool {
            rustix::io::read(&self.0, &mut [0_u8; 8]).is_ok()
        }
    }

    impl AsFd for Counter {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(loom)]
mod counter {
    use std::io;

    use loom::sync::{Condvar, Mutex};

    /// What an `eventfd` is, for a model.
    #[derive(Debug)]
    pub(super) struct Counter {
        count: Mutex<u64>,
        written: Condvar,
    }

    impl Counter {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self { count: Mutex::new(0), written: Condvar::new() })
        }

        pub(super) fn add(&self) {
            *self.count.lock().expect("nobody panics while it is held") += 1;
            self.written.notify_one();
        }

        pub(super) fn take(&self) -> bool {
            let mut count = self.count.lock().expect("nobody panics while it is held");
            std::mem::take(&mut *count) != 0
        }

        /// A poll: waits until it is readable. A wake-up that is lost is a deadlock.
        #[cfg(test)]
        pub(super) fn wait(&self) {
            let mut count = self.count.lock().expect("nobody panics while it is held");
            while *count == 0 {
                count = self.written.wait(count).expect("nobody panics while it is held");
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use std::task::Poll;

    use loom::thread;

    use super::*;
    use crate::loom_models::check;
    use crate::sync::Arc;

    /// Two threads publish and wake, one who polls looks whenever it is readable: it sees both, and
    /// when it has, nothing makes it readable for ever.
    #[test]
    fn loom_a_wakeup_is_neither_lost_nor_kept() {
        check(|| {
            let wakeup = Wakeup::new().unwrap();
            let published = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
            let threads = published.clone().map(|word| {
                let waker = wakeup.waker.clone();
                thread::spawn(move || {
                    // Relaxed: the wake brings it.
                    word.store(1, Ordering::Relaxed);
                    waker.wake();
                })
            });
            let look = || {
                let seen = published.iter().all(|word| word.load(Ordering::Relaxed) == 1);
                if seen { Poll::Ready(()) } else { Poll::Pending }
            };
            while wakeup.arm(|_| look()).is_pending() {
                wakeup.bell.counter.wait();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            wakeup.arm(|_| ());
            assert!(!wakeup.bell.counter.take());
        });
    }
}
