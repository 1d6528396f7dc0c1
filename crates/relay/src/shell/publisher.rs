//! Destinations of a program that makes its packets itself.

use std::fmt;
use std::rc::Rc;

use super::conflict;
use super::destination::{self, Destination as Outlet};
use super::ending::{Ending, Phase};
use super::fanout::{Fanout, Shape};
use super::report::{Needs, Tally};
use crate::endpoint::Destination;
use crate::queue::Policy;
use crate::run::RunError;
use crate::stats::{EndpointSnapshot, LatencySnapshot, Role};

/// Relays packets that a program makes itself, on the loop that it has.
///
/// A packet is stored once, and shared by all destinations; each subscriber has a queue of its own, as
/// in a relay. Nobody waits for anybody: a destination with `policy=wait` is refused.
///
/// ```
/// use tautline_relay::Publisher;
/// let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let receiver = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let to = [format!("udp://{}", receiver.local_addr()?).parse()?];
/// let publisher = runtime.block_on(Publisher::open("quotes", &to, 64, 1500))??;
/// publisher.publish(b"hello");
/// publisher.flush();
/// publisher.finish();
/// runtime.run_until(|| publisher.has_finished())?;
/// let mut bytes = [0; 10];
/// assert_eq!(receiver.recv(&mut bytes)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Publisher {
    fanout: Rc<Fanout>,
    ending: Rc<Ending>,
}

impl Publisher {
    /// Opens all destinations; those that connect go on trying while the loop runs. `name` names the
    /// packets' source in reports; at most `slots` packets of at most `longest` bytes are held at a
    /// time, over all queues together.
    ///
    /// # Errors
    /// [`RunError`]: two destinations that are one, one that waits, one that cannot be opened, or no
    /// memory.
    pub async fn open(
        name: &str,
        to: &[Destination],
        slots: usize,
        longest: usize,
    ) -> Result<Self, RunError> {
        conflict::check_destinations(to)?;
        if let Some(to) = to.iter().find(|to| to.policy == Policy::Wait) {
            let reason =
                "policy=wait: nothing here can wait; choose drop-old, drop-new or disconnect";
            return Err(RunError::Endpoint { url: to.url.clone(), reason: reason.to_owned() });
        }
        let start = super::clock();
        let ending = Rc::new(Ending::new());
        let shape = Shape { slots, slot_size: longest, lossless: false, patient: false };
        let tally = Rc::new(Tally::new(name, Role::Source, Needs::Nobody, start));
        let fanout = Rc::new(Fanout::new(&shape, tally, ending.clone())?);
        let mut outlets = Vec::with_capacity(to.len());
        for to in to {
            let failed = |error| RunError::endpoint(&to.url, &error);
            let tally =
                Rc::new(Tally::new(&to.url, Role::Destination, (&to.place).into(), start).loud());
            outlets.push(destination::open(to, &fanout, &tally).await.map_err(failed)?);
        }
        for outlet in &outlets {
            let failed = |error| RunError::endpoint(outlet.tally().url(), &error);
            outlet.begin().map_err(failed)?;
        }
        fanout.connect(outlets);
        Ok(Self { fanout, ending })
    }

    /// Queues a packet at every destination. [`flush`](Self::flush) sends.
    pub fn publish(&self, packet: &[u8]) {
        self.fanout.publish(packet, packet.len(), super::arrival());
    }

    /// Sends what was queued since the last time, as far as it can be sent now.
    pub fn flush(&self) {
        self.fanout.flush();
    }

    /// Nothing more is published: what is queued is still sent to those who have ever been there, but not
    /// for ever: it is given up after 2 s in which nothing could be sent, and after 30 s in any case.
    pub fn finish(&self) {
        self.ending.end_of_time();
    }

    /// Whether all that was queued has gone, or was given up, after [`finish`](Self::finish) or a
    /// failure. To be asked now and then, and at last.
    pub fn has_finished(&self) -> bool {
        let is_done = |to: &Rc<dyn Outlet>| to.is_idle() || to.tally().waits_for_its_first();
        let idle = self.fanout.destinations().iter().all(is_done);
        let now = tautline_runtime::now().unwrap_or_default();
        self.ending.watch(now, self.fanout.moved(), idle);
        self.ending.phase() == Phase::Over
    }

    /// Whether a destination has failed for good: then nothing more is to be published.
    pub fn has_failed(&self) -> bool {
        !self.ending.is_running()
    }

    /// Why it ended before its time; told once.
    pub fn failure(&self) -> Option<RunError> {
        self.ending.take_failure()
    }

    /// A destination that nothing ever got to, if there is one: never connected, or every datagram was
    /// refused, or nobody ever read from the channel, which shows once it is [closed](Self::close).
    pub fn unreached(&self) -> Option<RunError> {
        self.fanout.destinations().iter().find_map(|to| to.tally().unreached())
    }

    /// Closes all destinations; what is still queued is lost. The loop needs a turn to see to it.
    pub fn close(&self) {
        self.fanout.destinations().iter().for_each(|to| to.close());
    }

    /// The destinations, in the order given: totals, and the rates since the last sample.
    pub fn sample(&self) -> Vec<EndpointSnapshot> {
        let now = super::clock();
        self.all(|to| to.tally().sample(now, to.queued()))
    }

    /// The same with average rates.
    pub fn total(&self) -> Vec<EndpointSnapshot> {
        let now = super::clock();
        self.all(|to| to.tally().total(now, to.queued()))
    }

    fn all(&self, of: impl Fn(&dyn Outlet) -> EndpointSnapshot) -> Vec<EndpointSnapshot> {
        self.fanout.destinations().iter().map(|to| of(&**to)).collect()
    }

    /// From the arrival of what a packet tells of to its last send, since the last sample.
    pub fn sample_latency(&self) -> LatencySnapshot {
        self.fanout.sample_latency()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> =
            self.fanout.destinations().iter().map(|to| to.tally().url()).collect();
        f.debug_struct("Publisher").field("to", &urls).finish_non_exhaustive()
    }
}
