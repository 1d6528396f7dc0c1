//! File operations beside the loop: where the driver has none of its own, a small pool
//! of threads performs them.

mod common;

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use common::{REAL, small};
use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode, stop, task, timer};

/// Far longer than anything here takes: what waits in vain ends here.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thread, and room for two operations behind the one that it performs.
fn narrow(driver: DriverChoice) -> Runtime {
    let wait = WaitMode::Sleep;
    Runtime::new(Config { driver, wait, offload_threads: 1, offload_queue: 2, ..small() }).unwrap()
}

fn file(content: &[u8]) -> (Descriptor, File) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    (Descriptor::new(file.try_clone().unwrap().into()).unwrap(), file)
}

/// What keeps the pool's only thread busy: opening a FIFO that nobody writes to.
struct Blocked {
    fifo: PathBuf,
    opened: Rc<Cell<bool>>,
    _folder: tempfile::TempDir,
}

impl Blocked {
    fn start(runtime: &Runtime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let opened = Rc::<Cell<bool>>::default();
        let tell = opened.clone();
        Descriptor::open(&fifo, libc::O_RDONLY, 0)
            .unwrap()
            .then(move |result| tell.set(result.is_ok()));
        runtime.poll().unwrap();
        Self { fifo, opened, _folder: folder }
    }

    /// Opens the other end, so that the thread is free again while the file is kept.
    #[must_use]
    fn release(&self) -> File {
        // For both ends, so that it waits for nobody: a ring opens a FIFO at once.
        OpenOptions::new().read(true).write(true).open(&self.fifo).unwrap()
    }
}

/// Starts `count` reads of one byte, each at its own place, and counts what they bring.
fn read_each(file: &Descriptor, count: usize) -> Vec<Rc<Cell<u32>>> {
    let told: Vec<_> = (0..count).map(|_| Rc::<Cell<u32>>::default()).collect();
    for (told, at) in told.iter().zip(0u64..) {
        let told = told.clone();
        file.read_at(vec![0; 1], at).then(move |(read, buf)| {
            assert_eq!((read.unwrap(), u64::from(buf[0])), (1, at % 251));
            told.set(told.get() + 1);
        });
    }
    told
}

fn sum(told: &[Rc<Cell<u32>>]) -> u32 {
    told.iter().map(|told| told.get()).sum()
}

/// However many file operations are started at once, each completes exactly once: far
/// more than the pool has places, and with a pool that performs them while the loop is
/// still handing them over.
#[test]
fn every_file_operation_completes_exactly_once() {
    const COUNT: usize = 4_000;
    for driver in REAL {
        let runtime = narrow(driver);
        let content: Vec<u8> = (0..COUNT).map(|at| (at % 251) as u8).collect();
        let (file, _) = file(&content);
        let told = read_each(&file, COUNT);
        timer::after(PATIENCE, || stop().unwrap()).unwrap();
        runtime.run_until(|| sum(&told) >= COUNT as u32).unwrap();
        runtime.poll().unwrap();
        let wrong = told.iter().filter(|told| told.get() != 1).count();
        assert_eq!(wrong, 0, "operations that completed not at all, or twice");
    }
}

/// While operations wait for a place in the pool, a loop that may sleep sleeps: nothing
/// but the pool's answer can change anything.
#[test]
fn a_loop_sleeps_while_operations_wait_for_the_pool() {
    let runtime = narrow(DriverChoice::Readiness);
    let (file, _) = file(&[0; 1]);
    let blocked = Blocked::start(&runtime);
    let told: Vec<_> = (0..50).flat_map(|_| read_each(&file, 1)).collect();
    runtime.poll().unwrap();
    let before = runtime.metrics().turns;
    runtime.run_for(Duration::from_millis(100)).unwrap();
    let turns = runtime.metrics().turns - before;
    assert!(turns <= 10, "{turns} turns in which nothing could happen");
    assert_eq!(sum(&told), 0, "the thread is still busy");
    let _writer = blocked.release();
    runtime.run_until(|| blocked.opened.get() && sum(&told) == 50).unwrap();
}

/// A write whose future is dropped, while it waits for the pool or is performed, is
/// carried out to its last byte; so is what makes it durable.
#[test]
fn a_dropped_write_is_carried_out() {
    const PIECE: usize = 100_000;
    for driver in REAL {
        let runtime = narrow(driver);
        let (file, copy) = file(b"");
        let blocked = Blocked::start(&runtime);
        runtime
            .block_on(async {
                for n in 0..20u8 {
                    let mut write = file.write_at(vec![n + 1; PIECE], u64::from(n) * PIECE as u64);
                    assert!(futures::poll!(&mut write).is_pending());
                    drop(write);
                    let mut sync = file.fsync(true);
                    assert!(futures::poll!(&mut sync).is_pending());
                    task::yield_now().await;
                }
            })
            .unwrap();
        let _writer = blocked.release();
        runtime.run_pending().unwrap();
        let written = std::fs::read(format!("/proc/self/fd/{}", copy.as_raw_fd())).unwrap();
        let whole: Vec<u8> = (1..=20u8).flat_map(|n| [n; PIECE]).collect();
        assert!(written == whole, "{} bytes of {} are right", same(&written, &whole), whole.len());
    }
}

fn same(written: &[u8], whole: &[u8]) -> usize {
    written.iter().zip(whole).filter(|(a, b)| a == b).count()
}
