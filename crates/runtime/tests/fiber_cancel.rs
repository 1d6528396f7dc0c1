//! Cancellation of fibers: delivered once, with the kernel's last word awaited, also in the
//! midst of panics, scopes, joins and destructors.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::panicking;
use std::time::Duration;

use common::{REAL, small};
use tautline_runtime::fiber::{self, Baton, Builder, JoinError, JoinHandle, Stack};
use tautline_runtime::{Config, Descriptor, Error, Runtime};

/// Runs `test` on each real driver.
fn on_each(test: impl Fn(&Runtime)) {
    for driver in REAL {
        test(&Runtime::new(Config { driver, ..small() }).unwrap());
    }
}

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Notes when it is dropped.
    fn at_end(&self, what: &'static str) -> AtEnd {
        AtEnd(self.clone(), what)
    }
}

struct AtEnd(Log, &'static str);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Calls `call` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Writes through a stream, as a blocking crate would.
struct Stream(Descriptor);

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.blocking().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.blocking().flush()
    }
}

fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    fiber::spawn(Stack::Small, work).unwrap()
}

/// Lets it run until it waits, cancels it, and waits for its end.
fn cancel_where_it_waits<T>(runtime: &Runtime, handle: &JoinHandle<T>) {
    runtime.poll().unwrap();
    handle.cancel();
    runtime.run_until(|| handle.is_finished()).unwrap();
}

/// What a `BufWriter` holds when its fiber is cancelled is flushed in its destructor: that call
/// fails at once, neither hanging nor aborting.
#[test]
fn a_buffered_writer_is_dropped_while_its_fiber_unwinds() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let handle = spawn(move || {
            let mut writer = BufWriter::new(Stream(a));
            writer.write_all(b"never sent").unwrap();
            fiber::park().unwrap();
        });
        cancel_where_it_waits(runtime, &handle);
        let rest = runtime.run_fiber(Stack::Small, move || {
            let mut rest = [0; 16];
            (handle.join().is_err(), b.blocking().read(&mut rest).unwrap())
        });
        assert_eq!(rest.unwrap(), (true, 0), "the stream ends, with nothing in it");
    });
}

/// A scope that is cancelled from outside cancels its children, waits for them, and unwinds
/// last.
#[test]
fn a_scope_is_cancelled_from_outside() {
    on_each(|runtime| {
        let log = Log::default();
        let inner = log.clone();
        let handle = spawn(move || {
            let _parent = inner.at_end("parent");
            let lent = [Cell::new(0), Cell::new(0)];
            fiber::scope(|scope| {
                for number in &lent {
                    let child = || {
                        let _child = inner.at_end("child");
                        let _slow = OnDrop(|| {
                            // Joins are waited for while a fiber unwinds; this takes turns.
                            let other = spawn(|| fiber::sleep(Duration::from_millis(1)));
                            other.join().unwrap().unwrap();
                            number.set(1);
                        });
                        fiber::park().unwrap();
                    };
                    drop(scope.spawn(Stack::Small, child).unwrap());
                }
                fiber::park().unwrap();
            })
        });
        cancel_where_it_waits(runtime, &handle);
        assert_eq!(log.lines(), ["child", "child", "parent"]);
    });
}

/// A fiber that is cancelled while it panics ends by its panic; while it waits in a destructor
/// no other fiber believes that it panics itself.
#[test]
fn cancel_during_a_panic() {
    on_each(|runtime| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (theirs, baton) = (seen.clone(), Rc::new(Baton::new()));
        let their_baton = baton.clone();
        let handle = spawn(move || {
            let _slow = OnDrop(move || {
                assert!(panicking());
                let other = spawn({
                    let (seen, baton) = (theirs.clone(), their_baton.clone());
                    move || {
                        baton.wait().unwrap();
                        seen.borrow_mut().push(panicking());
                        // A panic of its own is its first.
                        let own = catch_unwind(|| std::panic::resume_unwind(Box::new(1)));
                        seen.borrow_mut().push(panicking() || own.is_ok());
                    }
                });
                other.join().unwrap();
                assert!(panicking(), "its own panic goes on");
                // It was cancelled meanwhile: a call fails, and does not throw.
                assert!(matches!(fiber::sleep(Duration::ZERO), Err(Error::Cancelled)));
            });
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        runtime.poll().unwrap();
        assert!(!panicking() && !handle.is_finished());
        handle.cancel();
        runtime.poll().unwrap();
        baton.post();
        runtime.run_until(|| handle.is_finished()).unwrap();
        assert_eq!(*seen.borrow(), [false, false]);
        let error = handle.then_now(runtime);
        assert_eq!(error.unwrap_err().message(), Some("on purpose"));
    });
}

/// The result of a handle whose fiber is over.
trait ThenNow<T> {
    fn then_now(self, runtime: &Runtime) -> Result<T, JoinError>;
}

impl<T: 'static> ThenNow<T> for JoinHandle<T> {
    fn then_now(self, runtime: &Runtime) -> Result<T, JoinError> {
        runtime.run_fiber(Stack::Small, move || self.join()).unwrap()
    }
}

