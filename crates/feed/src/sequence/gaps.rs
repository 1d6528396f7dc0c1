//! Gaps that are open, oldest first.
//!
//! A gap appears behind all that was seen, so that gaps lie in the order of their numbers and of their
//! deadlines alike. What comes of one in the midst does not split it: which of its numbers are
//! missing the map says, and the gap counts them.

use std::collections::{TryReserveError, VecDeque};
use std::ops::Range;
use std::time::Instant;

use super::event::Lost;

/// A gap that was told.
#[derive(Debug)]
pub(super) struct Open {
    /// As it was told.
    pub(super) numbers: Range<u64>,
    /// Numbers that have not come. None: it is over, and waits for those before it.
    pub(super) missing: u64,
    /// None of it was lost, so that it is repaired when nothing is missing any more.
    pub(super) is_whole: bool,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Given up: what is still missing is passed over at once, but for what is at hand.
    pub(super) lost: Option<Lost>,
    /// When it is asked for; `None`: never again.
    pub(super) due: Option<Instant>,
    /// What lies below has been asked for this time.
    pub(super) asked: u64,
    /// Times that all of it has been asked for.
    pub(super) attempts: u32,
}

impl Open {
    /// When it is asked for, if something is missing that may still come.
    fn waits_until(&self) -> Option<Instant> {
        self.due.filter(|_| self.missing > 0 && self.lost.is_none())
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Gaps {
    open: VecDeque<Open>,
    /// The count of the oldest: each that comes behind it has the next.
    oldest: u32,
    /// By the lowest bits of a number that is in a gap: the count of that gap.
    counts: Box<[u32]>,
    most: usize,
    /// Those before were passed by all lines.
    passed: usize,
    /// The count of the one that is due first, and when that is. Nobody is ever due before that time;
    /// if this one is not due then any more, the next one has to be found.
    first_due: Option<(u32, Instant)>,
}

/// So many gaps are all looked at for the one that is due first.
const FEW: usize = 8;

impl Gaps {
    /// At most so many at once, within a window of so many numbers, a power of two.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(super) fn new(most: usize, window: u64) -> Result<Self, TryReserveError> {
        let (mut open, mut counts) = (VecDeque::new(), Vec::new());
        open.try_reserve_exact(most)?;
        counts.try_reserve_exact(window as usize)?;
        counts.resize(window as usize, 0);
        let counts = counts.into();
        Ok(Self { open, oldest: 0, counts, most, passed: 0, first_due: None })
    }

    /// Notes to which gap the numbers belong.
    fn note(&mut self, count: u32, numbers: Range<u64>) {
        // Of one that is larger than the window nobody asks for what is before it.
        let window = self.counts.len();
        let first = numbers.start.max(numbers.end.saturating_sub(window as u64));
        let start = first as usize & (window - 1);
        let (before, behind) = self.counts.split_at_mut(start);
        let numbers = (numbers.end - first) as usize;
        behind.iter_mut().chain(before).take(numbers).for_each(|gap| *gap = count);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() == self.most
    }

    /// Adds one, which lies behind all others.
    pub(super) fn push(&mut self, gap: Open) {
        debug_assert!(self.open.back().is_none_or(|last| last.numbers.end <= gap.numbers.start));
        debug_assert!(!self.is_full());
        let count = self.oldest.wrapping_add(self.open.len() as u32);
        self.note(count, gap.numbers.clone());
        self.note_due(count, gap.due);
        self.open.push_back(gap);
    }

    /// Adds one, which lies before all others, and which all lines have passed.
    pub(super) fn push_front(&mut self, gap: Open) {
        debug_assert!(self.open.front().is_none_or(|next| gap.numbers.end <= next.numbers.start));
        debug_assert!(!self.is_full());
        self.oldest = self.oldest.wrapping_sub(1);
        self.note(self.oldest, gap.numbers.clone());
        self.note_due(self.oldest, gap.due);
        self.open.push_front(gap);
        self.passed += 1;
    }

    /// Those that are open.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Open> {
        self.open.iter_mut().filter(|gap| gap.missing > 0)
    }

    /// All, also those of which nothing is missing.
    #[cfg(any(test, feature = "trial"))]
    pub(super) fn all(&self) -> impl Iterator<Item = &Open> {
        self.open.iter()
    }

