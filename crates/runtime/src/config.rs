//! How a runtime is sized and what it asks of the machine.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::driver::sim;
use crate::fiber::StackSizes;
use crate::watch::Stall;

/// How a runtime is sized, how it waits and what it asks of the machine.
///
/// Every table gets its memory at [`Runtime::new`](crate::Runtime::new); pages that are
/// never used are never touched. Nothing grows afterwards: a full table answers
/// [`Error::Exhausted`].
///
/// ```
/// use tautline_runtime::{Config, WaitMode};
/// let config = Config { wait: WaitMode::Spin, timers: 1_000_000, ..Config::default() };
/// assert_eq!(config.dispatch_limit, 32);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Which driver carries the input and output. Default: [`DriverChoice::Auto`].
    pub driver: DriverChoice,
    /// What the loop does when there is nothing to do. Default: warm for 50 µs.
    pub wait: WaitMode,
    /// Operations that may be pending at a time. Default 32,768.
    pub operations: usize,
    /// Descriptors that may be registered at a time. Default 65,536.
    pub descriptors: usize,
    /// Timers that may be armed at a time, deadlines of operations included.
    /// Default 1,048,576.
    pub timers: usize,
    /// Tasks that may be alive at a time. Default 65,536.
    pub tasks: usize,
    /// Fibers that may be alive at a time. Default 131,072.
    pub fibers: usize,
    /// Bytes in the table of fibers for the captures, and later the result, of each. Default
    /// 128; a multiple of 16.
    pub fiber_room: usize,
    /// Stacks of fibers. Default 1,024 of 32 KiB, 128 of 256 KiB, 16 of 1 MiB.
    pub stacks: StackSizes,
    /// Fibers of a class that may wait for a stack. Default 131,072.
    pub stack_queue: usize,
    /// Whether stacks are measured and cleaned when a fiber ends, so that
    /// [`fiber::list`](crate::fiber::list) and [`fiber::stacks`](crate::fiber::stacks) tell what
    /// each fiber has used. It costs a look at all of a stack's memory for each fiber. Default:
    /// no.
    pub measure_stacks: bool,
    /// Messages that other threads may have posted and the loop not yet taken.
    /// Rounded up to a power of two. Default 1,024.
    pub mailbox: usize,
    /// Entries of the submission queue of io_uring, a power of two up to 32,768.
    /// What does not fit waits, in order, in the operation table. Default 1,024.
    pub ring_entries: u32,
    /// Buffers in the receive pool that all descriptors share. Default 64: 1 MiB in
    /// all, which stays in a core's cache. More help where handlers or tasks keep many
    /// streams' bytes waiting; fewer cost rate on many busy streams.
    pub receive_buffers: u16,
    /// Bytes of each. Default 16 KiB.
    pub receive_buffer_size: usize,
    /// Chunks of the pool that holds what streams could not send yet. Default 4,096.
    pub send_chunks: usize,
    /// Bytes of each. Default 16 KiB.
    pub send_chunk_size: usize,
    /// Bytes that one stream may have queued for sending, unless it says otherwise.
    /// Default 1 MiB.
    pub write_limit: usize,
    /// How long a stream that was closed or dropped goes on sending what it was given
    /// before. Default 10 s.
    pub drain_time: Duration,
    /// Operations that may complete at once in a row before the rest waits for the
    /// next turn. Default 32.
    pub dispatch_limit: u32,
    /// What a turn may do of each kind before it looks at the others.
    pub budgets: Budgets,
    /// Descriptors that a spinning turn probes by a direct call, chosen by how busy
    /// they are. 0 switches it off. Default 2, at most 8.
    pub hot: usize,
    /// Resolution of timers, rounded down to a power of two of nanoseconds.
    /// Default 512 ns.
    pub tick: Duration,
    /// Pin the loop's thread to this core.
    pub pin: Wish<usize>,
    /// Run the loop's thread under `SCHED_FIFO` at this priority, 1 to 99.
    pub realtime: Wish<u8>,
    /// Lock the process's memory, present and future (`mlockall`).
    pub lock_memory: Wish<()>,
    /// A turn, or one handler in it, that takes longer than this is reported, while
    /// it still runs. `None` switches the watch off. Default 100 ms.
    pub stall: Option<Duration>,
    /// Is told of a turn that does not end, on the watcher's thread and while it lasts.
    /// `None`: a warning is logged.
    pub on_stall: Option<OnStall>,
    /// Whether turns and handlers are timed at all. For measuring what that costs.
    #[doc(hidden)]
    pub watch: bool,
    /// Threads for blocking work. Default 4.
    pub offload_threads: usize,
    /// Pieces of blocking work that may wait for a thread. Default 1,024.
    pub offload_queue: usize,
    /// What becomes of a panic in a handler. Default: caught, named and counted.
    pub panics: Panics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            driver: DriverChoice::Auto,
            wait: WaitMode::Warm { spin_for: Duration::from_micros(50) },
            operations: 1 << 15,
            descriptors: 1 << 16,
            timers: 1 << 20,
            tasks: 1 << 16,
            fibers: 1 << 17,
            fiber_room: 128,
            stacks: StackSizes::default(),
            stack_queue: 1 << 17,
            measure_stacks: false,
            mailbox: 1 << 10,
            ring_entries: 1 << 10,
            receive_buffers: 64,
            receive_buffer_size: 16 << 10,
            send_chunks: 1 << 12,
            send_chunk_size: 16 << 10,
            write_limit: 1 << 20,
            drain_time: Duration::from_secs(10),
            dispatch_limit: 32,
            budgets: Budgets::default(),
            hot: 2,
            tick: Duration::from_nanos(512),
            pin: Wish::Off,
            realtime: Wish::Off,
            lock_memory: Wish::Off,
            stall: Some(Duration::from_millis(100)),
            on_stall: None,
            watch: true,
            offload_threads: 4,
            offload_queue: 1 << 10,
            panics: Panics::Catch,
        }
    }
}

