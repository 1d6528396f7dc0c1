//! The middle of the relay: a packet is stored once and offered to every destination.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::destination::Destination;
use super::ending::Ending;
use super::report::Tally;
use super::source;
use crate::config::RelayConfig;
use crate::endpoint::{Source, SourcePlace};
use crate::framing::MAX_PACKET;
use crate::pool::{Claim, NoMemory, Pool, PoolError, Run};
use crate::queue::{Policy, Wire};
use crate::stats::LatencySnapshot;
use crate::units::Nanos;

/// Bytes that one send gathers from a queue of several packets.
pub(crate) const GATHER: usize = 64 << 10;

/// What sources and destinations share.
pub(crate) struct Fanout {
    pool: Pool,
    /// Set once, before the source starts.
    destinations: OnceCell<Vec<Rc<dyn Destination>>>,
    /// The source's counters.
    source: Rc<Tally>,
    /// Whether some destination must lose nothing: then the source waits for room.
    lossless: bool,
    /// Whether the source can wait for the first subscriber to come: it is finite.
    patient: bool,
    /// Subscribers that hold a packet which did not fit their queue.
    stalled: Cell<usize>,
    /// The source has more and was told to wait.
    source_waits: Cell<bool>,
    /// Sends so far: whether anything moves.
    moved: Cell<u64>,
    /// Where the packets of one send are put side by side; `GATHER` bytes.
    gather: RefCell<Vec<u8>>,
    ending: Rc<Ending>,
}

/// What the middle of a relay has to be made for.
pub(crate) struct Shape {
    /// Packets at a time.
    pub(crate) slots: usize,
    /// Bytes of the longest, or of the most that come joined.
    pub(crate) slot_size: usize,
    /// Some destination must lose nothing.
    pub(crate) lossless: bool,
    /// The source can wait for the first subscriber.
    pub(crate) patient: bool,
}

impl Shape {
    /// That of the relay that `config` describes.
    pub(crate) fn of(config: &RelayConfig) -> Self {
        Self {
            slots: config.slots + source::places(&config.from),
            slot_size: slot_size(&config.from),
            lossless: config.to.iter().any(|to| to.policy == Policy::Wait),
            patient: source::is_finite(&config.from),
        }
    }
}

impl Fanout {
    /// The middle of a relay of that shape, with nobody on either side yet.
    ///
    /// # Errors
    /// Without memory for the slots.
    pub(crate) fn new(
        shape: &Shape,
        source: Rc<Tally>,
        ending: Rc<Ending>,
    ) -> Result<Self, NoMemory> {
        Ok(Self {
            pool: Pool::new(shape.slots, shape.slot_size)?,
            destinations: OnceCell::new(),
            source,
            lossless: shape.lossless,
            patient: shape.patient,
            stalled: Cell::new(0),
            source_waits: Cell::new(false),
            moved: Cell::new(0),
            gather: RefCell::new(Vec::with_capacity(GATHER)),
            ending,
        })
    }

    /// Says who gets the packets; later calls change nothing.
    pub(crate) fn connect(&self, destinations: Vec<Rc<dyn Destination>>) {
        let _ = self.destinations.set(destinations);
    }

