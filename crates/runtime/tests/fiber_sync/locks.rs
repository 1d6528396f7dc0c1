//! Mutexes, conditions, semaphores.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tautline_runtime::fiber::{
    self, AcquireError, Condition, JoinError, Mutex, MutexGuard, Semaphore,
};
use tautline_runtime::{Error, now};

use crate::{Log, OnDrop, in_fiber, runtime, settle, soon, spawn, spawn_by_error};

/// Proves that a mutex is handed over in the order of asking, and that nobody snatches it away
/// between unlocking and the next one's turn.
#[test]
fn a_mutex_is_handed_over_in_order() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        for id in 0..3 {
            let (mutex, log) = (mutex.clone(), log.clone());
            drop(spawn(move || {
                let _guard = mutex.lock().unwrap();
                log.add(id);
                fiber::yield_now().unwrap();
                log.add(id);
            }));
        }
        settle();
        drop(guard);
        assert!(mutex.is_locked() && mutex.try_lock().is_none(), "it is the first one's");
        let _guard = mutex.lock().unwrap();
        log.add(9);
    });
    assert_eq!(seen.entries(), [0, 0, 1, 1, 2, 2, 9]);
}

/// Proves that one who waits too long goes without, and that the next gets the lock.
#[test]
fn a_lock_may_come_too_late() {
    in_fiber(|| {
        let mutex = Rc::new(Mutex::new(5));
        let guard = mutex.lock().unwrap();
        let (late, next) = (mutex.clone(), mutex.clone());
        let late = spawn(move || {
            let until = soon();
            let none = late.lock_until(until).unwrap().is_none();
            none && now().unwrap() >= until
        });
        let next = spawn(move || *next.lock().unwrap());
        assert!(late.join().unwrap());
        drop(guard);
        assert_eq!(next.join().unwrap(), 5);
        assert_eq!(*mutex.lock_until(soon()).unwrap().unwrap(), 5);
        let mut mutex = Rc::into_inner(mutex).unwrap();
        *mutex.get_mut() = 6;
        assert_eq!(mutex.into_inner(), 6);
    });
}

/// Proves that a cancelled fiber leaves the line, whether it stands first or in the middle, and
/// that a lock which was handed to it already goes on to the next.
#[test]
fn a_cancelled_fiber_leaves_the_line() {
    for cancelled in 0..3 {
        for handed_over in [false, true] {
            let log = Log::default();
            let seen = log.clone();
            in_fiber(move || {
                let mutex = Rc::new(Mutex::new(()));
                let mut guard = Some(mutex.lock().unwrap());
                let waiting = [0, 1, 2].map(|id| {
                    let (mutex, log) = (mutex.clone(), log.clone());
                    spawn(move || {
                        let _guard = mutex.lock().unwrap();
                        fiber::yield_now().unwrap();
                        log.add(id);
                    })
                });
                settle();
                if handed_over {
                    guard = None;
                }
                waiting[cancelled].cancel();
                drop(guard);
                let ends = waiting.map(fiber::JoinHandle::join);
                let ended = ends.map(|end| matches!(end, Err(JoinError::Cancelled)));
                assert_eq!(ended, [0, 1, 2].map(|id| id == cancelled));
                assert!(mutex.try_lock().is_some());
            });
            let rest: Vec<u32> = (0..3).filter(|&id| id != cancelled as u32).collect();
            assert_eq!(seen.entries(), rest);
        }
    }
}

/// Proves that a fiber that is told of its cancellation by errors, and one that unwinds, wait
/// for locks all the same.
#[test]
fn locks_are_waited_for_come_what_may() {
    in_fiber(|| {
        let mutex = Rc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let (by_error, unwinding) = (mutex.clone(), mutex.clone());
        let by_error = spawn_by_error(move || {
            *by_error.lock().unwrap() += 1;
            *by_error.lock().unwrap() += 1;
            fiber::yield_now()
        });
        let unwinding = spawn(move || {
            let _last = OnDrop(|| *unwinding.lock().unwrap() += 10);
            fiber::park()
        });
        settle();
        by_error.cancel();
        unwinding.cancel();
        settle();
        assert!(!by_error.is_finished() && !unwinding.is_finished());
        drop(guard);
        assert!(matches!(by_error.join(), Ok(Err(Error::Cancelled))));
        assert!(matches!(unwinding.join(), Err(JoinError::Cancelled)));
        assert_eq!(*mutex.lock().unwrap(), 12);
    });
}

