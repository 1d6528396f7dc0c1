//! What each endpoint counts, and how counters become snapshots.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::net::SocketAddr;

use tautline_runtime::watch::{Histogram, Offence};
use tautline_runtime::{Descriptor, Runtime};

use crate::endpoint::{DestinationPlace, SourcePlace};
use crate::queue::Offer;
use crate::run::RunError;
use crate::stats::{
    Drops, EndpointSnapshot, EndpointState, LatencySnapshot, LoopSnapshot, Meter, Rates, Role,
};
use crate::units::Nanos;

/// Who has to be there for packets to come from an endpoint, or to go to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody, or whoever comes by himself.
    Nobody,
    /// Nobody, but hosts and routes may refuse what is sent.
    Route,
    /// Somebody to whom it connects.
    Host,
    /// Somebody who reads from the channel.
    Reader,
}

impl From<&SourcePlace> for Needs {
    fn from(place: &SourcePlace) -> Self {
        match place {
            SourcePlace::Tcp(_) | SourcePlace::Unix(_) | SourcePlace::WebSocket(_) => Self::Host,
            _ => Self::Nobody,
        }
    }
}

impl From<&DestinationPlace> for Needs {
    fn from(place: &DestinationPlace) -> Self {
        match place {
            DestinationPlace::Udp(_) | DestinationPlace::Multicast(_) => Self::Route,
            DestinationPlace::Tcp(_) | DestinationPlace::WebSocket(_) => Self::Host,
            DestinationPlace::Shm(_) => Self::Reader,
            _ => Self::Nobody,
        }
    }
}

/// The counters of one endpoint. Counting is a few additions; nothing is allocated but for the
/// text of an error.
pub(crate) struct Tally {
    url: String,
    role: Role,
    needs: Needs,
    state: Cell<EndpointState>,
    bound: Cell<Option<SocketAddr>>,
    meter: RefCell<Meter>,
    drops: Cell<Drops>,
    peers: Cell<u64>,
    disconnects: Cell<u64>,
    connections: Cell<u64>,
    error: RefCell<Option<String>>,
    /// Whether errors are told when they change: where nobody else does.
    is_loud: bool,
}

impl Tally {
    pub(crate) fn new(url: &str, role: Role, needs: Needs, now: Nanos) -> Self {
        Self {
            url: url.to_owned(),
            role,
            needs,
            state: Cell::default(),
            bound: Cell::default(),
            meter: RefCell::new(Meter::new(now)),
            drops: Cell::default(),
            peers: Cell::default(),
            disconnects: Cell::default(),
            connections: Cell::default(),
            error: RefCell::default(),
            is_loud: false,
        }
    }

    /// The same, and errors are told when they change.
    pub(crate) fn loud(self) -> Self {
        Self { is_loud: true, ..self }
    }

    /// The endpoint as the user wrote it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Keeps where the endpoint's socket is bound, if it has a port.
    pub(crate) fn set_bound(&self, socket: &Descriptor) {
        let address = socket.conn().local_addr().ok().and_then(|address| address.as_socket());
        if let Some(address) = address {
            log::info!("{}: bound to {address}", self.url);
        }
        self.bound.set(address);
    }

    /// Where the endpoint's socket is bound, with the port that the system chose.
    pub(crate) fn bound(&self) -> Option<SocketAddr> {
        self.bound.get()
    }

    pub(crate) fn set_state(&self, state: EndpointState) {
        self.state.set(state);
    }

    /// Keeps the last error for the report.
    pub(crate) fn note(&self, error: &dyn Display) {
        let error = error.to_string();
        if self.is_loud && self.error.borrow().as_ref() != Some(&error) {
            log::warn!("{}: {error}", self.url);
        } else {
            log::debug!("{}: {error}", self.url);
        }
        self.error.replace(Some(error));
    }

