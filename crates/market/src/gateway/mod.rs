//! From lines that lose to books that do not.
//!
//! ```text
//! packets of the lines ─▶ sequencer ─▶ books ─▶ quotes, to be published
//!        answers ────────────▲  │        ▲
//!                               │        │ snapshot
//!   asked for: a replay ◀───────┴────────┴──▶ a snapshot
//! ```
//!
//! What is missing is asked for. If it cannot be had the books are in doubt: quotes say so, nothing is
//! applied any more, and a snapshot is asked for, from which they go on.
//!
//! Pure: bytes and the time go in, and [`Output`]s come out. Call [`Gateway::tick`] at
//! [`Gateway::timeout`].

mod config;
mod desk;
mod output;
mod quote;
mod recovery;
mod rivals;
mod waits;

use std::fmt;
use std::time::Instant;

use tautline_feed::format::{Format, Kind};
use tautline_feed::sequence::{Event, Line, Sequencer, Store};

pub use self::config::{Config, ConfigError};
use self::desk::Desk;
pub use self::output::{Doubt, Notice, Output, SnapshotError, Stats};
pub use self::quote::{Quote, QuoteError, Top};
use self::recovery::Recovery;
pub use self::rivals::Rival;
use self::rivals::Rivals;
pub use self::waits::Behind;
use crate::book::Books;
use crate::message::Instrument;
use crate::replay::{Answer, Reason, Refusal};

/// Builds the books of an exchange from its feed.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tautline_feed::format::Compact;
/// use tautline_feed::sequence::Pool;
/// use tautline_market::exchange::{self, Exchange};
/// use tautline_market::gateway::{Config, Gateway, Output};
/// use tautline_market::snapshot;
///
/// let mut now = Instant::now();
/// let mut exchange = Exchange::<Compact>::new(exchange::Config::default(), 7, now)?;
/// let mut gateway = Gateway::<Compact, _>::new(Config::default(), Pool::new(256, 1400)?, now)?;
/// let mut wants_snapshot = false;
/// for _ in 0..100 {
///     now += Duration::from_millis(1);
///     exchange.tick(now, &mut |line, bytes: &[u8]| {
///         gateway.datagram(now, line, bytes, &mut |output| {
///             wants_snapshot |= matches!(output, Output::Snapshot);
///         });
///     });
///     if std::mem::take(&mut wants_snapshot) {
///         let mut bytes = Vec::new();
///         snapshot::write(exchange.session(), exchange.history().next(), exchange.books(), &mut bytes);
///         let (mut parts, mut input) = (snapshot::Parts::new(), &bytes[..]);
///         while let Some(part) = parts.next(&mut input)? {
///             gateway.snapshot(now, part, &mut |_| {});
///         }
///     }
/// }
/// assert!(gateway.is_sound());
/// assert_eq!(gateway.books(), exchange.books());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gateway<F: Format, S: Store> {
    sequencer: Sequencer<F, S>,
    desk: Desk,
    recovery: Recovery,
    rivals: Rivals,
    /// When all quotes are published again.
    refresh_at: Instant,
    /// Datagrams come that are no packets, which was told.
    has_told_strange: bool,
    config: Config,
}

