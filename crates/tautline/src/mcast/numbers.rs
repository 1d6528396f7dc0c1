//! What numbers tell: which are missing, which came late, and which came twice.

use tautline_feed::format::{Kind, Width};

use super::header::Header;

/// Numbers that are remembered behind the newest one: what comes later than that has come too late
/// to be told from a copy.
const MEMORY: u64 = 1 << 15;

/// What was counted of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Numbers that came, each once.
    pub(crate) received: u64,
    /// Numbers that were passed over and have not come yet.
    pub(crate) lost: u64,
    /// Packets with numbers that had been passed over.
    pub(crate) reordered: u64,
    /// Packets of which every number had come before.
    pub(crate) duplicates: u64,
    /// Times that the numbers began anew.
    pub(crate) restarts: u64,
}

/// Follows the numbers of one stream. Bounded: it has a bit for each of the last [`MEMORY`] numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    counts: Counts,
    width: Width,
    /// The number that comes next; `None` before the first packet.
    next: Option<u64>,
    /// The first number that was ever expected: nothing before it is missing.
    first: u64,
    /// A bit for each number, by its remainder: whether it came.
    came: Vec<u64>,
    /// Behind a packet that fitted nowhere: where the next one would go on if the numbers began
    /// anew.
    anew: Option<u64>,
}

