//! `bus`: messages between threads, per second, there and back, and as a request with its answer.
//!
//! Everybody tries without waiting, and waits in between as [`ends::Idle`] has it, so that rings
//! which cannot wait are compared with channels that can. A contender is a [`ends::Topology`].

mod channels;
mod disruptor;
pub(crate) mod ends;
mod fan;
mod flow;
pub(crate) mod hand;
pub(crate) mod ours;
mod requests;
mod rings;
mod several;
pub(crate) mod trips;

use std::time::Duration;

use self::{
    channels::{Crossbeam, Crossfire, CrossfireMany, Flume, Kanal, Std},
    ends::{Message, Topology},
    hand::Ring,
    ours::{Default, Lanes, Loans, Spin, Waits, Yields},
    requests::Asked,
    rings::{Ringbuf, Rtrb},
    several::{InTurn, ToEach},
    trips::{Exchange, Pair},
};
use crate::harness::{Contender, Group, Metric, Plan, Role};

/// Messages of a batch.
const BATCH: usize = 32;

/// A group each row, but for the two percentiles of a round trip.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let time = Duration::from_millis(if plan.quick { 20 } else { 60 });
    vec![
        rate("spsc-8", spsc::<[u64; 1]>(time), SINGLE_NOTE),
        rate("spsc-64", spsc::<[u64; 8]>(time), SINGLE_NOTE),
        rate("spsc-1k", spsc_in_place(time), SINGLE_NOTE),
        rate("mpsc2-8", mpsc::<[u64; 1]>(time), CROWDED_NOTE),
        rate("mpsc2-64", mpsc::<[u64; 8]>(time), CROWDED_NOTE),
        rate("broadcast2-8", broadcast::<[u64; 1]>(time), BROADCAST_NOTE),
        rate("broadcast2-64", broadcast::<[u64; 8]>(time), BROADCAST_NOTE),
        rate("spsc-8-batch", spsc_batch::<[u64; 1]>(time), BATCH_NOTE),
        rate("spsc-64-batch", spsc_batch::<[u64; 8]>(time), BATCH_NOTE),
        rate("spsc-1k-batch", spsc_batch::<[u64; 128]>(time), BATCH_NOTE),
        rate("mpsc2-8-batch", mpsc_batch::<[u64; 1]>(time), CROWDED_BATCH_NOTE),
        rate("mpsc2-64-batch", mpsc_batch::<[u64; 8]>(time), CROWDED_BATCH_NOTE),
        rate("broadcast2-8-batch", broadcast_batch::<[u64; 1]>(time), CROWDED_BATCH_NOTE),
        rate("broadcast2-64-batch", broadcast_batch::<[u64; 8]>(time), CROWDED_BATCH_NOTE),
        Group {
            metrics: vec![Metric::lower("rtt-p50", "ns"), Metric::lower("rtt-p99", "ns")],
            contenders: round_trips(time),
            note: Some(TRIPS_NOTE),
        },
        Group {
            metrics: vec![Metric::lower("reply-p50", "ns")],
            contenders: replies(time),
            note: Some(REPLY_NOTE),
        },
    ]
}

const SINGLE_NOTE: &str = "\
    one call for each message; everybody tries without waiting and spins; producer on core 1, \
    consumer on core 0; tautline: the default configuration, tautline-spin: Wait::Spin; \
    tautline-waits: send and receive of the default configuration, tautline-yield: of \
    Wait::Yield; tautline-loan: written and read in place; limit: a ring by hand; disruptor \
    hands out references";

const CROWDED_NOTE: &str = "\
    oversubscribed: three threads on two cores, consumers on core 0, producers on core 1, \
    everybody spins 64 times, then yields; one call for each message; limit: a ring by hand for \
    each producer, polled in turn, as rtrb and ringbuf are; tautline-waits and tautline-yield \
    wait by themselves";

const BROADCAST_NOTE: &str = "\
    oversubscribed: three threads on two cores, consumers on core 0, producers on core 1, \
    everybody spins 64 times, then yields; one call for each message; messages of the producer \
    per second, each of which both consumers have read; limit: a ring by hand with two cursors; \
    those with -each have no broadcast and are sent each message twice";

const BATCH_NOTE: &str = "\
    calls for 32 messages on both sides; kanal and flume have one on the receiving side alone, \
    which takes all that are there; producer on core 1, consumer on core 0";

