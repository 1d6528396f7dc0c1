//! What has come is handed on or kept; what has not is waited for, and in the end passed over.

use std::ops::Range;
use std::time::Instant;

use super::event::{Event, Gap, Lost, Source};
use super::gaps::Open;
use super::map::Bits;
use super::{NONE, Piece, Run, Sequencer, Store, later};
use crate::format::{Format, Lie, without_first};

/// Messages that fit into the feed.
pub(super) struct News<'a> {
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) body: &'a [u8],
    pub(super) source: Source,
}

impl<F: Format, S: Store> Sequencer<F, S> {
    /// That number comes next: what lies before it and has not come is a gap.
    pub(super) fn expect(&mut self, now: Instant, first: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        if first <= self.end {
            return;
        }
        let missing = (self.end..first).into();
        self.stats.gaps += 1;
        tell(Event::Gap(Gap { missing, present: self.next, future: first }));
        let all = self.end;
        self.make_room(first, NONE, tell);
        if first - self.next > self.config.window {
            // All of a gap that is larger than the window is not waited for.
            let why = if self.is_held { Lost::SnapshotLate } else { Lost::NoSpace };
            self.pass_over(first - self.config.window, why, tell);
        }
        self.make_room_for_a_gap(tell);
        self.open_gap(now, first, self.end == all);
    }

    /// What lies before that number is waited for; some of the gap was passed over already, or it is
    /// whole.
    pub(super) fn open_gap(&mut self, now: Instant, first: u64, is_whole: bool) {
        self.gaps.push(Open {
            numbers: self.end..first,
            missing: first - self.end,
            is_whole,
            deadline: later(now, self.config.deadline),
            lost: None,
            due: self.config.requests.map(|_| later(now, self.hold_off())),
            asked: self.end,
            attempts: 0,
        });
        self.end = first;
    }

    /// Messages of a packet.
    pub(super) fn take(
        &mut self,
        now: Instant,
        news: &News<'_>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        self.expect(now, news.first, tell);
        self.make_room(news.end, news.first, tell);
        let mut is_new = false;
        let mut at = news.first.max(self.next);
        while at < news.end {
            // Beyond the end nothing has come.
            let known = news.end.min(self.end).max(at);
            let free = match self.came.first_clear(at..known) {
                Some(free) if free.end == known => free.start..news.end,
                Some(free) => free,
                None => known..news.end,
            };
            if free.is_empty() {
                break;
            }
            at = free.end;
            is_new |= self.take_part(now, news, free, tell);
            at = at.max(self.next);
        }
        self.go_on(tell);
        self.count(now, news, is_new);
    }

    fn count(&mut self, now: Instant, news: &News<'_>, is_new: bool) {
        if is_new {
            self.leap.count = 0;
        }
        let Source::Line(line) = news.source else {
            self.stats.repeated += u64::from(!is_new);
            return;
        };
        let way = &mut self.ways[usize::from(line.0)];
        if is_new {
            way.first += 1;
            self.firsts.note(news.first, line, now);
            return;
        }
        way.others += 1;
        if let Some(late) = self.firsts.late(news.first, line, now) {
            way.is_late_by(late);
        }
    }

    /// A part of a packet of which nothing has come. Says whether it has now: what cannot be kept has
    /// not.
    fn take_part(
        &mut self,
        now: Instant,
        news: &News<'_>,
        part: Range<u64>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        let rest = without_first::<F>(news.body, part.start - news.first);
        let behind = without_first::<F>(rest, part.end - part.start);
        let body = &rest[..rest.len() - behind.len()];
        let fits = body.len() <= self.store.largest();
        loop {
            if part.start == self.next && !self.is_held {
                let end = part.end;
                self.hand_on(news.source, part, body, Lie::AsTheyCome, tell);
                self.go_on_below(end, tell);
                return true;
            }
            if !fits || part.end - self.next > self.config.window {
                break;
            }
            if let Some(key) = self.store.keep(body) {
                self.keep(news.source, &Bits::of(part), key, tell);
                return true;
            }
            if part.start == self.next {
                break; // it is itself the oldest
            }
            self.give_first_up(part.start, tell);
        }
        self.stats.unkept += 1;
        self.expect(now, part.end, tell);
        false
    }

    /// Hands on what is next, where it lies.
    #[inline]
    pub(super) fn hand_on(
        &mut self,
        source: Source,
        part: Range<u64>,
        body: &[u8],
        lie: Lie,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        let (first, count) = (part.start, (part.end - part.start) as u16);
        self.stats.messages += u64::from(count);
        tell(Event::Messages(Run { first, count, body, source, lie, format: self.format }));
        self.next = part.end;
        self.filled(source, part, tell);
    }

    /// Notes what was kept.
    #[inline(always)]
    pub(super) fn keep(
        &mut self,
        source: Source,
        numbers: &Bits,
        key: S::Key,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        let count = numbers.len() as u16;
        let place = self.place(numbers.first);
        debug_assert_eq!(self.pieces[place].count, 0);
        self.pieces[place] = Piece { key, count, source };
        self.came.set(numbers);
        self.filled(source, numbers.range(), tell);
    }

    /// Where a piece lies that begins with that number.
    pub(super) fn place(&self, first: u64) -> usize {
        (first & (self.config.window - 1)) as usize
    }