impl<F: Format, S: Store> Gateway<F, S> {
    /// A gateway that has heard nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config, store: S, now: Instant) -> Result<Self, ConfigError> {
        let config = config.checked()?;
        Ok(Self {
            sequencer: Sequencer::new(config.sequence.clone(), store, now)?,
            desk: Desk::new(Books::new(config.instruments, config.orders)?, config.sequence.gaps),
            recovery: Recovery::new(config.snapshot_patience),
            rivals: Rivals::default(),
            refresh_at: now + config.refresh,
            has_told_strange: false,
            config,
        })
    }

    /// A datagram has come on a line.
    ///
    /// # Panics
    /// If there is no such line.
    #[inline]
    pub fn datagram(
        &mut self,
        now: Instant,
        line: Line,
        bytes: &[u8],
        out: &mut impl FnMut(Output),
    ) {
        let Ok(packet) = F::parse(bytes) else {
            return self.hear_strange(line, out);
        };
        let desk = &mut self.desk;
        let mut tell = |event: Event<'_, F>| desk.hear(now, event, out);
        self.sequencer.packet(now, line, packet, &mut tell);
        if self.sequencer.former() != self.rivals.counted {
            self.hear_of_a_former_session(now, line, bytes, out);
        }
        // There is no trouble without doubt.
        if self.desk.is_in_doubt {
            self.hear_in_doubt(now, bytes, out);
        }
    }

    /// A packet has come while the books are in doubt. The sequencer, which waits for a snapshot, does not
    /// tell that the session is over.
    #[cold]
    fn hear_in_doubt(&mut self, now: Instant, bytes: &[u8], out: &mut impl FnMut(Output)) {
        if let Ok(packet) = F::parse(bytes)
            && packet.kind == Kind::End
            && self.sequencer.session() == Some(packet.session)
        {
            self.desk.is_over = true;
        }
        if self.desk.is_troubled {
            self.see_to_the_trouble(now, out);
        }
    }

    /// A datagram is no packet of the format: told of the first.
    #[cold]
    fn hear_strange(&mut self, line: Line, out: &mut impl FnMut(Output)) {
        self.desk.stats.strange += 1;
        if !self.has_told_strange {
            self.has_told_strange = true;
            out(Output::Notice(Notice::Strange { line }));
        }
    }

    /// A session that was left, and is sent all the same, is a second exchange.
    #[cold]
    fn hear_of_a_former_session(
        &mut self,
        now: Instant,
        line: Line,
        bytes: &[u8],
        out: &mut impl FnMut(Output),
    ) {
        self.rivals.counted = self.sequencer.former();
        // That it is over is told several times, and no sign of life.
        let Ok(packet) = F::parse(bytes) else { return };
        if packet.kind == Kind::End {
            return;
        }
        let rival = Rival { session: packet.session, line };
        if let Some(session) = self.sequencer.session()
            && self.rivals.hear(now, session, rival, self.desk.is_over)
        {
            let is_over = self.desk.is_over;
            out(Output::Notice(Notice::TwoSessions { session, rival, is_over }));
        }
    }

    /// An answer has come to what was asked for ([`Output::Replay`]).
    pub fn answer(&mut self, now: Instant, answer: Answer<'_>, out: &mut impl FnMut(Output)) {
        match answer {
            Answer::Packet(bytes) => {
                let Ok(packet) = F::parse(bytes) else {
                    self.desk.stats.strange += 1;
                    return;
                };
                self.desk.stats.replayed += 1;
                let desk = &mut self.desk;
                let mut tell = |event: Event<'_, F>| desk.hear(now, event, out);
                self.sequencer.replayed(now, packet, &mut tell);
                // An answer that comes late is nobody's sign of life.
                self.rivals.counted = self.sequencer.former();
            }
            Answer::Refused(refusal) => self.refused(refusal, out),
        }
        if self.desk.is_troubled {
            self.see_to_the_trouble(now, out);
        }
    }

    /// Who waits for what nobody has any more waits in vain: a snapshot has it.
    fn refused(&mut self, refusal: Refusal, out: &mut impl FnMut(Output)) {
        self.desk.stats.replay_refused += 1;
        out(Output::Notice(Notice::Refused(refusal)));
        let is_ours = self.sequencer.session() == Some(refusal.session);
        if refusal.reason != Reason::TooOld || !is_ours || self.sequencer.waits_for_snapshot() {
            return;
        }
        let first = F::WIDTH.nearest(refusal.first, self.sequencer.future()).unwrap_or(0);
        if first.saturating_add(u64::from(refusal.count)) > self.sequencer.present() {
            self.desk.doubt(Doubt::TooOld, out);
        }
    }

    /// It is so late.
    pub fn tick(&mut self, now: Instant, out: &mut impl FnMut(Output)) {
        let was_stale = self.desk.is_stale;
        let desk = &mut self.desk;
        self.sequencer.tick(now, &mut |event: Event<'_, F>| desk.hear(now, event, out));
        if self.desk.is_stale && !was_stale {
            self.refresh_at = now;
        }
        if self.desk.is_troubled {
            self.see_to_the_trouble(now, out);
        }
        self.rivals.tick(now);
        if self.recovery.is_due(now) {
            self.ask_for_a_snapshot(now, out);
        }
        if self.refresh_at <= now {
            self.refresh_at = now + self.config.refresh;
            self.desk.publish_all(self.sequencer.present(), out);
        }
    }

    /// When [`Gateway::tick`] has something to do.
    pub fn timeout(&mut self) -> Instant {
        let others = [self.sequencer.timeout(), self.recovery.timeout()];
        others.into_iter().flatten().fold(self.refresh_at, Instant::min)
    }

    /// Whether nothing comes on any line, and has not for so long as
    /// [`sequence::Config::silence`](tautline_feed::sequence::Config::silence) says, though the
    /// session is not over.
    pub fn is_stale(&self) -> bool {
        self.desk.is_stale
    }

    /// The books, which are those of the exchange while they are [sound](Self::is_sound).
    pub fn books(&self) -> &Books {
        &self.desk.books
    }

    /// Whether the books are those of the exchange, as of the message before
    /// [`Sequencer::present`](Sequencer::present).
    pub fn is_sound(&self) -> bool {
        !self.desk.is_in_doubt
    }

    /// How far they are behind the lines, though sound: while a message is missing that may still come
    /// nothing behind it is applied, for at most
    /// [`sequence::Config::deadline`](tautline_feed::sequence::Config::deadline). `None` if nothing is
    /// waited for, or the books are in doubt.
    pub fn behind(&self, now: Instant) -> Option<Behind> {
        let next = self.sequencer.present();
        let since = self.desk.waits.since(next).filter(|_| self.is_sound())?;
        let messages = self.sequencer.future().saturating_sub(next);
        let time = now.saturating_duration_since(since);
        (messages > 0).then_some(Behind { messages, time })
    }

    /// Whether the exchange has said that the session is over. What is missing of it may still come.
    pub fn has_ended(&self) -> bool {
        self.desk.is_over
    }

    /// Why the books are not sound.
    pub fn doubt(&self) -> Option<Doubt> {
        self.desk.why.filter(|_| self.desk.is_in_doubt)
    }

    /// The session of a second exchange that sends to the same groups, if there is one.
    pub fn rival(&self) -> Option<Rival> {
        self.rivals.present(self.sequencer.session()?)
    }

    /// What it has done. What the lines have brought, and what was missing, the
    /// [sequencer](Self::sequencer) knows.
    pub fn stats(&self) -> Stats {
        self.desk.stats
    }

    /// Messages that have changed the book of an instrument.
    ///
    /// # Panics
    /// If there is no such instrument.
    pub fn updates(&self, instrument: Instrument) -> u64 {
        self.desk.updates(instrument)
    }

    /// Who puts the messages in order.
    pub fn sequencer(&self) -> &Sequencer<F, S> {
        &self.sequencer
    }
}

impl<F: Format, S: Store> fmt::Debug for Gateway<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Gateway");
        f.field("session", &self.sequencer.session()).field("present", &self.sequencer.present());
        f.field("is_sound", &self.is_sound()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
