//! Odd things that safe code can do with fibers: results whose destructors spawn, wait, or hold
//! their own handle; waits that are nested, snatched or given up; small budgets.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::small;
use tautline_runtime::fiber::{
    self, Band, Baton, Builder, JoinError, Mutex, Scope, ScopedJoinHandle, Stack,
};
use tautline_runtime::{Config, Descriptor, DriverChoice, Error, Panics, Runtime, sim, task};

fn runtime() -> Runtime {
    Runtime::new(small()).unwrap()
}

/// A result that nobody fetches, and whose destructor spawns into its own scope, is no way out:
/// the scope waits for that fiber too.
#[test]
fn a_results_destructor_spawns_into_its_scope() {
    struct Late<'scope, 'env>(&'scope Scope<'scope, 'env>, &'env Cell<u32>);
    impl Drop for Late<'_, '_> {
        fn drop(&mut self) {
            let ended = self.1;
            let late = self.0.spawn(Stack::Small, move || {
                fiber::yield_now().unwrap();
                ended.set(ended.get() + 1);
                "late".to_owned()
            });
            std::mem::forget(late.unwrap());
        }
    }
    let ended = runtime().run_fiber(Stack::Small, || {
        let ended = Cell::new(0);
        fiber::scope(|scope| {
            let early = scope.spawn(Stack::Small, || Late(scope, &ended)).unwrap();
            std::mem::forget(early);
        })
        .unwrap();
        ended.get()
    });
    assert_eq!(ended.unwrap(), 1);
}

/// A handle that lies in its own result finds nothing when that is dropped.
#[test]
fn a_handle_lies_in_its_own_result() {
    type Place<'scope> = Rc<RefCell<Option<ScopedJoinHandle<'scope, Own<'scope>>>>>;
    struct Own<'scope>(#[expect(dead_code, reason = "held only to be dropped")] Place<'scope>);
    runtime()
        .run_fiber(Stack::Small, || {
            fiber::scope(|scope| {
                let place = Place::default();
                let inner = place.clone();
                let handle = scope.spawn(Stack::Small, move || Own(inner)).unwrap();
                place.replace(Some(handle));
            })
            .unwrap();
            assert_eq!(fiber::list().unwrap().len(), 1);
        })
        .unwrap();
}

/// A join is a call that may wait, also where the result is there.
#[test]
fn a_join_is_refused_in_undivided_work() {
    let joined = runtime().run_fiber(Stack::Small, || {
        let ran = Rc::new(Cell::new(false));
        let theirs = ran.clone();
        let other = fiber::spawn(Stack::Small, move || theirs.set(true)).unwrap();
        let joined = catch_unwind(AssertUnwindSafe(|| fiber::undivided(|| other.join())));
        (joined.is_err(), ran.get())
    });
    assert_eq!(joined.unwrap(), (true, false));
}

/// A cancellation that meets a fiber in the destructor of a result that it drops unwinds it, and
/// is no panic.
#[test]
fn a_cancellation_in_a_dropped_result() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            let _ = fiber::sleep(Duration::from_secs(100));
        }
    }
    let runtime = Runtime::new(Config { panics: Panics::Raise, ..small() }).unwrap();
    let handle = fiber::spawn(Stack::Small, || {
        let other = fiber::spawn(Stack::Small, || Waits).unwrap();
        fiber::yield_now().unwrap();
        drop(other);
        unreachable!("it was cancelled in there");
    });
    let handle = handle.unwrap();
    runtime.poll().unwrap();
    handle.cancel();
    runtime.run_until(|| handle.is_finished()).unwrap();
    assert!(matches!(runtime.block_on(handle), Ok(Err(JoinError::Cancelled))));
    assert_eq!(runtime.metrics().panics, 0);
}

/// What a local value panics with may panic in its own turn: neither leaves the fiber.
#[test]
fn a_payload_that_panics_when_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("bomb"));
        }
    }
    struct Local;
    impl Drop for Local {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Bomb));
        }
    }
    tautline_runtime::fiber_local! {
        static LOCAL: Local = Local;
    }
    let runtime = runtime();
    let handle = fiber::spawn(Stack::Small, || LOCAL.with(|_| 7).unwrap()).unwrap();
    runtime.poll().unwrap();
    assert_eq!(runtime.block_on(handle).unwrap().unwrap(), 7);
}

