//! Timers: callbacks once or again and again, sleeps and timeouts for tasks.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::Error;
use crate::core::Core;
use crate::engine::Alarm;
use crate::inline_fn::OnceFn;
use crate::time::{Expired, Instant, TimerKey, Wheel};
use crate::turn::Run;

/// What timers do, each beside its entry in the wheel: at the same index, without lists,
/// generations and locks of its own.
pub(crate) struct Actions {
    /// Capacity is reserved for every index of the wheel: growing never moves a line.
    lines: Vec<Line>,
}

/// One cache line a timer.
#[derive(Default)]
#[repr(align(64))]
struct Line(Action);

const _: () = assert!(size_of::<Line>() == 64);

/// A closure with room for six words.
type Once = OnceFn<(), (), 48, u64>;

#[derive(Default)]
enum Action {
    /// The entry is no user's timer, or nobody's.
    #[default]
    None,
    Once(Once),
    Repeat {
        period: Duration,
        name: &'static str,
        /// Absent while it runs.
        call: Option<Box<dyn FnMut()>>,
    },
    Wake(Waker),
}

impl Actions {
    /// A table for all that `wheel` may hold, to be fetched along with its timers.
    pub(crate) fn beside(wheel: &mut Wheel) -> Self {
        let lines = Vec::with_capacity(wheel.limit() + 1);
        wheel.fetch_along(lines.as_ptr());
        Self { lines }
    }

    fn get_mut(&mut self, key: TimerKey) -> Option<&mut Action> {
        self.lines.get_mut(key.index()).map(|line| &mut line.0)
    }

    /// Where to write what the timer of `key` does.
    #[inline]
    fn place(&mut self, key: TimerKey) -> &mut Action {
        if key.index() >= self.lines.len() {
            self.reach(key);
        }
        &mut self.lines[key.index()].0
    }

    #[cold]
    fn reach(&mut self, key: TimerKey) {
        self.lines.resize_with(key.index() + 1, Line::default);
    }

    /// Takes out what a timer did.
    #[inline]
    fn take(&mut self, key: TimerKey) -> Action {
        self.get_mut(key).map(std::mem::take).unwrap_or_default()
    }
}

/// Calls `handler` once, `after` from now. Captures of up to 48 bytes lie in the table of
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
    let core = Core::current()?;
    let due = core.now() + after;
    at_on(core, due, handler)
}

/// Calls `handler` once, at `due`. Otherwise as [`after`].
///
/// # Errors
/// As [`after`].
pub fn at<F: FnOnce() + 'static>(due: Instant, handler: F) -> Result<Timer, Error> {
    at_on(Core::current()?, due, handler)
}

fn at_on<F: FnOnce() + 'static>(core: Rc<Core>, due: Instant, handler: F) -> Result<Timer, Error> {
    let key =
        core.arm_timer(due, || Action::Once(Once::named_after::<F, _>(move |()| handler())))?;
    Ok(Timer { core, key })
}

/// Calls `handler` every `period`, first `period` from now. A loop that comes late skips
/// the calls it has missed, and keeps the beat.
///
/// # Errors
/// As [`after`].
pub fn every<F: FnMut() + 'static>(period: Duration, handler: F) -> Result<Timer, Error> {
    let core = Core::current()?;
    let period = period.max(Duration::from_nanos(1));
    let due = core.now() + period;
    let name = std::any::type_name::<F>();
    let call: Option<Box<dyn FnMut()>> = Some(Box::new(handler));
    let key = core.arm_timer(due, || Action::Repeat { period, name, call })?;
    Ok(Timer { core, key })
}

/// A timer that was armed. Dropping this leaves it armed.
#[derive(Clone)]
pub struct Timer {
    core: Rc<Core>,
    key: TimerKey,
}

impl Timer {
    /// Ends it; true if it was still armed.
    pub fn cancel(&self) -> bool {
        self.core.drop_timer(self.key)
    }

    /// Arms it for `due` instead; a repeating timer keeps its period from there. False
    /// if it has ended.
    pub fn rearm(&self, due: Instant) -> bool {
        self.core.with(|engine| engine.rearm_alarm(self.key, due))
    }

