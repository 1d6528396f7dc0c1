//! `ipc`: messages between two processes, there and back, per second, and to one who sleeps.
//!
//! The second process is this program once more ([`peer`]). A contender is a [`way::Way`] between
//! the two; what they do is a [`tasks::Task`].

mod hand;
mod iceoryx;
mod kernel;
mod ours;
mod peer;
mod tasks;
mod way;

use std::{process::ExitCode, time::Duration};

use self::{
    hand::{Futex, Rings},
    iceoryx::Services,
    kernel::{Datagrams, Pipes},
    ours::Channels,
    tasks::{Rate, Task, Trips, Wake},
    way::{Pass, Way},
};
use crate::{
    bus::{
        ends::{CAPACITY, Message},
        ours::{Default, Spin, Waits},
    },
    harness::{Contender, Failure, Group, Metric, Plan, Role, Sample},
};

/// Places for messages of 64 KiB.
const FEW: usize = 16;

type Bytes64 = [u64; 8];
type Bytes1k = [u64; 128];
type Bytes64k = [u64; 8192];

/// A contender in a row, in both processes.
struct Entry {
    name: &'static str,
    role: Role,
    first: fn(&str, Duration) -> Result<Sample, Failure>,
    second: fn(&Pass) -> Result<(), Failure>,
}

impl Entry {
    fn of<W: Way<M>, M: Message, T: Task>(name: &'static str, role: Role) -> Self {
        Self { name, role, first: T::first::<W, M>, second: T::second::<W, M> }
    }
}

/// Rows that the same slices give, and who takes part.
struct Part {
    metrics: Vec<Metric>,
    entries: Vec<Entry>,
    note: &'static str,
}

impl Part {
    /// What the second process of a contender is told to play.
    fn name_of(&self, entry: &Entry) -> String {
        format!("{}/{}", self.metrics[0].name, entry.name)
    }
}

/// Plays the second process, if this is one.
pub(crate) fn second_process() -> Option<ExitCode> {
    peer::play(|wanted, pass| {
        let parts = parts();
        let all = parts.iter().flat_map(|part| part.entries.iter().map(move |one| (part, one)));
        let found = all.into_iter().find(|(part, entry)| part.name_of(entry) == wanted);
        let (_, entry) = found.ok_or_else(|| std::io::Error::other("there is no such part"))?;
        (entry.second)(pass)
    })
}

/// A group each part.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let time = Duration::from_millis(if plan.quick { 20 } else { 60 });
    parts().into_iter().map(|part| group(part, time)).collect()
}

fn group(part: Part, time: Duration) -> Group {
    let contender = |entry: &Entry| {
        let (name, first) = (part.name_of(entry), entry.first);
        Contender::new(entry.name, entry.role, move || first(&name, time))
    };
    let contenders = part.entries.iter().map(contender).collect();
    Group { metrics: part.metrics, contenders, note: Some(part.note) }
}

const NOTE: &str = "\
    first process on core 1, second on core 0; everybody tries without waiting and spins; all \
    words of a message are written and read; tautline: the default configuration, \
    tautline-spin: Wait::Spin, both in place through views from 1 KiB on, by pieces of 64 bytes \
    (1 KiB) or of 1 KiB (64 KiB); limit: rings by hand in shared memory, written and read in \
    place; iceoryx2 is, too";

const WAKE_NOTE: &str = "\
    one way, from the call that gives a message to a process that sleeps until that has it; one \
    message every 200 us; first process on core 1, second on core 0; tautline: send and receive \
    of the default configuration, which sleeps after 20 us; limit: a bare futex; iceoryx2: a \
    sample and an event; datagrams and pipes: a blocking read";

fn parts() -> Vec<Part> {
    vec![
        Part {
            metrics: vec![Metric::lower("rtt-64-p50", "ns"), Metric::lower("rtt-64-p99", "ns")],
            entries: entries::<Trips>(),
            note: NOTE,
        },
        Part {
            metrics: vec![Metric::higher("rate-64", "messages/s")],
            entries: entries::<Rate>(),
            note: NOTE,
        },
        Part {
            metrics: vec![Metric::higher("rate-1k", "messages/s")],
            entries: entries_1k(),
            note: NOTE,
        },
        Part {
            metrics: vec![Metric::lower("rtt-64k-p50", "ns")],
            entries: entries_64k(),
            note: NOTE,
        },
        Part {
            metrics: vec![Metric::lower("wake-p50", "ns")],
            entries: sleepers(),
            note: WAKE_NOTE,
        },
    ]
}

fn entries<T: Task>() -> Vec<Entry> {
    vec![
        Entry::of::<Channels<Default, CAPACITY>, Bytes64, T>("tautline", Role::Tautline),
        Entry::of::<Channels<Spin, CAPACITY>, Bytes64, T>("tautline-spin", Role::Variant),
        Entry::of::<Rings<CAPACITY>, Bytes64, T>("rings-by-hand", Role::Limit),
        Entry::of::<Services<false, CAPACITY>, Bytes64, T>("iceoryx2", Role::Peer),
        Entry::of::<Datagrams<false>, Bytes64, T>("unix-datagrams", Role::Peer),
        Entry::of::<Pipes<false>, Bytes64, T>("pipes", Role::Peer),
    ]
}

fn entries_1k() -> Vec<Entry> {
    vec![
        Entry::of::<Channels<Default, CAPACITY>, Bytes1k, Rate>("tautline", Role::Tautline),
        Entry::of::<Channels<Spin, CAPACITY>, Bytes1k, Rate>("tautline-spin", Role::Variant),
        Entry::of::<Rings<CAPACITY>, Bytes1k, Rate>("rings-by-hand", Role::Limit),
        Entry::of::<Services<false, CAPACITY>, Bytes1k, Rate>("iceoryx2", Role::Peer),
        Entry::of::<Datagrams<false>, Bytes1k, Rate>("unix-datagrams", Role::Peer),
        Entry::of::<Pipes<false>, Bytes1k, Rate>("pipes", Role::Peer),
    ]
}

fn entries_64k() -> Vec<Entry> {
    vec![
        Entry::of::<Channels<Default, FEW>, Bytes64k, Trips>("tautline", Role::Tautline),
        Entry::of::<Channels<Spin, FEW>, Bytes64k, Trips>("tautline-spin", Role::Variant),
        Entry::of::<Rings<FEW>, Bytes64k, Trips>("rings-by-hand", Role::Limit),
        Entry::of::<Services<false, FEW>, Bytes64k, Trips>("iceoryx2", Role::Peer),
        Entry::of::<Datagrams<false>, Bytes64k, Trips>("unix-datagrams", Role::Peer),
        Entry::of::<Pipes<false>, Bytes64k, Trips>("pipes", Role::Peer),
    ]
}

fn sleepers() -> Vec<Entry> {
    vec![
        Entry::of::<Channels<Waits, CAPACITY>, Bytes64, Wake>("tautline", Role::Tautline),
        Entry::of::<Futex, Bytes64, Wake>("futex", Role::Limit),
        Entry::of::<Services<true, CAPACITY>, Bytes64, Wake>("iceoryx2", Role::Peer),
        Entry::of::<Datagrams<true>, Bytes64, Wake>("unix-datagrams", Role::Peer),
        Entry::of::<Pipes<true>, Bytes64, Wake>("pipes", Role::Peer),
    ]
}
