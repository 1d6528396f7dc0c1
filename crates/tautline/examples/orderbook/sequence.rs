//! How a snapshot and a stream of increments are joined, as exchanges prescribe it.
//!
//! Increments are held until a snapshot comes. Those that it contains are dropped; the first
//! that is applied must reach over the snapshot's end, and each further one must begin where the
//! last has ended. One that came before is dropped. Anything else means that something is
//! missing: the increment is held, and a new snapshot is to be asked for.
//!
//! No input, no output, no clock, no books: ids go in, [`Step`]s come out.

use std::collections::VecDeque;

use serde::Deserialize;

/// Where in the stream of changes of one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub(crate) struct UpdateId(pub(crate) u64);

impl UpdateId {
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The changes that one increment holds, from `first` to `last`; `first` is not the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) first: UpdateId,
    pub(crate) last: UpdateId,
}

/// What is to be done with an increment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// It is the next one.
    Apply(T),
    /// The book contains it already.
    Drop,
    /// It waits here for a snapshot that has been asked for.
    Hold,
    /// The stream cannot be followed without another snapshot.
    Ask,
}

/// What is to be done with a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It is the book now; what was held follows by [`Sequence::release`].
    Replace,
    /// It ends before what is held begins: ask for another.
    Ask,
    /// Nothing is missing: forget it.
    Forget,
}

/// How often each thing was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Increments that became part of the book.
    pub(crate) applied: u64,
    /// Increments that had been applied before.
    pub(crate) duplicates: u64,
    /// Increments that the snapshot contained.
    pub(crate) covered: u64,
    /// Places at which the stream went on later than it should.
    pub(crate) gaps: u64,
    /// Increments of which a part had been applied before.
    pub(crate) overlaps: u64,
    /// Times that more had to be held than may be.
    pub(crate) overflows: u64,
    /// Snapshots that were joined.
    pub(crate) snapshots: u64,
    /// Snapshots that ended too early.
    pub(crate) too_old: u64,
}

impl Counters {
    pub(crate) fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.duplicates += other.duplicates;
        self.covered += other.covered;
        self.gaps += other.gaps;
        self.overlaps += other.overlaps;
        self.overflows += other.overflows;
        self.snapshots += other.snapshots;
        self.too_old += other.too_old;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For a snapshot.
    Waiting,
    /// The book is the snapshot that ends here.
    Joined(UpdateId),
    /// An increment that ends here was the last to be applied.
    Following(UpdateId),
}

/// One symbol's stream. It begins by waiting for a snapshot.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    state: State,
    /// In order of arrival. Empty unless waiting, or until all of it is released.
    held: VecDeque<(Ids, T)>,
    /// How many may be held.
    limit: usize,
    /// Where the exchange says that the stream has ended.
    end: Option<UpdateId>,
    counters: Counters,
}

impl<T> Sequence<T> {
    /// Holds at most `limit` increments.
    pub(crate) fn new(limit: usize) -> Self {
        let counters = Counters::default();
        Self { state: State::Waiting, held: VecDeque::new(), limit, end: None, counters }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How far the book is; none while a snapshot is awaited.
    pub(crate) fn position(&self) -> Option<UpdateId> {
        match self.state {
            State::Waiting => None,
            State::Joined(last) | State::Following(last) => Some(last),
        }
    }

    /// Whether the stream has ended and the book is as far.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some() && self.position() >= self.end
    }

    /// An increment has come.
    pub(crate) fn increment(&mut self, ids: Ids, what: T) -> Step<T> {
        debug_assert!(ids.first <= ids.last);
        debug_assert!(self.position().is_none() || self.held.is_empty(), "release comes first");
        match self.position() {
            None => self.hold(ids, what),
            Some(last) => self.judge(last, ids, what),
        }
    }

    /// A snapshot has come that holds everything up to `last`.
    pub(crate) fn snapshot(&mut self, last: UpdateId) -> Join {
        if self.position().is_some() {
            return Join::Forget;
        }
        if self.held.front().is_some_and(|(ids, _)| ids.first > last.next()) {
            self.counters.too_old += 1;
            return Join::Ask;
        }
        self.state = State::Joined(last);
        self.counters.snapshots += 1;
        Join::Replace
    }

