//! Timers: callbacks once or again and again, sleeps and timeouts for tasks.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::Error;
use crate::core::Core;
use crate::engine::{Alarm, Engine, OtherAlarm, Repeat, TimerFn};
use crate::time::{Instant, TimerKey};
use crate::turn::Run;

/// Calls `handler` once, `after` from now. Captures of up to 32 bytes lie in the table of
/// timers; larger ones, and those aligned to more than 8, cost an allocation.
///
/// # Errors
/// [`Error::NoRuntime`]; [`Error::Exhausted`] when `Config::timers` are armed.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, timer};
/// # use std::{cell::Cell, rc::Rc, time::Duration};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(Config::default())?;
/// let fired = Rc::new(Cell::new(false));
/// let seen = fired.clone();
/// timer::after(Duration::from_millis(1), move || seen.set(true))?;
/// runtime.run_until(|| fired.get())?;
/// # Ok(())
/// # }
/// ```
pub fn after<F: FnOnce() + 'static>(after: Duration, handler: F) -> Result<Timer, Error> {
    call_once(from_now(after), handler)
}

/// Calls `handler` once, at `due`. Otherwise as [`after`].
///
/// # Errors
/// As [`after`].
pub fn at<F: FnOnce() + 'static>(due: Instant, handler: F) -> Result<Timer, Error> {
    call_once(Some(due), handler)
}

/// Writes the handler to where it stays, in one step. On the way it is never dropped and
/// never borrowed, so that it need not lie in memory: parts that were stored one by one and
/// read back together would wait until they have left the store buffer, and with them all
/// that follows.
#[inline]
fn call_once<F: FnOnce() + 'static>(due: Option<Instant>, handler: F) -> Result<Timer, Error> {
    let handler = ManuallyDrop::new(handler);
    let Some(armed) = due.and_then(Armed::new) else {
        return Err(refused(ManuallyDrop::into_inner(handler)));
    };
    let handler = ManuallyDrop::into_inner(handler);
    Ok(armed.will(Alarm::Call(TimerFn::named_after::<F, _>(move |()| handler()))))
}

/// Drops what a timer would have done, and says why there is none.
#[cold]
fn refused<T>(undone: T) -> Error {
    drop(undone);
    match Core::current() {
        Ok(core) => Error::Exhausted { what: "timer", limit: core.config.timers, knob: "timers" },
        Err(error) => error,
    }
}

/// When it is `after` from now, if this thread has a runtime.
#[inline]
fn from_now(after: Duration) -> Option<Instant> {
    Core::try_current(|core| core.now() + after)
}

/// A timer that was armed a moment ago and does nothing yet.
struct Armed {
    key: TimerKey,
    place: NonNull<Alarm>,
}

impl Armed {
    /// Arms a timer of this thread's runtime, if there is one and it has room.
    #[inline(never)]
    fn new(due: Instant) -> Option<Self> {
        let mut armed = None;
        Core::try_current(|core| {
            core.with(|engine| {
                if !engine.shut
                    && let Ok((key, place)) = engine.arm_empty(due)
                {
                    armed = Some(Self { key, place: NonNull::from(place) });
                }
            });
        });
        armed
    }

    /// Says what it does.
    #[inline]
    fn will(self, alarm: Alarm) -> Timer {
        // SAFETY: `new` has just got this from the wheel of this thread's runtime, whose
        // entries never move. Between the two nothing has run that works on the wheel: who
        // has an `Armed` calls this at once. What is overwritten, the default, needs no drop.
        unsafe { self.place.write(alarm) };
        Timer { key: self.key, local: PhantomData }
    }
}

/// Calls `handler` every `period`, first `period` from now. A loop that comes late skips
/// the calls it has missed, and keeps the beat.
///
/// # Errors
/// As [`after`].
pub fn every<F: FnMut() + 'static>(period: Duration, handler: F) -> Result<Timer, Error> {
    let period = period.max(Duration::from_nanos(1));
    let name = std::any::type_name::<F>();
    let repeat = Box::new(Repeat { period, name, call: Box::new(handler) });
    arm(from_now(period), OtherAlarm::Repeat(repeat))
}

fn arm(due: Option<Instant>, alarm: OtherAlarm) -> Result<Timer, Error> {
    match due.and_then(Armed::new) {
        Some(armed) => Ok(armed.will(Alarm::Other(alarm))),
        None => Err(refused(alarm)),
    }
}

/// A timer that was armed. Dropping this leaves it armed. Once its runtime is gone, it has
/// ended.
#[derive(Clone)]
pub struct Timer {
    /// No other runtime of this thread gives out the same, within 2^32 timers.
    key: TimerKey,
    /// It names nothing on other threads.
    local: PhantomData<*mut ()>,
}

impl Timer {
    /// Ends it; true if it was still armed.
    #[inline]
    pub fn cancel(&self) -> bool {
        // Dropped outside: what it would have done may hold anything.
        let mut alarm = Alarm::default();
        let cancel = |engine: &mut Engine| engine.wheel.cancel_into(self.key, &mut alarm);
        Core::try_current(|core| core.with(cancel)).unwrap_or(false)
    }

