//! What a loop's thread shows of its turn.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Instant;

/// Bits of the name's length in the word that publishes it; the address has the rest.
const LENGTH_BITS: u32 = 16;
const ADDRESS_BITS: u32 = u64::BITS - LENGTH_BITS;

/// Written by the loop's thread alone, read by the watcher.
///
/// Every store is Release and every load Acquire: a reader that sees anything of a turn
/// sees the turn's number too, and so notices at the second look at it.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Beacon {
    /// Grows by one when a turn begins and when it ends: odd while one runs.
    turn: AtomicU64,
    /// When the turn began, in nanoseconds.
    since: AtomicU64,
    /// The handler that runs: its name's address below, its length above, in one word, so
    /// that the two never come from different names. 0 for none.
    handler: AtomicU64,
}

/// A turn that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) since: Instant,
    pub(super) handler: Option<&'static str>,
}

impl Beacon {
    #[inline]
    pub(super) fn turn_begin(&self, now: Instant) {
        self.since.store(now.as_nanos(), Ordering::Release);
        self.handler.store(0, Ordering::Release);
        // One more than an even number, whether or not the last turn's end was told.
        let number = (self.turn.load(Ordering::Relaxed) | 1) + 2;
        self.turn.store(number, Ordering::Release);
    }

    #[inline]
    pub(super) fn dispatch(&self, name: &'static str) {
        self.handler.store(pack(name), Ordering::Release);
    }

    #[inline]
    pub(super) fn turn_end(&self) {
        let number = self.turn.load(Ordering::Relaxed);
        self.turn.store(number & !1, Ordering::Release);
    }

    /// The turn that is running, if one is.
    pub(super) fn look(&self) -> Option<Turn> {
        let number = self.turn.load(Ordering::Acquire);
        let since = Instant::from_nanos(self.since.load(Ordering::Acquire));
        let handler = unpack(self.handler.load(Ordering::Acquire));
        let still = self.turn.load(Ordering::Acquire) == number;
        (number % 2 == 1 && still).then_some(Turn { number, since, handler })
    }
}

/// A name in one word. Names longer than the word can tell, and addresses that do not
/// fit, count as no name; no such are known.
#[inline]
fn pack(name: &'static str) -> u64 {
    let address = name.as_ptr().expose_provenance() as u64;
    let length = name.len() as u64;
    if address >> ADDRESS_BITS != 0 || length >> LENGTH_BITS != 0 {
        return 0;
    }
    length << ADDRESS_BITS | address
}

fn unpack(word: u64) -> Option<&'static str> {
    if word == 0 {
        return None;
    }
    let address = (word & ((1 << ADDRESS_BITS) - 1)) as usize;
    let length = (word >> ADDRESS_BITS) as usize;
    // SAFETY: only `pack` makes such a word, from a `&'static str` whose provenance it
    // exposed; both parts come from the same one, and it lives for ever.
    unsafe {
        let bytes = std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address), length);
        Some(std::str::from_utf8_unchecked(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the loop shows is what the watcher sees, and only while a turn runs.
    #[test]
    fn shows_the_turn_while_it_runs() {
        let beacon = Beacon::default();
        assert_eq!(beacon.look(), None);
        beacon.turn_begin(Instant::from_nanos(7));
        let first = beacon.look().expect("running");
        assert_eq!((first.since, first.handler), (Instant::from_nanos(7), None));
        beacon.dispatch("reader");
        assert_eq!(beacon.look(), Some(Turn { handler: Some("reader"), ..first }));
        beacon.turn_end();
        assert_eq!(beacon.look(), None);
        beacon.turn_begin(Instant::from_nanos(9));
        let second = beacon.look().expect("running");
        assert!(second.number != first.number && second.handler.is_none());
    }

    /// Turns whose end was never told are told apart all the same.
    #[test]
    fn turns_without_an_end_have_different_numbers() {
        let beacon = Beacon::default();
        beacon.turn_begin(Instant::from_nanos(1));
        let first = beacon.look().expect("running").number;
        beacon.turn_begin(Instant::from_nanos(2));
        assert_ne!(beacon.look().expect("running").number, first);
    }

    /// Names survive the packing, the empty one and non-ASCII ones too.
    #[test]
    fn names_survive_packing() {
        for name in ["", "a", "häßlich", std::any::type_name::<Beacon>()] {
            assert_eq!(unpack(pack(name)), Some(name));
        }
        assert_eq!(unpack(0), None);
    }

    /// Under constant change a reader never sees a name that was never shown, nor a turn
    /// with the time of another.
    #[test]
    fn readers_see_no_mixture() {
        let beacon = Beacon::default();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 1..200_000 {
                    beacon.turn_begin(Instant::from_nanos(turn));
                    beacon.dispatch(if turn % 2 == 0 { "even" } else { "the odd one" });
                    beacon.turn_end();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let Some(turn) = beacon.look() else { continue };
                let expected = if turn.since.as_nanos() % 2 == 0 { "even" } else { "the odd one" };
                assert!(turn.handler.is_none_or(|handler| handler == expected));
                assert_eq!(turn.number, 2 * turn.since.as_nanos() + 1);
            }
        });
    }
}
