//! Waiting for the first of several objects.

use std::array;
use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;

use crate::error::Error;
use crate::fiber::baton::{Awaited, Baton};
use crate::fiber::cancel::Here;
use crate::fiber::join::{self, Fiber, JoinHandle, Joiner};
use crate::fiber::scheduler::Fibers;
use crate::fiber::scope::ScopedJoinHandle;
use crate::fiber::slot::State;
use crate::fiber::sync::in_fiber;
use crate::fiber::sync::permits::Permits;
use crate::fiber::sync::waiters::{Answer, Waiter};
use crate::fiber::sync::{Mutex, Receiver, Semaphore, Sender};
use crate::fiber::wait::Wakeup;
use crate::slab::Key;
use crate::time::Instant;

/// Waits until one of the objects is ready, and returns its place. `None`: it is `deadline`, and
/// none is.
///
/// It takes nothing. But nothing else runs between two calls that wait, so the next call on that
/// object succeeds without waiting: [`try_recv`](Receiver::try_recv),
/// [`try_send`](Sender::try_send), [`try_lock`](Mutex::try_lock),
/// [`try_acquire`](Semaphore::try_acquire), [`try_wait`](Baton::try_wait),
/// [`join`](JoinHandle::join).
///
/// An object is ready when it has something to give (a value, room, a permit, a post, a result),
/// or will never have any again, and nobody waits in a call of its own: those go first. Where
/// several are ready, each is chosen as often as the others: it begins to look at another place
/// every time, in an order that repeats with the program.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`]; [`Error::Exhausted`] when
/// `Config::timers` are armed.
///
/// # Panics
/// If another fiber waits for one of the batons, or fibers.
///
/// ```
/// # use std::rc::Rc;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Baton, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let (sender, orders) = fiber::channel(8);
/// let stop = Rc::new(Baton::new());
/// let theirs = stop.clone();
/// let seen = runtime.run_fiber(Stack::Small, move || {
///     let feed = fiber::spawn(Stack::Small, move || {
///         sender.send("buy").unwrap();
///         sender.send("sell").unwrap();
///         fiber::yield_now().unwrap();
///         theirs.post();
///         fiber::park() // keeps the channel open
///     })?;
///     let mut seen = Vec::new();
///     while fiber::select([&orders, &stop], None)? == Some(0) {
///         seen.extend(orders.try_recv());
///     }
///     feed.cancel();
///     Ok::<_, tautline_runtime::Error>(seen)
/// })??;
/// assert_eq!(seen, ["buy", "sell"]);
/// # Ok(())
/// # }
/// ```
pub fn select<const N: usize>(
    objects: [&dyn Awaitable; N],
    deadline: Option<Instant>,
) -> Result<Option<usize>, Error> {
    const { assert!(N > 0, "a select over nothing would wait for ever") };
    in_fiber(|here| {
        here.checkpoint()?;
        let sources = objects.map(|object| object.source());
        let first = first_place(here.fibers(), N);
        let ready = || {
            let places = (first..N).chain(0..first);
            places.into_iter().find(|&at| sources[at].is_ready())
        };
        match ready() {
            Some(place) => Ok(Some(place)),
            None => await_any(here, &sources, deadline, ready),
        }
    })
}

/// Where a select begins to look. Multiples of the golden ratio, less their whole parts, lie
/// evenly between 0 and 1, and so does every second, every third of them: no two selects that
/// take turns fall into step.
fn first_place(fibers: &Fibers, places: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let turn = fibers.turn.get();
    fibers.turn.set(turn.wrapping_add(1));
    let part = (turn as u64).wrapping_mul(GOLDEN);
    ((u128::from(part) * places as u128) >> 64) as usize
}

#[cold]
fn await_any<const N: usize>(
    here: &Here<'_>,
    sources: &[Source<'_>; N],
    deadline: Option<Instant>,
    ready: impl Fn() -> Option<usize>,
) -> Result<Option<usize>, Error> {
    let alarm = deadline.map(|due| Wakeup::new(here, due)).transpose()?;
    let waiters = pin!(array::from_fn::<_, N, _>(|_| Waiter::new(1)));
    let waiters = waiters.as_ref();
    let watches: [_; N] = array::from_fn(|at| {
        // SAFETY: an element of an array is pinned whenever the array is.
        let waiter = unsafe { waiters.map_unchecked(|waiters| &waiters[at]) };
        Watch::begin(&sources[at], waiter, here)
    });
    loop {
        here.suspend("select");
        if let Some(place) = ready() {
            return Ok(Some(place));
        }
        if alarm.as_ref().is_some_and(Wakeup::has_rung) {
            return Ok(None);
        }
        here.look()?;
        watches.iter().for_each(Watch::renew);
    }
}

/// What a fiber can [`select`] on. Only objects of this module are.
pub trait Awaitable: Sealed {}

pub trait Sealed {
    #[doc(hidden)]
    fn source(&self) -> Source<'_>;
}

/// What an object stands on.
pub struct Source<'o>(Kind<'o>);

