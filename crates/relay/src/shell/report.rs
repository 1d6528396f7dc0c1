//! What each endpoint counts, and how counters become snapshots.

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use tautline_runtime::Runtime;
use tautline_runtime::watch::Histogram;

use crate::queue::Offer;
use crate::stats::{
    Drops, EndpointSnapshot, EndpointState, Latency, LatencySnapshot, LoopSnapshot, Meter, Rates,
    Role,
};
use crate::units::Nanos;

/// The counters of one endpoint. Counting is a few additions; nothing is allocated but for the
/// text of an error.
pub(crate) struct Tally {
    url: String,
    role: Role,
    state: Cell<EndpointState>,
    meter: RefCell<Meter>,
    drops: Cell<Drops>,
    peers: Cell<u64>,
    disconnects: Cell<u64>,
    connections: Cell<u64>,
    error: RefCell<Option<String>>,
}

impl Tally {
    pub(crate) fn new(url: &str, role: Role, now: Nanos) -> Self {
        Self {
            url: url.to_owned(),
            role,
            state: Cell::default(),
            meter: RefCell::new(Meter::new(now)),
            drops: Cell::default(),
            peers: Cell::default(),
            disconnects: Cell::default(),
            connections: Cell::default(),
            error: RefCell::default(),
        }
    }

    /// The endpoint as the user wrote it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn set_state(&self, state: EndpointState) {
        self.state.set(state);
    }

    /// Keeps the last error for the report.
    pub(crate) fn note(&self, error: &dyn Display) {
        log::debug!("{}: {error}", self.url);
        self.error.replace(Some(error.to_string()));
    }

    /// `packets` passed, with `bytes` on the wire.
    pub(crate) fn count(&self, packets: u64, bytes: u64) {
        self.meter.borrow_mut().count(packets, bytes);
    }

    pub(crate) fn drop_packets(&self, change: impl FnOnce(&mut Drops)) {
        let mut drops = self.drops.get();
        change(&mut drops);
        self.drops.set(drops);
    }

    /// Counts what became of a packet that was offered to a queue.
    pub(crate) fn count_offer<P>(&self, outcome: &Offer<P>) {
        match outcome {
            Offer::Queued | Offer::Wait(_) => {}
            Offer::DroppedOld(packets) => self.drop_packets(|drops| drops.old += *packets as u64),
            Offer::DroppedNew => self.drop_packets(|drops| drops.new += 1),
            Offer::Disconnect => {
                self.drop_packets(|drops| drops.new += 1);
                self.disconnects.set(self.disconnects.get() + 1);
            }
        }
    }

    /// `packets` were queued for somebody who has gone.
    pub(crate) fn count_lost(&self, packets: usize) {
        self.drop_packets(|drops| drops.lost += packets as u64);
    }

    /// A peer has come.
    pub(crate) fn peer_came(&self) {
        self.peers.set(self.peers.get() + 1);
        self.connections.set(self.connections.get() + 1);
        self.set_state(EndpointState::Open);
    }

    /// A peer has gone.
    pub(crate) fn peer_went(&self) {
        self.peers.set(self.peers.get().saturating_sub(1));
    }

    /// Peers that are here.
    pub(crate) fn peers(&self) -> u64 {
        self.peers.get()
    }

    /// Totals and the rates of the interval since the last sample. `queued`: packets in the
    /// fullest queue.
    pub(crate) fn sample(&self, now: Nanos, queued: usize) -> EndpointSnapshot {
        let rates = self.meter.borrow_mut().sample(now);
        self.snapshot(rates, queued)
    }

    /// Totals and average rates.
    pub(crate) fn total(&self, now: Nanos, queued: usize) -> EndpointSnapshot {
        let rates = self.meter.borrow().average(now);
        self.snapshot(rates, queued)
    }

    fn snapshot(&self, rates: Rates, queued: usize) -> EndpointSnapshot {
        EndpointSnapshot {
            url: self.url.clone(),
            role: self.role,
            state: self.state.get(),
            rates,
            drops: self.drops.get(),
            peers: self.peers.get(),
            disconnects: self.disconnects.get(),
            reconnects: self.reconnects(),
            queued: queued as u64,
            error: self.error.borrow().clone(),
        }
    }

    /// Connections after the first, of an endpoint that connects by itself.
    fn reconnects(&self) -> u64 {
        let connects = ["tcp:", "unix:"].iter().any(|scheme| self.url.starts_with(scheme));
        if connects { self.connections.get().saturating_sub(1) } else { 0 }
    }
}

/// How long packets took from receive to last send: over the interval and over all.
#[derive(Default)]
pub(crate) struct Latencies {
    interval: Latency,
    total: Latency,
}

impl Latencies {
    pub(crate) fn record(&mut self, arrival: Nanos, sent: Nanos) {
        self.interval.record(sent.since(arrival));
    }

    /// The interval since the last call.
    pub(crate) fn sample(&mut self) -> LatencySnapshot {
        let points = self.interval.snapshot();
        self.total.add(&self.interval);
        self.interval.clear();
        points
    }

    /// Everything.
    pub(crate) fn total(&mut self) -> LatencySnapshot {
        self.sample();
        self.total.snapshot()
    }
}

/// The loop's turns so far.
pub(crate) fn turns(runtime: &Runtime) -> LoopSnapshot {
    LoopSnapshot {
        driver: runtime.report().driver.to_owned(),
        turn: points(&runtime.turn_times()),
        longest_by: runtime.longest_turn().map(|turn| short_name(turn.name).to_owned()),
    }
}

fn points(turns: &Histogram) -> LatencySnapshot {
    LatencySnapshot {
        count: turns.count(),
        p50_ns: turns.quantile(0.5),
        p99_ns: turns.quantile(0.99),
        p999_ns: turns.quantile(0.999),
        max_ns: turns.max(),
    }
}

/// A handler's type name without what every handler has in common.
fn short_name(name: &str) -> &str {
    let name = name.trim_end_matches("::{{closure}}");
    name.rsplit_once("shell::").map_or(name, |(_, name)| name)
}