    /// Numbers that were missing, or lie beyond the end, need not be waited for any longer.
    pub(super) fn filled(
        &mut self,
        by: Source,
        numbers: Range<u64>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        let mut at = numbers.start;
        while at < numbers.end.min(self.end) {
            let gap = self.gaps.of(at).expect("what has not come is in a gap");
            let to = numbers.end.min(gap.numbers.end);
            gap.missing -= to - at;
            if gap.missing == 0 && gap.is_whole {
                self.stats.repaired += 1;
                tell(Event::Repaired { gap: gap.numbers.clone().into(), by });
            }
            at = to;
        }
        self.end = self.end.max(numbers.end);
    }

    /// Hands on what is kept and next, and passes over what is lost.
    pub(super) fn go_on(&mut self, tell: &mut impl FnMut(Event<'_, F>)) {
        self.go_on_below(NONE, tell);
    }

    /// The same, but nothing is passed over from `limit` on: that is at hand.
    fn go_on_below(&mut self, limit: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        let first = self.next;
        while self.next < self.end && !self.is_held {
            if self.pieces[self.place(self.next)].count > 0 {
                self.hand_on_kept(self.next, tell);
            } else if !self.pass_over_lost(limit, tell) {
                break;
            }
        }
        self.came.clear(first..self.next);
        self.gaps.tidy();
    }

    /// The piece that begins with that number, which is next, or of which some is. Its numbers are still
    /// to be cleared.
    #[inline]
    pub(super) fn hand_on_kept(&mut self, begin: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        let place = self.place(begin);
        let Piece { key, count, source } = self.pieces[place];
        self.pieces[place].count = 0;
        let end = begin + u64::from(count);
        let body = without_first::<F>(self.store.get(key), self.next - begin);
        let count = (end - self.next) as u16;
        let (first, lie) = (self.next, Lie::AsTheyCome);
        tell(Event::Messages(Run { first, count, body, source, lie, format: self.format }));
        self.store.release(key);
        self.stats.messages += u64::from(count);
        self.next = end;
    }

    /// Lets the piece go that begins with that number. Returns what comes behind it.
    pub(super) fn release(&mut self, first: u64) -> u64 {
        let place = self.place(first);
        let Piece { key, count, .. } = self.pieces[place];
        self.pieces[place].count = 0;
        self.store.release(key);
        let end = first + u64::from(count);
        self.came.clear(first..end);
        end
    }

    /// Passes over missing numbers that are next, if they are lost. Says whether there were any.
    fn pass_over_lost(&mut self, limit: u64, tell: &mut impl FnMut(Event<'_, F>)) -> bool {
        self.gaps.tidy();
        let gap = self.gaps.first().expect("what has not come is in a gap");
        debug_assert!(gap.numbers.contains(&self.next));
        let Some(why) = gap.lost.filter(|_| self.next < limit) else { return false };
        let missing = self.came.first_clear(self.next..gap.numbers.end.min(limit));
        let missing = missing.expect("the next number has not come");
        gap.missing -= missing.end - missing.start;
        gap.is_whole = false;
        self.lose(missing.end, why, tell);
        true
    }

    /// What is next up to there is lost.
    pub(super) fn lose(&mut self, end: u64, why: Lost, tell: &mut impl FnMut(Event<'_, F>)) {
        // A few absurd jumps are more than can be counted.
        self.stats.lost = self.stats.lost.saturating_add(end - self.next);
        tell(Event::Lost { numbers: (self.next..end).into(), why });
        self.next = end;
    }

    /// Nothing is kept or waited for: goes on with that number.
    pub(super) fn pass_over(&mut self, next: u64, why: Lost, tell: &mut impl FnMut(Event<'_, F>)) {
        debug_assert!(self.next == self.end && self.next < next);
        self.lose(next, why, tell);
        (self.end, self.floor) = (next, next);
    }

    // ------------------------------------------------------------------------- giving up

    /// Gives up what is oldest until the window reaches up to `end`, or nothing is left to give up
    /// below `limit`.
    fn make_room(&mut self, end: u64, limit: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        while self.next < self.end && end.saturating_sub(self.next) > self.config.window {
            let before = self.next;
            self.give_first_up(limit, tell);
            if self.next == before {
                break;
            }
        }
    }

    /// Gives up what is oldest until another gap has room.
    fn make_room_for_a_gap(&mut self, tell: &mut impl FnMut(Event<'_, F>)) {
        if self.gaps.is_full() {
            self.gaps.forget_repaired();
        }
        while self.gaps.is_full() {
            self.give_first_up(NONE, tell);
        }
    }

    /// Gives up what is waited for first: the oldest gap, but nothing of it from `limit` on, as that
    /// is at hand; or, while a snapshot is waited for, the oldest messages.
    fn give_first_up(&mut self, limit: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        if self.is_held {
            return self.drop_first(limit, tell);
        }
        if let Some(gap) = self.gaps.first() {
            gap.lost = Some(Lost::NoSpace);
        }
        self.go_on_below(limit, tell);
    }

    /// Nothing is waited for any longer.
    pub(super) fn give_all_up(&mut self, why: Lost, tell: &mut impl FnMut(Event<'_, F>)) {
        if self.is_held {
            return self.drop_all(why, tell);
        }
        for gap in self.gaps.iter_mut() {
            gap.lost = Some(why);
        }
        self.go_on(tell);
        debug_assert_eq!(self.next, self.end);
    }
}