    /// The oldest that is open.
    pub(super) fn first(&mut self) -> Option<&mut Open> {
        self.open.front_mut()
    }

    /// The one in which that number lies, which has not come and is not handed on or lost.
    pub(super) fn of(&mut self, number: u64) -> Option<&mut Open> {
        let gap = self.open.get_mut(self.place(number));
        gap.filter(|gap| gap.numbers.contains(&number))
    }

    /// The same, to look at.
    #[cfg(any(test, feature = "trial"))]
    pub(super) fn gap_of(&self, number: u64) -> Option<&Open> {
        self.open.get(self.place(number))
    }

    /// Where the gap lies that number was noted for; if it has been forgotten, beyond all.
    fn place(&self, number: u64) -> usize {
        let count = self.counts[number as usize & (self.counts.len() - 1)];
        count.wrapping_sub(self.oldest) as usize
    }

    /// Forgets those at the front of which nothing is missing.
    pub(super) fn tidy(&mut self) {
        while self.open.front().is_some_and(|gap| gap.missing == 0) {
            self.open.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
            self.passed = self.passed.saturating_sub(1);
        }
    }

    /// Forgets all of which nothing is missing, also in the midst.
    pub(super) fn forget_repaired(&mut self) {
        if self.open.iter().all(|gap| gap.missing > 0) {
            return;
        }
        self.passed = self.open.iter().take(self.passed).filter(|gap| gap.missing > 0).count();
        self.oldest = self.oldest.wrapping_add(self.open.len() as u32);
        self.open.retain(|gap| gap.missing > 0);
        for at in 0..self.open.len() {
            self.note(self.oldest.wrapping_add(at as u32), self.open[at].numbers.clone());
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.oldest = self.oldest.wrapping_add(self.open.len() as u32);
        self.open.clear();
        self.passed = 0;
    }

    /// When the first of those is due that are open and not given up. Where there are many it may be
    /// earlier, when one would have been due that has come since: to be woken in vain now and then
    /// costs less than to look at all each time.
    pub(super) fn due(&mut self) -> Option<Instant> {
        if self.open.len() <= FEW || self.first_due.is_none() {
            self.first_due = self.known_due().or_else(|| self.find_due());
        }
        self.first_due.map(|(_, due)| due)
    }

    /// All that was due by now has been seen to.
    pub(super) fn see_who_is_next(&mut self, now: Instant) {
        self.first_due = self.first_due.filter(|&(_, due)| due > now);
    }

    /// A gap is due at another time than before, unless that is later.
    fn note_due(&mut self, count: u32, due: Option<Instant>) {
        if let (Some((_, first)), Some(due)) = (self.first_due, due)
            && due < first
        {
            self.first_due = Some((count, due));
        }
    }

    /// What is known of the one that is due first, if that is still so.
    pub(super) fn known_due(&self) -> Option<(u32, Instant)> {
        self.first_due.filter(|&(count, due)| {
            let gap = self.open.get(count.wrapping_sub(self.oldest) as usize);
            gap.is_some_and(|gap| gap.waits_until() == Some(due))
        })
    }

    /// Nobody is due before.
    #[cfg(any(test, feature = "trial"))]
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.first_due.map(|(_, due)| due)
    }

    /// Looks at all of them.
    pub(super) fn find_due(&self) -> Option<(u32, Instant)> {
        let all = self.open.iter().enumerate();
        let due = all.filter_map(|(at, gap)| {
            Some((self.oldest.wrapping_add(at as u32), gap.waits_until()?))
        });
        due.min_by_key(|&(_, due)| due)
    }

    /// All lines have passed what lies below: what is missing there is asked for without delay. Says
    /// whether that is any more than before.
    pub(super) fn pass(&mut self, below: u64, now: Instant) -> bool {
        let before = self.passed;
        while let Some(gap) = self.open.get_mut(self.passed).filter(|gap| gap.numbers.end <= below)
        {
            if gap.attempts == 0 && gap.missing > 0 {
                gap.due = gap.due.map(|due| due.min(now));
                let (count, due) = (self.oldest.wrapping_add(self.passed as u32), gap.due);
                self.note_due(count, due);
            }
            self.passed += 1;
        }
        self.passed > before
    }
}
