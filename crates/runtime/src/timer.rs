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
use crate::slab::Key;
use crate::time::{Instant, TimerKey};

/// One of a user's timers.
pub(crate) struct TimerSlot {
    /// Where it stands in the wheel. Stale while a repeating handler runs.
    wheel: Option<TimerKey>,
    action: Action,
}

enum Action {
    Once(OnceFn<()>),
    Repeat { period: Duration, due: Instant, name: &'static str, call: Option<Box<dyn FnMut()>> },
    Wake(Waker),
}

/// Calls `handler` once, `after` from now.
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

/// Calls `handler` once, at `due`.
///
/// # Errors
/// As [`after`].
pub fn at<F: FnOnce() + 'static>(due: Instant, handler: F) -> Result<Timer, Error> {
    at_on(Core::current()?, due, handler)
}

fn at_on<F: FnOnce() + 'static>(core: Rc<Core>, due: Instant, handler: F) -> Result<Timer, Error> {
    let action = Action::Once(OnceFn::named_after::<F, _>(move |()| handler()));
    let key = core.arm_timer(due, action)?;
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
    let action = Action::Repeat { period, due, name, call: Some(Box::new(handler)) };
    let key = core.arm_timer(due, action)?;
    Ok(Timer { core, key })
}

/// A timer that was armed. Dropping this leaves it armed.
#[derive(Clone)]
pub struct Timer {
    core: Rc<Core>,
    key: Key,
}

impl Timer {
    /// Ends it; true if it was still armed.
    pub fn cancel(&self) -> bool {
        self.core.drop_timer(self.key)
    }

    /// Arms it for `due` instead; a repeating timer keeps its period from there. False
    /// if it has ended.
    pub fn rearm(&self, due: Instant) -> bool {
        self.core.rearm_timer(self.key, due)
    }

    /// Whether it will still fire.
    pub fn is_armed(&self) -> bool {
        self.core.timers.borrow().get(self.key).is_some()
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
        let key = core.arm_timer(due, Action::Wake(cx.waker().clone()))?;
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
    fn arm_timer(&self, due: Instant, action: Action) -> Result<Key, Error> {
        let limit = self.timers.borrow().limit();
        let full = Error::Exhausted { what: "timer", limit, knob: "timers" };
        let slot = TimerSlot { wheel: None, action };
        let inserted = self.timers.borrow_mut().insert(slot);
        let Ok(key) = inserted else { return Err(full) };
        match self.with(|engine| engine.arm_alarm(due, Alarm::Timer(key))) {
            Ok(wheel) => {
                if let Some(slot) = self.timers.borrow_mut().get_mut(key) {
                    slot.wheel = Some(wheel);
                }
                Ok(key)
            }
            Err(_) => {
                let slot = self.timers.borrow_mut().remove(key);
                drop(slot);
                Err(full)
            }
        }
    }

    fn drop_timer(&self, key: Key) -> bool {
        let slot = self.timers.borrow_mut().remove(key);
        let Some(slot) = slot else { return false };
        if let Some(wheel) = slot.wheel {
            self.with(|engine| engine.wheel.cancel(wheel));
        }
        true
    }

    fn rearm_timer(&self, key: Key, at: Instant) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(slot) = timers.get_mut(key) else { return false };
        if let Action::Repeat { due, .. } = &mut slot.action {
            *due = at;
        }
        let armed = self.with(|engine| match slot.wheel {
            Some(wheel) if engine.rearm_alarm(wheel, at) => Some(wheel),
            _ => engine.arm_alarm(at, Alarm::Timer(key)).ok(),
        });
        slot.wheel = armed;
        armed.is_some()
    }

    /// Keeps the waker of a sleep that has not ended; false if it has.
    fn renew_waker(&self, key: Key, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(slot) = timers.get_mut(key) else { return false };
        let mut old = None;
        if let Action::Wake(held) = &mut slot.action
            && !held.will_wake(waker)
        {
            old = Some(std::mem::replace(held, waker.clone()));
        }
        drop(timers);
        drop(old);
        true
    }

    /// A user's timer is due.
    pub(crate) fn fire_timer(&self, key: Key, now: Instant) {
        let mut timers = self.timers.borrow_mut();
        let Some(slot) = timers.get_mut(key) else { return };
        slot.wheel = None;
        if let Action::Repeat { call, name, .. } = &mut slot.action {
            let (call, name) = (call.take(), *name);
            drop(timers);
            return self.fire_repeating(key, call, name, now);
        }
        let slot = timers.remove(key);
        drop(timers);
        match slot.map(|slot| slot.action) {
            Some(Action::Once(handler)) => {
                self.user_code(handler.name(), || handler.call(()));
            }
            Some(Action::Wake(waker)) => waker.wake(),
            _ => {}
        }
    }

    fn fire_repeating(
        &self,
        key: Key,
        call: Option<Box<dyn FnMut()>>,
        name: &'static str,
        now: Instant,
    ) {
        let Some(mut call) = call else { return };
        if self.user_code(name, &mut *call).is_none() {
            self.drop_timer(key);
            return;
        }
        let next = self.put_back(key, call, now);
        if let Some(next) = next {
            self.rearm_timer(key, next);
        }
    }

    /// Puts a repeating handler back, and says when it is due again; `None`: it was
    /// cancelled or armed anew by itself.
    fn put_back(&self, key: Key, handler: Box<dyn FnMut()>, now: Instant) -> Option<Instant> {
        let mut handler = Some(handler);
        let mut timers = self.timers.borrow_mut();
        let next = timers.get_mut(key).and_then(|slot| {
            let Action::Repeat { period, due, call, .. } = &mut slot.action else { return None };
            *call = handler.take();
            let rearmed = slot.wheel.is_some();
            (!rearmed).then(|| next_beat(*due, *period, now))
        });
        drop(timers);
        drop(handler);
        next
    }

    /// Drops all timers.
    pub(crate) fn clear_timers(&self) {
        loop {
            let key = self.timers.borrow().keys().next();
            let Some(key) = key else { break };
            self.drop_timer(key);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
