//! One turn of the loop: input and output, messages, timers and tasks, each within its
//! budget; then what was written leaves. Only here is user code called.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use crate::config::WaitMode;
use crate::conn::Conn;
use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::driver::{Driver, Wait};
use crate::engine::io::Class;
use crate::engine::ops::Continuation;
use crate::engine::outcome::Failure;
use crate::engine::{Alarm, Engine, Event, Received};
use crate::error::Error;
use crate::handlers::{Drained, Handlers, Named};
use crate::report::count;
use crate::slab::Key;
use crate::time::Instant;

/// Whether a turn may wait when it has nothing to do, and until when.
#[derive(Clone, Copy)]
pub(crate) enum MayWait {
    No,
    Until(Instant),
    Forever,
}

/// How often the clock is checked against the system's.
const RECHECK: Duration = Duration::from_millis(50);

impl Core {
    /// One turn. Returns how many things were done in it.
    pub(crate) fn turn(self: &Rc<Self>, may_wait: MayWait) -> Result<usize, Error> {
        count(&self.counters.turns, 1);
        self.tick();
        let mut did = self.input(may_wait)?;
        self.watch.borrow_mut().turn_begin(self.now.get());
        if let Some(stall) = &self.stall {
            stall.turn_begin(self.now.get());
        }
        did += self.dispatch();
        did += self.posts();
        did += self.alarms();
        did += self.tasks.run(self, self.config.budgets.tasks);
        did += self.run_later();
        did += self.output();
        self.end_turn(did);
        Ok(did)
    }

    /// Reads the clock.
    fn tick(&self) -> Instant {
        let virtual_now = self.with(|engine| engine.driver.virtual_now());
        let mut clock = self.clock.borrow_mut();
        if let Some(now) = virtual_now {
            clock.advance_to(now);
        }
        let now = clock.now().max(self.now.get());
        drop(clock);
        self.now.set(now);
        self.with(|engine| engine.now = now);
        now
    }

    fn end_turn(&self, did: usize) {
        if let Some(stall) = &self.stall {
            stall.turn_end();
        }
        let now = self.clock.borrow().now();
        if did > 0 {
            self.active.set(now);
        }
        let offence = self.watch.borrow_mut().turn_end(now);
        if let Some(offence) = offence {
            log::warn!(
                "a turn took {:?}, the longest part of it `{}` with {:?}",
                offence.turn,
                offence.name,
                offence.took
            );
        }
        if self.counters.turns.get() % 4096 == 0 {
            self.recheck_clock(now);
        }
    }

    fn recheck_clock(&self, now: Instant) {
        if now.saturating_since(self.checked.get()) >= RECHECK {
            self.checked.set(now);
            let changed = self.clock.borrow_mut().recheck();
            if let Some(report) = changed {
                log::warn!("{report}");
                self.report.borrow_mut().clock = report.to_string();
            }
        }
    }

    /// Input and output: what was put off, what is hot, what the driver has; waiting
    /// for it if there is nothing else.
    fn input(self: &Rc<Self>, may_wait: MayWait) -> Result<usize, Error> {
        let files = self.collect_files();
        self.with(Engine::begin_turn);
        let wait = self.how_to_wait(may_wait);
        if wait == Wait::No {
            let polled = self.with(|engine| engine.look(self.config.budgets.io));
            polled.map_err(Error::system("the driver's poll"))?;
        } else {
            self.sleep(wait)?;
        }
        Ok(files)
    }

    /// Whether this turn is to wait, given everything that could be done in it.
    fn how_to_wait(&self, may_wait: MayWait) -> Wait {
        let until = match may_wait {
            MayWait::No => return Wait::No,
            MayWait::Until(until) => Some(until),
            MayWait::Forever => None,
        };
        let now = self.now.get();
        let (busy, due, simulated) = self.with(|engine| {
            let simulated = engine.driver.virtual_now().is_some();
            (engine.is_busy(), engine.wheel.next_deadline(), simulated)
        });
        let spins = !simulated
            && match self.config.wait {
                WaitMode::Spin => true,
                WaitMode::Warm { spin_for } => {
                    now.saturating_since(self.active.get()) < spin_for
                }
                WaitMode::Sleep => false,
            };
        self.with(|engine| engine.spinning = spins);
        if spins || busy || self.has_later() || !self.nothing_posted() {
            return Wait::No;
        }
        match due.into_iter().chain(until).min() {
            None => Wait::Forever,
            Some(at) if at <= now => Wait::No,
            Some(at) => Wait::AtMost(at.saturating_since(now)),
        }
    }

    fn sleep(&self, wait: Wait) -> Result<(), Error> {
        if !self.sleeper.prepare_sleep(|| self.nothing_posted()) {
            return Ok(());
        }
        count(&self.counters.sleeps, 1);
        let limit = self.config.budgets.io;
        let polled = self.with(|engine| {
            engine.cool_all();
            engine.poll_driver(wait, limit)
        });
        self.sleeper.awake();
        polled.map_err(Error::system("the driver's poll"))?;
        self.tick();
        Ok(())
    }