    /// The last error.
    pub(crate) fn error(&self) -> Option<String> {
        self.error.borrow().clone()
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

    /// Counts what became of what was offered to a queue.
    pub(crate) fn count_offer<P>(&self, outcome: &Offer<P>) {
        match outcome {
            Offer::Queued | Offer::Wait(_) => {}
            Offer::Dropped { old, new } => self.drop_packets(|drops| {
                (drops.old, drops.new) = (drops.old + *old as u64, drops.new + *new as u64);
            }),
            Offer::Disconnect(packets) => {
                self.drop_packets(|drops| drops.new += *packets as u64);
            }
        }
    }

    /// A peer is cut off since its queue is full.
    pub(crate) fn count_disconnect(&self) {
        self.disconnects.set(self.disconnects.get() + 1);
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

    /// So many peers are here, of those that come and go without telling.
    pub(crate) fn set_peers(&self, count: usize) {
        let (count, before) = (count as u64, self.peers.replace(count as u64));
        self.connections.set(self.connections.get() + count.saturating_sub(before));
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
            bound: self.bound(),
            rates,
            drops: self.drops.get(),
            peers: self.peers.get(),
            disconnects: self.disconnects.get(),
            reconnects: self.reconnects(),
            queued: queued as u64,
            error: self.error(),
        }
    }

    /// Why nothing could ever be sent there, if that is so: it was never connected, or every datagram was
    /// refused, or nobody has read from the channel.
    pub(crate) fn unreached(&self) -> Option<RunError> {
        let reason = || self.error().unwrap_or_else(|| "the time was too short".to_owned());
        let error = || RunError::Unreached { url: self.url.clone(), reason: reason() };
        self.was_never_reached().then(error)
    }

    fn was_never_reached(&self) -> bool {
        let has_lost = self.drops.get().lost > 0;
        match self.needs {
            Needs::Nobody => false,
            Needs::Route => {
                let sent = self.meter.borrow().average(Nanos(0)).packets;
                sent == 0 && has_lost && self.error.borrow().is_some()
            }
            Needs::Host => self.waits_for_its_first(),
            // What is sent into a channel waits there, and is lost at the end if nobody has come.
            Needs::Reader => self.waits_for_its_first() && has_lost,
        }
    }

    /// Whether this is a destination that needs a peer and has never had one: not connected yet, or
    /// nobody reads from the channel.
    pub(crate) fn waits_for_its_first(&self) -> bool {
        matches!(self.needs, Needs::Host | Needs::Reader) && self.connections.get() == 0
    }

    /// Connections after the first, of an endpoint that connects by itself.
    fn reconnects(&self) -> u64 {
        match self.needs {
            Needs::Host => self.connections.get().saturating_sub(1),
            _ => 0,
        }
    }
}

/// How long the loop's turns took: over the interval and over all.
#[derive(Default)]
pub(crate) struct Turns {
    /// All turns up to the last sample.
    seen: Histogram,
    /// The longest of them.
    longest: Option<Offence>,
}

impl Turns {
    /// The interval since the last call.
    pub(crate) fn sample(&mut self, runtime: &Runtime) -> LoopSnapshot {
        self.sample_of(runtime.report().driver, runtime.turn_times(), runtime.longest_turn())
    }

    /// Everything.
    pub(crate) fn total(runtime: &Runtime) -> LoopSnapshot {
        snapshot(runtime.report().driver, &runtime.turn_times(), runtime.longest_turn())
    }

    fn sample_of(
        &mut self,
        driver: &str,
        all: Histogram,
        longest: Option<Offence>,
    ) -> LoopSnapshot {
        let recent = longest.filter(|_| longest != self.longest);
        let taken = snapshot(driver, &all.since(&self.seen), recent);
        (self.seen, self.longest) = (all, longest);
        taken
    }
}

fn snapshot(driver: &str, turns: &Histogram, longest: Option<Offence>) -> LoopSnapshot {
    LoopSnapshot {
        driver: driver.to_owned(),
        turn: points(turns),
        longest_by: longest.map(|turn| short_name(turn.name).to_owned()),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn longest(name: &'static str, nanos: u64) -> Option<Offence> {
        let turn = Duration::from_nanos(nanos);
        Some(Offence { name, took: turn, turn })
    }

    /// Proves that a sample tells of the turns since the one before, and names who took the
    /// longest only in the interval in which it was.
    #[test]
    fn turns_are_told_an_interval_at_a_time() {
        let (mut turns, mut all) = (Turns::default(), Histogram::new());
        all.record(9_000);
        let first = turns.sample_of("sim", all.clone(), longest("start", 9_000));
        assert_eq!((first.turn.count, first.turn.max_ns), (1, 9_000));
        assert_eq!(first.longest_by.as_deref(), Some("start"));
        all.record(50);
        let second = turns.sample_of("sim", all.clone(), longest("start", 9_000));
        assert_eq!((second.turn.count, second.turn.p50_ns, second.turn.max_ns), (1, 50, 50));
        assert_eq!(second.longest_by, None);
        let third = turns.sample_of("sim", all, longest("start", 9_000));
        assert_eq!(third.turn, LatencySnapshot::default());
    }
}
