//! In steady state fibers allocate nothing: neither a million rounds of spawn, switch and join,
//! for every size of captures and results that has room in the table, with a stack at once or
//! after a wait for one, nor what they wait for, on both real drivers.

mod common;

use std::array;
use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::counting::{Counting, allocations};
use common::{REAL, small};
use tautline_runtime::fiber::{self, Baton, JoinHandle, Stack};
use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Rounds of spawn, switch and join: so many of the largest size, and as many of all others
/// together; each with a stack at once, and again with a wait for one.
const ROUNDS: usize = 1_000_000;
/// Rounds of everything that fibers wait for.
const WAITS: usize = 50_000;
const WARM_UP: usize = 500;
/// Bytes in the table for captures and results, as configured.
const ROOM: usize = 128;
/// Fibers that are spawned before the first of them is joined.
const BATCH: usize = 8;

fn runtime(driver: DriverChoice, stacks: usize) -> Runtime {
    let mut config = Config {
        driver,
        wait: WaitMode::Warm { spin_for: Duration::from_millis(1) },
        // The watcher thread's own work is not the loop's.
        stall: None,
        fiber_room: ROOM,
        stack_queue: BATCH,
        ..small()
    };
    config.stacks.small.count = stacks;
    Runtime::new(config).unwrap()
}

/// Allocations of `rounds` calls of `round` in a fiber, once it is warm.
fn counted(runtime: &Runtime, rounds: usize, mut round: impl FnMut() + 'static) -> u64 {
    let work = move || {
        (0..WARM_UP).for_each(|_| round());
        let before = allocations();
        (0..rounds).for_each(|_| round());
        allocations() - before
    };
    // What is spawned has the small stacks to itself.
    runtime.run_fiber(Stack::Large, work).unwrap()
}

/// A fiber whose captures and result have exactly `BYTES` bytes; it is switched to twice.
fn spawn<const BYTES: usize>(bytes: [u8; BYTES]) -> JoinHandle<[u8; BYTES]> {
    let work = move || {
        fiber::yield_now().unwrap();
        bytes
    };
    assert_eq!(size_of_val(&work), BYTES);
    fiber::spawn(Stack::Small, work).unwrap()
}

/// Spawns a batch, and joins it. `waiting` of them had to wait for a stack.
fn batch<const BYTES: usize>(waiting: usize) {
    let bytes = |at| black_box([at as u8; BYTES]);
    let handles: [_; BATCH] = array::from_fn(|at| spawn(bytes(at)));
    fiber::yield_now().unwrap();
    assert_eq!(fiber::stacks().unwrap()[0].unstarted, waiting);
    for (at, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), bytes(at));
    }
}

/// One size, with a stack for each of a batch, and with stacks for a part of it.
fn rounds<const BYTES: usize>(driver: &DriverChoice, rounds: usize) {
    for stacks in [BATCH, 3] {
        let runtime = runtime(driver.clone(), stacks);
        let allocated = counted(&runtime, rounds / BATCH, move || batch::<BYTES>(BATCH - stacks));
        let what = format!("{BYTES} bytes, {stacks} stacks, {driver:?}");
        assert_eq!(allocated, 0, "{what}");
        let metrics = runtime.metrics();
        let spawned = 1 + BATCH * WARM_UP + rounds / BATCH * BATCH;
        assert_eq!((metrics.fibers, metrics.boxed_fibers), (spawned as u64, 0), "{what}");
    }
}

/// So many rounds of one size, on a driver.
type Rounds = fn(&DriverChoice, usize);

/// Eight sizes from each of these on.
macro_rules! eights {
    ($($bytes:literal)*) => {
        [$([
            rounds::<{ $bytes }>,
            rounds::<{ $bytes + 1 }>,
            rounds::<{ $bytes + 2 }>,
            rounds::<{ $bytes + 3 }>,
            rounds::<{ $bytes + 4 }>,
            rounds::<{ $bytes + 5 }>,
            rounds::<{ $bytes + 6 }>,
            rounds::<{ $bytes + 7 }>,
        ]),*]
    };
}

/// 0 to 127 bytes; what fills the room is the last.
const SIZES: [[Rounds; 8]; ROOM / 8] = eights!(0 8 16 24 32 40 48 56 64 72 80 88 96 104 112 120);