/// Of two selects on one fiber's end the second is refused, and the first goes on waiting.
#[test]
fn a_second_select_on_a_fiber_is_refused() {
    let ended = runtime().run_fiber(Stack::Small, || {
        let target = Rc::new(fiber::spawn(Stack::Small, fiber::park).unwrap());
        let selects = || {
            let target = target.clone();
            fiber::spawn(Stack::Small, move || fiber::select([&target], None).is_ok()).unwrap()
        };
        let first = selects();
        fiber::yield_now().unwrap();
        assert!(selects().join().is_err());
        target.fiber().unpark();
        first.join()
    });
    assert!(ended.unwrap().unwrap());
}

/// A select that gives up leaves a task that awaits the same fiber its wake.
#[test]
fn a_select_gives_back_the_place_of_a_task() {
    let runtime = runtime();
    let handle = Rc::new(RefCell::new(fiber::spawn(Stack::Small, fiber::park).unwrap()));
    let (polled, target) = (handle.clone(), handle.borrow().fiber().clone());
    let waits = task::spawn(poll_fn(move |cx| Pin::new(&mut *polled.borrow_mut()).poll(cx)));
    let waits = waits.unwrap();
    runtime.poll().unwrap();
    runtime
        .run_fiber(Stack::Small, move || {
            let soon = tautline_runtime::now_precise().unwrap() + Duration::from_millis(1);
            assert_eq!(fiber::select([&*handle.borrow()], Some(soon)).unwrap(), None);
            target.unpark();
        })
        .unwrap();
    runtime.run_until(|| waits.is_finished()).unwrap();
}

/// A baton whose post was snatched has room for one waiter, and tells the second.
#[test]
fn a_second_waiter_of_a_baton_is_refused() {
    let ended = runtime().run_fiber(Stack::Small, || {
        let baton = Rc::new(Baton::new());
        let waits = |band| {
            let baton = baton.clone();
            Builder::new(Stack::Small).band(band).spawn(move || baton.wait().is_ok()).unwrap()
        };
        let first = waits(Band::Normal);
        fiber::yield_now().unwrap();
        baton.post();
        assert!(baton.try_wait());
        let second = waits(Band::High);
        fiber::yield_now().unwrap();
        baton.post();
        (first.join().is_ok(), second.join().is_ok())
    });
    // One of them has it; the other was told, and does not sleep for ever.
    assert_eq!(ended.unwrap(), (false, true));
}

/// A wait within the poll of another leaves that its wake, also when it ends by a panic.
#[test]
fn a_nested_wait_ends_by_a_panic() {
    let received = runtime().run_fiber(Stack::Medium, || {
        let (sender, receiver) = fiber::channel(1);
        let mut receives = Box::pin(receiver.recv_async());
        let mut sender = Some(sender);
        fiber::wait(poll_fn(|cx| {
            let received = receives.as_mut().poll(cx);
            if let Some(sender) = sender.take() {
                let inner = catch_unwind(AssertUnwindSafe(|| {
                    let mut polls = 0;
                    fiber::wait(poll_fn::<(), _>(|_| {
                        polls += 1;
                        if polls == 1 {
                            sender.try_send(7).unwrap();
                            return Poll::Pending;
                        }
                        std::panic::resume_unwind(Box::new("inner"));
                    }))
                }));
                assert!(inner.is_err());
            }
            received
        }))
    });
    assert_eq!(received.unwrap().unwrap().unwrap(), 7);
}

/// An operation that was polled can still be waited for.
#[test]
fn a_polled_operation_is_waited_for() {
    let runtime = runtime();
    let (a, b) = Descriptor::pair().unwrap();
    let read = runtime.run_fiber(Stack::Small, move || {
        let mut read = b.read(vec![0; 8]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut read).poll(&mut cx).is_pending());
        fiber::spawn(Stack::Small, move || a.blocking().write_all(b"late")).unwrap().detach();
        read.wait().0
    });
    assert_eq!(read.unwrap().unwrap(), 4);
}

