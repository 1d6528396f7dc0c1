//! Many lines from many threads: none lost, none twice, in order; or exactly so many dropped.

mod common;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Keep, turn};
use tautline_log::sink::Sink;
use tautline_log::{Config, Full, Line, Logger, Value, info, prepare_thread, warn};

/// Checks that the lines of each thread come in order, without gaps, and that times do not go back.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    /// The number that is next, for each thread.
    next: Vec<u64>,
    lines: u64,
    time: u64,
}

impl Sink for Ledger {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut entries = self.0.lock().unwrap();
        let [Value::U64(thread), Value::U64(number)] = [line.fields[0].value, line.fields[1].value]
        else {
            panic!("{line:?}");
        };
        let thread = thread as usize;
        if entries.next.len() <= thread {
            entries.next.resize(thread + 1, 0);
        }
        assert_eq!(number, entries.next[thread], "of thread {thread}");
        assert!(line.time >= entries.time, "time goes back");
        entries.next[thread] += 1;
        entries.lines += 1;
        entries.time = line.time;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Eight threads write ten million lines, and wait where there is no room: every line arrives once,
/// those of a thread in their order, all in the order of their times.
#[test]
fn ten_million_lines_arrive() {
    const THREADS: u64 = 8;
    const LINES: u64 = 10_000_000 / THREADS;
    let _turn = turn();
    let ledger = Ledger::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(ledger.clone())];
    let guard = Logger::start(Config { sinks, ..Config::default() }).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            thread::spawn(move || {
                for number in 0..LINES {
                    info!("{thread} {number}");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(guard);
    let entries = ledger.0.lock().unwrap();
    assert_eq!(entries.lines, THREADS * LINES);
    assert!(entries.next.iter().all(|next| *next == LINES), "{:?}", entries.next);
}

/// Counts lines, and sums up how many the log says were dropped. Slow, so that rings are full.
#[derive(Clone, Default)]
struct Slow {
    lines: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Sink for Slow {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        if line.target != "tautline_log" {
            if self.lines.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
                thread::sleep(Duration::from_millis(1));
            }
            return Ok(());
        }
        let count: u64 = line.message.split(' ').next().unwrap().parse().unwrap();
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.told.lock().unwrap().push(line.message.to_owned());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines are dropped, those that arrive and those that the log says were dropped are those
/// that were written, thread by thread.
#[test]
fn drops_are_counted_exactly() {
    let _turn = turn();
    let slow = Slow::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(slow.clone())];
    let config = Config { sinks, full: Full::Drop, ring_bytes: 8192, ..Config::default() };
    let guard = Logger::start(Config { longest: 1024, ..config }).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let name = format!("writer-{n}");
            let write = move || {
                for number in 0..100_000_u64 {
                    warn!("{number} {}", "text");
                }
            };
            thread::Builder::new().name(name).spawn(write).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(guard);
    let lines = slow.lines.load(Ordering::Relaxed);
    let dropped = slow.dropped.load(Ordering::Relaxed);
    assert_eq!(lines + dropped, 400_000, "{lines} arrived");
    assert!(dropped > 0 && lines > 0);
    let told = slow.told.lock().unwrap();
    for n in 0..4 {
        let of = format!("lines of thread writer-{n} were dropped");
        assert!(told.iter().any(|message| message.ends_with(&of)), "{of}: {told:?}");
    }
}

/// Threads come and go, more of them than there are rings at a time: rings are used again, names
/// stay with their lines, and nothing is lost while there is a ring.
#[test]
fn rings_of_threads_that_ended_are_used_again() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(Config { threads: 4, ..keep.config() }).unwrap();
    for round in 0..50 {
        for n in 0..2 {
            let name = format!("t-{round}-{n}");
            let write = move || {
                info!("first of {round} {n}");
                info!("second of {round} {n}");
            };
            thread::Builder::new().name(name).spawn(write).unwrap().join().unwrap();
        }
        tautline_log::flush().unwrap();
        // What is read to the end is given back in the pass that comes after.
        tautline_log::flush().unwrap();
    }
    drop(guard);
    let lines = keep.lines();
    assert_eq!(lines.len(), 200, "{lines:?}");
    for line in lines {
        let of = line.message.rsplit("of ").next().unwrap().replace(' ', "-");
        assert_eq!(line.thread, format!("t-{of}"));
    }
}

/// Threads for which there is no ring lose their lines, which the log tells.
#[test]
fn threads_without_a_ring_are_told() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(Config { threads: 1, ..keep.config() }).unwrap();
    info!("has a ring");
    thread::spawn(|| (0..3).for_each(|n| info!("{n}"))).join().unwrap();
    drop(guard);
    let expected =
        ["has a ring", "3 lines of threads without a ring (see `Config::threads`) were dropped"];
    assert_eq!(keep.messages(), expected);
}

/// What is no line, and what nobody wants, is not counted among the lines that no ring took.
#[test]
fn only_lines_that_are_wanted_count_as_dropped() {
    let _turn = turn();
    let keep = Keep::default();
    let filter = "info,quiet=off".parse().unwrap();
    let guard = Logger::start(Config { threads: 0, filter, ..keep.config() }).unwrap();
    for _ in 0..3 {
        prepare_thread();
        info!(target: "quiet", "{:?}", Some(1));
        info!(target: "quiet", "{}", 1);
    }
    info!("{:?}", Some(1));
    info!("{}", 1);
    drop(guard);
    assert_eq!(
        keep.messages(),
        ["2 lines of threads without a ring (see `Config::threads`) were dropped"]
    );
}

/// Keeps lines, and takes none while the door is shut.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<()>>, Keep);

impl Sink for Door {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        drop(self.0.lock().unwrap());
        self.1.line(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that gets the ring of another which has ended, and fills it while its name has not been
/// read, is told by its own name of what it dropped.
#[test]
fn drops_are_those_of_the_thread_that_dropped() {
    let _turn = turn();
    let door = Door::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(door.clone())];
    let config = Config { sinks, full: Full::Drop, ring_bytes: 8192, ..Config::default() };
    let guard = Logger::start(Config { longest: 1024, ..config }).unwrap();
    let run = |name: &str, lines: u32| {
        let write = move || (0..lines).for_each(|n| info!("{n}"));
        thread::Builder::new().name(name.to_owned()).spawn(write).unwrap().join().unwrap();
    };
    info!("of this thread, so that the other ring is that of the others");
    run("first", 1);
    (0..2).for_each(|_| tautline_log::flush().unwrap());
    let shut = door.0.lock().unwrap();
    info!("held");
    thread::sleep(Duration::from_millis(100)); // the sink has got it
    run("second", 1000);
    drop(shut);
    drop(guard);
    let messages = door.1.messages();
    let told: Vec<_> = messages.iter().filter(|text| text.ends_with("dropped")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("lines of thread second were dropped"), "{told:?}");
}
