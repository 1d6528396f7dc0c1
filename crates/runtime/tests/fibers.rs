//! Fibers, as a user of the runtime sees them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::fiber::{
    self, Band, Baton, Builder, JoinError, Overrun, Stack, StackClass, StackSizes,
};
use tautline_runtime::{Config, Descriptor, DriverChoice, Error, Runtime, sim, task, timer};

fn runtime() -> Runtime {
    Runtime::new(Config::default()).unwrap()
}

/// A fiber's result reaches a fiber, a task and a callback that wait for it.
#[test]
fn every_face_can_join() {
    let runtime = runtime();
    let joined =
        runtime.run_fiber(Stack::Small, || fiber::spawn(Stack::Small, || 1).unwrap().join());
    assert_eq!(joined.unwrap().unwrap(), 1);
    let awaited = runtime.block_on(async { fiber::spawn(Stack::Medium, || 2).unwrap().await });
    assert_eq!(awaited.unwrap().unwrap(), 2);
    let told = Rc::new(Cell::new(0));
    let seen = told.clone();
    let large = [3u64; 100];
    runtime
        .run_fiber(Stack::Large, move || {
            fiber::spawn(Stack::Large, move || large)
                .unwrap()
                .then(move |r| seen.set(r.unwrap()[99]));
        })
        .unwrap();
    runtime.run_pending().unwrap();
    assert_eq!(told.get(), 3);
    assert_eq!(runtime.metrics().boxed_fibers, 2);
}

/// A panic reaches whoever joins; the loop goes on.
#[test]
fn a_panic_is_delivered_by_join() {
    let runtime = runtime();
    let error = runtime.run_fiber(Stack::Small, || {
        fiber::spawn(Stack::Small, || -> () { panic!("on purpose") }).unwrap().join()
    });
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.message(), Some("on purpose"));
    assert_eq!(runtime.run_fiber(Stack::Small, || 7).unwrap(), 7);
}

