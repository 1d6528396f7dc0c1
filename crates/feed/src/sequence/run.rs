//! Packets that are not simply the next: of which session they are, and whether they are to be believed.

use std::time::Instant;

use super::event::{Event, Lost, Source};
use super::take::News;
use super::{Leap, Sequencer, Start, Store};
use crate::format::{Format, Kind, Packet, Session, holds};

/// No feed comes so far: who says so is not believed, and sums of numbers do not overflow.
pub(super) const FARTHEST: u64 = 1 << 62;

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Whatever [`Sequencer::packet`] does not do at once.
    #[inline(never)]
    pub(super) fn other_packet(
        &mut self,
        now: Instant,
        source: Source,
        packet: Packet<'_>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        if self.is_former(packet.session, source) || !self.is_sound(packet, source, tell) {
            return;
        }
        self.see_to_the_session(packet, tell);
        if self.is_stale && source != Source::Replay {
            self.is_stale = false;
            tell(Event::Live);
        }
        let Some(first) = F::WIDTH.nearest(packet.number, self.end) else {
            self.stats.repeated += 1;
            return;
        };
        if self.is_absurd(first, source, tell) {
            return;
        }
        if let Kind::Messages(count) = packet.kind {
            let news = News { first, end: first + u64::from(count), body: packet.body, source };
            if let Source::Line(line) = source {
                self.ways[usize::from(line.0)].brings(news.first, news.end);
            }
            self.take(now, &news, tell);
        } else {
            if let Source::Line(line) = source {
                self.ways[usize::from(line.0)].expects(first);
            }
            self.expect(now, first, tell);
        }
        if packet.kind == Kind::End {
            // What has been seen beyond belongs to it, whatever the packet says.
            self.finish = Some(self.end.max(self.finish.unwrap_or(first)));
        }
        self.see_to_the_end(tell);
        self.ask_what_all_have_passed(now, tell);
    }

    /// Whether what a packet says of itself can be.
    fn is_sound(
        &mut self,
        packet: Packet<'_>,
        source: Source,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        if packet.number > FARTHEST {
            self.stats.absurd += 1;
            tell(Event::Absurd { source, number: packet.number, expected: self.end });
            return false;
        }
        let Kind::Messages(count) = packet.kind else { return true };
        let is_ours = self.session == Some(packet.session);
        let near = if is_ours { self.end } else { packet.number };
        let first = F::WIDTH.nearest(packet.number, near).unwrap_or(packet.number);
        let is_repeated = is_ours && first + u64::from(count) <= self.next;
        if count > 0 && (is_repeated || holds::<F>(packet.body, count).is_some()) {
            return true;
        }
        self.stats.malformed += 1;
        tell(Event::Malformed { source, first, count });
        false
    }

    // ------------------------------------------------------------------------- sessions

    /// Whether a packet is of a session that is over.
    fn is_former(&mut self, session: Session, source: Source) -> bool {
        // A replay is asked for in one session and may come in the next; it begins none.
        let is_former = self.session != Some(session)
            && (self.former.contains(&Some(session)) || source == Source::Replay);
        self.stats.former += u64::from(is_former);
        is_former
    }

    /// A packet that is of another session than the one before begins it.
    fn see_to_the_session(&mut self, packet: Packet<'_>, tell: &mut impl FnMut(Event<'_, F>)) {
        let start = match self.session {
            Some(session) if session == packet.session => return,
            Some(session) => {
                self.leave(session, tell);
                self.config.restart
            }
            None => self.config.start,
        };
        self.enter(packet.session, start, packet.number, tell);
    }

    fn leave(&mut self, session: Session, tell: &mut impl FnMut(Event<'_, F>)) {
        self.give_all_up(Lost::SessionOver, tell);
        self.is_held = false;
        if !self.has_ended {
            tell(Event::Ended { session, next: self.next });
        }
        self.former.rotate_right(1);
        self.former[0] = Some(session);
        self.ways.iter_mut().for_each(super::Way::forget);
        self.firsts.forget();
    }

    fn enter(
        &mut self,
        session: Session,
        start: Start,
        number: u64,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        let next = match start {
            Start::At(next) => next,
            Start::Live | Start::Snapshot => number,
        };
        (self.next, self.end) = (next, next);
        self.session = Some(session);
        self.finish = None;
        self.has_ended = false;
        // Who has asked for it before the first session waits for a snapshot whatever the start.
        self.is_held |= start == Start::Snapshot;
        self.floor = 0;
        self.leap = Leap::default();
        tell(Event::Began { session, next });
    }

    /// Tells the end of the session once all that comes before has been.
    pub(super) fn see_to_the_end(&mut self, tell: &mut impl FnMut(Event<'_, F>)) {
        if let (Some(finish), Some(session), false) = (self.finish, self.session, self.has_ended)
            && self.next >= finish
        {
            self.has_ended = true;
            tell(Event::Ended { session, next: self.next });
        }
    }

    // ---------------------------------------------------------------------------- jumps

    /// Whether a packet is too far ahead to be believed; believes those that agree for long enough.
    ///
    /// What is behind is never absurd: it has been before, however long ago that is.
    fn is_absurd(
        &mut self,
        first: u64,
        source: Source,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        if first.saturating_sub(self.end) <= self.config.jump {
            return false;
        }
        let Leap { at, count } = self.leap;
        let agrees = count > 0 && first.abs_diff(at) <= self.config.jump;
        let count = if agrees { count.saturating_add(1) } else { 1 };
        if source == Source::Replay || count <= self.config.jump_after {
            // A replay was asked for: it says nothing about where the sender is.
            if source != Source::Replay {
                self.leap = Leap { at: first, count };
            }
            self.stats.absurd += 1;
            tell(Event::Absurd { source, number: first, expected: self.end });
            return true;
        }
        self.jump(first, tell);
        false
    }

    /// The sender goes on there.
    fn jump(&mut self, first: u64, tell: &mut impl FnMut(Event<'_, F>)) {
        self.leap = Leap::default();
        self.give_all_up(Lost::Jumped, tell);
        self.pass_over(first, Lost::Jumped, tell);
        self.ways.iter_mut().for_each(|way| way.goes_on_at(first));
    }
}