    /// Messages from other threads.
    fn posts(&self) -> usize {
        let mut taken = 0;
        while taken < self.config.budgets.posts {
            let job = self.mailbox.borrow_mut().take();
            let Some(job) = job else { break };
            self.with(Engine::refill);
            self.user_code(job.name(), || job.run());
            taken += 1;
        }
        count(&self.counters.posts, taken);
        taken
    }

    /// Timers that are due. The precise clock confirms it, so that none is early.
    fn alarms(&self) -> usize {
        let now = self.now.get();
        let due = self.with(|engine| engine.wheel.next_deadline().is_some_and(|at| at <= now));
        if !due {
            return 0;
        }
        let precise = self.clock.borrow().precise();
        let mut fired = 0;
        while fired < self.config.budgets.timers {
            let expired = self.with(|engine| {
                engine.refill();
                engine.wheel.expire(precise)
            });
            let Some(expired) = expired else { break };
            match Alarm::unpack(expired.payload) {
                Alarm::Timer(key) => self.fire_timer(key, precise),
                alarm => self.with(|engine| engine.alarm(alarm)),
            }
            fired += 1;
        }
        count(&self.counters.timers, fired);
        fired
    }

    /// Sends what this turn wrote, and tells what came of it.
    fn output(self: &Rc<Self>) -> usize {
        let did = self.dispatch();
        self.with(Engine::flush_dirty);
        did + self.dispatch()
    }

    /// Tells everybody what happened. Ends, because immediate completions are limited.
    fn dispatch(self: &Rc<Self>) -> usize {
        let mut told = 0;
        loop {
            let event = self.with(|engine| engine.events.pop_front());
            let Some(event) = event else { return told };
            told += 1;
            match event {
                Event::Wake(waker) => waker.wake(),
                Event::Call(key) => self.call(key),
                Event::Data(key, received) => self.data(key, received),
                Event::Inbox(key) => self.inbox(key),
                Event::Accepted(key, fd) => self.accepted(key, fd),
                Event::Readable(key) => self.readable(key),
                Event::Writable(key) => self.writable(key),
                Event::Ended(key, failure) => self.ended(key, failure),
                Event::Offload(key) => self.send_to_pool(key),
            }
        }
    }

    fn conn(self: &Rc<Self>, key: Key) -> Conn {
        Conn { core: self.clone(), key }
    }

    fn call(&self, key: Key) {
        let finished = self.with(|engine| engine.take_finished(key));
        if let Some((finished, Continuation::Callback(callback))) = finished {
            self.user_code(callback.name(), || callback.call(finished));
        }
    }

    fn data(self: &Rc<Self>, key: Key, received: Received) {
        let (handler, start) = self.with(|engine| {
            (lend(engine, key, |h| &mut h.data), engine.received(received.at))
        });
        if let Some(handler) = handler {
            // SAFETY: the driver (or the engine's scratch) wrote `len` bytes there; the
            // memory is not given back before `recycle` below.
            let bytes = unsafe { std::slice::from_raw_parts(start, received.len) };
            self.run_handler(key, handler, |h| &mut h.data, |call, conn| call(conn, bytes));
        }
        self.with(|engine| engine.recycle(received.at));
    }

    /// Gives what lies in the inbox to the data handler.
    fn inbox(self: &Rc<Self>, key: Key) {
        loop {
            let lent = self.with(|engine| {
                let io = engine.ios.get(key)?;
                if io.paused || !io.is_open() {
                    return None;
                }
                let front = engine.inbox_front(key)?;
                Some((front, lend(engine, key, |h| &mut h.data)?))
            });
            let Some((front, handler)) = lent else { break };
            // SAFETY: the bytes stay where they are until they are consumed below.
            let bytes = unsafe { &*front };
            let len = bytes.len();
            self.run_handler(key, handler, |h| &mut h.data, |call, conn| call(conn, bytes));
            self.with(|engine| engine.inbox_consume(key, len));
        }
        self.with(|engine| engine.retell_end(key));
    }

    fn accepted(self: &Rc<Self>, key: Key, fd: RawFd) {
        let adopted = Descriptor::adopt(self, fd, Class::Stream);
        let handler = self.with(|engine| lend(engine, key, |h| &mut h.accept));
        match (adopted, handler) {
            (Ok(descriptor), Some(handler)) => {
                self.run_handler(key, handler, |h| &mut h.accept, |call, _| call(descriptor));
            }
            (Err(error), Some(handler)) => {
                log::warn!("a connection was accepted and closed again: {error}");
                self.with(|engine| restore(engine, key, handler, |h| &mut h.accept));
            }
            _ => {}
        }
    }

