//! While a snapshot is waited for messages are kept, the oldest being given up for newer ones; when it
//! has come they go on from its number.

use std::time::Instant;

use super::event::{Event, Gap, Lost, Source};
use super::gaps::Open;
use super::{Sequencer, Store, later};
use crate::format::Format;

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Gives up what is oldest: messages that are kept, or that are missing, but none of these from
    /// `limit` on.
    pub(super) fn drop_first(&mut self, limit: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        debug_assert!(self.is_held && self.next < self.end);
        if self.next >= limit {
            return;
        }
        let end = if self.pieces[self.place(self.next)].count > 0 {
            self.release(self.next)
        } else {
            let missing = self.came.first_clear(self.next..self.end);
            let missing = missing.expect("the next number has not come");
            let gap = self.gaps.of(self.next).expect("what has not come is in a gap");
            let end = missing.end.min(gap.numbers.end).min(limit);
            gap.missing -= end - self.next;
            end
        };
        for gap in self.gaps.iter_mut().take_while(|gap| gap.numbers.start < end) {
            gap.is_whole = false;
        }
        self.lose(end, Lost::SnapshotLate, tell);
        self.floor = end;
        self.gaps.tidy();
    }

    /// Gives up all that is kept or missing: nobody can tell what it would be applied to.
    pub(super) fn drop_all(&mut self, why: Lost, tell: &mut impl FnMut(Event<'_, F>)) {
        self.release_below(self.end);
        self.gaps.clear();
        if self.next < self.end {
            self.lose(self.end, why, tell);
        }
        self.floor = self.next;
    }

    /// Lets all pieces go that end below that number or with it.
    fn release_below(&mut self, end: u64) {
        let mut at = self.came.first_set(self.next..end);
        while at < end {
            if at + u64::from(self.pieces[self.place(at)].count) > end {
                return;
            }
            let behind = self.release(at);
            at = self.came.first_set(behind..end);
        }
    }

    /// The snapshot has all below `next`, which nobody has been handed, nor told to be lost.
    pub(super) fn begin_with_snapshot(
        &mut self,
        now: Instant,
        next: u64,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        self.is_held = false;
        if next < self.next {
            self.lack_before(now, next, tell);
        } else {
            self.skip_to(next, tell);
        }
        self.go_on(tell);
    }

    /// What lies between the snapshot and what was kept is a gap.
    fn lack_before(&mut self, now: Instant, next: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        let old = self.next;
        self.stats.gaps += 1;
        self.next = next;
        let missing = (next..old).into();
        tell(Event::Gap(Gap { missing, present: next, future: self.end }));
        self.gaps.forget_repaired();
        let most = self.end.saturating_sub(self.config.window);
        let start = if self.gaps.is_full() { old } else { next.max(most) };
        if next < start {
            self.lose(start, Lost::NoSpace, tell);
        }
        if start < old {
            self.gaps.push_front(Open {
                numbers: start..old,
                missing: old - start,
                is_whole: start == next,
                deadline: later(now, self.config.deadline),
                lost: None,
                // The lines have passed it.
                due: self.config.requests.map(|_| now),
                asked: start,
                attempts: 0,
            });
        }
    }

    /// What lies before the snapshot need not be handed on.
    fn skip_to(&mut self, next: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        let known = next.min(self.end);
        let mut at = self.next;
        while let Some(missing) = self.came.first_clear(at..known) {
            at = missing.end;
            self.filled(Source::Snapshot, missing, tell);
        }
        self.release_below(known);
        let first = self.came.first_set(self.next..known);
        self.next = next;
        self.end = self.end.max(next);
        if first < known {
            // Of one piece the snapshot has some, but not all.
            self.hand_on_kept(first, tell);
            self.came.clear(first..self.next);
        }
    }
}