impl Numbers {
    /// Before the first packet.
    pub(crate) fn new(width: Width) -> Self {
        let came = vec![0; (MEMORY / 64) as usize];
        Self { counts: Counts::default(), width, next: None, first: 0, came, anew: None }
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a packet.
    pub(crate) fn take(&mut self, header: &Header) {
        let (wire, count) = (header.number, header.count());
        let near = match self.next {
            Some(next) => self.near(next, wire),
            None => Some(self.begin(wire)),
        };
        let number = match near {
            Some(number) => number,
            None if self.anew == Some(wire) => {
                self.counts.restarts += 1;
                self.begin(wire)
            }
            None => {
                self.anew = Some(self.width.cut(wire.wrapping_add(count)));
                return;
            }
        };
        self.anew = None;
        self.take_run(number, count, header.kind);
    }

    /// Forgets what came, and takes `wire` as the first number. It is set so high that numbers just
    /// before it, which may still come, have a place too.
    fn begin(&mut self, wire: u64) -> u64 {
        let number = match self.width {
            Width::U16 => wire + (1 << 16),
            Width::U32 => wire + (1 << 32),
            Width::U64 => wire,
        };
        (self.next, self.first) = (Some(number), number);
        self.came.fill(0);
        number
    }

    /// The number of 64 bits that a packet has, unless it is so far from the one expected that it
    /// hardly belongs to the same run.
    fn near(&self, next: u64, wire: u64) -> Option<u64> {
        let number = self.width.nearest(wire, next)?;
        let (ahead, behind) = match self.width {
            Width::U16 => (1 << 13, 1 << 12),
            Width::U32 | Width::U64 => (1 << 20, MEMORY),
        };
        let is_near = number.saturating_sub(next) < ahead && next.saturating_sub(number) < behind;
        is_near.then_some(number)
    }

    fn take_run(&mut self, first: u64, count: u64, kind: Kind) {
        let next = self.next.unwrap_or(first);
        self.pass_over(next, first);
        let (mut fresh, mut is_late) = (0, false);
        let end = first.saturating_add(count);
        for number in (first..end).filter(|number| self.set(*number, next)) {
            fresh += 1;
            is_late |= number < next;
        }
        self.counts.received += fresh;
        self.counts.reordered += u64::from(is_late);
        self.counts.duplicates += u64::from(fresh == 0 && matches!(kind, Kind::Messages(_)));
        self.next = Some(next.max(end));
    }

    /// Numbers before `first` have not come.
    fn pass_over(&mut self, next: u64, first: u64) {
        self.counts.lost += first.saturating_sub(next);
        for number in first.saturating_sub(MEMORY).max(next)..first {
            let (word, bit) = place(number);
            self.came[word] &= !bit;
        }
    }

    /// Notes that a number came: whether it came for the first time.
    fn set(&mut self, number: u64, next: u64) -> bool {
        let (word, bit) = place(number);
        let is_copy = number < next && self.came[word] & bit != 0;
        self.came[word] |= bit;
        if !is_copy && (self.first..next).contains(&number) {
            self.counts.lost -= 1;
        }
        !is_copy
    }
}

/// Where the bit of a number is.
fn place(number: u64) -> (usize, u64) {
    let at = number % MEMORY;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use tautline_feed::format::Session;

    use super::super::header::Stream;
    use super::*;

    fn header(number: u64, count: u16) -> Header {
        let kind = if count == 0 { Kind::Heartbeat } else { Kind::Messages(count) };
        let stream = Stream::Compact(Session::of_number(1));
        Header { stream, number, kind, payload_type: None }
    }

    fn counted(width: Width, runs: &[(u64, u16)]) -> Counts {
        let mut numbers = Numbers::new(width);
        runs.iter().for_each(|(number, count)| numbers.take(&header(*number, *count)));
        numbers.counts()
    }

    fn counts(received: u64, lost: u64, reordered: u64, duplicates: u64) -> Counts {
        Counts { received, lost, reordered, duplicates, restarts: 0 }
    }

    /// Proves that a number that is missing counts as lost until it comes, and then as late.
    #[test]
    fn lost_numbers_may_come_late() {
        assert_eq!(counted(Width::U32, &[(5, 1), (6, 1), (9, 2)]), counts(4, 2, 0, 0));
        assert_eq!(counted(Width::U32, &[(5, 1), (6, 1), (9, 2), (7, 2)]), counts(6, 0, 1, 0));
        assert_eq!(counted(Width::U32, &[(5, 1), (9, 1), (7, 1)]), counts(3, 2, 1, 0));
    }

    /// Proves that a copy is a copy however often it comes, and that a packet that overlaps others
    /// counts for what is new in it.
    #[test]
    fn copies_are_counted_once() {
        assert_eq!(counted(Width::U64, &[(1, 2), (1, 2), (2, 1)]), counts(2, 0, 0, 2));
        assert_eq!(counted(Width::U64, &[(1, 3), (2, 4)]), counts(5, 0, 0, 0));
        assert_eq!(counted(Width::U64, &[(1, 1), (5, 1), (3, 2), (3, 2)]), counts(4, 1, 1, 1));
    }

    /// Proves that the packet after which there is silence is missed by what a heartbeat names, and
    /// that heartbeats are no copies.
    #[test]
    fn heartbeats_tell_what_is_missing() {
        assert_eq!(counted(Width::U32, &[(1, 1), (2, 0), (2, 0)]), counts(1, 0, 0, 0));
        assert_eq!(counted(Width::U32, &[(1, 1), (3, 0), (3, 0)]), counts(1, 1, 0, 0));
    }

    /// Proves that numbers that wrap around are followed, also where the first packets come out of
    /// order across the end.
    #[test]
    fn numbers_wrap_around() {
        assert_eq!(counted(Width::U16, &[(65_535, 1), (1, 1), (0, 1)]), counts(3, 0, 1, 0));
        assert_eq!(counted(Width::U16, &[(0, 1), (65_535, 1), (65_535, 1)]), counts(2, 0, 1, 1));
        assert_eq!(counted(Width::U32, &[(u64::from(u32::MAX), 1), (0, 1)]), counts(2, 0, 0, 0));
    }

    /// Proves that one packet far off changes nothing, and that two that go on from each other are
    /// a new run of numbers.
    #[test]
    fn numbers_that_begin_anew_are_noticed() {
        let far = 1 << 30;
        assert_eq!(counted(Width::U32, &[(1, 1), (far, 1), (2, 1), (far, 1)]), counts(2, 0, 0, 0));
        let anew = counted(Width::U32, &[(far, 1), (1, 1), (2, 1), (3, 1)]);
        assert_eq!(anew, Counts { restarts: 1, ..counts(3, 0, 0, 0) });
    }

    proptest! {
        /// Proves that the counts are those of a naive reference, whatever order, loss and copies
        /// there are within the memory.
        #[test]
        fn counts_are_those_of_a_set(first in 0..70_000u64, steps in proptest::collection::vec((-40i64..60, 1u16..5), 1..200)) {
            let width = Width::U32;
            let mut numbers = Numbers::new(width);
            let (mut came, mut next) = (HashSet::new(), first);
            let mut wanted = Counts::default();
            for (at, &(step, count)) in steps.iter().enumerate() {
                let number = if at == 0 { first } else { next.saturating_add_signed(step) };
                numbers.take(&header(number, count));
                let run = number..number + u64::from(count);
                let fresh: Vec<_> = run.clone().filter(|it| came.insert(*it)).collect();
                wanted.received += fresh.len() as u64;
                wanted.duplicates += u64::from(fresh.is_empty());
                wanted.reordered += u64::from(fresh.iter().any(|it| *it < next));
                next = next.max(run.end);
            }
            wanted.lost = (first..next).filter(|it| !came.contains(it)).count() as u64;
            prop_assert_eq!(numbers.counts(), wanted);
        }

        /// Proves that no numbers make it panic, and that it never counts more as received than came.
        #[test]
        fn any_numbers_can_come(runs in proptest::collection::vec((any::<u64>(), 0u16..300), 0..60)) {
            for width in [Width::U16, Width::U32, Width::U64] {
                let runs: Vec<_> = runs.iter().map(|(number, count)| (width.cut(*number), *count)).collect();
                let most: u64 = runs.iter().map(|(_, count)| u64::from(*count)).sum();
                prop_assert!(counted(width, &runs).received <= most);
            }
        }
    }
}
