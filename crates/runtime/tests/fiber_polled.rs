//! `Operation::wait` on an operation that was polled before: the kernel may have its buffer, so it
//! is taken back from there, or given up, and never lost.

mod common;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::{REAL, small};
use tautline_runtime::fiber::{self, Builder, JoinError, Stack};
use tautline_runtime::{Config, Descriptor, Error, Operation, Read, Runtime, timer};

/// A read of eight bytes.
type Eight = Operation<Read<Vec<u8>, false>>;

/// Runs `test` on each real driver.
fn on_each(test: impl Fn(&Runtime)) {
    for driver in REAL {
        test(&Runtime::new(Config { driver, ..small() }).unwrap());
    }
}

/// A read that was polled once, and waits.
fn polled(from: &Descriptor) -> Eight {
    let mut read = from.read(vec![0; 8]);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut read).poll(&mut cx).is_pending());
    read
}

/// What is read next from `from`, by somebody else: nothing that was given up has eaten it.
fn next(runtime: &Runtime, to: &Descriptor, from: &Descriptor, bytes: &[u8]) -> Vec<u8> {
    runtime.run_pending().unwrap();
    let future = async {
        to.write_all(bytes.to_vec()).await.0.unwrap();
        let (read, buf) = from.read(vec![0; 8]).await;
        buf[..read.unwrap()].to_vec()
    };
    runtime.block_on(future).unwrap()
}

/// Calls `call` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A fiber that was asked to end takes the operation back, and unwinds.
#[test]
fn a_cancelled_fiber_takes_it_back() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let b = Rc::new(b);
        let theirs = b.clone();
        let handle = fiber::spawn(Stack::Small, move || {
            let read = polled(&theirs);
            fiber::current().unwrap().cancel();
            let _ = read.wait();
            unreachable!("it was cancelled");
        });
        let ended = runtime.block_on(handle.unwrap()).unwrap();
        assert!(matches!(ended, Err(JoinError::Cancelled)), "{ended:?}");
        assert_eq!(next(runtime, &a, &b, b"on"), b"on");
    });
}

/// One that takes errors alone has the error, and its buffer.
#[test]
fn a_fiber_that_takes_errors_has_its_buffer() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let b = Rc::new(b);
        let theirs = b.clone();
        let handle = Builder::new(Stack::Small).cancel_by_error().spawn(move || {
            let read = polled(&theirs);
            fiber::current().unwrap().cancel();
            read.wait()
        });
        let (read, buf) = runtime.block_on(handle.unwrap()).unwrap().unwrap();
        assert!(matches!(Error::of(&read.unwrap_err()), Some(Error::Cancelled)));
        assert_eq!(buf.len(), 8);
        assert_eq!(next(runtime, &a, &b, b"on"), b"on");
    });
}

/// What had come before the fiber looked is delivered, and the next call throws.
#[test]
fn a_result_that_is_there_is_delivered() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let got = Rc::new(Cell::new(0));
        let theirs = got.clone();
        let handle = fiber::spawn(Stack::Small, move || {
            let read = polled(&b);
            a.blocking().write_all(b"there").unwrap();
            fiber::sleep(Duration::from_millis(5)).unwrap();
            fiber::current().unwrap().cancel();
            theirs.set(read.wait().0.unwrap());
            fiber::yield_now()
        });
        let ended = runtime.block_on(handle.unwrap()).unwrap();
        assert!(matches!(ended, Err(JoinError::Cancelled)), "{ended:?}");
        assert_eq!(got.get(), 5);
    });
}

/// In a destructor of a fiber that unwinds it fails, rather than hold that up.
#[test]
fn in_a_destructor_it_is_taken_back() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let b = Rc::new(b);
        let (theirs, failed) = (b.clone(), Rc::new(Cell::new(false)));
        let seen = failed.clone();
        let handle = fiber::spawn(Stack::Small, move || {
            let mut read = Some(polled(&theirs));
            let _at_end = OnDrop(move || {
                let (outcome, buf) = read.take().unwrap().wait();
                let error = outcome.unwrap_err();
                seen.set(matches!(Error::of(&error), Some(Error::Cancelled)) && buf.len() == 8);
            });
            fiber::park()
        });
        let handle = handle.unwrap();
        runtime.poll().unwrap();
        handle.cancel();
        let ended = runtime.block_on(handle).unwrap();
        assert!(matches!(ended, Err(JoinError::Cancelled)), "{ended:?}");
        assert!(failed.get());
        assert_eq!(next(runtime, &a, &b, b"on"), b"on");
    });
}

