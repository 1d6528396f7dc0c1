//! `may`'s coroutines.
//!
//! Its scheduler is one for the process and never ends: it begins with the first slice, whose
//! thread is pinned to the core under test, and so are its own. Between its slices its worker
//! sleeps in `epoll_wait`, for a second at a time.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{FromRawFd, IntoRawFd},
    sync::{Arc, Once},
    time::Duration,
};

use may::{
    coroutine::{self, JoinHandle},
    go,
    sync::Blocker,
};

use super::{FEWER_TURNS as TURNS, Measured, Stackful, WARM_UP, same};
use crate::{
    echo::{Job, RECEIVE_BUFFER},
    harness::{
        Sample,
        sys::{Stopwatch, UNDER_TEST, pin},
    },
};

/// How long its worker sleeps at most; 10 ms by default, in the slices of all others.
const SLEEP: Duration = Duration::from_secs(1);

/// Spawned the documented way: through the worker's queue, with a system call that wakes it.
pub(super) struct Coroutines;

impl Stackful for Coroutines {
    type Handle = JoinHandle<u64>;

    fn run(main: fn() -> Measured) -> Measured {
        pin(UNDER_TEST)?;
        configure();
        ended(go!(main).join())?
    }

    #[inline(always)]
    fn spawn(work: impl FnOnce() -> u64 + Send + 'static) -> io::Result<JoinHandle<u64>> {
        Ok(go!(work))
    }

    #[inline(always)]
    fn join(handle: JoinHandle<u64>) -> io::Result<u64> {
        ended(handle.join())
    }

    #[inline(always)]
    fn yield_now() -> io::Result<()> {
        coroutine::yield_now();
        Ok(())
    }
}

/// Spawned onto its parent's back, without the queue: it runs until it first waits.
pub(super) struct InPlace;

impl Stackful for InPlace {
    type Handle = JoinHandle<u64>;

    fn run(main: fn() -> Measured) -> Measured {
        Coroutines::run(main)
    }

    #[inline(always)]
    fn spawn(work: impl FnOnce() -> u64 + Send + 'static) -> io::Result<JoinHandle<u64>> {
        // SAFETY: the work needs little stack, and no values of its thread.
        unsafe { coroutine::Builder::new().spawn_local(work) }
    }

    #[inline(always)]
    fn join(handle: JoinHandle<u64>) -> io::Result<u64> {
        ended(handle.join())
    }

    #[inline(always)]
    fn yield_now() -> io::Result<()> {
        Coroutines::yield_now()
    }
}

/// One worker. Heeded before its first coroutine alone.
fn configure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        may::config().set_workers(1).set_timeout_ns(SLEEP.as_nanos() as u64);
    });
}

fn ended<T>(joined: std::thread::Result<T>) -> io::Result<T> {
    joined.map_err(|_| io::Error::other("a coroutine panicked"))
}

/// Two coroutines and two blockers.
pub(super) fn hand_over() -> Measured {
    Coroutines::run(|| {
        let (mine, theirs) = (Blocker::current(), Blocker::current());
        let (back, there) = (Arc::clone(&mine), Arc::clone(&theirs));
        let partner = go!(move || {
            let rounds = (0..WARM_UP + TURNS).take_while(|_| there.park(None).is_ok());
            rounds.inspect(|_| back.unpark()).count() as u64
        });
        let rounds = |count| -> io::Result<()> {
            for _ in 0..count {
                theirs.unpark();
                mine.park(None).map_err(|_| io::Error::other("a coroutine was cancelled"))?;
            }
            Ok(())
        };
        rounds(WARM_UP)?;
        let watch = Stopwatch::start();
        rounds(TURNS)?;
        let cpu = watch.stop();
        same(WARM_UP + TURNS, ended(partner.join())?)?;
        Ok(Sample::of_work(cpu, 2 * TURNS as usize))
    })
}

/// An echo server. It always sleeps: a coroutine that yields to keep the worker awake would keep it
/// from looking for input and output, too.
pub(crate) fn echo(job: Job) -> io::Result<u64> {
    configure();
    let one = |stream| go!(move || echo_one(stream));
    let all: Vec<_> = job.connections.into_iter().map(one).collect();
    all.into_iter().map(|one| ended(one.join())).sum()
}

fn echo_one(stream: TcpStream) -> u64 {
    // SAFETY: the descriptor is open, and given away.
    let mut stream = unsafe { may::net::TcpStream::from_raw_fd(stream.into_raw_fd()) };
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut bytes = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            break;
        }
        bytes += count as u64;
    }
    bytes
}