    /// Arms it for `due` instead; a repeating timer keeps its period from there. False
    /// if it has ended.
    #[inline]
    pub fn rearm(&self, due: Instant) -> bool {
        let rearm = |core: &Rc<Core>| core.with(|engine| engine.rearm_alarm(self.key, due));
        Core::try_current(rearm).unwrap_or(false)
    }

    /// Whether it will still fire.
    pub fn is_armed(&self) -> bool {
        let is_armed = |core: &Rc<Core>| core.with(|engine| engine.wheel.is_armed(self.key));
        Core::try_current(is_armed).unwrap_or(false)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Ends `after` from the first poll's turn.
pub fn sleep(after: Duration) -> Sleep {
    Sleep { until: Until::After(after), armed: None }
}

/// Ends at `due`.
pub fn sleep_until(due: Instant) -> Sleep {
    Sleep { until: Until::At(due), armed: None }
}

/// A future that ends at a time. Its error is [`Error::NoRuntime`], [`Error::Exhausted`], or
/// [`Error::Closed`] if its runtime has gone before.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    until: Until,
    /// The timer, and the runtime that it is of.
    armed: Option<(Timer, u64)>,
}

#[derive(Clone, Copy)]
enum Until {
    After(Duration),
    At(Instant),
}

impl Future for Sleep {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let core = Core::current()?;
        if let Some((timer, runtime)) = &self.armed {
            return match core.renew_waker(timer.key, cx.waker()) {
                true => Poll::Pending,
                false if core.id == *runtime => Poll::Ready(Ok(())),
                false => Poll::Ready(Err(Error::Closed)),
            };
        }
        let due = match self.until {
            Until::After(after) => core.now() + after,
            Until::At(due) => due,
        };
        let timer = arm(Some(due), OtherAlarm::Wake(cx.waker().clone()))?;
        self.armed = Some((timer, core.id));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timer, _)) = &self.armed {
            timer.cancel();
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// Gives `future` up `after` from now.
///
/// # Errors
/// [`TimedOut`](io::ErrorKind::TimedOut) if it was not ready by then.
pub async fn timeout<F: Future>(after: Duration, future: F) -> io::Result<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut sleep = std::pin::pin!(sleep(after));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match sleep.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Err(Error::TimedOut.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        }
    })
    .await
}

impl Core {
    /// Keeps the waker of a sleep that has not ended; false if it has.
    fn renew_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        let held = |engine: &mut Engine| match engine.wheel.payload_mut(key)? {
            Alarm::Other(OtherAlarm::Wake(held)) => Some(held.will_wake(waker)),
            _ => None,
        };
        let Some(will_wake) = self.with(held) else { return false };
        if will_wake {
            return true;
        }
        // Cloning and dropping may run code of another executor: not within the engine.
        let mut renewed = Some(Alarm::Other(OtherAlarm::Wake(waker.clone())));
        let (armed, old) = self.with(|engine| match engine.wheel.payload_mut(key) {
            Some(place) => (true, renewed.take().map(|new| std::mem::replace(place, new))),
            None => (false, None),
        });
        drop((old, renewed));
        armed
    }

    /// Calls a repeating handler. Its timer is armed for the next beat already, so that it
    /// can cancel that or arm it for another time.
    pub(crate) fn beat(&self, key: TimerKey, mut repeat: Box<Repeat>, run: &mut Run) {
        let name = repeat.name;
        self.join_run(run, name);
        let called = self.guard(name, &mut *repeat.call);
        let over = self.with(|engine| engine.put_back(key, repeat, called.is_some()));
        if over.is_some() {
            // What it holds goes like what it does: a panic in that is caught.
            self.guard(name, || drop(over));
        }
    }

    /// Drops all timers of the program.
    pub(crate) fn clear_timers(&self) {
        let mut from = 0;
        let mut next = || self.with(|engine| engine.wheel.cancel_next(&mut from, Alarm::is_users));
        while let Some(alarm) = next() {
            drop(alarm);
        }
    }
}

impl Engine {
    /// Puts a repeating handler back, if it is to `go_on`; returns one that has ended.
    fn put_back(&mut self, key: TimerKey, repeat: Box<Repeat>, go_on: bool) -> Option<Box<Repeat>> {
        if !go_on || self.shut {
            self.wheel.cancel(key);
        }
        let Some(alarm) = self.wheel.payload_mut(key) else { return Some(repeat) };
        *alarm = Alarm::Other(OtherAlarm::Repeat(repeat));
        None
    }
}

