//! What a station has to say in its log.

use tautline_feed::sequence::{Line, Lost, Source};

use crate::gateway::{Doubt, Notice};
use crate::live::report::two_sessions;

/// Tells the log. `group` knows the groups of lines.
pub(super) fn tell(notice: &Notice, group: impl Fn(Line) -> String) {
    let name = |source: Source| match source {
        Source::Line(line) => group(line),
        other => other.to_string(),
    };
    match notice {
        Notice::Began { session, next } => log::info!("session {session} begins with {next}"),
        Notice::Ended { session, next } => log::info!("session {session} ends before {next}"),
        Notice::Gap(gap) => log::debug!("messages {} are missing", gap.missing),
        Notice::Repaired { gap, by } => log::debug!("messages {gap} have come by {}", name(*by)),
        // The books are in doubt, which was told: each packet that there is no room for would be.
        Notice::Lost { numbers, why: why @ Lost::SnapshotLate } => {
            log::debug!("messages {numbers} are lost: {why}");
        }
        Notice::Lost { numbers, why } => log::warn!("messages {numbers} are lost: {why}"),
        Notice::Doubt(Doubt::Joined) => log::info!("the books wait for a snapshot"),
        Notice::Doubt(why) => log::warn!("the books are in doubt: {why}"),
        Notice::Sound { next } => log::info!("the books are sound from {next} on"),
        Notice::Refused(refusal) => log::debug!("not sent again: {refusal}"),
        // Told with the server that it came from.
        Notice::Snapshot(_) => {}
        Notice::Malformed { source } => log::warn!("a packet of {} is malformed", name(*source)),
        Notice::Absurd { source, number } => {
            let source = name(*source);
            log::warn!("a packet of {source} has the number {number}, far from all others");
        }
        Notice::TwoSessions { session, rival } => {
            let line = group(rival.line);
            log::warn!("{}", two_sessions(&line, &session.to_string(), &rival.session.to_string()));
        }
        Notice::Stale => log::warn!("nothing comes on any line"),
        Notice::Live => log::info!("the lines are live again"),
    }
}
