//! That all parts of a sequencer agree, found out the long way: for tests.

use super::{Expected, Sequencer, Store};
use crate::format::Format;

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Whether it is sound, between two calls.
    ///
    /// # Panics
    /// If it is not.
    pub(crate) fn check(&self) {
        let kept = self.kept();
        self.check_gaps(&kept);
        let Self { next, end, is_held, came, gaps, config, .. } = self;
        assert!(*end - *next <= config.window);
        for (number, kept) in (*next..*end).zip(&kept) {
            assert_eq!(came.first_set(number..number + 1) == number, *kept);
        }
        assert_eq!(came.first_set(*end..*next + config.window), *next + config.window);
        assert!(*is_held || next == end || !kept[0], "{next} is not handed on");
        assert!(*is_held || next != end || gaps.is_empty());
        self.check_calm();
    }

    /// Which numbers from the next on are kept.
    fn kept(&self) -> Vec<bool> {
        let mut kept = vec![false; (self.end - self.next) as usize];
        let mut pieces = self.pieces.iter().filter(|piece| piece.count > 0).count();
        for first in self.next..self.end {
            let count = usize::from(self.pieces[self.place(first)].count);
            pieces -= usize::from(count > 0);
            for kept in &mut kept[(first - self.next) as usize..][..count] {
                assert!(!std::mem::replace(kept, true), "some of {first} twice");
            }
        }
        assert_eq!(pieces, 0, "kept, but not waited for");
        kept
    }

    /// What is not kept is in a gap, and counted there.
    fn check_gaps(&self, kept: &[bool]) {
        let (gaps, end) = (&self.gaps, self.end);
        for (number, kept) in (self.next..end).zip(kept) {
            let gap = gaps.gap_of(number).filter(|_| !kept);
            assert!(*kept || gap.is_some_and(|gap| gap.numbers.contains(&number)), "{number}");
        }
        let missing = kept.iter().filter(|kept| !**kept).count() as u64;
        assert_eq!(gaps.all().map(|gap| gap.missing).sum::<u64>(), missing);
        assert!(gaps.all().all(|gap| gap.lost.is_none() && gap.numbers.end <= end));
        assert!(gaps.all().count() <= self.config.gaps);
        assert!(gaps.all().is_sorted_by(|one, two| one.numbers.end <= two.numbers.start));
        let (known, first) = (gaps.known_due(), gaps.find_due());
        assert!(known.is_none() || known.map(|(_, due)| due) == first.map(|(_, due)| due));
        assert!(gaps.first_due().is_none_or(|known| first.is_none_or(|(_, due)| known <= due)));
    }

    /// Packets are looked at in short only if nothing unusual has happened.
    fn check_calm(&self) {
        let Some(session) = self.session else { return assert_eq!(self.usual, Expected::NONE) };
        let is_usual =
            !self.is_held && !self.is_stale && self.leap.count == 0 && self.finish.is_none();
        assert_eq!(self.usual.is(session), is_usual);
        assert_eq!(self.calm.is(session), is_usual && self.next == self.end);
    }
}