/// Fibers of one band run in turn.
#[test]
fn yielding_is_fair() {
    let runtime = runtime();
    let order = Rc::new(RefCell::new(Vec::new()));
    for id in 0..3 {
        let order = order.clone();
        fiber::spawn(Stack::Small, move || {
            for _ in 0..3 {
                order.borrow_mut().push(id);
                fiber::yield_now().unwrap();
            }
        })
        .unwrap()
        .detach();
    }
    runtime.run_pending().unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

/// Bytes written by one fiber are read by another, through borrowed buffers.
#[test]
fn fibers_talk_over_a_socket() {
    let runtime = runtime();
    let (a, b) = Descriptor::pair().unwrap();
    let echoed = runtime.run_fiber(Stack::Small, move || {
        fiber::spawn(Stack::Small, move || {
            let mut buf = [0; 64];
            loop {
                let n = b.blocking().read(&mut buf).unwrap();
                if n == 0 {
                    return;
                }
                b.blocking().write_all(&buf[..n]).unwrap();
            }
        })
        .unwrap()
        .detach();
        let mut back = [0; 5];
        for _ in 0..100 {
            a.blocking().write_all(b"hello").unwrap();
            a.blocking().read_exact(&mut back).unwrap();
        }
        back
    });
    assert_eq!(&echoed.unwrap(), b"hello");
}

/// A cancelled fiber that waits is unwound, its destructors run, and its join says so.
#[test]
fn cancel_unwinds_a_waiting_fiber() {
    let runtime = runtime();
    let (a, b) = Descriptor::pair().unwrap();
    let dropped = Rc::new(());
    let held = dropped.clone();
    let result = runtime.run_fiber(Stack::Small, move || {
        let handle = fiber::spawn(Stack::Small, move || {
            let _held = held;
            let mut buf = [0; 64];
            a.blocking().read(&mut buf).map(|_| ())
        })
        .unwrap();
        fiber::sleep(Duration::from_millis(2)).unwrap();
        handle.cancel();
        let result = handle.join().map(|_| ());
        drop(b);
        result
    });
    assert!(matches!(result.unwrap(), Err(JoinError::Cancelled)));
    assert_eq!(Rc::strong_count(&dropped), 1);
}

/// A dropped runtime unwinds its fibers.
#[test]
fn a_dropped_runtime_unwinds_its_fibers() {
    let runtime = runtime();
    let held = Rc::new(());
    let (a, b) = Descriptor::pair().unwrap();
    let (x, y) = (held.clone(), held.clone());
    let h1 = fiber::spawn(Stack::Small, move || {
        let _x = x;
        let mut buf = [0; 64];
        let _ = a.blocking().read(&mut buf);
        unreachable!()
    })
    .unwrap();
    let _h2 = fiber::spawn(Stack::Small, move || {
        let _y = y;
        let _b = b;
        fiber::park().unwrap();
    })
    .unwrap();
    runtime.poll().unwrap();
    let unborn = held.clone();
    let _h3 = fiber::spawn(Stack::Small, move || drop(unborn)).unwrap();
    drop(runtime);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(matches!(h1.join(), Err(JoinError::Cancelled)));
}

/// Spawns wait for a stack in order, and `try_spawn` gives the work back.
#[test]
fn spawns_wait_for_a_stack() {
    let small = StackClass { count: 2, ..StackSizes::default().small };
    let config = Config {
        stacks: StackSizes { small, ..Default::default() },
        stack_queue: 3,
        ..Config::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let spawn = |id: usize| {
        let order = order.clone();
        fiber::spawn(Stack::Small, move || {
            fiber::yield_now().unwrap();
            order.borrow_mut().push(id);
        })
    };
    let handles: Vec<_> = (0..5).map(|id| spawn(id).unwrap()).collect();
    assert!(matches!(spawn(5), Err(Error::Exhausted { .. })));
    let refused = fiber::try_spawn(Stack::Small, || 9).unwrap_err();
    let error = &refused.error;
    let why = matches!(error, Error::Exhausted { knob: "stacks.small.count", limit: 2, .. });
    assert!(why, "{error}");
    assert_eq!((refused.work)(), 9);
    runtime.run_until(|| handles.iter().all(|handle| handle.is_finished())).unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    assert!(fiber::try_spawn(Stack::Small, || 9).is_ok());
}

/// A scope's fibers borrow from their parent, and end before it goes on, also when the parent
/// is cancelled.
#[test]
fn a_scope_waits_for_its_fibers() {
    let runtime = runtime();
    let sum = runtime.run_fiber(Stack::Small, || {
        let numbers = [Cell::new(0), Cell::new(0)];
        fiber::scope(|scope| {
            for number in &numbers {
                let _ = scope
                    .spawn(Stack::Small, || {
                        fiber::sleep(Duration::from_millis(1)).unwrap();
                        number.set(number.get() + 1);
                    })
                    .unwrap();
            }
        })
        .unwrap();
        numbers[0].get() + numbers[1].get()
    });
    assert_eq!(sum.unwrap(), 2);
    let ended = Rc::new(Cell::new(false));
    let seen = ended.clone();
    let handle = fiber::spawn(Stack::Small, move || {
        struct OnDrop<'c>(&'c Cell<bool>);
        impl Drop for OnDrop<'_> {
            fn drop(&mut self) {
                self.0.set(true)
            }
        }
        fiber::scope(|scope| {
            let _ = scope
                .spawn(Stack::Small, || {
                    let _guard = OnDrop(&seen);
                    fiber::park().unwrap();
                })
                .unwrap();
            fiber::park().unwrap();
        })
    })
    .unwrap();
    runtime.run_for(Duration::from_millis(2)).unwrap();
    handle.cancel();
    runtime.run_until(|| handle.is_finished()).unwrap();
    assert!(ended.get());
}

