//! Since when what is missing is waited for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tautline_feed::sequence::{Gap, Numbers};

/// How far sound books are behind the lines, while a message is missing that may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Messages between what was applied and the latest that was seen, those that are missing included.
    pub messages: u64,
    /// For how long the message that is next has been missing: later ones had come by then.
    pub time: Duration,
}

/// Gaps that may be open, by their numbers, and when they appeared.
#[derive(Debug)]
pub(super) struct Waits {
    gaps: VecDeque<(Numbers, Instant)>,
    most: usize,
}

impl Waits {
    /// As many as the sequencer has open at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { gaps: VecDeque::with_capacity(most), most }
    }

    pub(super) fn appeared(&mut self, now: Instant, gap: Gap) {
        while self.gaps.front().is_some_and(|(numbers, _)| numbers.end <= gap.present) {
            self.gaps.pop_front();
        }
        if self.gaps.len() < self.most {
            let at = self.gaps.partition_point(|(numbers, _)| numbers.first < gap.missing.first);
            self.gaps.insert(at, (gap.missing, now));
        }
    }

    pub(super) fn repaired(&mut self, gap: Numbers) {
        let found = self.gaps.binary_search_by_key(&gap.first, |(numbers, _)| numbers.first);
        if let Ok(at) = found {
            self.gaps.remove(at);
        }
    }

    pub(super) fn clear(&mut self) {
        self.gaps.clear();
    }

    /// Since when the message `next` is missing, if it is.
    pub(super) fn since(&self, next: u64) -> Option<Instant> {
        let at = self.gaps.partition_point(|(numbers, _)| numbers.end <= next);
        let (numbers, since) = self.gaps.get(at)?;
        (numbers.first <= next).then_some(*since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(first: u64, end: u64, present: u64) -> Gap {
        Gap { missing: (first..end).into(), present, future: end + 1 }
    }

    /// The wait for a number began when its gap appeared, whatever has become of the gaps before it, and no
    /// more gaps are kept than there is room for.
    #[test]
    fn waits_begin_with_their_gaps() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut waits = Waits::new(3);
        waits.appeared(at(1), gap(5, 7, 5));
        waits.appeared(at(2), gap(9, 10, 5));
        waits.appeared(at(3), gap(12, 13, 5));
        waits.appeared(at(4), gap(15, 16, 5));
        let known = [4, 5, 6, 7, 9, 12, 15].map(|next| waits.since(next));
        let [first, second, third] = [1, 2, 3].map(|ms| Some(at(ms)));
        assert_eq!(known, [None, first, first, None, second, third, None]);
        waits.repaired((9..10).into());
        waits.repaired((99..100).into());
        assert_eq!((waits.since(9), waits.since(12)), (None, third));
        waits.appeared(at(5), gap(18, 20, 13));
        assert_eq!((waits.since(5), waits.since(12)), (None, None), "they are over");
        // One that a snapshot has left before all others.
        waits.appeared(at(6), gap(14, 15, 14));
        assert_eq!([14, 18].map(|next| waits.since(next)), [6, 5].map(|ms| Some(at(ms))));
        waits.clear();
        assert_eq!(waits.since(18), None);
    }
}