    fn readable(self: &Rc<Self>, key: Key) {
        let handler = self.with(|engine| lend(engine, key, |h| &mut h.readable));
        let Some(handler) = handler else { return };
        let mut more = false;
        self.run_handler(key, handler, |h| &mut h.readable, |call, conn| {
            more = call(conn)? == Drained::No;
            Ok(())
        });
        if more {
            self.with(|engine| engine.look_again(key));
        }
    }

    fn writable(self: &Rc<Self>, key: Key) {
        let handler = self.with(|engine| lend(engine, key, |h| &mut h.writable));
        if let Some(handler) = handler {
            self.run_handler(key, handler, |h| &mut h.writable, |call, conn| call(conn));
        }
    }

    /// Receiving or sending ended.
    fn ended(self: &Rc<Self>, key: Key, failure: Option<Failure>) {
        let rests = self.with(|engine| engine.rests(key, failure));
        if let Some(error) = rests {
            log::warn!("accepting rests for a moment: {error}");
        } else if !self.with(|engine| engine.has_unread(key)) {
            self.end(key, failure.map_or(Ok(()), |failure| Err(failure.into())));
        }
    }

    /// Tells the close handler, once, and closes the descriptor.
    fn end(self: &Rc<Self>, key: Key, result: io::Result<()>) {
        let orderly = result.is_ok();
        let (close, half_open) = self.with(|engine| {
            let handlers = engine.ios.get_mut(key).and_then(|io| io.handlers.as_mut());
            handlers.map_or((None, false), |h| (h.close.take(), h.half_open))
        });
        if let Some(Named { name, call }) = close {
            let conn = self.conn(key);
            self.user_code(name, || call(&conn, result));
        }
        if !(half_open && orderly) {
            self.with(|engine| engine.close(key));
        }
    }

    /// Calls a handler that was lent, and puts it back unless it failed.
    fn run_handler<F>(
        self: &Rc<Self>,
        key: Key,
        mut handler: Named<F>,
        place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
        call: impl FnOnce(&mut F, &Conn) -> io::Result<()>,
    ) {
        let conn = self.conn(key);
        match self.user_code(handler.name, || call(&mut handler.call, &conn)) {
            Some(Ok(())) => {
                let unused = self.with(|engine| restore(engine, key, handler, place));
                drop(unused);
            }
            Some(Err(error)) => self.end(key, Err(error)),
            None => {
                let name = handler.name;
                self.end(key, Err(io::Error::other(format!("`{name}` panicked"))));
            }
        }
    }
}

/// Takes a handler out for a call.
fn lend<F>(
    engine: &mut Engine,
    key: Key,
    place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
) -> Option<Named<F>> {
    place(engine.ios.get_mut(key)?.handlers.as_mut()?).take()
}

/// Puts a handler back, unless another took its place or the descriptor is closed; then
/// it is given back, to be dropped outside the engine.
fn restore<F>(
    engine: &mut Engine,
    key: Key,
    handler: Named<F>,
    place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
) -> Option<Named<F>> {
    let Some(handlers) = engine.ios.get_mut(key).and_then(|io| io.handlers.as_mut()) else {
        return Some(handler);
    };
    match place(handlers) {
        Some(_) => Some(handler),
        empty => {
            *empty = Some(handler);
            None
        }
    }
}

impl Engine {
    /// What the last turn left for this one.
    fn begin_turn(&mut self) {
        self.refill();
        self.events.extend(self.again.drain(..).map(Event::Readable));
        self.run_deferred();
    }

    /// Probes what is hot and takes what the driver has, without waiting.
    fn look(&mut self, limit: usize) -> io::Result<bool> {
        if self.spinning {
            self.probe_hot();
        }
        if self.driver.has_work() || self.has_overflow() {
            return self.poll_driver(Wait::No, limit);
        }
        Ok(false)
    }

    /// A readiness handler has left something: it is called again in the next turn.
    fn look_again(&mut self, key: Key) {
        if self.io(key).is_ok() {
            self.again.push(key);
        }
    }

    /// Whether bytes wait that the data handler has to see before it hears of the end.
    fn has_unread(&mut self, key: Key) -> bool {
        self.ios.get(key).is_some_and(|io| io.is_open() && !io.inbox.is_empty())
    }

    /// Tells of an end that had to wait until the inbox was empty.
    fn retell_end(&mut self, key: Key) {
        let Some(io) = self.ios.get(key) else { return };
        if let Some(failure) = io.ended
            && io.inbox.is_empty()
            && io.is_open()
        {
            self.events.push_back(Event::Ended(key, failure));
        }
    }

    /// For a listener that only rests for want of descriptors: why.
    fn rests(&mut self, key: Key, failure: Option<Failure>) -> Option<io::Error> {
        let io = self.ios.get(key)?;
        (io.class == Class::Listener && io.paused).then(|| failure.map(Into::into)).flatten()
    }
}
