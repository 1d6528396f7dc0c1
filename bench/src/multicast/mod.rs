//! `multicast`: datagrams of groups per second that one core takes, and the time from a send to the
//! handler.
//!
//! In the rows `pps` the receiver's processor time decides: it stands still at a [`Gate`] while its
//! sockets' queues are filled, and is measured from the gate's opening to the last datagram.
//! Receiver and sender have a core each. What is asked of the kernel besides the bytes is the same
//! for everybody: source, group, interface, time of arrival and the count of what was dropped; in
//! the row `bare` nothing.

mod batch;
mod gate;
mod latency;
mod limit;
mod ours;
mod peers;
pub(crate) mod sockets;

use std::{
    io,
    net::SocketAddrV4,
    sync::mpsc::{self, Sender},
    time::Duration,
};

use self::gate::{Gate, Lap};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{GENERATOR, UnderTest, pin},
};

/// Messages that a receiving call carries at most, for everybody.
const BATCH: usize = 32;
/// Bytes that a socket's receive buffer asks for, for everybody; the kernel may grant less.
const SOCKET_BUFFER: usize = 4 << 20;
/// Longest wait for a receiver.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the kernel told of a datagram.
#[derive(Clone, Copy, Default)]
struct Seen<'b> {
    bytes: &'b [u8],
    /// The sender's port; 0: not asked for. So are the others.
    source: u16,
    /// The group's address.
    group: u32,
    interface: u32,
    /// Nanoseconds.
    arrival: u64,
    dropped: u32,
}

impl Seen<'_> {
    /// What the datagram begins with.
    #[inline]
    fn number(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
    }
}

/// Who is shown the datagrams.
trait Watcher: Send + 'static {
    /// Waits until there is something to receive; `false`: there will be nothing.
    fn open(&mut self) -> bool;

    /// Takes a datagram; `false`: it was the last of all.
    fn take(&mut self, seen: Seen<'_>) -> bool;
}

/// What a receiver is asked to do: join each of `groups` by a socket of its own, show the watcher
/// every datagram, and end when that says so.
struct Job<W> {
    groups: Vec<SocketAddrV4>,
    /// Whether the kernel is asked for more than the bytes.
    details: bool,
    /// Whether it is to stay awake when there is nothing.
    spin: bool,
    /// To be used once all groups are joined.
    ready: Sender<()>,
    watcher: W,
}

impl<W: Watcher> Job<W> {
    /// Says that the groups are joined, and waits until there is something to receive.
    fn is_ready(&mut self) -> bool {
        // Who no longer listens has given up waiting.
        let _ = self.ready.send(());
        self.watcher.open()
    }
}

/// A named receiver: runs on its own pinned thread.
struct Receiver<W> {
    name: &'static str,
    role: Role,
    receive: fn(Job<W>) -> io::Result<()>,
}

/// All that take part.
fn receivers<W: Watcher>() -> Vec<Receiver<W>> {
    let mut all = vec![
        Receiver { name: "recvmmsg", role: Role::Limit, receive: limit::receive },
        Receiver { name: "tautline", role: Role::Tautline, receive: ours::receive },
        Receiver {
            name: "tautline-buffers",
            role: Role::Variant,
            receive: ours::receive_to_buffers,
        },
    ];
    all.extend(peers::receivers());
    all
}

/// What a row is about.
#[derive(Clone, Copy)]
struct Shape {
    row: &'static str,
    /// Bytes of a datagram.
    size: usize,
    /// Groups, a socket for each.
    groups: usize,
    details: bool,
    note: &'static str,
}

/// A note with what holds for all rows of rates.
macro_rules! noted {
    ($of_row:literal) => {
        concat!(
            $of_row,
            "; per second of the receiver's processor time, from full queues to empty ones; tokio and \
             mio: one datagram a call; -recvmmsg: the calls of the limit"
        )
    };
}

const SHAPES: [Shape; 4] = [
    Shape { row: "pps-64", size: 64, groups: 1, details: true, note: noted!("64 B, one group") },
    Shape {
        row: "pps-1200",
        size: 1_200,
        groups: 1,
        details: true,
        note: noted!("1,200 B, one group"),
    },
    Shape {
        row: "pps-64-bare",
        size: 64,
        groups: 1,
        details: false,
        note: noted!("64 B, one group, nothing but the bytes"),
    },
    Shape {
        row: "pps-64-peers8",
        size: 64,
        groups: 8,
        details: true,
        note: noted!("64 B, eight groups on eight sockets, an eighth of the datagrams each"),
    },
];

/// The rows of rates, and that of latencies.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let mut all: Vec<Group> = SHAPES.iter().map(|&shape| rates(shape, plan)).collect();
    all.push(latency::group(plan));
    all
}

fn rates(shape: Shape, plan: &Plan) -> Group {
    let laps = if plan.quick { 6 } else { 16 };
    let contender = |Receiver { name, role, receive }| {
        Contender::new(name, role, move || slice(receive, shape, laps))
    };
    Group {
        metrics: vec![Metric::higher(shape.row, "packets/s")],
        contenders: receivers().into_iter().map(contender).collect(),
        note: Some(shape.note),
    }
}

fn slice(
    receive: fn(Job<Gate>) -> io::Result<()>,
    shape: Shape,
    laps: usize,
) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let groups = sockets::fresh_groups(shape.groups);
    let sender = sockets::Filler::new(&groups, shape.size)?;
    let (watcher, keeper) = gate::pair();
    let (ready, is_ready) = mpsc::channel();
    let job = Job { groups, details: shape.details, spin: false, ready, watcher };
    let receiver = UnderTest::start(move || receive(job))?;
    // A receiver that ended instead is noticed when it is joined.
    let _ = is_ready.recv_timeout(PATIENCE);
    let mut total = Lap::default();
    for lap in 0..laps {
        let sent = sender.fill()?;
        let Some(took) = keeper.lap(sent.packets, PATIENCE) else {
            drop(keeper);
            // What keeps a receiver waiting is a datagram that did not fit: this one wakes it.
            sender.wake()?;
            receiver.join()??;
            return Err(Failure::Stalled(PATIENCE));
        };
        if took.sum != sent.sum {
            return Err(Failure::Miscounted { sent: sent.sum, answered: took.sum });
        }
        // The first lap warms up.
        if lap > 0 {
            total += took;
        }
    }
    drop(keeper);
    sender.wake()?;
    receiver.join()??;
    let packets = total.packets as f64;
    Ok(Sample {
        values: vec![packets / total.usage.cpu.as_secs_f64()],
        cpu_ns: Some(total.usage.cpu.as_nanos() as f64 / packets),
        idle: Some(total.usage.idle(total.time)),
        ..Sample::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every receiver takes all datagrams of every shape, each once: else a lap's sum differs.
    #[test]
    fn all_receivers_take_everything() {
        let plan = Plan { budget: Duration::ZERO, rounds: 1, quick: true };
        for mut group in groups(&plan) {
            for contender in &mut group.contenders {
                let sample = (contender.slice)();
                assert!(sample.is_ok(), "{}: {:?}", contender.name, sample.err());
            }
        }
    }
}