    /// Whether it will still fire.
    pub fn is_armed(&self) -> bool {
        self.core.with(|engine| engine.wheel.is_armed(self.key))
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

/// A future that ends at a time. Its error is [`Error::NoRuntime`] or
/// [`Error::Exhausted`].
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    until: Until,
    armed: Option<Timer>,
}

enum Until {
    After(Duration),
    At(Instant),
}

impl Future for Sleep {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(timer) = &self.armed {
            return match timer.core.renew_waker(timer.key, cx.waker()) {
                true => Poll::Pending,
                false => Poll::Ready(Ok(())),
            };
        }
        let core = Core::current()?;
        let due = match self.until {
            Until::After(after) => core.now() + after,
            Until::At(due) => due,
        };
        let key = core.arm_timer(due, || Action::Wake(cx.waker().clone()))?;
        self.armed = Some(Timer { core, key });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = &self.armed {
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
    /// Arms a timer. What it does is written where it stays: a closure that were built
    /// elsewhere and moved would be read before its parts have left the store buffer.
    #[inline]
    fn arm_timer(&self, due: Instant, action: impl FnOnce() -> Action) -> Result<TimerKey, Error> {
        let limit = self.config.timers;
        let full = Error::Exhausted { what: "timer", limit, knob: "timers" };
        let armed = self.with(|engine| engine.arm_alarm(due, Alarm::Timer));
        let key = armed.map_err(|_| full)?;
        let action = action();
        let before = std::mem::replace(self.timers.borrow_mut().place(key), action);
        debug_assert!(matches!(before, Action::None), "a free entry does nothing");
        // Nothing to drop: the line is just written.
        std::mem::forget(before);
        Ok(key)
    }

    #[inline]
    fn drop_timer(&self, key: TimerKey) -> bool {
        let armed = self.with(|engine| engine.wheel.cancel(key)).is_some();
        if armed {
            let action = self.timers.borrow_mut().take(key);
            drop(action);
        }
        armed
    }

    /// Keeps the waker of a sleep that has not ended; false if it has.
    fn renew_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        let armed = self.with(|engine| engine.wheel.is_armed(key));
        let mut timers = self.timers.borrow_mut();
        let mut old = None;
        if armed
            && let Some(Action::Wake(held)) = timers.get_mut(key)
            && !held.will_wake(waker)
        {
            old = Some(std::mem::replace(held, waker.clone()));
        }
        drop(timers);
        drop(old);
        armed
    }

    /// A user's timer is due. Its handler joins `run`.
    #[inline]
    pub(crate) fn fire_timer(&self, expired: Expired, now: Instant, run: &mut Run) {
        let mut timers = self.timers.borrow_mut();
        let repeats = match timers.get_mut(expired.key) {
            Some(Action::Repeat { period, call, name }) => Some((*period, call.take(), *name)),
            _ => None,
        };
        if let Some((period, call, name)) = repeats {
            drop(timers);
            let next = next_beat(expired.deadline, period, now);
            self.with(|engine| engine.revive_alarm(expired, next));
            return self.fire_repeating(expired.key, call, name, run);
        }
        let action = timers.take(expired.key);
        drop(timers);
        match action {
            Action::Once(handler) => {
                let name = handler.name();
                self.join_run(run, name);
                self.guard(name, || handler.call(()));
            }
            Action::Wake(waker) => waker.wake(),
            Action::None | Action::Repeat { .. } => {}
        }
    }

    /// The timer is armed for its next beat already, so that its handler can cancel it or
    /// arm it for another time.
    fn fire_repeating(
        &self,
        key: TimerKey,
        call: Option<Box<dyn FnMut()>>,
        name: &'static str,
        run: &mut Run,
    ) {
        let Some(mut call) = call else { return };
        self.join_run(run, name);
        match self.guard(name, &mut *call) {
            Some(()) => self.put_back(key, call),
            None => {
                self.drop_timer(key);
            }
        }
    }

    /// Puts a repeating handler back, unless it was cancelled by itself.
    fn put_back(&self, key: TimerKey, handler: Box<dyn FnMut()>) {
        let mut handler = Some(handler);
        if self.with(|engine| engine.wheel.is_armed(key))
            && let Some(Action::Repeat { call, .. }) = self.timers.borrow_mut().get_mut(key)
        {
            *call = handler.take();
        }
        drop(handler);
    }

    /// Drops all timers.
    pub(crate) fn clear_timers(&self) {
        let lines = std::mem::take(&mut self.timers.borrow_mut().lines);
        let armed = |(_, line): &(usize, &Line)| !matches!(line.0, Action::None);
        self.with(|engine| {
            for (index, _) in lines.iter().enumerate().filter(armed) {
                engine.wheel.cancel_at(index);
            }
        });
        drop(lines);
    }
}

/// The first beat after `now`.
fn next_beat(due: Instant, period: Duration, now: Instant) -> Instant {
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