/// A byte more than there is room for: counted by the metrics, and by this file's counter.
fn a_byte_too_many(runtime: &Runtime) {
    let allocated = counted(runtime, WAITS, || {
        let bytes = black_box([7u8; ROOM + 1]);
        let handle = fiber::spawn(Stack::Small, move || black_box(&bytes).len()).unwrap();
        assert_eq!(handle.join().unwrap(), ROOM + 1);
    });
    assert_eq!(allocated, WAITS as u64);
    assert_eq!(runtime.metrics().boxed_fibers, (WARM_UP + WAITS) as u64);
}

/// Two fibers hand over to each other.
fn batons(runtime: &Runtime) -> u64 {
    let (ours, theirs) = (Rc::new(Baton::new()), Rc::new(Baton::new()));
    let (back, there) = (ours.clone(), theirs.clone());
    let other = move || {
        while there.wait().is_ok() {
            back.post();
        }
    };
    drop(fiber::spawn(Stack::Small, other).unwrap());
    counted(runtime, WAITS, move || {
        theirs.post();
        ours.wait().unwrap();
    })
}

/// A timer each, which rings, and one each that is given up.
fn sleeps(runtime: &Runtime) -> u64 {
    let baton = Rc::new(Baton::new());
    counted(runtime, WAITS / 10, move || {
        fiber::sleep(Duration::from_nanos(1)).unwrap();
        let theirs = baton.clone();
        drop(fiber::spawn(Stack::Small, move || theirs.post()).unwrap());
        let late = tautline_runtime::now().unwrap() + Duration::from_secs(1);
        assert!(baton.wait_until(late).unwrap());
    })
}

/// Blocking-style reads and writes through borrowed buffers, also with a deadline.
fn echo(runtime: &Runtime) -> u64 {
    let (a, b) = Descriptor::pair().unwrap();
    let server = move || {
        let mut buf = [0; 256];
        while let Ok(n @ 1..) = b.blocking().read(&mut buf) {
            b.blocking().write_all(&buf[..n]).unwrap();
        }
    };
    drop(fiber::spawn(Stack::Small, server).unwrap());
    counted(runtime, WAITS, move || {
        let mut buf = [9; 64];
        let late = tautline_runtime::now().unwrap() + Duration::from_secs(10);
        a.blocking().write_all(&buf).unwrap();
        a.blocking().deadline(Some(late)).read_exact(&mut buf).unwrap();
        assert_eq!(buf, [9; 64]);
    })
}

/// A future that is pending once, and woken by its own waker.
fn futures(runtime: &Runtime) -> u64 {
    counted(runtime, WAITS, || {
        let mut pending = true;
        let future = poll_fn(move |cx| match std::mem::take(&mut pending) {
            true => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        });
        fiber::wait(future).unwrap();
    })
}

/// A channel that is full at times and empty at times, and a mutex that both ends want.
fn values(runtime: &Runtime) -> u64 {
    let (sender, receiver) = fiber::channel(3);
    let sum = Rc::new(fiber::Mutex::new(0));
    let theirs = sum.clone();
    let source = move || {
        while sender.send(1).is_ok() {
            *theirs.lock().unwrap() -= 1;
        }
    };
    drop(fiber::spawn(Stack::Small, source).unwrap());
    counted(runtime, WAITS, move || {
        let value = receiver.recv().unwrap();
        let mut sum = sum.lock().unwrap();
        *sum += value;
        fiber::yield_now().unwrap();
    })
}

/// Ends are told to a callback, which tells a fiber.
fn callbacks(runtime: &Runtime) -> u64 {
    let baton = Rc::new(Baton::new());
    let told = Rc::new(Cell::new(0));
    counted(runtime, WAITS, move || {
        let (told, theirs) = (told.clone(), baton.clone());
        let handle = fiber::spawn(Stack::Small, || 7).unwrap();
        handle.then(move |result| {
            told.set(told.get() + result.unwrap());
            theirs.post();
        });
        baton.wait().unwrap();
    })
}

/// A million rounds of the largest size and a million of all others allocate nothing, and what does not fit is counted. One test, so
/// that nothing else allocates meanwhile.
#[test]
fn fibers_allocate_nothing_in_steady_state() {
    let before = allocations();
    drop(black_box(vec![1]));
    assert!(allocations() > before, "the counter counts");
    for (at, rounds) in SIZES.iter().flatten().enumerate() {
        rounds(&REAL[at % REAL.len()], ROUNDS / ROOM + 1);
    }
    for driver in REAL {
        rounds::<ROOM>(&driver, ROUNDS);
        for part in [batons, sleeps, echo, futures, values, callbacks] {
            let runtime = runtime(driver.clone(), 4);
            assert_eq!(part(&runtime), 0, "on {}", runtime.report().driver);
        }
        a_byte_too_many(&runtime(driver, 4));
    }
}
