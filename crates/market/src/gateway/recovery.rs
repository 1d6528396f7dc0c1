//! Books that are in doubt become sound again by a snapshot.

use std::time::{Duration, Instant};

use tautline_feed::format::{Format, Session};
use tautline_feed::sequence::{Event, Store};

use super::Gateway;
use super::output::{Notice, Output, SnapshotError};
use crate::message::Message;
use crate::snapshot::{Header, Part};

/// A snapshot that is wanted, or comes.
#[derive(Debug)]
pub(super) struct Recovery {
    patience: Duration,
    /// When one is asked for; `None`: none is needed.
    ask_at: Option<Instant>,
    /// When one was asked for last.
    asked: Option<Instant>,
    /// Times in a row.
    attempts: u32,
    coming: Option<Header>,
}

/// After the first snapshot that was of no use one waits so long; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(5);

impl Recovery {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, ask_at: None, asked: None, attempts: 0, coming: None }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.ask_at.is_some_and(|at| at <= now)
    }

    /// One is needed: at once, unless that was so a moment ago.
    fn want(&mut self, now: Instant) {
        self.coming = None;
        let Some(asked) = self.asked else {
            self.ask_at = Some(now);
            return;
        };
        if now.saturating_duration_since(asked) > self.patience {
            self.attempts = 0;
        }
        let doubled = PAUSE.saturating_mul(1 << self.attempts.min(20)).min(self.patience);
        let pause = if self.attempts == 0 { Duration::ZERO } else { doubled };
        self.ask_at = Some(now.max(asked + pause));
    }

    fn ask(&mut self, now: Instant) {
        self.asked = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        self.coming = None;
        self.ask_at = Some(now + self.patience);
    }

    /// None is needed any more.
    fn rest(&mut self) {
        (self.ask_at, self.coming) = (None, None);
    }
}

impl<F: Format, S: Store> Gateway<F, S> {
    /// The books have come to be in doubt: nothing is handed on before there is a snapshot.
    #[cold]
    pub(super) fn see_to_the_trouble(&mut self, now: Instant, out: &mut impl FnMut(Output)) {
        self.desk.is_troubled = false;
        self.sequencer.wait_for_snapshot();
        self.desk.publish_all(self.sequencer.present(), out);
        self.recovery.want(now);
        if self.recovery.is_due(now) {
            self.ask_for_a_snapshot(now, out);
        }
    }

    pub(super) fn ask_for_a_snapshot(&mut self, now: Instant, out: &mut impl FnMut(Output)) {
        if self.is_sound() {
            // Another session has begun meanwhile.
            return self.recovery.rest();
        }
        if self.recovery.coming.is_some() {
            self.desk.stats.snapshots_failed += 1;
        }
        self.recovery.ask(now);
        self.desk.stats.snapshots_asked += 1;
        out(Output::Snapshot);
    }

    /// A part of a snapshot has come. One that nobody wants any more is left alone.
    pub fn snapshot(&mut self, now: Instant, part: Part, out: &mut impl FnMut(Output)) {
        if self.is_sound() || self.recovery.ask_at.is_none() {
            return;
        }
        let taken = match part {
            Part::Header(header) => self.begin_snapshot(header),
            Part::Message(message) => self.take_message(&message),
            Part::End { checksum } => self.end_snapshot(now, checksum, out),
        };
        match taken {
            // It is on its way: patience begins anew.
            Ok(()) if self.recovery.coming.is_some() => {
                self.recovery.ask_at = Some(now + self.recovery.patience);
            }
            Ok(()) => {}
            Err(error) => {
                out(Output::Notice(Notice::Snapshot(error)));
                self.snapshot_failed(now);
                if let SnapshotError::Instruments { .. } = error {
                    // The next will have as many, unless it is another exchange's.
                    self.recovery.ask_at = Some(now + self.recovery.patience);
                }
            }
        }
    }

    /// A snapshot does not come to its end: the connection is lost, or there was none. It is asked for
    /// again in a while.
    pub fn snapshot_failed(&mut self, now: Instant) {
        if !self.is_sound() && self.recovery.ask_at.is_some() {
            self.desk.stats.snapshots_failed += 1;
            self.recovery.want(now);
        }
    }

    fn begin_snapshot(&mut self, header: Header) -> Result<(), SnapshotError> {
        self.recovery.coming = None;
        self.is_of_this_session(header.session)?;
        let (theirs, ours) = (header.instruments, self.desk.books.len());
        if theirs != ours {
            return Err(SnapshotError::Instruments { theirs, ours });
        }
        self.desk.books.clear();
        self.recovery.coming = Some(header);
        Ok(())
    }

    fn is_of_this_session(&self, session: Session) -> Result<(), SnapshotError> {
        let is_it = self.sequencer.session() == Some(session);
        if is_it { Ok(()) } else { Err(SnapshotError::OtherSession(session)) }
    }

    fn take_message(&mut self, message: &Message) -> Result<(), SnapshotError> {
        match message {
            Message::Add { .. } if self.recovery.coming.is_some() => {
                self.desk.books.apply(message).map_err(SnapshotError::Impossible)
            }
            // Where books begin and end whoever has read the parts has seen to.
            _ => Ok(()),
        }
    }

    fn end_snapshot(
        &mut self,
        now: Instant,
        theirs: u64,
        out: &mut impl FnMut(Output),
    ) -> Result<(), SnapshotError> {
        // The rest of one of which the beginning was of no use.
        let Some(Header { session, next, .. }) = self.recovery.coming.take() else { return Ok(()) };
        self.is_of_this_session(session)?;
        let ours = self.desk.books.checksum();
        if theirs != ours {
            return Err(SnapshotError::Checksum { theirs, ours });
        }
        let present = self.sequencer.present();
        let future = self.sequencer.future();
        let next = F::WIDTH.nearest(F::WIDTH.cut(next), future).unwrap_or(0);
        self.desk.is_in_doubt = false;
        let desk = &mut self.desk;
        let mut tell = |event: Event<'_, F>| desk.hear(now, event, out);
        if !self.sequencer.snapshot(now, next, &mut tell) {
            self.desk.is_in_doubt = true;
            return Err(SnapshotError::TooOld { next, present });
        }
        self.recovery.rest();
        self.desk.stats.snapshots += 1;
        if self.desk.is_troubled {
            self.see_to_the_trouble(now, out);
        } else {
            let next = self.sequencer.present();
            out(Output::Notice(Notice::Sound { next }));
            self.desk.publish_all(next, out);
        }
        Ok(())
    }
}