/// Proves that a fiber that panics leaves the mutex unlocked, and the value as it is.
#[test]
fn a_panic_does_not_poison() {
    in_fiber(|| {
        let mutex = Rc::new(Mutex::new(0));
        let theirs = mutex.clone();
        let panicked = spawn(move || {
            let mut guard = theirs.lock().unwrap();
            *guard = 1;
            panic!("on purpose");
        });
        assert!(matches!(panicked.join(), Err(JoinError::Panicked(_))));
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

/// Proves that a fiber that would wait for itself is told so, and one that waits where it must
/// not.
#[test]
fn hopeless_locks_panic() {
    in_fiber(|| {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().unwrap();
        let panics = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(panics(&|| drop(mutex.lock())));
        assert!(panics(&|| drop(mutex.lock_until(soon()))));
        drop(guard);
        assert!(panics(&|| fiber::undivided(|| drop(mutex.lock()))));
        assert!(!panics(&|| fiber::undivided(|| drop(mutex.try_lock()))));
        assert!(!panics(&|| drop(mutex.lock())));
    });
}

/// Proves that notifications go to the one that has waited longest, that none are kept, and that
/// the mutex is free while one waits, and locked afterwards.
#[test]
fn conditions_notify_in_order() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let shared = Rc::new((Mutex::new(()), Condition::new()));
        shared.1.notify_one();
        for id in 0..4 {
            let (shared, log) = (shared.clone(), log.clone());
            drop(spawn(move || {
                let mut guard = shared.0.lock().unwrap();
                shared.1.wait(&mut guard).unwrap();
                assert!(shared.0.is_locked());
                log.add(id);
            }));
        }
        settle();
        assert!(!shared.0.is_locked());
        shared.1.notify_one();
        settle();
        log.add(9);
        shared.1.notify_all();
        settle();
    });
    assert_eq!(seen.entries(), [0, 9, 1, 2, 3]);
}

/// Proves that a condition's wait ends at its deadline, with the mutex, which it waits for.
#[test]
fn a_condition_may_come_too_late() {
    in_fiber(|| {
        let shared = Rc::new((Mutex::new(()), Condition::new()));
        let theirs = shared.clone();
        let waiting = spawn(move || {
            let mut guard = theirs.0.lock().unwrap();
            let notified = theirs.1.wait_until(&mut guard, soon()).unwrap();
            (notified, now().unwrap())
        });
        settle();
        let guard = shared.0.lock().unwrap();
        fiber::sleep(std::time::Duration::from_millis(5)).unwrap();
        let unlocked = now().unwrap();
        drop(guard);
        let (notified, ended) = waiting.join().unwrap();
        assert!(!notified && ended >= unlocked);
        shared.1.notify_all();
    });
}

/// Proves that a fiber that is cancelled while it waits for a condition has the mutex when it
/// unwinds, or gets the error, and that a notification it cannot use reaches the next.
#[test]
fn a_cancelled_wait_has_its_mutex() {
    in_fiber(|| {
        let shared = Rc::new((Mutex::new(0), Condition::new()));
        let wait = |by_error: bool| {
            let theirs = shared.clone();
            let work = move || {
                let mut guard = theirs.0.lock().unwrap();
                let result = {
                    let last = OnLeave(&mut guard, |value| *value += 1);
                    theirs.1.wait(last.0)
                };
                matches!(result, Err(Error::Cancelled))
            };
            if by_error { spawn_by_error(work) } else { spawn(work) }
        };
        let (unwinds, fails, next) = (wait(false), wait(true), wait(false));
        settle();
        let guard = shared.0.lock().unwrap();
        unwinds.cancel();
        fails.cancel();
        settle();
        assert_eq!((unwinds.is_finished(), fails.is_finished()), (false, false));
        shared.1.notify_one();
        drop(guard);
        assert!(matches!(unwinds.join(), Err(JoinError::Cancelled)));
        assert!(fails.join().unwrap());
        assert!(!next.join().unwrap(), "it was notified");
        assert_eq!(*shared.0.lock().unwrap(), 3);
    });
}

/// Changes what a guard holds, at the end.
struct OnLeave<'g, 'm>(&'g mut MutexGuard<'m, i32>, fn(&mut i32));

impl Drop for OnLeave<'_, '_> {
    fn drop(&mut self) {
        (self.1)(self.0);
    }
}

