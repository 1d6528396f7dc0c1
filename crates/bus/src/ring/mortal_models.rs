//! Every interleaving of small shared rings whose users die, with at most three preemptions.

use loom::thread;

use super::mortal::State;
use crate::error::Corrupt;
use crate::event::LocalEvent;
use crate::ring::many::{Ends, Ring, Stamped};
use crate::scope::{Carries, Heap, InProcess, Place, Scope};
use crate::sync::{Arc, AtomicU32, AtomicU64};
use crate::waker::LocalWaker;

/// Threads that play processes: what they hold when they go stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadly;

impl Scope for Deadly {
    const NAME: &'static str = "deadly";
    const OTHERS_RUN: bool = true;
    const MORTAL: bool = true;
    type Word = AtomicU64;
    type Word32 = AtomicU32;
    type Shared<T> = Arc<T>;
    type Shelf<T> = std::sync::Mutex<T>;
    type One<T> = Box<T>;
    type Array<T> = Box<[T]>;
    type Store = Heap;
    type Keep = ();
    type Attention = ();
    type Event = LocalEvent;
    type Waker = LocalWaker;

    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn user() -> u64 {
        1
    }
}

impl InProcess for Deadly {}

// SAFETY: values that are `Send` may arrive on any thread.
unsafe impl<T: Send + Copy> Carries<T> for Deadly {
    unsafe fn put(place: &Place<T>, value: T) {
        // SAFETY: as promised.
        unsafe { place.write(value) };
    }

    unsafe fn get(place: &Place<T>) -> Result<T, Corrupt> {
        // SAFETY: as promised.
        Ok(unsafe { place.read() })
    }

    unsafe fn discard(_: &Place<T>) {}
}

// SAFETY: as for `Local`.
unsafe impl<T: Send> Send for Ring<T, Deadly> {}

/// The memory of a ring for two messages, and the ends that users make of it.
struct Memory {
    ends: Ends<Deadly>,
    slots: Vec<Stamped<u32, Deadly>>,
}

// SAFETY: as for `Local`.
unsafe impl Send for Memory {}
// SAFETY: as for `Local`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self { ends: Ends::new(), slots: (0..2).map(Stamped::new).collect() })
    }

    /// The ring as that user sees it; its caller keeps the memory.
    fn of(&self, seat: usize) -> Ring<u32, Deadly> {
        // SAFETY: all threads of a model are joined before the memory goes.
        unsafe { Ring::new(&self.ends, &self.slots, seat) }
    }
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 10_000;
    model.check(body);
}

fn give(ring: &Ring<u32, Deadly>, message: u32) -> bool {
    match ring.claim_to_give() {
        Some(claim) => {
            ring.give(claim, message);
            true
        }
        None => false,
    }
}

fn take(ring: &Ring<u32, Deadly>) -> Option<(u32, bool)> {
    let claim = ring.claim_to_take()?;
    let again = claim.was_lent();
    ring.take(claim).ok().map(|message| (message, again))
}

/// Two givers and a taker: what was given arrives once.
#[test]
fn loom_every_message_of_a_mortal_ring_arrives_once() {
    check(|| {
        let memory = Memory::new();
        let threads: Vec<_> = (0..2)
            .map(|id| {
                let memory = memory.clone();
                thread::spawn(move || assert!(give(&memory.of(2 + id), id as u32)))
            })
            .collect();
        let ring = memory.of(0);
        let mut got: Vec<_> = take(&ring).into_iter().collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        got.extend(std::iter::from_fn(|| take(&ring)));
        got.sort_unstable();
        assert_eq!(got, [(0, false), (1, false)]);
    });
}

/// A giver that dies with a claim does not hold up what another gives, whoever clears its seat
/// when.
#[test]
fn loom_a_dead_giver_wedges_nobody() {
    check(|| {
        let memory = Memory::new();
        drop(memory.of(2).claim_to_give().expect("room in an empty ring"));
        let clearer = {
            let memory = memory.clone();
            thread::spawn(move || assert_eq!(memory.of(2).clear(false), 0))
        };
        let giver = {
            let memory = memory.clone();
            thread::spawn(move || assert!(give(&memory.of(3), 7)))
        };
        let ring = memory.of(0);
        let early = take(&ring);
        clearer.join().unwrap();
        giver.join().unwrap();
        assert_eq!(early.or_else(|| take(&ring)), Some((7, false)));
        assert_eq!(take(&ring), None);
        // Both slots are free again.
        assert!(give(&ring, 1) && give(&ring, 2) && !give(&ring, 3));
    });
}

/// What a taker that dies has on loan comes again, marked and once, though two clear its seat and
/// another takes.
#[test]
fn loom_what_a_dead_taker_had_comes_again_once() {
    check(|| {
        let memory = Memory::new();
        assert!(give(&memory.of(2), 7));
        drop(memory.of(0).claim_to_take().expect("a message"));
        let clearer = {
            let memory = memory.clone();
            thread::spawn(move || memory.of(0).clear(true))
        };
        let taker = {
            let memory = memory.clone();
            thread::spawn(move || take(&memory.of(1)))
        };
        memory.of(0).clear(true);
        // Not of the dead one's seat, which nobody has before it is cleared.
        let ring = memory.of(4);
        let mut got: Vec<_> = take(&ring).into_iter().collect();
        assert_eq!(clearer.join().unwrap(), 0);
        got.extend(taker.join().unwrap());
        got.extend(std::iter::from_fn(|| take(&ring)));
        assert_eq!(got, [(7, true)]);
    });
}

/// Laps are compared as they wrap around.
#[test]
fn loom_laps_wrap_around() {
    let last = State::new(u64::MAX, 0, 0);
    assert_eq!(last.freed().ahead_of(last.lap()), 1);
    assert_eq!(last.ahead_of(last.freed().lap()), -1);
}
