//! A data race that the thread sanitizer must report: run by `scripts/test` to prove
//! that the lane sees anything at all. Never part of a build.
//!
//! Like a queue whose stamp is stored without Release: the message is written, and read
//! on another thread after the stamp was seen, but nothing orders the two.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

struct Slot {
    message: UnsafeCell<u64>,
    stamp: AtomicBool,
}

// SAFETY: none. The stamp does not publish the message; that is the bug to be found.
unsafe impl Sync for Slot {}

fn main() {
    let slot = Arc::new(Slot { message: UnsafeCell::new(0), stamp: AtomicBool::new(false) });
    let sent = slot.clone();
    let sender = thread::spawn(move || {
        // SAFETY: none, see above.
        unsafe { *sent.message.get() = 7 };
        sent.stamp.store(true, Ordering::Relaxed);
    });
    while !slot.stamp.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    // SAFETY: none, see above.
    let message = unsafe { *slot.message.get() };
    sender.join().expect("the sender does not panic");
    std::process::exit(i32::from(message == 0));
}
