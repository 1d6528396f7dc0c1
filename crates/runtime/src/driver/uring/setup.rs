//! Setting a ring up, step by step, so that a refusal can be named.
//!
//! The calls go through [`Calls`], so that a test can have each of them refused.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::driver::UringDriver;
use super::error::{Policy, SetupError, SetupStep};
use super::ring::{KernelRing, Ring};
use crate::driver::config::DriverConfig;
use crate::driver::pool::Pool;
use crate::driver::sys::EventFd;

/// How the kernel is asked to build the ring: what newer kernels grant, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flags {
    /// Entries are taken in order, without an index array (Linux 6.6).
    pub(super) no_array: bool,
    /// Completion work waits until the loop asks for it (6.1).
    pub(super) defer: bool,
    /// One thread submits (6.0).
    pub(super) single: bool,
    /// Completion work interrupts nobody, and says in memory that it waits (5.19).
    pub(super) cooperative: bool,
    /// One bad entry does not hold up those behind it (5.18).
    pub(super) submit_all: bool,
}

impl Flags {
    /// Best first; each kernel takes the first that it knows all of.
    pub(super) const LADDER: [Self; 6] = {
        let best =
            Self { no_array: true, defer: true, single: true, cooperative: true, submit_all: true };
        let no_array = Self { no_array: false, ..best };
        let no_defer = Self { defer: false, ..no_array };
        let no_single = Self { single: false, ..no_defer };
        let plain_work = Self { cooperative: false, ..no_single };
        [best, no_array, no_defer, no_single, plain_work, Self { submit_all: false, ..plain_work }]
    };
}

/// What a ring of this kernel can do.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Features {
    /// Completions are never dropped.
    pub(super) nodrop: bool,
    /// Waits take a timeout.
    pub(super) ext_arg: bool,
    /// What an entry points at (not the buffers) is copied when it is taken.
    pub(super) submit_stable: bool,
    /// Sockets that are not ready need no worker thread.
    pub(super) fast_poll: bool,
    /// Reads and writes at the current position.
    pub(super) current_position: bool,
    /// Entries that complete in silence.
    pub(super) skip_success: bool,
}

impl Features {
    /// The first that is missing of those the driver stands on.
    fn missing(self) -> Option<&'static str> {
        let needed = [
            (self.nodrop, "IORING_FEAT_NODROP"),
            (self.submit_stable, "IORING_FEAT_SUBMIT_STABLE"),
            (self.current_position, "IORING_FEAT_RW_CUR_POS"),
            (self.fast_poll, "IORING_FEAT_FAST_POLL"),
            (self.ext_arg, "IORING_FEAT_EXT_ARG"),
            (self.skip_success, "IORING_FEAT_CQE_SKIP"),
        ];
        needed.into_iter().find_map(|(there, name)| (!there).then_some(name))
    }
}

