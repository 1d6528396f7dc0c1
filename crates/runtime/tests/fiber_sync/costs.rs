//! What waiting costs: no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::fiber::{self, Condition, Mutex, Semaphore};

use crate::{in_fiber, spawn};

thread_local! {
    /// Each test has a thread of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Two fibers that make each other wait in every object, with and without deadlines.
fn play(rounds: u32) {
    let shared = Rc::new((Mutex::new(0u32), Condition::new(), Semaphore::new(0)));
    let (sender, receiver) = fiber::channel(1);
    let theirs = shared.clone();
    let other = spawn(move || {
        let (mutex, condition, semaphore) = &*theirs;
        for round in 0..rounds {
            let far = tautline_runtime::now().unwrap() + Duration::from_secs(100);
            sender.send(round).unwrap();
            sender.send(round).unwrap();
            drop(semaphore.acquire_until(far).unwrap());
            semaphore.try_acquire_many(0).unwrap().forget();
            let mut turn = mutex.lock().unwrap();
            while *turn % 2 == 0 {
                condition.wait_until(&mut turn, far).unwrap();
            }
            *turn += 1;
            condition.notify_one();
        }
    });
    let (mutex, condition, semaphore) = &*shared;
    for _ in 0..rounds {
        for _ in 0..2 {
            fiber::select([&receiver, semaphore], None).unwrap();
            receiver.recv().unwrap();
        }
        let held = mutex.lock().unwrap();
        fiber::yield_now().unwrap();
        semaphore.release(1);
        fiber::yield_now().unwrap();
        drop(held);
        drop(semaphore.acquire().unwrap());
        semaphore.try_acquire().unwrap().forget();
        let mut turn = mutex.lock().unwrap();
        *turn += 1;
        condition.notify_one();
        condition.wait_while(&mut turn, |turn| *turn % 2 == 1).unwrap();
    }
    other.join().unwrap();
}

/// Proves that waiting in every object allocates nothing once all is warm.
#[test]
fn waiting_allocates_nothing() {
    let counted = in_fiber(|| {
        play(100);
        let setup = allocations(|| play(10));
        allocations(|| play(1000)) - setup
    });
    assert_eq!(counted, 0);
}

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}