    /// After [`Join::Replace`]: the next of those that were held, until there is none.
    pub(crate) fn release(&mut self) -> Option<Step<T>> {
        let last = self.position()?;
        match self.held.pop_front() {
            Some((ids, what)) => Some(self.judge(last, ids, what)),
            None => self.tail_is_missing().then(|| self.ask_for_tail()),
        }
    }

    /// The exchange says that the stream has ended with `last`.
    pub(crate) fn end(&mut self, last: UpdateId) -> Step<T> {
        self.end = Some(last);
        if self.tail_is_missing() { self.ask_for_tail() } else { Step::Drop }
    }

    fn tail_is_missing(&self) -> bool {
        self.position().is_some_and(|position| Some(position) < self.end)
    }

    fn ask_for_tail(&mut self) -> Step<T> {
        self.counters.gaps += 1;
        self.state = State::Waiting;
        Step::Ask
    }

    fn judge(&mut self, last: UpdateId, ids: Ids, what: T) -> Step<T> {
        let joined = matches!(self.state, State::Joined(_));
        if ids.last <= last {
            let count = &mut self.counters;
            *(if joined { &mut count.covered } else { &mut count.duplicates }) += 1;
            return Step::Drop;
        }
        if ids.first == last.next() || (joined && ids.first <= last) {
            self.counters.applied += 1;
            self.state = State::Following(ids.last);
            return Step::Apply(what);
        }
        let count = &mut self.counters;
        *(if ids.first <= last { &mut count.overlaps } else { &mut count.gaps }) += 1;
        self.state = State::Waiting;
        // It came before all others that are still held.
        self.held.push_front((ids, what));
        Step::Ask
    }

