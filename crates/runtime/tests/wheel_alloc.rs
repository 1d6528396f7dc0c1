//! The timing wheel allocates at construction only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tautline_runtime::time::{Instant, Wheel};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the calling thread allocates.
struct Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Arming to the limit, moving, cancelling and expiring, with crowded ticks, allocate
/// nothing; the counter itself does count.
#[test]
fn no_allocation_after_construction() {
    let before = allocations();
    let mut wheel = Wheel::new(10_000, Duration::from_nanos(512), Instant::from_nanos(0));
    assert!(allocations() > before, "the counter counts");
    let mut keys = Vec::with_capacity(10_000);
    let mut random = fastrand::Rng::with_seed(5);

    let before = allocations();
    let mut now = 0;
    for _ in 0..20 {
        while let Ok(key) = wheel.arm(Instant::from_nanos(now + random.u64(0..1 << 40)), 0) {
            keys.push(key);
        }
        for key in keys.drain(..) {
            match random.u8(0..3) {
                0 => drop(wheel.cancel(key)),
                1 => drop(wheel.rearm(key, Instant::from_nanos(now + 5_000_000))),
                _ => {}
            }
        }
        now += random.u64(0..1 << 38);
        while wheel.expire(Instant::from_nanos(now)).is_some() {}
    }
    assert_eq!(allocations() - before, 0);
}
