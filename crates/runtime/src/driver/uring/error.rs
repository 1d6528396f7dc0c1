//! Why a ring could not be set up, in one line, with the remedy.

use std::fmt;
use std::io;

/// The driver could not be set up: at which step, why, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("io_uring: {step} was refused ({source}): {reason}")]
pub(crate) struct SetupError {
    /// What was tried.
    pub(crate) step: SetupStep,
    /// What the kernel answered.
    pub(crate) source: io::Error,
    /// What that means here.
    pub(crate) reason: Refusal,
}

/// The steps of the set-up, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SetupStep {
    /// `io_uring_setup(2)` and mapping the queues.
    Ring,
    /// A feature that every ring of this kernel has or has not.
    Feature(&'static str),
    /// Asking which operations there are.
    Probe,
    /// An operation that this kernel's rings have or have not.
    Operation(&'static str),
    /// Memory for the receive pool.
    Pool,
    /// Registering the receive pool as a ring of provided buffers.
    BufferRing,
    /// The descriptor that wakes the loop.
    Wake,
}

impl fmt::Display for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring => f.write_str("the ring (io_uring_setup)"),
            Self::Feature(name) => write!(f, "the feature {name}"),
            Self::Probe => f.write_str("the list of operations (IORING_REGISTER_PROBE)"),
            Self::Operation(name) => write!(f, "the operation {name}"),
            Self::Pool => f.write_str("memory for the receive pool"),
            Self::BufferRing => f.write_str("the buffer ring (IORING_REGISTER_PBUF_RING)"),
            Self::Wake => f.write_str("the descriptor that wakes the loop (eventfd)"),
        }
    }
}

/// What a refusal means, and its remedy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The kernel lacks io_uring or a part of it.
    TooOld,
    /// The kernel could do it and may not.
    Forbidden(Forbidden),
    /// Locked memory or memory at large is used up.
    MemoryLock,
    /// The process or the system has no descriptor left.
    Descriptors,
    /// Anything else.
    Other,
}

/// Who forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forbidden {
    /// The sysctl `kernel.io_uring_disabled`, with its value.
    Sysctl(u8),
    /// A seccomp filter, as container runtimes install one.
    Seccomp,
    /// A security module (SELinux, AppArmor).
    SecurityModule,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld => f.write_str(
                "this kernel is too old: Linux 6.0 or later is needed, 6.1 or later is best",
            ),
            Self::Forbidden(by) => by.fmt(f),
            Self::MemoryLock => f.write_str(
                "not enough memory, or the limit on locked memory: raise it with `ulimit -l`, \
                 or set fewer ring entries or receive buffers",
            ),
            Self::Descriptors => {
                f.write_str("no descriptors are left: raise the limit with `ulimit -n`")
            }
            Self::Other => f.write_str("no remedy is known; choose the readiness driver"),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(1) => f.write_str(
                "forbidden to users without privilege by the sysctl kernel.io_uring_disabled = 1: \
                 set it to 0, or join the group of kernel.io_uring_group",
            ),
            Self::Sysctl(value) => {
                write!(f, "forbidden by the sysctl kernel.io_uring_disabled = {value}: set it to 0")
            }
            Self::Seccomp => f.write_str(
                "forbidden by a seccomp filter, as containers have one: allow io_uring_setup, \
                 io_uring_enter and io_uring_register in its profile",
            ),
            Self::SecurityModule => {
                f.write_str("forbidden by a security module: allow io_uring in its policy")
            }
        }
    }
}

/// What the machine says about its own prohibitions.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Policy {
    /// `kernel.io_uring_disabled`; 0 where there is no such sysctl.
    pub(super) disabled: u8,
    /// The process has `CAP_SYS_ADMIN`.
    pub(super) admin: bool,
}

impl Policy {
    /// Reads what this machine says; what cannot be read counts as no prohibition.
    pub(super) fn of_this_machine() -> Self {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = std::fs::read_to_string("/proc/self/status");
        Self {
            disabled: disabled.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            admin: status.is_ok_and(|text| has_admin(&text)),
        }
    }

    /// Who answers `EPERM`.
    fn forbids(self) -> Forbidden {
        match self.disabled {
            0 => Forbidden::Seccomp,
            1 if self.admin => Forbidden::Seccomp,
            value => Forbidden::Sysctl(value),
        }
    }
}

/// Whether `/proc/self/status` tells of `CAP_SYS_ADMIN`.
fn has_admin(status: &str) -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> CAP_SYS_ADMIN & 1 == 1)
}

impl SetupError {
    /// The kernel's answer `source` at `step`, on a machine with `policy`.
    pub(super) fn new(step: SetupStep, source: io::Error, policy: Policy) -> Self {
        let reason = match source.raw_os_error() {
            Some(libc::EPERM) => Refusal::Forbidden(policy.forbids()),
            Some(libc::EACCES) => Refusal::Forbidden(Forbidden::SecurityModule),
            Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP) => Refusal::TooOld,
            Some(libc::ENOMEM) => Refusal::MemoryLock,
            Some(libc::EMFILE | libc::ENFILE) => Refusal::Descriptors,
            _ => Refusal::Other,
        };
        Self { step, source, reason }
    }

    /// Something that this kernel's rings lack.
    pub(super) fn lacking(step: SetupStep) -> Self {
        let source = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        Self { step, source, reason: Refusal::TooOld }
    }
}
