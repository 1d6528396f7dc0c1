//! The machine: pinning, processor time, and threads under test on a core of their own.

use std::{
    io, mem,
    ops::Sub,
    sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    thread,
    time::Duration,
};

use rustix::thread::{CpuSet, gettid, sched_setaffinity};

/// The core of the thread under test (a server, a relay, a loop).
pub(crate) const UNDER_TEST: usize = 0;
/// The core of the client, generator and sink.
pub(crate) const GENERATOR: usize = 1;

/// Pins the calling thread to one core.
///
/// # Errors
/// The core does not exist or is not granted to this process; the message says which.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| {
        let text = format!("cannot pin to core {core} ({error}): cores 0 and 1 are needed");
        io::Error::new(error.kind(), text)
    })
}

/// Gives memory that was freed back to the system, so that each slice begins with memory that
/// is fresh from there. What lies where the slice before has left holes is faster or slower by
/// a third, according to who that was.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches freed memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What one thread has used so far, readable from others while that thread lives.
#[derive(Clone, Copy)]
pub(crate) struct CpuClock {
    id: libc::clockid_t,
    thread: i32,
}

/// Processor time of a thread, and the time for which it had to wait for its core.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Time on the core.
    pub(crate) cpu: Duration,
    /// Time spent runnable while something else had the core.
    pub(crate) delayed: Duration,
}

impl Usage {
    /// Share of `time` in which the thread slept of its own accord.
    pub(crate) fn idle(&self, time: Duration) -> f64 {
        (1.0 - (self.cpu + self.delayed).as_secs_f64() / time.as_secs_f64()).max(0.0)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            delayed: self.delayed.saturating_sub(earlier.delayed),
        }
    }
}

impl CpuClock {
    /// The clock of the calling thread.
    pub(crate) fn of_this_thread() -> Self {
        let mut id = 0;
        // SAFETY: `pthread_self` is a live thread and `id` is valid for writing.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) };
        let id = if failed == 0 { id } else { libc::CLOCK_THREAD_CPUTIME_ID };
        Self { id, thread: gettid().as_raw_nonzero().get() }
    }

    /// Processor time used so far; zero once the thread is gone.
    pub(crate) fn read(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing; an unknown clock is refused with an error.
        unsafe { libc::clock_gettime(self.id, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Processor time and waiting time so far; the latter is zero where the kernel keeps none.
    pub(crate) fn usage(self) -> Usage {
        let path = format!("/proc/self/task/{}/schedstat", self.thread);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let delayed =
            text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        Usage { cpu: self.read(), delayed: Duration::from_nanos(delayed) }
    }
}

/// Measures the processor time of a stretch of work on the calling thread.
pub(crate) struct Stopwatch {
    clock: CpuClock,
    start: Duration,
}

impl Stopwatch {
    /// The stretch begins.
    pub(crate) fn start() -> Self {
        let clock = CpuClock::of_this_thread();
        Self { clock, start: clock.read() }
    }

    /// It ends; what it took.
    pub(crate) fn stop(self) -> Duration {
        self.clock.read() - self.start
    }
}

/// How long a thread under test may take to end after it was told to.
const JOIN_LIMIT: Duration = Duration::from_secs(3);

/// A contender's thread, pinned to [`UNDER_TEST`].
pub(crate) struct UnderTest<T> {
    /// Processor time of the thread.
    pub(crate) cpu: CpuClock,
    result: Receiver<T>,
}

impl<T: Send + 'static> UnderTest<T> {
    /// Starts `work` on a thread of its own, pinned before it begins.
    ///
    /// # Errors
    /// The thread cannot be started or pinned.
    pub(crate) fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (started, is_started) = mpsc::channel();
        let (finished, result) = mpsc::channel();
        thread::Builder::new().name("under-test".into()).spawn(move || {
            let pinned = pin(UNDER_TEST);
            let ready = pinned.is_ok();
            // A receiver that is gone has given up waiting; the thread then just ends.
            let _ = started.send(pinned.map(|()| CpuClock::of_this_thread()));
            if ready {
                let _ = finished.send(work());
            }
        })?;
        let cpu = is_started.recv().map_err(io::Error::other)??;
        Ok(Self { cpu, result })
    }

    /// The thread's result, if it has ended.
    ///
    /// # Errors
    /// The thread panicked.
    pub(crate) fn poll(&self) -> Option<io::Result<T>> {
        match self.result.try_recv() {
            Ok(result) => Some(Ok(result)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(panicked())),
        }
    }

    /// Waits, bounded, for the thread's result.
    ///
    /// # Errors
    /// The thread panicked or does not end.
    pub(crate) fn join(self) -> io::Result<T> {
        self.result.recv_timeout(JOIN_LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                io::Error::new(io::ErrorKind::TimedOut, "the thread under test does not end")
            }
            RecvTimeoutError::Disconnected => panicked(),
        })
    }
}

fn panicked() -> io::Error {
    io::Error::other("the thread under test panicked")
}

/// `size_of::<T>()` in the width that socket calls ask for.
pub(crate) const fn socklen<T>() -> libc::socklen_t {
    mem::size_of::<T>() as libc::socklen_t
}