/// The first beat after `now`.
pub(crate) fn next_beat(due: Instant, period: Duration, now: Instant) -> Instant {
    let next = due + period;
    if next > now {
        return next;
    }
    let behind = now.saturating_since(next).as_nanos();
    let missed = behind / period.as_nanos() + 1;
    let nanos = u64::try_from(missed * period.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(next.as_nanos().saturating_add(nanos))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::{Config, Runtime};

    fn runtime() -> Runtime {
        Runtime::new(Config { timers: 8, ..Config::default() }).unwrap()
    }

    /// A repeating handler that cancels its timer and arms another, which gets the same place in
    /// the table, ends the one and not the other.
    #[test]
    fn a_repeating_handler_can_make_room_for_another() {
        let runtime = runtime();
        let (own, beats) = (Rc::new(RefCell::new(None::<Timer>)), Rc::new(Cell::new(0)));
        let fired = Rc::new(Cell::new(false));
        let (itself, counted, told) = (own.clone(), beats.clone(), fired.clone());
        let timer = every(Duration::from_micros(50), move || {
            counted.set(counted.get() + 1);
            if counted.get() == 3 {
                assert!(itself.borrow().as_ref().is_some_and(Timer::cancel));
                let told = told.clone();
                after(Duration::from_micros(50), move || told.set(true)).unwrap();
            }
        });
        own.replace(Some(timer.unwrap()));
        runtime.run_until(|| fired.get()).unwrap();
        assert_eq!(beats.get(), 3);
        assert!(own.take().is_some_and(|timer| !timer.is_armed()));
    }

    /// A repeating timer keeps its handle over all its beats: it is armed while its handler runs,
    /// and can be moved and cancelled afterwards.
    #[test]
    fn a_repeating_timer_keeps_its_handle() {
        let runtime = runtime();
        let (own, beats) = (Rc::new(RefCell::new(None::<Timer>)), Rc::new(Cell::new(0)));
        let (itself, counted) = (own.clone(), beats.clone());
        let timer = every(Duration::from_micros(50), move || {
            assert!(itself.borrow().as_ref().is_some_and(Timer::is_armed));
            counted.set(counted.get() + 1);
        });
        own.replace(Some(timer.unwrap()));
        runtime.run_until(|| beats.get() == 3).unwrap();
        let timer = own.borrow().clone().unwrap();
        assert!(timer.rearm(runtime.now()));
        runtime.run_until(|| beats.get() == 5).unwrap();
        assert!(timer.cancel());
        assert!(!timer.cancel() && !timer.is_armed() && !timer.rearm(runtime.now()));
        runtime.run_for(Duration::from_micros(200)).unwrap();
        assert_eq!(beats.get(), 5);
    }

    /// Handlers of armed timers are dropped with the runtime, also where they hold timers.
    #[test]
    fn a_runtime_drops_the_handlers_of_its_timers() {
        let runtime = runtime();
        let held = Rc::new(());
        let far = Duration::from_secs(3600);
        let inner = after(far, || ()).unwrap();
        let (outer, kept) = ((inner, held.clone()), [held.clone(), held.clone()]);
        after(far, move || drop(outer)).unwrap();
        let timer = every(far, move || assert_eq!(kept.len(), 2)).unwrap();
        drop(runtime);
        assert_eq!(Rc::strong_count(&held), 1);
        assert!(!timer.is_armed() && !timer.cancel());
    }

    /// What is left of an earlier runtime finds nothing in a later one on the same thread,
    /// though its timer's place has been given away: handles do nothing, and a sleep does
    /// not end early.
    #[test]
    fn handles_of_an_earlier_runtime_find_nothing() {
        let far = Duration::from_secs(3600);
        let first = runtime();
        let timer = after(far, || ()).unwrap();
        let mut sleeping = Box::pin(sleep(far));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sleeping.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(!timer.is_armed());
        let second = runtime();
        let others = [after(far, || ()).unwrap(), after(far, || ()).unwrap()];
        assert!(!timer.is_armed() && !timer.rearm(second.now()) && !timer.cancel());
        let Poll::Ready(Err(Error::Closed)) = sleeping.as_mut().poll(&mut cx) else {
            panic!("a sleep whose runtime has gone is closed");
        };
        drop(sleeping);
        assert!(others.iter().all(Timer::is_armed));
    }

    /// What a repeating handler holds is dropped where a panic is caught, as what it does is.
    #[test]
    fn a_panic_of_what_a_beat_holds_is_caught() {
        struct Angry;
        impl Drop for Angry {
            fn drop(&mut self) {
                panic!("seeded");
            }
        }
        let runtime = runtime();
        let own = Rc::new(RefCell::new(None::<Timer>));
        let (itself, held) = (own.clone(), Angry);
        let timer = every(Duration::from_micros(50), move || {
            let _held = &held;
            assert!(itself.borrow().as_ref().is_some_and(Timer::cancel));
        });
        own.replace(Some(timer.unwrap()));
        runtime.run_until(|| runtime.metrics().panics > 0).unwrap();
        assert_eq!(runtime.metrics().panics, 1);
    }

    /// A loop that was late keeps the beat and calls once for all that it missed.
    #[test]
    fn missed_beats_are_skipped() {
        let at = Instant::from_nanos;
        let period = Duration::from_nanos(10);
        assert_eq!(next_beat(at(100), period, at(101)), at(110));
        assert_eq!(next_beat(at(100), period, at(110)), at(120));
        assert_eq!(next_beat(at(100), period, at(147)), at(150));
    }
}
