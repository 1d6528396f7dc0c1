//! Fibers: straight-line code on the loop.
//!
//! A fiber is a piece of sequential code with a stack of its own. Where it waits, its thread
//! goes on with other fibers, callbacks and tasks; it never leaves its thread, and is never
//! interrupted: between two calls that may wait, no other code runs. Thousands of them cost a
//! few kilobytes each.
//!
//! The two things that matter: [`spawn()`], and calls that wait: [`Descriptor::blocking`] with
//! the sockets and files of `net` above, [`sleep`], [`wait()`] for any future, [`JoinHandle::join`],
//! and the objects through which fibers wait for each other, all of which stand on one, the
//! [`Baton`].
//!
//! # Thread-local values
//! All fibers of a loop share their thread, and so its thread-local values. What is borrowed
//! from one must not be held across a call that waits: another fiber would find it borrowed.
//!
//! ```should_panic
//! # use std::cell::RefCell;
//! # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
//! thread_local! {
//!     static LINE: RefCell<String> = RefCell::default();
//! }
//! # let runtime = Runtime::new(Config::default()).unwrap();
//! runtime.run_fiber(Stack::Small, || {
//!     // The compiler cannot know that `yield_now` lets others at `LINE`; this does.
//!     LINE.with_borrow_mut(|line| fiber::undivided(|| {
//!         line.push('x');
//!         fiber::yield_now() // panics, and names the fiber
//!     }))
//! }).unwrap().unwrap();
//! ```
//!
//! Say [`undivided`] where such a value is held: a call in there that may wait is a panic. Or
//! give each fiber a value of its own, by [`fiber_local!`](crate::fiber_local).
//!
//! **This is a limit of soundness**, not of good manners alone, where a fiber waits for ever: a
//! thread that ends destroys its values, whether a fiber's frame still borrows from one or not,
//! and whether the kernel has been lent it or not. No library can close that. Drop a runtime
//! before its thread ends: its fibers then end while all values are there. One that is itself
//! among its thread's values resumes no fiber any more when it goes with them, takes back from
//! the kernel what was lent, and is lost; but between the value's end and its own the kernel may
//! have written to memory that was free. The same holds for a runtime that is forgotten.
//!
//! [`Descriptor::blocking`]: crate::Descriptor::blocking

mod baton;
mod cancel;
mod every;
mod info;
mod io;
mod join;
mod local;
mod panics;
mod queue;
mod scheduler;
mod scope;
mod slot;
mod spawn;
mod stack;
mod sync;
mod wait;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::Here;
use crate::time::Instant;

pub use crate::task::Panic;

pub use self::{
    baton::Baton,
    every::{Overrun, every, every_by},
    info::{ClassInfo, Info, list, overview, stacks},
    io::Blocking,
    join::{Fiber, JoinError, JoinHandle},
    local::LocalKey,
    scope::{Scope, ScopedJoinHandle, scope},
    slot::{Band, State},
    spawn::{Builder, Refused, spawn, try_spawn},
    stack::{GuardSupport, Stack, StackClass, StackSizes, stack_guards},
    sync::{
        AcquireError, Awaitable, Condition, Mutex, MutexGuard, Permit, Received, Receiver,
        RecvError, RecvFuture, Semaphore, SendError, Sender, channel, select,
    },
    wait::{sleep, sleep_until, wait, wait_as, yield_now},
};
pub(crate) use self::{
    cancel::{Refusal, put_off},
    scheduler::Fibers,
};

/// The fiber that runs.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`].
pub fn current() -> Result<Fiber, Error> {
    let core = Core::current_or_going()?;
    let key = Here::of(&core)?.slot.key();
    Ok(Fiber { core, key })
}

/// Waits until somebody calls [`Fiber::unpark`] for this fiber. One that came before is not
/// lost: this returns at once then.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
pub fn park() -> Result<(), Error> {
    let core = Core::current_or_going()?;
    let here = Here::of(&core)?;
    Ok(here.slot.token.wait_in(&here, "park")?)
}

/// As [`park`], until `deadline`. False: nobody has called.
///
/// # Errors
/// As [`park`]; [`Error::Exhausted`] when `Config::timers` are armed.
pub fn park_until(deadline: Instant) -> Result<bool, Error> {
    let core = Core::current_or_going()?;
    let here = Here::of(&core)?;
    here.slot.token.wait_until_in(&here, Some(deadline), "park_until")
}

/// Calls `work`, in which no call may wait: one that may is a panic that names the fiber, also
/// if it would not have to wait this time. Outside a fiber it is a plain call.
pub fn undivided<R>(work: impl FnOnce() -> R) -> R {
    /// Counts down, also when `work` panics.
    struct Within(Option<Fiber>);

    impl Within {
        fn add(&self, n: i32) {
            let Some(fiber) = &self.0 else { return };
            if let Some(slot) = fiber.core.fibers.slots.get(fiber.key) {
                slot.undivided.set(slot.undivided.get().wrapping_add_signed(n));
            }
        }
    }

    impl Drop for Within {
        fn drop(&mut self) {
            self.add(-1);
        }
    }

    let within = Within(current().ok());
    within.add(1);
    work()
}