/// What a turn may do of each kind before it looks at the others; none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Completions of input and output. Default 256.
    pub io: usize,
    /// Messages from other threads. Default 256.
    pub posts: usize,
    /// Timers. Default 256.
    pub timers: usize,
    /// Polls of tasks. Default 64.
    pub tasks: usize,
    /// Switches to fibers, at least 3. Default 512.
    pub fibers: usize,
    /// Messages that one receiver of the bus hands to its handler
    /// ([`listen`](crate::listen)). Default 32.
    pub messages: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { io: 256, posts: 256, timers: 256, tasks: 64, fibers: 512, messages: 32 }
    }
}

/// Which driver carries the input and output.
#[derive(Clone, Debug, Default)]
pub enum DriverChoice {
    /// io_uring where the kernel grants it, else epoll, with one log line that says why.
    #[default]
    Auto,
    /// io_uring, or an error.
    Uring,
    /// epoll.
    Readiness,
    /// A seeded world with virtual time; no system call is made.
    Sim(Box<sim::Config>),
}

/// What the loop does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// Never sleeps: a core for itself, the lowest latency.
    Spin,
    /// Spins for a while after the last event, then sleeps.
    Warm {
        /// How long it spins.
        spin_for: Duration,
    },
    /// Sleeps at once.
    Sleep,
}

/// Something the machine may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wish<T> {
    /// Not asked for.
    #[default]
    Off,
    /// Taken where granted; a refusal is logged, and listed in
    /// [`Runtime::report`](crate::Runtime::report).
    Try(T),
    /// A refusal is an error.
    Require(T),
}

/// What to call when a turn does not end.
#[derive(Clone)]
pub struct OnStall(pub(crate) Arc<dyn Fn(&Stall) + Send + Sync>);

impl OnStall {
    /// Calls `handler` on the watcher's thread.
    pub fn new(handler: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handler))
    }
}

impl fmt::Debug for OnStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStall(..)")
    }
}

/// What becomes of a panic in a handler. (A task's panic goes to its `JoinHandle`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Panics {
    /// The handler's descriptor is closed or its timer cancelled; the panic is logged
    /// with the handler's name and counted; the loop goes on.
    #[default]
    Catch,
    /// The same, and the function that runs the loop returns [`Error::Panicked`]; the
    /// loop can be run again.
    Raise,
}

impl Config {
    /// Refuses values that no table can be made of.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("operations", self.operations, MAX_SLOTS),
            ("descriptors", self.descriptors, MAX_SLOTS),
            ("timers", self.timers, MAX_SLOTS),
            ("tasks", self.tasks, MAX_SLOTS),
            ("fibers", self.fibers, MAX_SLOTS),
            ("fiber_room", self.fiber_room, 1 << 16),
            ("stack_queue", self.stack_queue, MAX_SLOTS),
            ("mailbox", self.mailbox, 1 << 24),
            ("ring_entries", self.ring_entries as usize, 1 << 15),
            ("receive_buffers", usize::from(self.receive_buffers), 1 << 15),
            ("receive_buffer_size", self.receive_buffer_size, 1 << 24),
            ("send_chunks", self.send_chunks, 1 << 24),
            ("send_chunk_size", self.send_chunk_size, 1 << 24),
            ("write_limit", self.write_limit, usize::MAX),
            ("dispatch_limit", self.dispatch_limit as usize, usize::MAX),
            ("budgets.io", self.budgets.io, usize::MAX),
            ("budgets.posts", self.budgets.posts, usize::MAX),
            ("budgets.timers", self.budgets.timers, usize::MAX),
            ("budgets.tasks", self.budgets.tasks, usize::MAX),
            ("budgets.messages", self.budgets.messages, usize::MAX),
            ("offload_threads", self.offload_threads, 1024),
            ("offload_queue", self.offload_queue, 1 << 24),
        ];
        for (field, value, most) in sizes {
            within(field, value, 1, most)?;
        }
        if self.budgets.fibers < 3 {
            let (field, value) = ("budgets.fibers", self.budgets.fibers.to_string());
            return Err(Error::Config { field, value, remedy: "each of three bands needs one" });
        }
        if !self.ring_entries.is_power_of_two() {
            let (field, value) = ("ring_entries", self.ring_entries.to_string());
            return Err(Error::Config { field, value, remedy: "it must be a power of two" });
        }
        within("hot", self.hot, 0, MAX_HOT)
    }
}

/// Slots in any table: indices leave room for the drivers' own tokens.
const MAX_SLOTS: usize = 1 << 28;

/// Descriptors that may be probed every turn.
pub(crate) const MAX_HOT: usize = 8;

fn within(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let remedy =
        if value < least { "it must be at least 1" } else { "that is more than a table can hold" };
    Err(Error::Config { field, value: value.to_string(), remedy })
}
