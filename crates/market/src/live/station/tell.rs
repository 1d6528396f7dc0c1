//! What a station has to say in its log.

use std::cell::{Cell, RefCell};
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use tautline_feed::sequence::{Line, Lost, Source};

use crate::book::BookError;
use crate::gateway::{Doubt, Notice};
use crate::live::WireFormat;
use crate::live::report::two_sessions;

/// Messages that cannot be are of one cause if no more than this lies between them.
const ONE_CAUSE: Duration = Duration::from_secs(10);

/// Tells the log what is worth knowing. What is told to be wrong is told when it is well again too, as loud.
pub(super) struct Teller {
    format: WireFormat,
    /// Books that are in doubt were told.
    doubts: Cell<bool>,
    impossible: RefCell<Option<Impossible>>,
}

/// Messages that cannot be, in a row.
#[derive(Clone, Copy)]
struct Impossible {
    sort: Discriminant<BookError>,
    times: u32,
    last: Instant,
}

impl Teller {
    pub(super) fn new(format: WireFormat) -> Self {
        Self { format, doubts: Cell::default(), impossible: RefCell::default() }
    }

    /// Tells the log. `group` knows the groups of lines.
    pub(super) fn tell(&self, notice: &Notice, now: Instant, group: impl Fn(Line) -> String) {
        let name = |source: Source| match source {
            Source::Line(line) => group(line),
            other => other.to_string(),
        };
        match notice {
            Notice::Began { session, next } => log::info!("session {session} begins with {next}"),
            Notice::Ended { session, next } => log::info!("session {session} ends before {next}"),
            Notice::Gap(gap) => log::debug!("messages are missing: {}", gap.missing),
            Notice::Repaired { gap, by } => log::debug!("messages came by {}: {gap}", name(*by)),
            // The books are in doubt, which was told: each packet that there is no room for would be.
            Notice::Lost { numbers, why: why @ Lost::SnapshotLate } => {
                log::debug!("messages are lost: {numbers}: {why}");
            }
            Notice::Lost { numbers, why } => log::warn!("messages are lost: {numbers}: {why}"),
            Notice::Doubt(doubt) => self.doubt(doubt, now),
            Notice::Sound { next } if self.doubts.take() => {
                log::warn!("the books are sound again, from {next} on");
            }
            Notice::Sound { next } => log::info!("the books are sound from {next} on"),
            Notice::Refused(refusal) => log::debug!("not sent again: {refusal}"),
            // Told with the server that it came from.
            Notice::Snapshot(_) => {}
            Notice::Malformed { source } => {
                log::warn!("a packet of {} is malformed", name(*source))
            }
            Notice::Absurd { source, number } => {
                let source = name(*source);
                log::warn!("a packet of {source} has the number {number}, far from all others");
            }
            Notice::TwoSessions { session, rival, is_over } => {
                let (session, other) = (session.to_string(), rival.session.to_string());
                log::warn!("{}", two_sessions(&group(rival.line), &session, &other, *is_over));
            }
            Notice::Strange { line } => {
                let (line, format, other) = (group(*line), self.format, self.format.other());
                log::warn!("datagrams on {line} are no packets of {format}: try --format {other}");
            }
            Notice::Stale => log::warn!("nothing comes on any line"),
            Notice::Live => log::warn!("the lines are live again"),
        }
    }

    fn doubt(&self, doubt: &Doubt, now: Instant) {
        let error = match doubt {
            Doubt::Joined => return log::info!("the books wait for a snapshot"),
            Doubt::Impossible { error, .. } => error,
            other => return self.warn(format_args!("{other}")),
        };
        match (self.times(error, now), error) {
            (1, _) => self.warn(format_args!("{doubt}")),
            (2, BookError::Full { .. }) | (3.., _) => {
                log::debug!("the books are in doubt: {doubt}")
            }
            _ => self.warn(format_args!(
                "{doubt}; or two senders use one session: name the one that you mean (?source=)"
            )),
        }
    }

    fn warn(&self, doubt: std::fmt::Arguments<'_>) {
        self.doubts.set(true);
        log::warn!("the books are in doubt: {doubt}");
    }

    /// How many of this sort have come in a row, this one included.
    fn times(&self, error: &BookError, now: Instant) -> u32 {
        let sort = discriminant(error);
        let is_another = |before: &Impossible| {
            before.sort == sort && now.saturating_duration_since(before.last) < ONE_CAUSE
        };
        let before = self.impossible.borrow().filter(is_another).map_or(0, |it| it.times);
        let times = before.saturating_add(1);
        self.impossible.replace(Some(Impossible { sort, times, last: now }));
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::OrderId;

    /// Errors of one sort are one cause until there is another, or a while has passed.
    #[test]
    fn errors_of_one_sort_are_counted() {
        let teller = Teller::new(WireFormat::Compact);
        let begun = Instant::now();
        let unknown = |order| BookError::UnknownOrder { order: OrderId(order) };
        let full = BookError::Full { order: OrderId(1), orders: 2 };
        let times = |error: BookError, s| teller.times(&error, begun + Duration::from_secs(s));
        assert_eq!([times(unknown(1), 0), times(unknown(2), 1), times(unknown(3), 9)], [1, 2, 3]);
        assert_eq!([times(full, 9), times(full, 10), times(unknown(4), 10)], [1, 2, 1]);
        assert_eq!(times(unknown(5), 30), 1);
    }
}
