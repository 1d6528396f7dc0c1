//! The limit: the counter, and the bytes of a line through a ring by hand.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::ends::Log;
use crate::{
    bus::{
        ends::{Give, Idle, Message, Take, Topology, Waiting},
        hand::Ring,
    },
    harness::{sys::UnderTest, ticks::Ticks},
};

/// What a line of ours has in its ring.
type Bytes = [u64; 8];

/// A ring, and a thread that empties it.
pub(super) struct Bare {
    giver: <Ring as Topology<Bytes>>::Giver,
    taken: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<UnderTest<()>>,
}

impl Log for Bare {
    fn open() -> io::Result<Self> {
        let (mut givers, mut takers) = <Ring as Topology<Bytes>>::open()?;
        let missing = || io::Error::other("a ring has two ends");
        let giver = givers.pop().ok_or_else(missing)?;
        let mut taker = takers.pop().ok_or_else(missing)?;
        let (taken, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counts, is_over) = (Arc::clone(&taken), Arc::clone(&over));
        let thread = UnderTest::start(move || {
            let (mut count, mut sum) = (0, 0_u64);
            while !is_over.load(Ordering::Relaxed) {
                if taker.take_batch(64, |bytes| {
                    sum = sum.wrapping_add(bytes.sum());
                    count += 1;
                }) {
                    counts.store(count, Ordering::Release);
                } else {
                    std::hint::spin_loop();
                }
            }
            std::hint::black_box(sum);
        })?;
        Ok(Self { giver, taken, over, thread: Some(thread) })
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        let text = name.as_bytes().first_chunk().map_or(0, |text| u64::from_le_bytes(*text));
        let bytes = [64, Ticks::now(), 1, 0x961, id, price.to_bits(), name.len() as u64, text];
        let mut idle = Idle::new(Waiting::Spin);
        while !self.giver.give(bytes) {
            // Who does not empty it is found out when the lines are counted.
            if idle.wait().is_err() {
                return;
            }
        }
    }

    fn written(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it counted has been seen.
            drop(thread.join());
        }
    }
}
