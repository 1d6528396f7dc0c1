//! Calls that wait, where a table is full: each says which, leaves what it was called on as it
//! was, and loses nothing that has moved.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{REAL, small};
use tautline_runtime::fiber::{
    self, AcquireError, Condition, Mutex, RecvError, Semaphore, SendError, Stack,
};
use tautline_runtime::{Config, Descriptor, Error, Runtime, timer};

/// Runs `test` in a fiber of a runtime whose only timer is taken.
fn without_timers<T: 'static>(test: impl FnOnce() -> T + 'static) -> T {
    let runtime = Runtime::new(Config { timers: 1, ..small() }).unwrap();
    let _taken = timer::after(Duration::from_secs(3600), || ()).unwrap();
    runtime.run_fiber(Stack::Medium, test).unwrap()
}

/// A time that will come.
fn later() -> tautline_runtime::time::Instant {
    tautline_runtime::now_precise().unwrap() + Duration::from_secs(60)
}

/// Whether an error says that there is no further entry in the table that `knob` sizes.
fn names(error: &Error, knob: &str) -> bool {
    matches!(error, Error::Exhausted { knob: named, limit: _, what: _ } if *named == knob)
}

fn no_timer(error: &Error) -> bool {
    names(error, "timers")
}

/// What needs no waiting needs no timer.
#[test]
fn a_deadline_that_is_not_needed_is_not_armed() {
    without_timers(|| {
        let (mutex, semaphore) = (Mutex::new(7), Semaphore::new(2));
        assert_eq!(mutex.lock_until(later()).unwrap().as_deref(), Some(&7));
        assert!(semaphore.acquire_many_until(2, later()).unwrap().is_some());
        let (sender, receiver) = fiber::channel(1);
        sender.send_until(8, later()).unwrap();
        assert_eq!(receiver.recv_until(later()).unwrap(), 8);
        fiber::current().unwrap().unpark();
        assert!(fiber::park_until(later()).unwrap());
        assert_eq!(fiber::select([&sender], Some(later())).unwrap(), Some(0));
    });
}

/// A condition that cannot be waited for has its mutex locked again, and nobody in its line.
#[test]
fn a_condition_without_a_timer() {
    without_timers(|| {
        let (mutex, condition) = (Mutex::new(7), Condition::new());
        let mut guard = mutex.lock().unwrap();
        assert!(no_timer(&condition.wait_until(&mut guard, later()).unwrap_err()));
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
        condition.notify_all();
        assert!(format!("{condition:?}").contains("awaited: false"));
    });
}

/// A mutex, a semaphore and a channel go on as if nobody had asked; what was to be sent comes back.
#[test]
fn objects_without_a_timer() {
    without_timers(|| {
        let mutex = Mutex::new(7);
        let held = mutex.lock().unwrap();
        fiber::scope(|scope| {
            let other = scope.spawn(Stack::Small, || mutex.lock_until(later()).err());
            assert!(no_timer(&other.unwrap().join().unwrap().unwrap()));
        })
        .unwrap();
        drop(held);
        assert!(mutex.try_lock().is_some());

        let semaphore = Semaphore::new(2);
        match semaphore.acquire_many_until(3, later()) {
            Err(AcquireError::Wait(error)) => assert!(no_timer(&error)),
            other => panic!("{other:?}"),
        }
        assert!(semaphore.try_acquire_many(2).is_some());

        let (sender, receiver) = fiber::channel(1);
        match receiver.recv_until(later()) {
            Err(RecvError::Wait(error)) => assert!(no_timer(&error)),
            other => panic!("{other:?}"),
        }
        sender.try_send("first").unwrap();
        match sender.send_until("second", later()) {
            Err(SendError::Wait(value, error)) => assert!(no_timer(&error) && value == "second"),
            other => panic!("{other:?}"),
        }
        assert_eq!(receiver.try_recv().unwrap(), "first");
        sender.try_send("third").unwrap();
    });
}