/// No band starves, however small the budget; each of the lower ones has its share of a turn.
#[test]
fn no_band_starves() {
    for budget in [3, 7, 8, 512] {
        let mut config = small();
        config.budgets.fibers = budget;
        let runtime = Runtime::new(config).unwrap();
        let switches = [(); 3].map(|()| Rc::new(Cell::new(0)));
        for (band, count) in Band::ALL.into_iter().zip(&switches) {
            let count = count.clone();
            let busy = Builder::new(Stack::Small).band(band).spawn(move || {
                while fiber::yield_now().is_ok() {
                    count.set(count.get() + 1);
                }
            });
            busy.unwrap().detach();
        }
        const TURNS: usize = 100;
        (0..TURNS).for_each(|_| assert!(runtime.poll_once().is_ok()));
        let least = (budget / 16).max(1) * TURNS * 9 / 10;
        assert!(switches.iter().all(|count| count.get() >= least), "{budget}: {switches:?}");
    }
    let mut config = small();
    config.budgets.fibers = 2;
    assert!(matches!(Runtime::new(config), Err(Error::Config { field: "budgets.fibers", .. })));
}

/// A thread whose own values look like no count of panics has its runtime.
#[test]
fn any_thread_local_value_will_do() {
    thread_local! {
        static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    assert_eq!(MOST.get(), usize::MAX);
    assert_eq!(runtime().run_fiber(Stack::Small, || 7).unwrap(), 7);
}

/// A runtime goes at once where a fiber's destructor waits for what a task holds, or for a time,
/// whatever else it has under way.
#[test]
fn a_runtime_goes_though_destructors_wait() {
    struct Locks(Rc<Mutex<()>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            assert!(self.0.lock().is_ok());
        }
    }
    struct LocksFor(Rc<Mutex<()>>, tautline_runtime::time::Instant);
    impl Drop for LocksFor {
        fn drop(&mut self) {
            assert!(self.0.lock_until(self.1).unwrap().is_none());
        }
    }
    let runtime = runtime();
    let (held, kept) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
    let theirs = held.clone();
    drop(task::spawn(async move {
        let _guard = theirs.try_lock().unwrap();
        std::future::pending::<()>().await;
    }));
    let _kept = kept.try_lock().unwrap();
    let (locks, soon) = (Locks(held.clone()), runtime.now() + Duration::from_millis(5));
    let locks_for = LocksFor(kept.clone(), soon);
    let (a, b) = Descriptor::pair().unwrap();
    b.read(vec![0; 8]).timeout(Duration::from_secs(60)).then(|_| ());
    let waits = [
        fiber::spawn(Stack::Small, move || {
            let _locks = locks;
            let _ = a.blocking().read(&mut [0; 8]);
        }),
        fiber::spawn(Stack::Small, move || {
            let _locks_for = locks_for;
            let _ = fiber::park();
        }),
    ];
    runtime.poll().unwrap();
    let began = Instant::now();
    drop(runtime);
    assert!(waits.iter().all(|handle| handle.as_ref().is_ok_and(|h| h.is_finished())));
    assert!(began.elapsed() < Duration::from_secs(4), "that was the bound for what never ends");
}