/// Calls that wait fail outside a fiber, and do not hold up the loop.
#[test]
fn outside_a_fiber_nothing_waits() {
    let _runtime = runtime();
    let (a, _b) = Descriptor::pair().unwrap();
    let error = a.blocking().read(&mut [0; 4]).unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::NotInFiber)));
    assert!(matches!(fiber::yield_now(), Err(Error::NotInFiber)));
    assert!(matches!(Baton::new().wait(), Err(Error::NotInFiber)));
    let never = fiber::spawn(Stack::Small, || ()).unwrap();
    assert!(matches!(never.join(), Err(JoinError::NotInFiber)));
}

/// Batons are posted by callbacks and tasks; a deadline ends the wait.
#[test]
fn batons_are_posted_from_everywhere() {
    let runtime = runtime();
    let baton = Rc::new(Baton::new());
    let (by_timer, by_task) = (baton.clone(), baton.clone());
    timer::after(Duration::from_millis(1), move || by_timer.post()).unwrap();
    runtime
        .run_fiber(Stack::Small, move || {
            baton.wait().unwrap();
            drop(task::spawn(async move { by_task.post() }).unwrap());
            baton.wait().unwrap();
            let soon = tautline_runtime::now().unwrap() + Duration::from_millis(1);
            assert!(!baton.wait_until(soon).unwrap());
            assert!(tautline_runtime::now().unwrap() >= soon);
        })
        .unwrap();
}

/// A fiber that was made to take errors is not unwound.
#[test]
fn cancellation_by_error() {
    let runtime = runtime();
    let handle = Builder::new(Stack::Small)
        .cancel_by_error()
        .spawn(|| {
            let first = fiber::sleep(Duration::from_secs(100));
            let second = fiber::park();
            (first, second)
        })
        .unwrap();
    runtime.poll().unwrap();
    handle.cancel();
    runtime.run_until(|| handle.is_finished()).unwrap();
    assert!(matches!(handle.join(), Ok((Err(Error::Cancelled), Err(Error::Cancelled)))));
}

/// A `write_all` of which the queue has taken a part and the rest runs out of time is the last
/// thing that its peer sees: what is written afterwards fails.
#[test]
fn a_write_that_is_cut_short_is_the_last() {
    let runtime = runtime();
    let (a, b) = Descriptor::pair().unwrap();
    runtime
        .run_fiber(Stack::Small, move || {
            let much = vec![1; 4 << 20];
            let soon = tautline_runtime::now().unwrap() + Duration::from_millis(5);
            let error = a.blocking().deadline(Some(soon)).write_all(&much).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            let error = a.blocking().write_all(b"garbled").unwrap_err();
            assert!(matches!(Error::of(&error), Some(Error::WriteTorn { .. })), "{error}");
            drop(a);
            let mut buf = vec![0; 1 << 16];
            while let n @ 1.. = b.blocking().read(&mut buf).unwrap() {
                assert!(buf[..n].iter().all(|&byte| byte == 1));
            }
        })
        .unwrap();
}

