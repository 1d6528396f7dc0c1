//! Objects through which fibers wait for each other.
//!
//! | object | who waits | who lets it go on |
//! | --- | --- | --- |
//! | [`Mutex`] | until nobody else has the value | drops its guard |
//! | [`Condition`] | until what a mutex holds has changed | [notifies](Condition::notify_one) |
//! | [`Semaphore`] | until permits are left | drops its permit, [releases](Semaphore::release) |
//! | [`channel()`] | for a value, for room | sends, receives |
//! | [`select()`] | for the first of several | any of these |
//!
//! All are of one thread, and stand on two things: a list of those who wait, each in its own
//! frame (`waiters`), and a number of permits that are handed out in the order of asking
//! (`permits`). A mutex is one permit; a channel has one for each place that is free, and one
//! for each value that waits. So there is one place in which whatever is granted to a fiber
//! that goes away is passed on.
//!
//! Waiting allocates nothing, and whoever waits leaves nothing behind: not when it gives up at
//! its deadline, nor when it is unwound. What was granted before a cancellation came is kept;
//! the cancellation meets the next call that may wait.
//!
//! Calls that wait are for fibers, and say so outside even if they would not have to wait. All
//! others may be made anywhere on the thread: in callbacks, in tasks, outside the loop.

mod channel;
mod condition;
mod mutex;
mod permits;
mod select;
mod semaphore;
mod waiters;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::{Here, Refusal};
use crate::time::Instant;

pub use self::{
    channel::{Received, Receiver, RecvError, RecvFuture, SendError, Sender, channel},
    condition::Condition,
    mutex::{Mutex, MutexGuard},
    select::{Awaitable, select},
    semaphore::{AcquireError, Permit, Semaphore},
};

/// How a call waits.
#[derive(Clone, Copy)]
struct Wait {
    /// Its name, for [`list`](super::list).
    call: &'static str,
    deadline: Option<Instant>,
    heeds: Heeds,
}

impl Wait {
    /// As most calls do.
    fn new(call: &'static str, deadline: Option<Instant>) -> Self {
        Self { call, deadline, heeds: Heeds::Cancellation }
    }
}

/// What ends a wait before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heeds {
    /// Any cancellation of the fiber.
    Cancellation,
    /// A cancellation that unwinds. One by error, or in a destructor, does not.
    Unwinding,
    /// None.
    Nothing,
}

impl Heeds {
    /// A call that may wait begins, or has been woken.
    #[inline]
    fn check(self, here: &Here<'_>) -> Result<(), Refusal> {
        match self {
            Self::Cancellation => here.checkpoint(),
            Self::Unwinding if here.is_interrupted() => here.checkpoint(),
            Self::Unwinding => {
                here.may_suspend();
                Ok(())
            }
            Self::Nothing => Ok(()),
        }
    }
}

/// Calls `wait` with the fiber that runs.
#[inline]
fn in_fiber<R, E: From<Error>>(wait: impl FnOnce(&Here<'_>) -> Result<R, E>) -> Result<R, E> {
    Core::try_current(|core| wait(&Here::of(core).map_err(Error::from)?))
        .unwrap_or_else(|| Err(Error::NoRuntime.into()))
}
