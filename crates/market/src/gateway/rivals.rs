//! Two exchanges that send to the same groups: their sessions come by turns.

use std::time::{Duration, Instant};

use tautline_feed::format::Session;
use tautline_feed::sequence::Line;

/// A session that is still sent though another one has begun, and goes on: two exchanges send to the same
/// groups. The one that began last is followed; of the other nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// The session that is left alone.
    pub session: Session,
    /// The line by which it came last.
    pub line: Line,
}

/// What is heard of sessions before the one that goes on.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Packets of sessions before, as the sequencer has counted them, at the last look.
    pub(super) counted: u64,
    heard: Option<Heard>,
}

#[derive(Debug)]
struct Heard {
    /// The session that goes on meanwhile. When another one does, what comes of those before may be on
    /// its way again.
    session: Session,
    rival: Rival,
    first: Instant,
    last: Instant,
    /// It is no straggler: it has been told.
    is_told: bool,
    /// So it has that the session that went on is over.
    is_told_to_last: bool,
}

/// Packets that are late for so long after the first one are not on their way: somebody sends them.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Of whom nothing has come for so long, nothing comes.
const QUIET: Duration = Duration::from_secs(3);

impl Rivals {
    /// A packet has come of a session before, which is not the end of it, while `session` goes on. Whether
    /// that is news, as it is once more when `session` is over.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        session: Session,
        rival: Rival,
        is_over: bool,
    ) -> bool {
        self.tick(now);
        self.heard.take_if(|heard| heard.session != session);
        let fresh =
            Heard { session, rival, first: now, last: now, is_told: false, is_told_to_last: false };
        let heard = self.heard.get_or_insert(fresh);
        (heard.rival, heard.last) = (rival, now);
        let lasts = now.saturating_duration_since(heard.first) >= STRAGGLERS;
        let is_news = lasts && (!heard.is_told || is_over && !heard.is_told_to_last);
        heard.is_told |= lasts;
        heard.is_told_to_last |= lasts && is_over;
        is_news
    }

    /// It is so late.
    pub(super) fn tick(&mut self, now: Instant) {
        self.heard.take_if(|heard| now.saturating_duration_since(heard.last) >= QUIET);
    }

    /// Who sends besides the session that goes on.
    pub(super) fn present(&self, session: Session) -> Option<Rival> {
        let heard = self.heard.as_ref()?;
        (heard.is_told && heard.session == session).then_some(heard.rival)
    }
}
