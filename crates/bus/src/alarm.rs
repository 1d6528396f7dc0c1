//! The words by which users of several processes wake each other: one that says that somebody sleeps,
//! and the numbers of those who must be rung because they do not sleep on that word.
//!
//! Who is about to sleep leaves its number, if it has one, then announces itself, and looks once more.
//! Who has published something looks at the word, ends the sleep and rings whoever has left a number.
//! What that takes of fences is the caller's, as in `event.rs`. All words may be anything, for another
//! process may write them.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Nobody sleeps, and nobody was woken yet.
const AWAKE: u32 = 0;
/// Set: somebody sleeps, or is about to. The other bits count wake-ups.
const ASLEEP: u32 = 1;

/// No number.
const NOBODY: u64 = 0;

/// So often does somebody try to be the one who wakes.
const ATTEMPTS: usize = 64;

/// The words, with room for so many numbers.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Alarm<const BELLS: usize> {
    /// [`ASLEEP`] and a count, or anything that another process has written.
    asleep: AtomicU32,
    /// The numbers to be rung, or [`NOBODY`].
    bells: [AtomicU64; BELLS],
}

impl<const BELLS: usize> Alarm<BELLS> {
    pub(crate) fn new() -> Self {
        let bells = std::array::from_fn(|_| AtomicU64::new(NOBODY));
        Self { asleep: AtomicU32::new(AWAKE), bells }
    }

    /// The word that changes when a sleep is ended.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.asleep
    }

    /// Says that somebody is about to sleep; `fence` is the sleeper's. Returns what the word is until
    /// somebody is woken.
    pub(crate) fn announce(&self, fence: impl FnOnce()) -> u32 {
        // Ordered by the fence, which pairs with the publisher's. Release pairs with the exchange in
        // `end_sleep`: it sees the number that was left before.
        let before = self.asleep.fetch_or(ASLEEP, Ordering::Release);
        fence();
        before | ASLEEP
    }

    /// Whether somebody sleeps; worth nothing to a publisher without the fence before it.
    #[inline(always)]
    pub(crate) fn is_slept_on(&self) -> bool {
        // Relaxed: the fence orders it after what was published.
        self.asleep.load(Ordering::Relaxed) & ASLEEP != 0
    }

    /// Ends the sleep; `false`: another has. Who has ended it wakes those who sleep on the word, and
    /// rings the others.
    pub(crate) fn end_sleep(&self) -> bool {
        // Relaxed: an exchange always meets the latest value, so that one of several wakes; what
        // was published was made visible by the fence. A bounded number of times, for another
        // process may write to the word without end.
        let mut now = self.asleep.load(Ordering::Relaxed);
        for _ in 0..ATTEMPTS {
            if now & ASLEEP == 0 {
                return false;
            }
            // One more clears the bit and counts: who was about to sleep on the old value does not.
            let next = now.wrapping_add(1);
            // Acquire pairs with the Release in `announce`. Release, with the fence there: who
            // announces after this sees what was published before it.
            match self.asleep.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        true
    }

    /// Leaves a number; who leaves one announces itself after that. `false`: there is no room for it.
    pub(crate) fn leave(&self, number: u64) -> bool {
        // Relaxed: if it is there, and is taken out just now, it is rung.
        if self.bells.iter().any(|bell| bell.load(Ordering::Relaxed) == number) {
            return true;
        }
        // Relaxed: the announcement publishes it.
        let leave = |bell: &AtomicU64| {
            bell.compare_exchange(NOBODY, number, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.bells.iter().any(leave)
    }

    /// Leaves a number where there is no room for it, in place of one that was left before: by somebody
    /// who waits no more, or has died, or who is to be rung now, so that it looks and comes again.
    pub(crate) fn displace(&self, turn: usize, number: u64) -> Option<u64> {
        // Relaxed: as in `leave`.
        let other = self.bells[turn % BELLS].swap(number, Ordering::Relaxed);
        (other != NOBODY).then_some(other)
    }

    /// Takes all numbers out and rings each, unless somebody else does.
    pub(crate) fn ring_all(&self, mut ring: impl FnMut(u64)) {
        for bell in &self.bells {
            // Relaxed: what was announced was acquired; of several, one takes it out.
            if bell.load(Ordering::Relaxed) != NOBODY {
                let number = bell.swap(NOBODY, Ordering::Relaxed);
                if number != NOBODY {
                    ring(number);
                }
            }
        }
    }
}
