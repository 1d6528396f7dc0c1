//! The kernel never writes to memory that was freed: reads on io_uring whose futures are
//! dropped, forgotten or cancelled at random points under load, with buffers whose
//! freed blocks are filled with a pattern, kept for ever and verified at the end.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::quarantine::{Guarded, LEN, Quarantine};
use common::small;
use futures::FutureExt;
use tautline_runtime::{
    Config, Descriptor, DriverChoice, IoBuf, IoBufMut, Runtime, WaitMode, task,
};

fn runtime() -> Runtime {
    let config = Config {
        driver: DriverChoice::Uring,
        wait: WaitMode::Sleep,
        operations: 32_768,
        // Reads go to the ring rather than being tried first, as often as can be.
        dispatch_limit: 1,
        stall: None,
        ..small()
    };
    Runtime::new(config).unwrap()
}

/// Keeps every stream busy with bytes of the number 1 until told to stop.
fn load(peers: Vec<Descriptor>, random: fastrand::Rng) {
    let random = RefCell::new(random);
    drop(task::spawn(async move {
        loop {
            let (peer, len) = {
                let mut random = random.borrow_mut();
                (random.usize(..peers.len()), random.usize(1..LEN / 4))
            };
            let _ = peers[peer].conn().try_write(&vec![1; len]);
            task::yield_now().await;
        }
    }));
}

/// 10,000 reads given up in every way there is leave no write in freed memory.
#[test]
fn given_up_reads_never_touch_freed_memory() {
    let seed = 0x7A17_11E5;
    let mut random = fastrand::Rng::with_seed(seed);
    let quarantine = Rc::new(Quarantine::default());
    let runtime = runtime();
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..8).map(|_| Descriptor::pair().unwrap()).unzip();
    load(theirs, random.fork());
    let mut forgotten = 0;
    runtime
        .block_on(async {
            for _ in 0..10_000 {
                let stream = &ours[random.usize(..ours.len())];
                let buf = Guarded::new(&quarantine);
                let mut read = match random.bool() {
                    true => stream.read(buf).left_future(),
                    false => stream.read_exact(buf).right_future(),
                };
                for _ in 0..random.u8(..4) {
                    if futures::poll!(&mut read).is_ready() {
                        break;
                    }
                    task::yield_now().await;
                }
                match random.u8(..10) {
                    0 => {
                        forgotten += 1;
                        std::mem::forget(read);
                    }
                    _ => drop(read),
                }
            }
        })
        .unwrap();
    runtime.run_for(Duration::from_millis(20)).unwrap();
    assert!(runtime.metrics().engine.completions > 1000, "the ring was hardly used");
    drop(ours);
    drop(runtime);
    assert_eq!(quarantine.violated(), 0, "seed {seed:#x}");
    assert!(quarantine.freed() > 9_000 && forgotten > 500);
    // A forgotten read that had completed at once leaks its buffer, as forgetting does.
    assert!(quarantine.alive.get() <= forgotten);
}

/// The canary: a buffer that is freed when its future is dropped, rather than when the
/// kernel is done, is caught by the same check.
#[test]
fn the_check_catches_a_buffer_freed_too_early() {
    let quarantine = Rc::new(Quarantine::default());
    let runtime = runtime();
    let (a, b) = Descriptor::pair().unwrap();
    runtime
        .block_on(async {
            // An owner that keeps only the address, so that the operation's buffer is
            // freed while the kernel holds it.
            let early = Guarded::new(&quarantine);
            let alias = Alias(early.block.as_ref().unwrap().as_ptr().cast_mut());
            let mut read = b.read(alias);
            // The budget of this poll is used up first, so that the read is armed.
            for _ in 0..4 {
                assert!(futures::poll!(&mut read).is_pending());
                task::yield_now().await;
            }
            drop(early);
            a.write_all(vec![1; 8]).await.0.unwrap();
            read.await.0.unwrap();
        })
        .unwrap();
    assert_eq!(quarantine.violated(), 1);
}

/// Breaks the promise of [`IoBuf`] on purpose.
struct Alias(*mut u8);

// SAFETY: not kept; this is the fault that the check has to find. The memory itself
// stays mapped, because the quarantine keeps it.
unsafe impl IoBuf for Alias {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the quarantine never frees the block.
        unsafe { std::slice::from_raw_parts(self.0, LEN) }
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Alias {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the quarantine never frees the block.
        unsafe { std::slice::from_raw_parts_mut(self.0, LEN) }
    }
}