/// A sleep, a park and a select fail; a select then waits nowhere.
#[test]
fn times_without_a_timer() {
    without_timers(|| {
        assert!(no_timer(&fiber::sleep(Duration::from_millis(1)).unwrap_err()));
        assert!(no_timer(&fiber::park_until(later()).unwrap_err()));
        let (sender, receiver) = fiber::channel(1);
        let other = fiber::spawn(Stack::Small, fiber::park).unwrap();
        assert!(no_timer(&fiber::select([&receiver, &other], Some(later())).unwrap_err()));
        sender.try_send(7).unwrap();
        other.fiber().unpark();
        assert_eq!(receiver.try_recv().unwrap(), 7);
        other.join().unwrap().unwrap();
    });
}

/// A read with a deadline fails, and what it got of its stream comes first in the next.
#[test]
fn a_read_without_a_timer() {
    without_timers(|| {
        let (mut far, near) = UnixStream::pair().unwrap();
        let near = Descriptor::new(near.into()).unwrap();
        far.write_all(b"abc").unwrap();
        let mut buf = [0; 8];
        let read = near.blocking().deadline(Some(later())).read_exact(&mut buf);
        assert!(no_timer(Error::of(&read.unwrap_err()).unwrap()));
        far.write_all(b"defgh").unwrap();
        near.blocking().read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"abcdefgh");
    });
}

/// Runs `test` in a fiber, on each real driver, of a runtime whose operations are all taken.
/// `test` gets what frees them.
fn without_operations(test: fn(&dyn Fn())) {
    for driver in REAL {
        let runtime = Runtime::new(Config { operations: 4, driver, ..small() }).unwrap();
        let done = runtime.run_fiber(Stack::Medium, move || {
            let pairs: Vec<_> = (0..4).map(|_| Descriptor::pair().unwrap()).collect();
            let reads = pairs.iter().map(|(a, _)| a.read(vec![0; 8]).then(|_| ()));
            let reads: Vec<_> = reads.collect();
            test(&|| {
                reads.iter().for_each(tautline_runtime::Pending::cancel);
                fiber::sleep(Duration::from_millis(5)).unwrap();
            });
        });
        done.unwrap();
    }
}

fn no_operation(error: &std::io::Error) -> bool {
    Error::of(error).is_some_and(|error| names(error, "operations"))
}

/// What a read got at once, before it would have had to wait, comes first in the next.
#[test]
fn a_read_without_an_operation() {
    without_operations(|free| {
        let (mut far, near) = UnixStream::pair().unwrap();
        let near = Descriptor::new(near.into()).unwrap();
        far.write_all(b"abc").unwrap();
        let mut buf = [0; 8];
        assert!(no_operation(&near.blocking().read_exact(&mut buf).unwrap_err()));
        far.write_all(b"defgh").unwrap();
        free();
        near.blocking().read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"abcdefgh");
    });
}

/// A write of which a part has left, and whose rest cannot wait, is the last of its stream: the
/// next says how much of it was taken.
#[test]
fn a_write_without_an_operation() {
    without_operations(|free| {
        let (mut far, near) = UnixStream::pair().unwrap();
        let near = Descriptor::new(near.into()).unwrap();
        let all = vec![7; 8 << 20];
        assert!(no_operation(&near.blocking().write_all(&all).unwrap_err()));
        free();
        let after = near.blocking().write_all(b"more").unwrap_err();
        let Some(Error::WriteTorn { written, of }) = Error::of(&after) else { panic!("{after}") };
        assert!(*written > 0 && *written < all.len() && *of == all.len());
        drop(near);
        let mut got = Vec::new();
        fiber::sleep(Duration::from_millis(5)).unwrap();
        far.set_nonblocking(true).unwrap();
        let _ = far.read_to_end(&mut got);
        assert!(!got.is_empty() && got.len() <= *written && got.iter().all(|byte| *byte == 7));
    });
}
