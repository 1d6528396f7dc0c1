//! A hundred thousand fibers alive at once, each of which waits for a socket, and what one costs
//! that waits.

mod common;

use std::cell::Cell;
use std::fs;
use std::rc::Rc;

use common::skips::skip_in_part;
use common::{REAL, small};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tautline_runtime::fiber::{self, JoinHandle, Stack, StackClass};
use tautline_runtime::{Config, Descriptor, DriverChoice, Error, Runtime};

const FIBERS: usize = 100_000;
/// Descriptors that the process has beside them.
const SPARE: usize = 1000;
/// Resident bytes for a fiber that waits in a read, and for the operation that it waits for.
/// What the kernel keeps for its socket is not among them.
const MOST_BYTES: usize = 8 << 10;

/// How many open files there may be, once the limit was raised as far as can be. `Err` names the
/// limit if that is not enough, and how to raise it.
fn raise_limit(files: usize) -> Result<(), (usize, String)> {
    let wanted = files as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let higher = maximum.map(|maximum| maximum.max(wanted));
    let errno = match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: higher })
    {
        Ok(()) => return Ok(()),
        Err(errno) => errno,
    };
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    let allowed = maximum.unwrap_or(wanted);
    let reason = format!(
        "{files} open files are needed, RLIMIT_NOFILE allows {allowed} ({errno}) and fs.nr_open {}: raise the limit (`ulimit -Hn {files}` with CAP_SYS_RESOURCE; if need be, `sysctl -w fs.nr_open={files}`)",
        most.trim(),
    );
    Err((allowed as usize, reason))
}

/// Memory of this process that is resident, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// `Err`: there is no room for so many stacks, and why.
fn runtime(driver: DriverChoice) -> Result<Runtime, String> {
    let mut config = Config {
        driver,
        fibers: FIBERS + 1,
        operations: FIBERS + 100,
        descriptors: 2 * FIBERS + 100,
        stall: None,
        ..small()
    };
    config.stacks.small = StackClass { size: 16 << 10, count: FIBERS };
    match Runtime::new(config) {
        Ok(runtime) => Ok(runtime),
        Err(error @ Error::Refused { .. }) => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

/// Echoes eight bytes at a time to the end of its stream. Returns how often.
fn echo(stream: &Descriptor) -> usize {
    let mut buf = [0; 8];
    let mut times = 0;
    while stream.blocking().read_exact(&mut buf).is_ok() {
        stream.blocking().write_all(&buf).unwrap();
        times += 1;
    }
    times
}

/// Spawns the fibers, each for the next stream, and waits until all wait.
fn spawn_all(streams: &[Rc<Descriptor>]) -> Vec<JoinHandle<usize>> {
    let begun = Rc::new(Cell::new(0));
    let spawn = |stream: &Rc<Descriptor>| {
        let (begun, stream) = (begun.clone(), stream.clone());
        let work = move || {
            begun.set(begun.get() + 1);
            echo(&stream)
        };
        fiber::spawn(Stack::Small, work).unwrap()
    };
    let handles: Vec<_> = streams.iter().cycle().take(FIBERS).map(spawn).collect();
    while begun.get() < FIBERS {
        fiber::yield_now().unwrap();
    }
    assert_eq!(fiber::stacks().unwrap()[0].in_use, FIBERS);
    handles
}

/// Each of them echoes, one after the other, while all others wait. Of those that share a
/// stream, the one that has waited longest does.
fn echo_in_turn(peers: &[Descriptor]) {
    for (at, peer) in peers.iter().cycle().take(FIBERS).enumerate() {
        let sent = at.to_le_bytes();
        let mut back = [0; 8];
        peer.blocking().write_all(&sent).unwrap();
        peer.blocking().read_exact(&mut back).unwrap();
        assert_eq!(back, sent);
    }
}

/// All of it, in a fiber of its own. Returns resident bytes for each that waits.
fn many(sockets: usize) -> usize {
    let pairs = (0..sockets).map(|_| Descriptor::pair().unwrap());
    let (peers, streams): (Vec<_>, Vec<_>) = pairs.map(|(a, b)| (a, Rc::new(b))).unzip();
    let before = resident();
    let handles = spawn_all(&streams);
    let each = (resident() - before) / FIBERS;
    echo_in_turn(&peers);
    drop(peers);
    for handle in handles {
        assert_eq!(handle.join().unwrap(), 1, "each has its turn");
    }
    assert_eq!(fiber::stacks().unwrap()[0].in_use, 0);
    each
}

/// 100,000 fibers are alive at once on one loop, on each real driver. Each waits in a read, and
/// echoes in its turn; one that waits takes a few kilobytes. Each has a socket pair of its own:
/// where there cannot be so many open files, that is skipped, and they share what there can be.
#[test]
fn a_hundred_thousand_fibers_wait_at_once() {
    let mut sockets = FIBERS;
    if let Err((allowed, reason)) = raise_limit(2 * FIBERS + SPARE) {
        sockets = allowed.saturating_sub(SPARE) / 2;
        skip_in_part(&format!("a socket pair for each fiber; they share {sockets}. {reason}"));
    }
    for driver in REAL {
        let runtime = match runtime(driver.clone()) {
            Ok(runtime) => runtime,
            Err(reason) => return skip_in_part(&format!("100,000 fibers: {reason}")),
        };
        let each = runtime.run_fiber(Stack::Large, move || many(sockets)).unwrap();
        println!("{each} bytes of resident memory for each fiber that waits in a read, {driver:?}");
        assert!(each < MOST_BYTES, "{each} bytes for each fiber that waits, {driver:?}");
    }
}
