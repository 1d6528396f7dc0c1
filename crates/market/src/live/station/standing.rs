//! How a station stands, as plain data.

use tautline_feed::format::Format;
use tautline_feed::sequence::Line;

use super::Station;
use crate::gateway::Rival;
use crate::live::report::{
    AskedReport, GatewayReport, InstrumentReport, OtherSession, Rate, per_second,
};

/// Counts of updates that become rates.
pub(super) struct Rates {
    all: Rate,
    each: Vec<Rate>,
}

impl Rates {
    pub(super) fn new(instruments: u32) -> Self {
        Self { all: Rate::new(), each: (0..instruments).map(|_| Rate::new()).collect() }
    }
}

impl<F: Format> Station<F> {
    fn elapsed(&self) -> f64 {
        self.clock.now().saturating_duration_since(self.begun).as_secs_f64()
    }

    /// How it stands: rates are those since the report before.
    pub fn report(&self) -> GatewayReport {
        let at_s = self.elapsed();
        let counts = self.counts();
        let mut rates = self.rates.borrow_mut();
        let each = rates.each.iter_mut().zip(&counts);
        let each: Vec<f64> = each.map(|(rate, count)| rate.sample(*count, at_s)).collect();
        let all = rates.all.sample(counts.iter().sum(), at_s);
        let destinations = self.publisher.sample();
        GatewayReport { destinations, ..self.tell_all("gateway", all, &counts, &each) }
    }

    /// How it stood: rates are averages.
    pub fn summary(&self) -> GatewayReport {
        let at_s = self.elapsed();
        let counts = self.counts();
        let each: Vec<f64> = counts.iter().map(|count| per_second(*count, at_s)).collect();
        let all = per_second(counts.iter().sum(), at_s);
        let destinations = self.publisher.total();
        GatewayReport { destinations, ..self.tell_all("gateway-summary", all, &counts, &each) }
    }

    /// Updates of each instrument.
    fn counts(&self) -> Vec<u64> {
        let gateway = self.gateway.borrow();
        gateway.books().iter().map(|(instrument, _)| gateway.updates(instrument)).collect()
    }

    fn tell_all(
        &self,
        kind: &'static str,
        updates_per_s: f64,
        counts: &[u64],
        each: &[f64],
    ) -> GatewayReport {
        let gateway = self.gateway.borrow();
        let (stats, sequencer) = (gateway.stats(), gateway.sequencer());
        let sequence = sequencer.stats();
        let lines = self.lines.borrow();
        let lines = lines.iter().enumerate();
        let lines =
            lines.map(|(at, line)| line.report(sequencer.line_stats(Line(at as u8)))).collect();
        let books = gateway.books().iter().zip(counts).zip(each);
        let instruments = books
            .map(|(((instrument, book), count), per_s)| {
                InstrumentReport::of(instrument, book, *count, *per_s)
            })
            .collect();
        let behind = gateway.behind(self.clock.now());
        let (replay, snapshot) = (&self.replay.known, &self.snapshot.known);
        GatewayReport {
            kind,
            elapsed_s: self.elapsed(),
            session: sequencer.session().map(|session| session.to_string()),
            sound: gateway.is_sound(),
            stale: gateway.is_stale(),
            behind: behind.map_or(0, |it| it.messages),
            behind_s: behind.map_or(0.0, |it| it.time.as_secs_f64()),
            ended: gateway.has_ended(),
            doubt: gateway.doubt().map(|why| why.to_string()),
            other_session: gateway.rival().map(|it| self.other_session(it)),
            next: sequencer.present(),
            updates: stats.updates,
            updates_per_s,
            quotes: stats.quotes,
            lines,
            format: self.format,
            strange: stats.strange,
            gaps: sequence.gaps,
            repaired: sequence.repaired,
            lost: sequence.lost,
            doubts: stats.doubts,
            replay: AskedReport {
                server: replay.server.clone(),
                connected: replay.connected.get(),
                requests: self.replay.requests.get(),
                answers: stats.replayed,
                refused: stats.replay_refused,
                error: replay.error(),
            },
            snapshot: AskedReport {
                server: snapshot.server.clone(),
                connected: snapshot.connected.get(),
                requests: stats.snapshots_asked,
                answers: stats.snapshots,
                refused: stats.snapshots_failed,
                error: snapshot.error(),
            },
            instruments,
            destinations: Vec::new(),
        }
    }

    fn other_session(&self, rival: Rival) -> OtherSession {
        OtherSession { session: rival.session.to_string(), line: self.group(rival.line) }
    }
}