/// A flush that finds that nobody reads any more says so, in a fiber and awaited.
#[test]
fn a_flush_tells_what_it_found() {
    let runtime = runtime();
    let broken_pipe = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Descriptor::new(writer.into()).unwrap()
    };
    let (first, second) = (broken_pipe(), broken_pipe());
    let flushed = runtime.run_fiber(Stack::Small, move || {
        first.blocking().write_all(b"lost").unwrap();
        first.blocking().flush()
    });
    assert_eq!(flushed.unwrap().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    let flushed = runtime.block_on(async {
        second.conn().write(b"lost").unwrap();
        second.write_all(Vec::new()).await.0
    });
    assert_eq!(flushed.unwrap().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

/// A wait within the poll of a future that is waited for leaves the outer one its wakes.
#[test]
fn waits_may_be_nested() {
    let runtime = runtime();
    let both = runtime.run_fiber(Stack::Medium, || {
        let (outer, inner) = (tautline_runtime::offload(|| 1), tautline_runtime::offload(|| 2));
        let (mut outer, mut inner) = (Box::pin(outer), Some(inner));
        fiber::wait(std::future::poll_fn(move |cx| {
            let first = outer.as_mut().poll(cx);
            if let Some(inner) = inner.take() {
                // Long enough for the outer one to be woken meanwhile.
                fiber::sleep(Duration::from_millis(5)).unwrap();
                assert_eq!(fiber::wait(inner).unwrap().unwrap(), 2);
            }
            first
        }))
    });
    assert_eq!(both.unwrap().unwrap().unwrap(), 1);
}

/// Work that waits is called at every beat; beats that it overruns are left out or made up for,
/// as it was told.
#[test]
fn beats_that_are_overrun() {
    for (overrun, expected) in [(Overrun::Skip, 2), (Overrun::CatchUp, 10)] {
        let driver = DriverChoice::Sim(Box::new(sim::Config::new(1)));
        let runtime = Runtime::new(Config { driver, ..Config::default() }).unwrap();
        let beats = Rc::new(Cell::new(0));
        let counted = beats.clone();
        let beat = Duration::from_millis(2);
        let ticker = fiber::every_by(Builder::new(Stack::Small), beat, overrun, move || {
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                // From the first beat to a little behind the ninth.
                fiber::sleep(8 * beat + beat / 2).unwrap();
            }
        });
        runtime.run_for(10 * beat + beat / 4).unwrap();
        assert_eq!(beats.get(), expected, "{overrun:?}");
        ticker.unwrap().cancel();
        runtime.run_pending().unwrap();
    }
}

/// Each fiber has values of its own, which are dropped when it ends, on its own stack.
#[test]
fn local_values_are_a_fibers_own() {
    tautline_runtime::fiber_local! {
        static OWN: RefCell<Vec<Rc<()>>> = RefCell::default();
    }
    let runtime = runtime();
    let held = Rc::new(());
    let theirs = held.clone();
    let seen = runtime.run_fiber(Stack::Small, move || {
        OWN.with(|own| own.borrow_mut().push(theirs.clone())).unwrap();
        let other = fiber::spawn(Stack::Small, || OWN.with(|own| own.borrow().len()).unwrap());
        (other.unwrap().join().unwrap(), OWN.with(|own| own.borrow().len()).unwrap())
    });
    assert_eq!(seen.unwrap(), (0, 1));
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(matches!(OWN.with(|_| ()), Err(Error::NotInFiber)));
}

/// A fiber of a higher band runs before those of lower ones, and these are not starved.
#[test]
fn bands_go_before_each_other_and_starve_nobody() {
    let runtime = runtime();
    let order = Rc::new(RefCell::new(Vec::new()));
    let note = |band: Band| {
        let order = order.clone();
        let work = move || order.borrow_mut().push(band);
        Builder::new(Stack::Small).band(band).spawn(work).unwrap().detach();
    };
    [Band::Low, Band::Normal, Band::High].into_iter().for_each(note);
    runtime.poll().unwrap();
    assert_eq!(*order.borrow(), [Band::High, Band::Normal, Band::Low]);
    let greedy = Builder::new(Stack::Small).band(Band::High).spawn(|| {
        loop {
            fiber::yield_now().unwrap();
        }
    });
    [Band::Low, Band::Normal].into_iter().for_each(note);
    runtime.run_until(|| order.borrow().len() == 5).unwrap();
    greedy.unwrap().cancel();
}

/// What must not be divided says so, with the fiber's name, before anything is lent.
#[test]
fn a_wait_in_undivided_work_is_a_panic() {
    let runtime = runtime();
    let (a, _b) = Descriptor::pair().unwrap();
    let handle = Builder::new(Stack::Small).name("careful").spawn(move || {
        let mut buf = [0; 8];
        fiber::undivided(|| a.blocking().read(&mut buf).unwrap())
    });
    let error = runtime.run_fiber(Stack::Small, || handle.unwrap().join()).unwrap().unwrap_err();
    assert!(error.message().unwrap().contains("`careful`"), "{error}");
    let outside = fiber::undivided(|| fiber::undivided(|| 7));
    assert_eq!(outside, 7);
}
