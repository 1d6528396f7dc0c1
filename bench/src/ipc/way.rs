//! A way between two processes, there and back, as each of them sees it.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::time::{ClockId, clock_gettime};

use crate::bus::ends::{Give, Message, Take};

/// Names and descriptors by which the second process finds what the first has made.
#[derive(Default)]
pub(super) struct Pass {
    /// In the second process: what the first has said.
    pub(super) text: String,
    /// In the first: what the second inherits, kept until it runs.
    _keep: Vec<OwnedFd>,
}

impl Pass {
    /// A name that nobody else has.
    pub(super) fn of_name() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { text: format!("bench{}-{count}", std::process::id()), _keep: Vec::new() }
    }

    /// What another process has said.
    pub(super) fn told(text: String) -> Self {
        Self { text, _keep: Vec::new() }
    }

    /// Descriptors, which must not be closed by `exec`.
    pub(super) fn of(keep: Vec<OwnedFd>) -> Self {
        let numbers: Vec<_> = keep.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        Self { text: numbers.join(","), _keep: keep }
    }

    /// The descriptors of [`Pass::of`], in the second process.
    ///
    /// # Errors
    /// There are not so many.
    pub(super) fn descriptors<const N: usize>(&self) -> io::Result<[OwnedFd; N]> {
        let all: Vec<_> = self.text.split(',').filter_map(|n| n.parse::<RawFd>().ok()).collect();
        let all: [RawFd; N] =
            all.try_into().map_err(|_| io::Error::other("the descriptors are missing"))?;
        // SAFETY: they were inherited for this, and nothing else here knows of them.
        Ok(all.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// What carries messages between two processes.
pub(super) trait Way<M: Message>: 'static {
    /// The end that gives.
    type Giver: Give<M>;
    /// The end that takes.
    type Taker: Take<M>;

    /// Makes it: the ends of the first process, and what the second needs.
    ///
    /// # Errors
    /// It cannot be made.
    fn first() -> io::Result<(Self::Giver, Self::Taker, Pass)>;

    /// The ends of the second process.
    ///
    /// # Errors
    /// It is not found.
    fn second(pass: &Pass) -> io::Result<(Self::Giver, Self::Taker)>;
}

/// The time that all processes share, in nanoseconds.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