/// Proves that a notification which came before a cancellation counts.
#[test]
fn a_notification_before_a_cancellation_counts() {
    in_fiber(|| {
        let shared = Rc::new((Mutex::new(false), Condition::new()));
        let theirs = shared.clone();
        let waiting = spawn(move || {
            let mut guard = theirs.0.lock().unwrap();
            theirs.1.wait(&mut guard).unwrap();
            *guard = true;
            drop(guard);
            fiber::yield_now()
        });
        settle();
        shared.1.notify_one();
        waiting.cancel();
        assert!(matches!(waiting.join(), Err(JoinError::Cancelled)));
        assert!(*shared.0.lock().unwrap());
    });
}

/// Proves that permits go out in the order of asking: whoever wants many is not overtaken, and
/// stands in nobody's way once it is gone.
#[test]
fn a_large_request_is_not_overtaken() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let semaphore = Rc::new(Semaphore::new(2));
        let ask = |id: u32, count| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            spawn(move || {
                let permit = semaphore.acquire_many(count).unwrap();
                log.add(id);
                assert_eq!(permit.count(), count);
                permit.forget();
            })
        };
        let (large, small) = (ask(3, 3), ask(1, 1));
        settle();
        assert!(semaphore.try_acquire().is_none(), "somebody waits");
        assert_eq!((log.entries().len(), semaphore.available()), (0, 2));
        semaphore.release(1);
        large.join().unwrap();
        semaphore.release(1);
        small.join().unwrap();
        let (large, small) = (ask(9, 5), ask(2, 1));
        settle();
        semaphore.release(1);
        settle();
        assert!(!small.is_finished());
        large.cancel();
        small.join().unwrap();
        assert_eq!(semaphore.available(), 0);
    });
    assert_eq!(seen.entries(), [3, 1, 2]);
}

/// Proves that one release lets all go on for whom it is enough, at once.
#[test]
fn one_release_serves_several() {
    in_fiber(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let waiting = [1, 2, 1, 3].map(|count| {
            let semaphore = semaphore.clone();
            spawn(move || semaphore.acquire_many(count).map(fiber::Permit::forget))
        });
        settle();
        semaphore.release(6);
        fiber::yield_now().unwrap();
        let ended = waiting.each_ref().map(fiber::JoinHandle::is_finished);
        assert_eq!((ended, semaphore.available()), ([true, true, true, false], 2));
        semaphore.close();
    });
}

/// Proves that permits come back from those who are too late, cancelled, or done.
#[test]
fn permits_come_back() {
    in_fiber(|| {
        let semaphore = Rc::new(Semaphore::new(2));
        let held = semaphore.acquire_many(2).unwrap();
        assert!(semaphore.acquire_until(soon()).unwrap().is_none());
        let theirs = semaphore.clone();
        let granted = spawn(move || {
            let _both = theirs.acquire_many_until(2, soon()).unwrap().unwrap();
            fiber::yield_now()
        });
        settle();
        drop(held);
        assert_eq!(semaphore.available(), 0, "they are the next one's");
        granted.cancel();
        assert!(matches!(granted.join(), Err(JoinError::Cancelled)));
        assert_eq!(semaphore.available(), 2);
        assert_eq!(semaphore.try_acquire_many(2).unwrap().count(), 2);
        assert!(semaphore.try_acquire_many(3).is_none());
    });
}

/// Proves that closing a semaphore ends all waiting for it, now and later.
#[test]
fn a_closed_semaphore_gives_nothing() {
    in_fiber(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        let held = semaphore.acquire().unwrap();
        let waiting = [1, 2].map(|count| {
            let semaphore = semaphore.clone();
            spawn(move || semaphore.acquire_many(count).map(drop))
        });
        settle();
        semaphore.close();
        for waiting in waiting {
            assert!(matches!(waiting.join().unwrap(), Err(AcquireError::Closed)));
        }
        drop(held);
        assert!(semaphore.is_closed() && semaphore.try_acquire().is_none());
        assert!(matches!(semaphore.acquire(), Err(AcquireError::Closed)));
    });
}

/// Proves that a destructor that unlocks while everything is torn down lets others in, in turn.
#[test]
fn destructors_lock_while_the_runtime_goes() {
    let runtime = runtime();
    let mutex = Rc::new(Mutex::new(0));
    let inside = Rc::new(Cell::new(false));
    for _ in 0..5 {
        let (mutex, inside) = (mutex.clone(), inside.clone());
        drop(spawn(move || {
            let _last = OnDrop(|| {
                let mut guard = mutex.lock().unwrap();
                assert!(!inside.replace(true));
                *guard += 1;
                inside.set(false);
            });
            let _guard = mutex.lock();
            fiber::Baton::new().wait()
        }));
    }
    runtime.poll().unwrap();
    drop(runtime);
    assert_eq!(*mutex.try_lock().unwrap(), 5);
}
