//! Packets that come ahead of others, fill a gap or come again while nothing unusual goes on, so that
//! nothing has to be seen to but the gap and the line: most of those that do not come in order.
//!
//! Each of these does what [`Sequencer::other_packet`] would, or nothing.

use std::time::Instant;

use super::event::{Event, Gap, Line, Source};
use super::map::Bits;
use super::{Sequencer, Store, run};
use crate::format::{Expected, Format, holds};

/// Messages that have come on a line.
pub(super) struct Arrival<'a> {
    pub(super) now: Instant,
    pub(super) line: Line,
    /// Of the first, as it is on the wire.
    pub(super) number: u64,
    pub(super) count: u16,
    pub(super) body: &'a [u8],
}

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Takes a packet. Says whether it has: one of which some has come, but not all, or for which there
    /// is no room, it has not.
    #[inline]
    pub(super) fn usual_packet(
        &mut self,
        came: &Arrival<'_>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        let Some(first) = F::WIDTH.nearest_before(came.number, self.end) else {
            return self.leads(came, tell);
        };
        let numbers = Bits::of(first..first + u64::from(came.count));
        if numbers.end > self.end {
            return first == self.end && self.leads(came, tell);
        }
        if numbers.end <= self.next {
            self.comes_again(came, &numbers, tell);
            return true;
        }
        if numbers.first < self.next {
            return false;
        }
        if self.came.is_clear(&numbers) {
            return self.fills(came, &numbers, tell);
        }
        let is_again = self.came.is_set(&numbers) && holds::<F>(came.body, came.count).is_some();
        if is_again {
            self.comes_again(came, &numbers, tell);
        }
        is_again
    }

    /// Takes a packet that lies within what was seen, and of which nothing has come.
    #[inline]
    fn fills(
        &mut self,
        came: &Arrival<'_>,
        numbers: &Bits,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        let &Arrival { now, line, count, body, .. } = came;
        let Some(lie) = holds::<F>(body, count) else { return false };
        let source = Source::Line(line);
        if numbers.first == self.next {
            self.calm = Expected::NONE;
            let goes_on = self.takes_as_first(came, numbers);
            self.hand_on(source, numbers.range(), body, lie, tell);
            self.go_on(tell);
            self.see_whether_it_is_calm();
            if goes_on {
                self.ask_what_all_have_passed(now, tell);
            }
            return true;
        }
        let Some(key) = self.store.keep(body) else { return false };
        let goes_on = self.takes_as_first(came, numbers);
        self.keep(source, numbers, key, tell);
        if goes_on {
            self.ask_what_all_have_passed(now, tell);
        }
        true
    }

    /// Takes a packet that lies behind all that was seen, and not at once behind what was handed on.
    #[inline(never)]
    fn leads(&mut self, came: &Arrival<'_>, tell: &mut impl FnMut(Event<'_, F>)) -> bool {
        let &Arrival { now, line, number, count, body } = came;
        let first = F::WIDTH.nearest(number, self.end).filter(|first| *first <= run::FARTHEST);
        let Some(missing) = first.and_then(|first| first.checked_sub(self.end)) else {
            return false;
        };
        let first = self.end + missing;
        let numbers = &Bits::of(first..first + u64::from(count));
        let is_near = missing <= self.config.jump
            && numbers.end - self.next <= self.config.window
            && first != self.next;
        if !is_near || self.gaps.is_full() || holds::<F>(body, count).is_none() {
            return false;
        }
        let Some(key) = self.store.keep(body) else { return false };
        self.calm = Expected::NONE;
        if missing > 0 {
            self.stats.gaps += 1;
            let (present, future) = (self.next, first);
            let missing = (self.end..future).into();
            tell(Event::Gap(Gap { missing, present, future }));
            self.open_gap(now, future, true);
        }
        self.takes_as_first(came, numbers);
        self.keep(Source::Line(line), numbers, key, tell);
        self.ask_what_all_have_passed(now, tell);
        true
    }

    /// A line has brought something new. Says whether it is farther than before.
    #[inline(always)]
    fn takes_as_first(&mut self, came: &Arrival<'_>, numbers: &Bits) -> bool {
        self.firsts.note(numbers.first, came.line, came.now);
        let way = &mut self.ways[usize::from(came.line.0)];
        way.first += 1;
        way.fills(numbers)
    }

    /// A line has brought what has come already.
    fn comes_again(
        &mut self,
        came: &Arrival<'_>,
        numbers: &Bits,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        let late = self.firsts.late(numbers.first, came.line, came.now);
        let way = &mut self.ways[usize::from(came.line.0)];
        way.others += 1;
        if let Some(late) = late {
            way.is_late_by(late);
        }
        if way.fills(numbers) {
            self.ask_what_all_have_passed(came.now, tell);
        }
    }
}