const CROWDED_BATCH_NOTE: &str = "\
    oversubscribed: three threads on two cores, consumers on core 0, producers on core 1, \
    everybody spins 64 times, then yields; calls for 32 messages on both sides; kanal and flume \
    have one on the receiving side alone, which takes all that are there";

const TRIPS_NOTE: &str = "\
    8 bytes there and back through two rings or channels; client on core 1, server on core 0; \
    everybody tries without waiting and spins; by the counter of the processor, whose reading is \
    included; tautline-waits: send and receive of the default configuration";

const REPLY_NOTE: &str = "\
    a request of 8 bytes and its answer; client on core 1, server on core 0; tautline: request, \
    and a server that tries and spins, of the default configuration; tautline-spin: of \
    Wait::Spin; tautline-waits: serve, which waits, of the default configuration; limit and \
    peers: two rings or channels, as in the rows rtt";

fn rate(name: &str, contenders: Vec<Contender>, note: &'static str) -> Group {
    Group { metrics: vec![Metric::higher(name, "messages/s")], contenders, note: Some(note) }
}

/// A topology in a row of single calls.
fn flow<T: Topology<M>, M: Message>(name: &'static str, role: Role, time: Duration) -> Contender {
    Contender::new(name, role, move || flow::slice::<T, M, 1>(time))
}

/// A topology in a row of calls for several messages.
fn batch<T: Topology<M>, M: Message>(name: &'static str, role: Role, time: Duration) -> Contender {
    Contender::new(name, role, move || flow::slice::<T, M, BATCH>(time))
}

fn spsc<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        flow::<Lanes<Default, 1>, M>("tautline", Role::Tautline, time),
        flow::<Lanes<Spin, 1>, M>("tautline-spin", Role::Variant, time),
        flow::<Lanes<Waits, 1>, M>("tautline-waits", Role::Variant, time),
        flow::<Lanes<Yields, 1>, M>("tautline-yield", Role::Variant, time),
        flow::<Ring, M>("ring-by-hand", Role::Limit, time),
        flow::<Rtrb, M>("rtrb", Role::Peer, time),
        flow::<Ringbuf, M>("ringbuf", Role::Peer, time),
        flow::<disruptor::One, M>("disruptor", Role::Peer, time),
        flow::<Crossbeam<1>, M>("crossbeam", Role::Peer, time),
        flow::<Kanal<1>, M>("kanal", Role::Peer, time),
        flow::<Crossfire, M>("crossfire", Role::Peer, time),
        flow::<Flume<1>, M>("flume", Role::Peer, time),
        flow::<Std<1>, M>("std", Role::Peer, time),
    ]
}

fn spsc_in_place(time: Duration) -> Vec<Contender> {
    let mut contenders = spsc::<[u64; 128]>(time);
    contenders.push(flow::<Loans, [u64; 128]>("tautline-loan", Role::Variant, time));
    contenders
}

fn mpsc<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        flow::<Lanes<Default, 2>, M>("tautline", Role::Tautline, time),
        flow::<Lanes<Spin, 2>, M>("tautline-spin", Role::Variant, time),
        flow::<Lanes<Waits, 2>, M>("tautline-waits", Role::Variant, time),
        flow::<Lanes<Yields, 2>, M>("tautline-yield", Role::Variant, time),
        flow::<InTurn<Ring>, M>("rings-by-hand", Role::Limit, time),
        flow::<InTurn<Rtrb>, M>("rtrb", Role::Peer, time),
        flow::<InTurn<Ringbuf>, M>("ringbuf", Role::Peer, time),
        flow::<disruptor::Many, M>("disruptor", Role::Peer, time),
        flow::<Crossbeam<2>, M>("crossbeam", Role::Peer, time),
        flow::<Kanal<2>, M>("kanal", Role::Peer, time),
        flow::<CrossfireMany<2>, M>("crossfire", Role::Peer, time),
        flow::<Flume<2>, M>("flume", Role::Peer, time),
        flow::<Std<2>, M>("std", Role::Peer, time),
    ]
}