/// The operations that the driver uses. The last one it does not use: it came with
/// multishot receives (Linux 6.0), which cannot be asked for by themselves.
const OPERATIONS: [(u8, &str); 16] = [
    (opcode::Recv::CODE, "IORING_OP_RECV"),
    (opcode::Send::CODE, "IORING_OP_SEND"),
    (opcode::RecvMsg::CODE, "IORING_OP_RECVMSG"),
    (opcode::SendMsg::CODE, "IORING_OP_SENDMSG"),
    (opcode::Accept::CODE, "IORING_OP_ACCEPT"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
    (opcode::Read::CODE, "IORING_OP_READ"),
    (opcode::Write::CODE, "IORING_OP_WRITE"),
    (opcode::Readv::CODE, "IORING_OP_READV"),
    (opcode::Writev::CODE, "IORING_OP_WRITEV"),
    (opcode::Fsync::CODE, "IORING_OP_FSYNC"),
    (opcode::OpenAt::CODE, "IORING_OP_OPENAT"),
    (opcode::ProvideBuffers::CODE, "IORING_OP_PROVIDE_BUFFERS"),
    (opcode::SendZc::CODE, "multishot IORING_OP_RECV"),
];

/// The calls of the set-up.
pub(super) trait Calls {
    /// What they make.
    type Ring: Ring;

    /// Builds a ring with room for `entries` submissions and `completions`.
    ///
    /// # Errors
    /// As `io_uring_setup(2)`; `EINVAL` for flags that the kernel does not know.
    fn ring(&mut self, flags: Flags, entries: u32, completions: u32) -> io::Result<Self::Ring>;

    /// What `ring` can do.
    fn features(&mut self, ring: &Self::Ring) -> Features;

    /// Asks for the operations and answers whether each of `codes` is there.
    ///
    /// # Errors
    /// As `io_uring_register(2)`.
    fn probe(&mut self, ring: &Self::Ring, codes: &[u8]) -> io::Result<Vec<bool>>;

    /// Memory for the pool.
    ///
    /// # Errors
    /// As `mmap(2)`.
    fn pool(&mut self, count: u16, size: usize) -> io::Result<Pool>;

    /// The wake-up's descriptor.
    ///
    /// # Errors
    /// As `eventfd(2)`.
    fn wake(&mut self) -> io::Result<EventFd>;

    /// What the machine forbids.
    fn policy(&mut self) -> Policy;
}

/// Sets a driver up by `calls`.
///
/// # Errors
/// [`SetupError`] of the first step that was refused.
pub(super) fn driver<C: Calls>(
    calls: &mut C,
    config: &DriverConfig,
) -> Result<UringDriver<C::Ring>, SetupError> {
    let mut ring = best_ring(calls, config)?;
    check(calls, &ring)?;
    let pool = calls.pool(config.pool_buffers, config.pool_buffer_size);
    let pool = pool.map_err(|error| refused(calls, SetupStep::Pool, error))?;
    // SAFETY: the driver keeps the pool until the ring has ended, or for ever.
    let registered = unsafe { ring.register(&pool) };
    registered.map_err(|error| refused(calls, SetupStep::BufferRing, error))?;
    let wake = calls.wake().map_err(|error| refused(calls, SetupStep::Wake, error))?;
    Ok(UringDriver::assemble(ring, pool, wake, config.operations as usize))
}

fn refused<C: Calls>(calls: &mut C, step: SetupStep, error: io::Error) -> SetupError {
    SetupError::new(step, error, calls.policy())
}

/// The ring with the best flags that the kernel takes.
fn best_ring<C: Calls>(calls: &mut C, config: &DriverConfig) -> Result<C::Ring, SetupError> {
    // One entry for an operation and one in reserve is the least.
    let entries = config.entries.max(2);
    let completions = completions(config);
    let mut answer = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in Flags::LADDER {
        match calls.ring(flags, entries, completions) {
            Ok(ring) => return Ok(ring),
            Err(error) => answer = error,
        }
        if answer.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(refused(calls, SetupStep::Ring, answer))
}

/// Entries of the completion queue: enough that an overflow is rare, few enough that
/// the queue stays in the cache; the kernel rounds up to a power of two.
fn completions(config: &DriverConfig) -> u32 {
    config.operations.min(4096).max(config.entries.max(2).saturating_mul(2))
}

/// Whether the ring has what the driver stands on.
fn check<C: Calls>(calls: &mut C, ring: &C::Ring) -> Result<(), SetupError> {
    if let Some(name) = calls.features(ring).missing() {
        return Err(SetupError::lacking(SetupStep::Feature(name)));
    }
    let codes = OPERATIONS.map(|(code, _)| code);
    let there = calls.probe(ring, &codes);
    let there = there.map_err(|error| refused(calls, SetupStep::Probe, error))?;
    let missing = there.iter().position(|there| !there);
    match missing.and_then(|at| OPERATIONS.get(at)) {
        Some((_, name)) => Err(SetupError::lacking(SetupStep::Operation(name))),
        None => Ok(()),
    }
}

/// The kernel's calls.
pub(super) struct Kernel;

impl Calls for Kernel {
    type Ring = KernelRing;

    fn ring(&mut self, flags: Flags, entries: u32, completions: u32) -> io::Result<KernelRing> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(completions);
        if flags.submit_all {
            builder.setup_submit_all();
        }
        if flags.cooperative {
            builder.setup_taskrun_flag();
        }
        if flags.cooperative && !flags.defer {
            builder.setup_coop_taskrun();
        }
        if flags.single {
            builder.setup_single_issuer();
        }
        if flags.defer {
            builder.setup_defer_taskrun();
        }
        if flags.no_array {
            builder.setup_no_sqarray();
        }
        builder.build(entries).map(KernelRing::new)
    }

    fn features(&mut self, ring: &KernelRing) -> Features {
        let params = ring.inner().params();
        Features {
            nodrop: params.is_feature_nodrop(),
            ext_arg: params.is_feature_ext_arg(),
            submit_stable: params.is_feature_submit_stable(),
            fast_poll: params.is_feature_fast_poll(),
            current_position: params.is_feature_rw_cur_pos(),
            skip_success: params.is_feature_skip_cqe_on_success(),
        }
    }

    fn probe(&mut self, ring: &KernelRing, codes: &[u8]) -> io::Result<Vec<bool>> {
        let mut probe = Probe::new();
        ring.inner().submitter().register_probe(&mut probe)?;
        Ok(codes.iter().map(|&code| probe.is_supported(code)).collect())
    }

    fn pool(&mut self, count: u16, size: usize) -> io::Result<Pool> {
        Pool::new(count, size)
    }

    fn wake(&mut self) -> io::Result<EventFd> {
        EventFd::new()
    }

    fn policy(&mut self) -> Policy {
        Policy::of_this_machine()
    }
}
