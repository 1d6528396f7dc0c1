//! The books, and what is told of them.

use std::time::Instant;

use tautline_feed::format::{Format, Session};
use tautline_feed::sequence::{Event, Run};

use super::output::{Doubt, Notice, Output, Stats};
use super::quote::{Quote, Tops, tops};
use super::waits::Waits;
use crate::book::Books;
use crate::message::{Instrument, Message};
use crate::replay::Request;

/// Hears what the sequencer tells, and keeps the books.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) books: Books,
    /// Of each book.
    updates: Box<[u64]>,
    session: Option<Session>,
    /// The books are not those of the exchange: nothing is applied to them but a snapshot.
    pub(super) is_in_doubt: bool,
    /// Why they were last.
    pub(super) why: Option<Doubt>,
    /// Nothing comes on any line.
    pub(super) is_stale: bool,
    /// The session is over.
    pub(super) is_over: bool,
    /// What is missing, and since when.
    pub(super) waits: Waits,
    /// They have come to be in doubt, and nobody has seen to it.
    pub(super) is_troubled: bool,
    pub(super) stats: Stats,
}

impl Desk {
    /// Of books for a feed of which so many gaps can be open at a time.
    pub(super) fn new(books: Books, gaps: usize) -> Self {
        Self {
            updates: vec![0; books.len() as usize].into(),
            books,
            session: None,
            is_in_doubt: true,
            why: None,
            is_stale: false,
            is_over: false,
            waits: Waits::new(gaps),
            is_troubled: false,
            stats: Stats::default(),
        }
    }

    pub(super) fn updates(&self, instrument: Instrument) -> u64 {
        self.updates[instrument.0 as usize]
    }

    /// The sequencer tells something.
    #[inline]
    pub(super) fn hear<F: Format>(
        &mut self,
        now: Instant,
        event: Event<'_, F>,
        out: &mut impl FnMut(Output),
    ) {
        match event {
            Event::Messages(run) => self.take(run, out),
            event => self.hear_other(now, event, out),
        }
    }

    #[inline]
    fn take<F: Format>(&mut self, run: Run<'_, F>, out: &mut impl FnMut(Output)) {
        for (number, bytes) in run.messages() {
            if self.is_in_doubt {
                self.stats.skipped += 1;
            } else if let Err(doubt) = self.apply(number, bytes, out) {
                self.doubt(doubt, out);
            }
        }
    }

    /// Applies a message, and publishes what it has changed.
    #[inline]
    fn apply(
        &mut self,
        number: u64,
        bytes: &[u8],
        out: &mut impl FnMut(Output),
    ) -> Result<(), Doubt> {
        let unreadable = |error| Doubt::Unreadable { number, error };
        let message = Message::decode(bytes).map_err(unreadable)?;
        let instrument = message.instrument();
        let before = self.books.get(instrument).map(tops);
        let impossible = |error| Doubt::Impossible { number, error };
        self.books.apply(&message).map_err(impossible)?;
        self.stats.updates += 1;
        self.updates[instrument.0 as usize] += 1;
        let after = tops(&self.books[instrument]);
        if before != Some(after) {
            self.publish(instrument, after, number + 1, false, out);
        }
        Ok(())
    }

    fn publish(
        &mut self,
        instrument: Instrument,
        [bid, ask]: Tops,
        next: u64,
        is_key: bool,
        out: &mut impl FnMut(Output),
    ) {
        self.stats.quotes += 1;
        let (is_sound, is_stale) = (!self.is_in_doubt, self.is_stale);
        let update = self.stats.quotes;
        let quote = Quote { instrument, is_key, is_sound, is_stale, update, next, bid, ask };
        out(Output::Publish(quote));
    }

    /// All quotes, as they are: keyframes.
    pub(super) fn publish_all(&mut self, next: u64, out: &mut impl FnMut(Output)) {
        for at in 0..self.books.len() {
            let instrument = Instrument(at);
            let tops = tops(&self.books[instrument]);
            self.publish(instrument, tops, next, true, out);
        }
    }

    /// The books are in doubt from now on.
    #[cold]
    pub(super) fn doubt(&mut self, why: Doubt, out: &mut impl FnMut(Output)) {
        if !self.is_in_doubt {
            self.is_in_doubt = true;
            self.stats.doubts += 1;
        }
        self.is_troubled = true;
        self.why = Some(why);
        out(Output::Notice(Notice::Doubt(why)));
    }

    #[cold]
    fn hear_other<F: Format>(
        &mut self,
        now: Instant,
        event: Event<'_, F>,
        out: &mut impl FnMut(Output),
    ) {
        let notice = match event {
            Event::Messages(_) => return,
            Event::Request { wire, missing, .. } => return self.request(wire, missing.len(), out),
            Event::Began { session, next } => {
                out(Output::Notice(Notice::Began { session, next }));
                return self.begin(session, out);
            }
            Event::Lost { numbers, why } => {
                out(Output::Notice(Notice::Lost { numbers, why }));
                if !self.is_in_doubt {
                    self.doubt(Doubt::Lost(numbers), out);
                }
                return;
            }
            Event::Gap(gap) => {
                self.waits.appeared(now, gap);
                Notice::Gap(gap)
            }
            Event::Repaired { gap, by } => {
                self.waits.repaired(gap);
                Notice::Repaired { gap, by }
            }
            Event::Malformed { source, .. } => Notice::Malformed { source },
            Event::Absurd { source, number, .. } => Notice::Absurd { source, number },
            Event::Stale => {
                self.is_stale = true;
                Notice::Stale
            }
            Event::Live => {
                self.is_stale = false;
                Notice::Live
            }
            Event::Ended { session, next } => {
                self.is_over = true;
                Notice::Ended { session, next }
            }
        };
        out(Output::Notice(notice));
    }

    fn request(&mut self, first: u64, count: u64, out: &mut impl FnMut(Output)) {
        // The sequencer asks for no more than a request takes, and not before a session has begun.
        let (Some(session), Ok(count)) = (self.session, u16::try_from(count)) else { return };
        out(Output::Replay(Request { session, first, count }));
    }

    /// The first session is joined on its way; another begins with empty books.
    fn begin(&mut self, session: Session, out: &mut impl FnMut(Output)) {
        let is_first = self.session.replace(session).is_none();
        self.books.clear();
        self.waits.clear();
        self.is_over = false;
        if is_first {
            self.doubt(Doubt::Joined, out);
        } else {
            self.is_in_doubt = false;
            self.is_troubled = false;
            out(Output::Notice(Notice::Sound { next: 1 }));
        }
    }
}