/// Refused in undivided work, or outside a fiber, it is given up as if it had been dropped.
#[test]
fn a_refused_wait_gives_it_up() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let b = Rc::new(b);
        let theirs = b.clone();
        let refused = runtime.run_fiber(Stack::Small, move || {
            let read = polled(&theirs);
            let waits = AssertUnwindSafe(|| fiber::undivided(|| read.wait()));
            catch_unwind(waits).is_err()
        });
        assert!(refused.unwrap());
        assert_eq!(next(runtime, &a, &b, b"on"), b"on");
        let read = polled(&b);
        assert!(catch_unwind(AssertUnwindSafe(|| read.wait())).is_err());
        assert_eq!(next(runtime, &a, &b, b"and on"), b"and on");
    });
}

/// Outside a fiber, what is over is delivered: that needs no waiting.
#[test]
fn outside_a_fiber_what_is_over_is_delivered() {
    on_each(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let read = polled(&b);
        runtime.block_on(async { a.write_all(b"over".to_vec()).await.0.unwrap() }).unwrap();
        runtime.run_for(Duration::from_millis(5)).unwrap();
        let (read, buf) = read.wait();
        assert_eq!(&buf[..read.unwrap()], b"over");
    });
}

/// A runtime that has gone has ended its operations: a wait says so, also in another's fiber.
#[test]
fn an_operation_of_another_runtime_says_so() {
    let first = Runtime::new(small()).unwrap();
    let (_far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    let b = Descriptor::new(near.into()).unwrap();
    let reads = [polled(&b), polled(&b)];
    drop(first);
    let [inside, outside] = reads;
    let closed = |(read, buf): (std::io::Result<usize>, Vec<u8>)| {
        matches!(Error::of(&read.unwrap_err()), Some(Error::Closed)) && buf.len() == 8
    };
    assert!(closed(outside.wait()));
    let second = Runtime::new(small()).unwrap();
    let inside = second.run_fiber(Stack::Small, move || inside.wait());
    assert!(closed(inside.unwrap()));
}

/// A runtime is not held up by a destructor that waits for an operation that was polled before.
#[test]
fn a_runtime_goes_at_once() {
    for driver in REAL {
        let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        let (_a, b) = Descriptor::pair().unwrap();
        let handle = fiber::spawn(Stack::Small, move || {
            let mut read = Some(polled(&b));
            let _at_end = OnDrop(move || drop(read.take().unwrap().wait()));
            let _ = fiber::park();
        });
        let handle = handle.unwrap();
        runtime.poll().unwrap();
        let began = Instant::now();
        drop(runtime);
        assert!(handle.is_finished());
        assert!(began.elapsed() < Duration::from_secs(3), "that was the bound for what never ends");
    }
}

/// A fiber that waits for a future which wakes itself, as one does that has nobody who would wake
/// it, does not hold up the loop: what it waits for comes by a timer of the same loop.
#[test]
fn a_future_that_wakes_itself_does_not_hold_up_the_loop() {
    const MOST: u32 = 1_000_000;
    let runtime = Runtime::new(Config::default()).unwrap();
    let done = Rc::new(Cell::new(false));
    let told = done.clone();
    let polls = runtime.run_fiber(Stack::Small, move || {
        let later = done.clone();
        timer::after(Duration::from_micros(100), move || later.set(true)).unwrap();
        let mut polls = 0;
        let looks = std::future::poll_fn(|context| {
            polls += 1;
            if done.get() || polls == MOST {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        });
        fiber::wait(looks).unwrap();
        polls
    });
    assert!(told.get(), "the timer did not fire in {} polls", polls.unwrap());
}
