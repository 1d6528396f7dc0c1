//! What is drawn from a seed: the world, its faults, and the sizes of everything.

use std::time::Duration;

use fastrand::Rng;
use tautline_runtime::time::Instant;
use tautline_runtime::{Budgets, Config, WaitMode, sim};

/// Within this time after the faults have ended everybody is served.
pub(super) const BOUND: Duration = Duration::from_secs(10);

/// A session that begins so long after the faults have ended does not fail. The last
/// reset may still be under way.
const AFTERMATH: Duration = Duration::from_millis(50);

/// What a run is made of.
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Clients of the echo servers.
    pub(super) clients: usize,
    /// Subscribers of the relay.
    pub(super) subscribers: usize,
    /// Bytes that a client has echoed, at most.
    pub(super) most_bytes: usize,
    /// From here on nothing new goes wrong.
    pub(super) calm: Instant,
    /// A session that begins later does not fail.
    pub(super) safe: Instant,
    /// By now all is over.
    pub(super) bound: Instant,
}

/// Everything that `seed` says.
pub(super) fn draw(seed: u64) -> (Plan, sim::Config, Config) {
    let mut random = Rng::with_seed(seed);
    let mut world = draw_world(seed, &mut random);
    let calm = world.start + Duration::from_millis(random.u64(20..200));
    world.faults.quiesce_at = calm;
    let plan = Plan {
        seed,
        clients: 40,
        subscribers: 9,
        most_bytes: 1 << random.u32(5..12),
        calm,
        safe: calm + AFTERMATH,
        bound: calm + BOUND,
    };
    (plan, world, draw_config(&mut random))
}

fn draw_world(seed: u64, random: &mut Rng) -> sim::Config {
    let faults = match random.bool() {
        true => sim::Faults::draw(seed),
        false => sim::Faults::draw_harmless(seed),
    };
    let numbering = match random.bool() {
        true => sim::Numbering::Lowest,
        false => sim::Numbering::Rested(64),
    };
    sim::Config {
        faults,
        numbering,
        // Both ends of 50 connections, listeners, datagrams, and sometimes few more.
        descriptors: 121 + random.usize(..4) * 30,
        send_buffer: 1 << random.u32(8..17),
        receive_buffer: 1 << random.u32(8..17),
        patience: Duration::from_millis(50),
        ..sim::Config::new(seed)
    }
}

/// How many chunks there are for sending, and of what size. Both ends of a connection
/// draw from one pool: if clients held all of it, no server could answer, and nothing
/// would ever leave. So each seed has enough for all streams, or for all clients and a
/// few servers at a time.
fn draw_chunks(random: &mut Rng) -> (usize, usize) {
    match random.bool() {
        true => (1 << 14, 1 << random.u32(6..12)),
        false => (2 * 50 + random.usize(1..8), MOST_QUEUED),
    }
}

/// A stream's write limit, at most. One that may queue no more than a chunk holds two.
const MOST_QUEUED: usize = 2048;

fn draw_config(random: &mut Rng) -> Config {
    let (send_chunks, send_chunk_size) = draw_chunks(random);
    Config {
        wait: WaitMode::Sleep,
        operations: 4096,
        descriptors: 512,
        timers: 4096,
        tasks: 512,
        receive_buffers: 1 << random.u32(..6),
        receive_buffer_size: 1 << random.u32(6..13),
        send_chunks,
        send_chunk_size,
        write_limit: random.usize(1..MOST_QUEUED + 1),
        drain_time: Duration::from_secs(1),
        dispatch_limit: random.u32(1..33),
        budgets: Budgets {
            io: random.usize(1..65),
            posts: 1,
            timers: random.usize(1..33),
            tasks: random.usize(1..33),
            fibers: random.usize(3..33),
            ..Budgets::default()
        },
        stall: None,
        offload_threads: 1,
        ..Config::default()
    }
}