/// A fiber that catches its cancellation goes on; its calls fail from then on, and never throw
/// again; what it returns is its result.
#[test]
fn a_fiber_catches_its_cancellation() {
    on_each(|runtime| {
        let (a, _b) = Descriptor::pair().unwrap();
        let handle = spawn(move || {
            let mut buf = [0; 16];
            let caught = catch_unwind(AssertUnwindSafe(|| a.blocking().read(&mut buf)));
            assert!(caught.is_err());
            let read = a.blocking().read(&mut buf).map_err(|error| error.to_string());
            let slept = fiber::sleep(Duration::from_secs(100)).is_err();
            let joined = spawn(fiber::yield_now).join().unwrap().is_ok();
            (read, slept, joined, fiber::current().unwrap().is_cancelled())
        });
        cancel_where_it_waits(runtime, &handle);
        let (read, slept, joined, cancelled) = handle.then_now(runtime).unwrap();
        assert_eq!(read, Err(Error::Cancelled.to_string()));
        assert!(slept && joined && cancelled);
    });
}

/// One that passes over its cancellation for ever keeps nobody from the thread, and a runtime
/// that is dropped gives it up rather than hang.
#[test]
fn a_deaf_fiber_holds_nobody_up() {
    let runtime = Runtime::new(small()).unwrap();
    let deaf = Builder::new(Stack::Small).cancel_by_error().spawn(|| {
        loop {
            let _ = fiber::sleep(Duration::from_secs(1));
        }
    });
    let deaf = deaf.unwrap();
    cancel_and_go_on(&runtime, &deaf);
    let other = runtime.run_fiber(Stack::Small, || 7);
    assert_eq!(other.unwrap(), 7);
    drop(runtime);
    assert!(!deaf.is_finished());
}

fn cancel_and_go_on<T>(runtime: &Runtime, handle: &JoinHandle<T>) {
    runtime.poll().unwrap();
    handle.cancel();
    runtime.run_for(Duration::from_millis(2)).unwrap();
}

/// A fiber that has not begun never begins, whether it is in the run queue or waits for a
/// stack; its work is dropped.
#[test]
fn a_fiber_that_has_not_begun_never_begins() {
    let mut config = small();
    config.stacks.small.count = 1;
    let runtime = Runtime::new(config).unwrap();
    let held = Rc::new(());
    let blocker = spawn(fiber::park);
    let waiting: Vec<_> = (0..3).map(|_| held.clone()).collect();
    let waiting: Vec<_> = waiting.into_iter().map(|held| spawn(move || drop(held))).collect();
    runtime.poll().unwrap();
    let queued = held.clone();
    let queued = spawn(move || drop(queued));
    waiting[1].cancel();
    queued.cancel();
    runtime.poll().unwrap();
    assert!(waiting[1].is_finished() && queued.is_finished() && !waiting[0].is_finished());
    assert_eq!(Rc::strong_count(&held), 3);
    blocker.cancel();
    runtime.run_until(|| waiting.iter().all(JoinHandle::is_finished)).unwrap();
    assert_eq!(Rc::strong_count(&held), 1);
}

/// Cancelling again, or after the end, does nothing.
#[test]
fn cancelling_again_does_nothing() {
    let runtime = Runtime::new(small()).unwrap();
    let handle = spawn(|| {
        let caught = catch_unwind(fiber::park);
        fiber::current().unwrap().cancel();
        let _ = fiber::yield_now();
        caught.is_err()
    });
    cancel_where_it_waits(&runtime, &handle);
    let name = handle.fiber().clone();
    assert!(handle.then_now(&runtime).unwrap());
    name.cancel();
    assert!(!name.is_cancelled());
}

/// A fiber may cancel itself: its next call that may wait throws.
#[test]
fn a_fiber_cancels_itself() {
    let runtime = Runtime::new(small()).unwrap();
    let ended = runtime.run_fiber(Stack::Small, || {
        fiber::current().unwrap().cancel();
        fiber::yield_now()
    });
    assert!(matches!(ended, Err(Error::Cancelled)));
}

/// A runtime that is dropped while its thread panics unwinds its fibers all the same.
#[test]
fn a_runtime_is_dropped_in_a_panic() {
    let log = Log::default();
    let inner = log.clone();
    let caught = catch_unwind(AssertUnwindSafe(move || {
        let runtime = Runtime::new(small()).unwrap();
        let _parked = spawn(move || {
            let _end = inner.at_end("unwound");
            let _check = OnDrop(|| assert!(panicking()));
            let _ = fiber::park();
            inner.add("not reached");
        });
        runtime.poll().unwrap();
        std::panic::resume_unwind(Box::new(1));
    }));
    assert!(caught.is_err());
    assert_eq!(log.lines(), ["unwound"]);
}

/// What a fiber of a cancelled scope spawns into that scope ends at once too.
#[test]
fn a_cancelled_scope_takes_nobody_in() {
    let runtime = Runtime::new(small()).unwrap();
    let begun = Rc::new(Cell::new(false));
    let seen = begun.clone();
    let handle = spawn(move || {
        fiber::scope(|scope| {
            let child = || {
                let _late = OnDrop(|| {
                    let late = scope.spawn(Stack::Small, || {
                        seen.set(true);
                        fiber::park()
                    });
                    drop(late.unwrap());
                });
                fiber::park().unwrap();
            };
            drop(scope.spawn(Stack::Small, child).unwrap());
            fiber::park().unwrap();
        })
    });
    cancel_where_it_waits(&runtime, &handle);
    assert!(!begun.get());
}