/// A simulated runtime gives up fibers that never end after as many rounds each time, not by the
/// time of the machine.
#[test]
fn a_simulated_runtime_gives_up_after_so_many_rounds() {
    let gives_up = |slow: bool| {
        let driver = DriverChoice::Sim(Box::new(sim::Config::new(7)));
        let config = Config { driver, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let rounds = Rc::new(Cell::new(0));
        let counted = rounds.clone();
        let stubborn = Builder::new(Stack::Small).cancel_by_error().spawn(move || {
            loop {
                if fiber::yield_now().is_err() {
                    counted.set(counted.get() + 1);
                }
                // As often as it is refused before others run.
                let (began, rests) = (Instant::now(), slow && counted.get() % 32 == 0);
                while rests && began.elapsed() < Duration::from_micros(5) {}
            }
        });
        let stubborn: fiber::JoinHandle<()> = stubborn.unwrap();
        runtime.poll_once().unwrap();
        drop(runtime);
        assert!(!stubborn.is_finished());
        rounds.get()
    };
    assert_eq!(gives_up(false), gives_up(true));
}

/// Thousands of fibers that wait for a stack go as quickly as they came.
#[test]
fn a_long_line_for_a_stack_is_cancelled_at_once() {
    const MANY: usize = 40_000;
    let mut config = Config { fibers: MANY + 1, ..small() };
    config.stacks.small.count = 1;
    let runtime = Runtime::new(config).unwrap();
    let spawn = || fiber::spawn(Stack::Small, fiber::park).unwrap();
    let handles: Vec<_> = (0..MANY).map(|_| spawn()).collect();
    (0..2 * MANY / 512).for_each(|_| assert!(runtime.poll_once().is_ok()));
    let began = Instant::now();
    drop(runtime);
    assert!(handles.iter().all(|handle| handle.is_finished()));
    // Linear: a few milliseconds; quadratic: more than ten seconds.
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A time that a fiber names begins when it is named, however long the fiber has worked before.
#[test]
fn a_sleep_begins_when_it_is_called() {
    let slept = runtime().run_fiber(Stack::Small, || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {}
        let began = Instant::now();
        fiber::sleep(Duration::from_millis(10)).unwrap();
        began.elapsed()
    });
    assert!(slept.unwrap() >= Duration::from_millis(10));
}

/// What is of a runtime that has gone says so, rather than that there is no fiber.
#[test]
fn a_socket_of_another_runtime_says_so() {
    let first = runtime();
    let (a, _b) = Descriptor::pair().unwrap();
    drop(first);
    let error = runtime().run_fiber(Stack::Small, move || a.blocking().read(&mut [0; 8]));
    assert!(matches!(Error::of(&error.unwrap().unwrap_err()), Some(Error::Closed)));
}

/// A wait within the poll of another that is ready at once leaves the outer one asleep: it looks
/// again when it is woken, not before.
#[test]
fn a_nested_wait_that_is_ready_wakes_nobody() {
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let received = runtime().run_fiber(Stack::Medium, move || {
        let (sender, receiver) = fiber::channel(1);
        let sends = fiber::spawn(Stack::Small, move || {
            fiber::sleep(Duration::from_millis(5)).unwrap();
            sender.send(7).unwrap();
        });
        drop(sends.unwrap());
        let mut receives = Box::pin(receiver.recv_async());
        fiber::wait(poll_fn(|cx| {
            counted.set(counted.get() + 1);
            assert!(counted.get() < 100, "it spins");
            fiber::wait(std::future::ready(())).unwrap();
            receives.as_mut().poll(cx)
        }))
    });
    assert_eq!(received.unwrap().unwrap().unwrap(), 7);
    assert_eq!(polls.get(), 2);
}

/// Each value of a fiber's own is dropped once when the fiber ends: in its destructor others are
/// there, or made, but not itself.
#[test]
fn a_local_value_looks_at_itself_when_it_is_dropped() {
    thread_local! {
        static DROPPED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }
    struct Looks(&'static str);
    impl Drop for Looks {
        fn drop(&mut self) {
            let dropped = DROPPED.with_borrow_mut(|all| {
                all.push(self.0);
                all.len()
            });
            assert!(dropped < 100, "it is made again and again");
            let itself = if self.0 == "first" { &FIRST } else { &SECOND };
            assert!(matches!(itself.with(|_| ()), Err(Error::LocalGone)));
            if self.0 == "first" {
                SECOND.with(|second| assert_eq!(second.0, "second")).unwrap();
            }
            // One that panics leaves the others theirs.
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
    tautline_runtime::fiber_local! {
        static FIRST: Looks = Looks("first");
        static SECOND: Looks = Looks("second");
    }
    let runtime = runtime();
    for _ in 0..2 {
        runtime.run_fiber(Stack::Small, || FIRST.with(|_| ()).unwrap()).unwrap();
        assert_eq!(DROPPED.take(), ["first", "second"]);
    }
}

/// A select that names a fiber twice, and gives up, is gone from both places.
#[test]
fn a_select_names_a_fiber_twice() {
    let ended = runtime().run_fiber(Stack::Small, || {
        let target = fiber::spawn(Stack::Small, fiber::park).unwrap();
        let soon = tautline_runtime::now_precise().unwrap() + Duration::from_millis(1);
        assert_eq!(fiber::select([&target, &target], Some(soon)).unwrap(), None);
        let unpark = target.fiber().clone();
        let other = fiber::spawn(Stack::Small, move || fiber::select([&target], None)).unwrap();
        fiber::yield_now().unwrap();
        unpark.unpark();
        other.join()
    });
    assert_eq!(ended.unwrap().unwrap().unwrap(), Some(0));
}