    pub(crate) fn destinations(&self) -> &[Rc<dyn Destination>] {
        self.destinations.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn ending(&self) -> &Rc<Ending> {
        &self.ending
    }

    /// The source's counters.
    pub(crate) fn source(&self) -> &Rc<Tally> {
        &self.source
    }

    /// Whether a packet can be taken without a loss that somebody asked not to have.
    pub(crate) fn is_ready(&self) -> bool {
        !self.lossless || (self.stalled.get() == 0 && self.pool.free() > 0 && self.has_audience())
    }

    /// Whether somebody is there to send to, or the source cannot wait for them.
    fn has_audience(&self) -> bool {
        !self.patient || self.destinations().iter().all(|to| to.is_attended())
    }

    /// Whether some destination must lose nothing.
    pub(crate) fn is_lossless(&self) -> bool {
        self.lossless
    }

    /// The source has more; it is to be resumed when there is room.
    pub(crate) fn await_room(&self) {
        self.source_waits.set(true);
    }

    /// Whether the source waits and can go on now; says so once.
    pub(crate) fn source_can_resume(&self) -> bool {
        self.source_could_resume() && self.source_waits.replace(false)
    }

    /// The same, without saying so.
    pub(crate) fn source_could_resume(&self) -> bool {
        self.source_waits.get() && self.is_ready()
    }

    /// A subscriber holds a packet that did not fit (`true`), or has got rid of it.
    pub(crate) fn stall(&self, stalls: bool) {
        let stalled = self.stalled.get();
        self.stalled.set(if stalls { stalled + 1 } else { stalled.saturating_sub(1) });
    }

    /// Takes a packet with `wire` bytes at the source and queues it at every destination.
    /// [`flush`](Self::flush) sends.
    pub(crate) fn publish(&self, bytes: &[u8], wire: usize, arrival: Nanos) {
        self.source.count(1, wire as u64);
        match self.pool.store(bytes, arrival) {
            Ok(packet) => self.deliver(packet),
            Err(error) => self.count_refused(error),
        }
    }

    /// The same for a message of a WebSocket, which remembers whether it is text.
    pub(crate) fn publish_message(&self, bytes: &[u8], is_text: bool, arrival: Nanos) {
        self.source.count(1, bytes.len() as u64);
        match self.pool.claim() {
            Ok(mut claim) => {
                claim.space(bytes.len()).copy_from_slice(bytes);
                if is_text {
                    claim.mark_text();
                }
                self.deliver(claim.freeze(bytes.len(), arrival));
            }
            Err(error) => self.count_refused(error),
        }
    }

    /// The same for a packet that is written where it will stay: `write` gets `len` bytes of room
    /// and says how many it used.
    pub(crate) fn publish_with(
        &self,
        len: usize,
        arrival: Nanos,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let claim = self.pool.claim();
        let used = match claim {
            Ok(mut claim) => {
                let used = write(claim.space(len));
                self.deliver(claim.freeze(used, arrival));
                used
            }
            Err(error) => {
                self.count_refused(error);
                // It is written nevertheless, so that its loss shows.
                self.gather(|room| {
                    room.resize(len, 0);
                    write(room)
                })
            }
        };
        self.source.count(1, used as u64);
    }

    /// Takes `run` at the source and queues it at every destination.
    pub(crate) fn publish_run(&self, run: Run) {
        self.source.count(run.packets() as u64, run.bytes().len() as u64);
        self.deliver(run);
    }

    /// A place to receive to.
    pub(crate) fn place(&self) -> Result<Claim, PoolError> {
        self.pool.claim()
    }

    /// `packets` with together `bytes` came, and there is no slot for them.
    pub(crate) fn count_homeless(&self, packets: usize, bytes: usize) {
        self.source.count(packets as u64, bytes as u64);
        self.source.drop_packets(|drops| drops.no_slot += packets as u64);
    }

    fn count_refused(&self, error: PoolError) {
        self.source.drop_packets(|drops| match error {
            PoolError::Exhausted { .. } => drops.no_slot += 1,
            PoolError::TooLong { .. } => drops.too_long += 1,
        });
    }

    fn deliver(&self, run: Run) {
        for destination in self.destinations() {
            destination.deliver(&run);
        }
    }

    /// Sends what was queued since the last time: at the end of all that one receive brought.
    pub(crate) fn flush(&self) {
        for destination in self.destinations() {
            destination.flush();
        }
    }

    /// A destination has sent `run`, and gives its reference up: at `now`, which is read once for
    /// all packets of one send.
    pub(crate) fn sent(&self, run: &Run, now: &OnceCell<Nanos>) {
        self.moved.set(self.moved.get() + run.packets() as u64);
        run.note_sent(*now.get_or_init(super::clock));
    }

    /// Sends so far.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// Lends the room in which the packets of one send are put side by side.
    pub(crate) fn gather<R>(&self, work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut room = self.gather.borrow_mut();
        room.clear();
        work(&mut room)
    }

    /// By powers of two, of what the next sample will tell.
    pub(crate) fn latency_buckets(&self) -> Vec<u64> {
        self.pool.latencies().buckets()
    }

    pub(crate) fn sample_latency(&self) -> LatencySnapshot {
        self.pool.latencies().sample()
    }

    pub(crate) fn total_latency(&self) -> LatencySnapshot {
        self.pool.latencies().total()
    }
}

/// Bytes of the largest packet that the source brings, or of the most that come joined.
fn slot_size(from: &Source) -> usize {
    match from.place {
        SourcePlace::Demo(feed) => feed.size,
        SourcePlace::Udp(_) | SourcePlace::Multicast(_) => MAX_PACKET,
        _ => from.max_packet,
    }
}