    /// Too many of them are worth nothing: what comes next is joined with another snapshot.
    fn hold(&mut self, ids: Ids, what: T) -> Step<T> {
        let full = self.held.len() >= self.limit;
        if full {
            self.counters.overflows += 1;
            self.held.clear();
        }
        self.held.push_back((ids, what));
        if full { Step::Ask } else { Step::Hold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose increments are named by their first id.
    struct Stream(Sequence<u64>);

    impl Stream {
        /// Joined with a snapshot that ends with `last`.
        fn joined(last: u64) -> Self {
            let mut stream = Self(Sequence::new(4));
            assert_eq!(stream.snapshot(last), (Join::Replace, vec![]));
            stream
        }

        fn increment(&mut self, first: u64, last: u64) -> Step<u64> {
            let ids = Ids { first: UpdateId(first), last: UpdateId(last) };
            self.0.increment(ids, first)
        }

        /// With the steps that follow it.
        fn snapshot(&mut self, last: u64) -> (Join, Vec<Step<u64>>) {
            let join = self.0.snapshot(UpdateId(last));
            (join, std::iter::from_fn(|| self.0.release()).collect())
        }

        fn position(&self) -> Option<u64> {
            self.0.position().map(|id| id.0)
        }
    }

    /// Proves that increments are held until a snapshot comes; that those which it contains are
    /// dropped, and the first that is applied reaches over its end.
    #[test]
    fn held_increments_join_the_snapshot() {
        let mut stream = Stream(Sequence::new(4));
        for (first, last) in [(5, 6), (7, 9), (10, 12)] {
            assert_eq!(stream.increment(first, last), Step::Hold);
        }
        assert_eq!(stream.position(), None);
        let steps = vec![Step::Drop, Step::Apply(7), Step::Apply(10)];
        assert_eq!(stream.snapshot(7), (Join::Replace, steps));
        assert_eq!(stream.position(), Some(12));
        let counters = Counters { applied: 2, covered: 1, snapshots: 1, ..Counters::default() };
        assert_eq!(stream.0.counters(), &counters);
    }

    /// Proves that the first increment after a snapshot may begin at, before or right after its
    /// end, and that later ones must begin right after the last.
    #[test]
    fn only_the_first_increment_may_overlap() {
        for first in [3, 10, 11] {
            let mut stream = Stream::joined(10);
            assert_eq!(stream.increment(first, 12), Step::Apply(first));
            assert_eq!(stream.increment(13, 13), Step::Apply(13));
            assert_eq!(stream.increment(13, 14), Step::Ask);
            assert_eq!((stream.0.counters().overlaps, stream.position()), (1, None));
        }
    }

    /// Proves that what came before is dropped and counted, by what contains it.
    #[test]
    fn what_came_before_is_dropped() {
        let mut stream = Stream::joined(10);
        assert_eq!(stream.increment(9, 10), Step::Drop);
        assert_eq!(stream.increment(11, 12), Step::Apply(11));
        assert_eq!(stream.increment(11, 12), Step::Drop);
        assert_eq!(stream.increment(9, 10), Step::Drop);
        let Counters { covered, duplicates, .. } = *stream.0.counters();
        assert_eq!((covered, duplicates, stream.position()), (1, 2, Some(12)));
    }

    /// Proves that a gap asks for a snapshot once, and that the increment behind it is not lost.
    #[test]
    fn a_gap_asks_and_holds() {
        let mut stream = Stream::joined(10);
        assert_eq!(stream.increment(12, 13), Step::Ask);
        assert_eq!(stream.increment(14, 14), Step::Hold);
        assert_eq!(stream.snapshot(11), (Join::Replace, vec![Step::Apply(12), Step::Apply(14)]));
        assert_eq!((stream.0.counters().gaps, stream.position()), (1, Some(14)));
    }

    /// Proves that a gap right behind a snapshot, and one among what was held, are noticed.
    #[test]
    fn gaps_are_noticed_everywhere() {
        assert_eq!(Stream::joined(10).increment(12, 13), Step::Ask);

        let mut stream = Stream(Sequence::new(4));
        for (first, last) in [(5, 6), (9, 9), (7, 8)] {
            assert_eq!(stream.increment(first, last), Step::Hold);
        }
        assert_eq!(stream.snapshot(4), (Join::Replace, vec![Step::Apply(5), Step::Ask]));
        assert_eq!(stream.position(), None);
        // What was held is still there, in its order.
        assert_eq!(stream.snapshot(8), (Join::Replace, vec![Step::Apply(9), Step::Drop]));
    }

    /// Proves that a snapshot which ends before what is held is refused, and one that nobody
    /// waits for is forgotten.
    #[test]
    fn snapshots_that_do_not_fit_are_refused() {
        let mut stream = Stream(Sequence::new(4));
        assert_eq!(stream.increment(7, 9), Step::Hold);
        assert_eq!(stream.snapshot(5), (Join::Ask, vec![]));
        assert_eq!(stream.snapshot(6), (Join::Replace, vec![Step::Apply(7)]));
        assert_eq!(stream.snapshot(20).0, Join::Forget);
        assert_eq!((stream.0.counters().too_old, stream.position()), (1, Some(9)));
    }

    /// Proves that no more than the limit is held, and that too much asks again.
    #[test]
    fn what_is_held_is_bounded() {
        let mut stream = Stream(Sequence::new(4));
        let steps: Vec<_> = (1..=9).map(|id| stream.increment(id, id)).collect();
        let full: Vec<_> = (1..=9).filter(|id| steps[id - 1] == Step::Ask).collect();
        assert_eq!(full, [5, 9]);
        assert_eq!(stream.snapshot(7), (Join::Ask, vec![]));
        assert_eq!(stream.snapshot(8), (Join::Replace, vec![Step::Apply(9)]));
        assert_eq!(stream.0.counters().overflows, 2);
    }

    /// Proves that an end ahead of the book asks for what is missing, whenever it comes, and that
    /// the stream is complete only when the book is as far.
    #[test]
    fn a_missing_tail_is_asked_for() {
        let mut stream = Stream::joined(10);
        assert!(!stream.0.is_complete());
        assert_eq!(stream.0.end(UpdateId(12)), Step::Ask);
        assert_eq!(stream.0.end(UpdateId(12)), Step::Drop);
        assert!(!stream.0.is_complete());
        assert_eq!(stream.snapshot(11), (Join::Replace, vec![Step::Ask]));
        assert_eq!(stream.snapshot(12), (Join::Replace, vec![]));
        assert!(stream.0.is_complete());

        let mut stream = Stream::joined(10);
        assert_eq!(stream.0.end(UpdateId(10)), Step::Drop);
        assert!(stream.0.is_complete());
    }

    /// Proves that ids at the end of their range stop nothing.
    #[test]
    fn the_last_id_overflows_nothing() {
        let mut stream = Stream::joined(u64::MAX);
        assert_eq!(stream.increment(u64::MAX, u64::MAX), Step::Drop);
        let mut stream = Stream::joined(u64::MAX - 1);
        assert_eq!(stream.increment(u64::MAX, u64::MAX), Step::Apply(u64::MAX));
        assert_eq!(stream.increment(1, u64::MAX), Step::Drop);
    }
}