enum Kind<'o> {
    Permits(&'o Permits),
    Baton(&'o Baton),
    /// Its end.
    Fiber(&'o Fiber),
}

impl Source<'_> {
    fn is_ready(&self) -> bool {
        match self.0 {
            Kind::Permits(permits) => permits.is_ready(),
            Kind::Baton(baton) => baton.is_posted(),
            Kind::Fiber(Fiber { core, key }) => {
                let slot = core.fibers.slots.get(*key);
                slot.is_none_or(|slot| slot.state.get() == State::Over)
            }
        }
    }
}

/// A source that a fiber is woken by, until this is dropped.
enum Watch<'o, 'w> {
    Permits(&'o Permits, Pin<&'w Waiter<'o>>, Awaited<'w>),
    Baton(Awaited<'o>),
    Fiber(&'o Fiber, Key, Cell<Joiner>),
}

impl<'o, 'w> Watch<'o, 'w> {
    fn begin(source: &Source<'o>, waiter: Pin<&'w Waiter<'o>>, here: &Here<'_>) -> Self {
        match source.0 {
            Kind::Permits(permits) => {
                permits.watchers.push(waiter);
                Self::Permits(permits, waiter, waiter.get_ref().baton().announce(here))
            }
            Kind::Baton(baton) => Self::Baton(baton.announce(here)),
            Kind::Fiber(fiber) => Self::end_of(fiber, here.slot.key()),
        }
    }

    fn end_of(fiber: &'o Fiber, me: Key) -> Self {
        let Some(slot) = fiber.core.fibers.slots.get(fiber.key) else {
            return Self::Fiber(fiber, me, Cell::default());
        };
        let before = match slot.joiner.replace(Joiner::Fiber(me)) {
            // It is named twice.
            Joiner::Fiber(joiner) if joiner == me => Joiner::None,
            Joiner::Fiber(other) => {
                slot.joiner.set(Joiner::Fiber(other));
                panic!("two fibers wait for the end of one");
            }
            before => before,
        };
        // A task or a callback that waits too is told when this has ended.
        Self::Fiber(fiber, me, Cell::new(before))
    }

    /// It was woken, and waits again: somebody else was faster.
    fn renew(&self) {
        match self {
            Self::Permits(permits, waiter, awaited) => {
                if waiter.answer() != Answer::Awaited {
                    waiter.take_answer();
                    waiter.baton().try_wait();
                    permits.watchers.push_back_in(*waiter);
                }
                awaited.renew();
            }
            Self::Baton(awaited) => awaited.renew(),
            Self::Fiber(..) => {}
        }
    }
}

impl Drop for Watch<'_, '_> {
    fn drop(&mut self) {
        match self {
            Self::Permits(permits, waiter, _) => {
                if waiter.take_answer() == Answer::Granted {
                    permits.tell();
                }
            }
            Self::Baton(_) => {}
            Self::Fiber(fiber, me, before) => stop_joining(fiber, *me, before.take()),
        }
    }
}

/// Puts back who waited before; if the fiber has ended meanwhile, that one is told now.
fn stop_joining(fiber: &Fiber, me: Key, before: Joiner) {
    let Fiber { core, key } = fiber;
    let Some(slot) = core.fibers.slots.get(*key) else { return };
    match slot.joiner.take() {
        Joiner::None => slot.joiner.set(before),
        Joiner::Fiber(joiner) if joiner == me => slot.joiner.set(before),
        other => slot.joiner.set(other),
    }
    if slot.state.get() == State::Over {
        join::tell(&core.fibers, core, slot);
    }
}

macro_rules! awaitable {
    ($([$($generic:tt)*] $object:ty: $this:ident => $kind:expr;)*) => {$(
        impl<$($generic)*> Awaitable for $object {}

        impl<$($generic)*> Sealed for $object {
            fn source(&self) -> Source<'_> {
                let $this = self;
                Source($kind)
            }
        }
    )*};
}

awaitable! {
    [T] Receiver<T>: this => Kind::Permits(this.permits());
    [T] Sender<T>: this => Kind::Permits(this.permits());
    [T: ?Sized] Mutex<T>: this => Kind::Permits(this.permits());
    [] Semaphore: this => Kind::Permits(this.permits());
    [] Baton: this => Kind::Baton(this);
    [T] JoinHandle<T>: this => Kind::Fiber(this.fiber());
    [T] ScopedJoinHandle<'_, T>: this => Kind::Fiber(this.fiber());
}

impl<A: Awaitable + ?Sized> Awaitable for &A {}

impl<A: Awaitable + ?Sized> Sealed for &A {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}

impl<A: Awaitable + ?Sized> Awaitable for Rc<A> {}

impl<A: Awaitable + ?Sized> Sealed for Rc<A> {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}
