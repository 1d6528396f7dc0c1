//! The limit: one producer, one consumer, a ring of words; indices on lines of their own, the
//! opposite index cached.

use std::{
    io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
};

use super::{CAPACITY, Mailbox, Poster};

#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    /// Messages taken so far.
    head: Line<AtomicUsize>,
    /// Messages posted so far.
    tail: Line<AtomicUsize>,
    slots: Box<[AtomicU64]>,
}

/// The bare ring.
pub(super) struct Ring;

/// Its posting end.
#[repr(align(128))]
pub(super) struct Producer {
    shared: Arc<Shared>,
    tail: usize,
    /// What `head` was when last looked at.
    head: usize,
}

impl Poster for Producer {
    fn post(&mut self, message: u64) -> bool {
        if self.tail - self.head == CAPACITY {
            // Acquire: the consumer has read the slots that it freed.
            self.head = self.shared.head.0.load(Ordering::Acquire);
            if self.tail - self.head == CAPACITY {
                return false;
            }
        }
        self.shared.slots[self.tail % CAPACITY].store(message, Ordering::Relaxed);
        self.tail += 1;
        // Release: publishes the slot to the consumer.
        self.shared.tail.0.store(self.tail, Ordering::Release);
        true
    }
}

impl Mailbox for Ring {
    type Poster = Producer;

    fn serve<H>(ready: Sender<Producer>, mut handler: H) -> io::Result<()>
    where
        H: FnMut(u64) -> ControlFlow<()> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            head: Line(AtomicUsize::new(0)),
            tail: Line(AtomicUsize::new(0)),
            slots: (0..CAPACITY).map(|_| AtomicU64::new(0)).collect(),
        });
        let producer = Producer { shared: Arc::clone(&shared), tail: 0, head: 0 };
        ready.send(producer).map_err(|_| io::Error::other("the poster has left"))?;
        let mut head = 0;
        loop {
            // Acquire: the slots below the tail have been written.
            let tail = shared.tail.0.load(Ordering::Acquire);
            while head < tail {
                let message = shared.slots[head % CAPACITY].load(Ordering::Relaxed);
                head += 1;
                if handler(message).is_break() {
                    return Ok(());
                }
            }
            // Release: the slots below the head have been read.
            shared.head.0.store(head, Ordering::Release);
            std::hint::spin_loop();
        }
    }
}
