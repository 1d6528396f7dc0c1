//! No buffer allocates after construction, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tautline_buffer::{Bip, ByteBuffer, Fifo, MapOptions, Mirrored, Region, kernels};

struct Counting;

thread_local! {
    /// Allocations made by this thread; the test harness allocates on others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every call to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations on this thread during `f`.
fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

/// Every call of the trait, over many wraps, with sizes that do not divide the capacity.
fn exercise(fifo: &mut dyn Fifo) {
    let mut out = [0; 700];
    for n in (1..3000).cycle().take(20_000) {
        fifo.claim(n).fill(n as u8);
        fifo.commit(n);
        fifo.readable_mut().reverse();
        fifo.take(&mut out);
        fifo.consume(n / 2);
        fifo.put(&out[..n % 700]);
    }
    fifo.clear();
}

/// The counter counts.
#[test]
fn canary_an_allocation_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

/// Twenty thousand rounds on each buffer allocate nothing.
#[test]
fn no_buffer_allocates_after_construction() {
    let mut mirrored = Mirrored::new(4096).unwrap();
    let mut bip = Bip::new(4096).unwrap();
    let mut byte = ByteBuffer::new(4096).unwrap();
    assert_eq!(allocations(|| exercise(&mut mirrored)), 0);
    assert_eq!(allocations(|| exercise(&mut bip)), 0);
    assert_eq!(allocations(|| exercise(&mut byte)), 0);
}

/// Saving, compacting and discarding allocate nothing, and neither does running out of slots.
#[test]
fn save_area_does_not_allocate() {
    let mut buffer = ByteBuffer::with(1000, 4, MapOptions::new()).unwrap();
    let mut slots = [None; 5];
    let count = allocations(|| {
        for i in 0..100_000 {
            buffer.put(&[i as u8; 30]);
            if let Some(old) = std::mem::replace(&mut slots[i * 7 % 5], buffer.save(11).ok()) {
                buffer.discard(old);
            }
            buffer.consume(if i % 2 == 0 { 37 } else { 0 });
        }
    });
    assert_eq!(count, 0);
    assert!(buffer.compactions() > 0);
}

/// Slices of a region and the kernels allocate nothing.
#[test]
fn regions_and_kernels_do_not_allocate() {
    let mut region = Region::new(4096).unwrap();
    let count = allocations(|| {
        kernels::unmask(region.slice_mut(3, 4000), [1, 2, 3, 4], 1);
        assert_eq!(region.slice(3, 2), [2, 3]);
    });
    assert_eq!(count, 0);
}