fn broadcast<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        flow::<ours::Fan<Default>, M>("tautline", Role::Tautline, time),
        flow::<ours::Fan<Spin>, M>("tautline-spin", Role::Variant, time),
        flow::<ours::Fan<Waits>, M>("tautline-waits", Role::Variant, time),
        flow::<ours::Fan<Yields>, M>("tautline-yield", Role::Variant, time),
        flow::<fan::Fan, M>("fan-by-hand", Role::Limit, time),
        flow::<disruptor::Fan, M>("disruptor", Role::Peer, time),
        flow::<ToEach<Rtrb>, M>("rtrb-each", Role::Peer, time),
        flow::<ToEach<Ringbuf>, M>("ringbuf-each", Role::Peer, time),
        flow::<ToEach<Crossbeam<1>>, M>("crossbeam-each", Role::Peer, time),
        flow::<ToEach<Kanal<1>>, M>("kanal-each", Role::Peer, time),
        flow::<ToEach<Crossfire>, M>("crossfire-each", Role::Peer, time),
    ]
}

fn spsc_batch<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        batch::<Lanes<Default, 1>, M>("tautline", Role::Tautline, time),
        batch::<Lanes<Spin, 1>, M>("tautline-spin", Role::Variant, time),
        batch::<Ring, M>("ring-by-hand", Role::Limit, time),
        batch::<Rtrb, M>("rtrb", Role::Peer, time),
        batch::<Ringbuf, M>("ringbuf", Role::Peer, time),
        batch::<disruptor::One, M>("disruptor", Role::Peer, time),
        batch::<Kanal<1>, M>("kanal", Role::Peer, time),
        batch::<Flume<1>, M>("flume", Role::Peer, time),
    ]
}

fn mpsc_batch<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        batch::<Lanes<Default, 2>, M>("tautline", Role::Tautline, time),
        batch::<Lanes<Spin, 2>, M>("tautline-spin", Role::Variant, time),
        batch::<InTurn<Ring>, M>("rings-by-hand", Role::Limit, time),
        batch::<InTurn<Rtrb>, M>("rtrb", Role::Peer, time),
        batch::<InTurn<Ringbuf>, M>("ringbuf", Role::Peer, time),
        batch::<disruptor::Many, M>("disruptor", Role::Peer, time),
        batch::<Kanal<2>, M>("kanal", Role::Peer, time),
        batch::<Flume<2>, M>("flume", Role::Peer, time),
    ]
}

fn broadcast_batch<M: Message>(time: Duration) -> Vec<Contender> {
    vec![
        batch::<ours::Fan<Default>, M>("tautline", Role::Tautline, time),
        batch::<ours::Fan<Spin>, M>("tautline-spin", Role::Variant, time),
        batch::<fan::Fan, M>("fan-by-hand", Role::Limit, time),
        batch::<disruptor::Fan, M>("disruptor", Role::Peer, time),
    ]
}

/// In the rows of round trips.
fn trip<X: Exchange>(name: &'static str, role: Role, time: Duration) -> Contender {
    Contender::new(name, role, move || trips::slice::<X>(time))
}

/// A pair in them.
fn pair<T: Topology<[u64; 1]>>(name: &'static str, role: Role, time: Duration) -> Contender {
    trip::<Pair<T>>(name, role, time)
}

/// What has no requests of its own: two rings or channels each.
fn pairs(time: Duration) -> Vec<Contender> {
    vec![
        pair::<Ring>("rings-by-hand", Role::Limit, time),
        pair::<Rtrb>("rtrb", Role::Peer, time),
        pair::<Ringbuf>("ringbuf", Role::Peer, time),
        pair::<disruptor::One>("disruptor", Role::Peer, time),
        pair::<Crossbeam<1>>("crossbeam", Role::Peer, time),
        pair::<Kanal<1>>("kanal", Role::Peer, time),
        pair::<Crossfire>("crossfire", Role::Peer, time),
        pair::<Flume<1>>("flume", Role::Peer, time),
        pair::<Std<1>>("std", Role::Peer, time),
    ]
}

fn round_trips(time: Duration) -> Vec<Contender> {
    let mut contenders = vec![
        pair::<Lanes<Default, 1>>("tautline", Role::Tautline, time),
        pair::<Lanes<Spin, 1>>("tautline-spin", Role::Variant, time),
        pair::<Lanes<Waits, 1>>("tautline-waits", Role::Variant, time),
        pair::<Lanes<Yields, 1>>("tautline-yield", Role::Variant, time),
    ];
    contenders.extend(pairs(time));
    contenders
}

fn replies(time: Duration) -> Vec<Contender> {
    let mut contenders = vec![
        trip::<Asked<Default>>("tautline", Role::Tautline, time),
        trip::<Asked<Spin>>("tautline-spin", Role::Variant, time),
        trip::<Asked<Waits>>("tautline-waits", Role::Variant, time),
    ];
    contenders.extend(pairs(time));
    contenders
}
