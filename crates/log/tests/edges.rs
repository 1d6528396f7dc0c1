//! What happens at the edges: before and after, within and without, and when something breaks.

mod common;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Keep, turn};
use tautline_log::sink::Sink;
use tautline_log::{
    Config, FlushError, Full, Level, Line, Logger, StartError, flush, flush_within, info,
    prepare_thread, warn,
};

/// Before a log runs and after it has ended, lines go nowhere, and flushes say so; a log may run
/// again, to which threads go that wrote to the one before.
#[test]
fn lines_before_and_after_go_nowhere() {
    let _turn = turn();
    info!("before");
    assert_eq!(flush(), Err(FlushError::NotRunning));
    let first = Keep::default();
    let guard = Logger::start(first.config()).unwrap();
    info!("first");
    drop(guard);
    info!("between");
    prepare_thread();
    let second = Keep::default();
    let guard = Logger::start(second.config()).unwrap();
    info!("second");
    drop(guard);
    info!("after");
    assert_eq!(
        (first.messages(), second.messages()),
        (vec!["first".into()], vec!["second".into()])
    );
}

/// There is one log at a time: a second start is an error that says so, and changes nothing.
#[test]
fn a_second_start_is_refused() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    let error = Logger::start(Keep::default().config()).unwrap_err();
    assert!(matches!(error, StartError::Running), "{error}");
    info!("still there");
    drop(guard);
    assert_eq!(keep.messages(), ["still there"]);
}

/// A line that comes through late, after its log has ended, does not decide for the log that runs
/// then which lines of its call are wanted.
#[test]
fn a_late_line_decides_nothing_for_the_next_log() {
    use tautline_log::__private::{Site, write};
    static LATE: Site = Site::new(Level::Info, "late", "", 0, "late", &[]);
    let _turn = turn();
    let (first, second) = (Keep::default(), Keep::default());
    let guard = Logger::start(first.config()).unwrap();
    info!("so that this thread has a ring");
    let pass = LATE.gate().expect("all are wanted");
    drop(guard);
    let filter = "info,late=off".parse().unwrap();
    let guard = Logger::start(Config { filter, ..second.config() }).unwrap();
    write(&LATE, pass, ());
    write(&LATE, LATE.gate().expect("others are wanted"), ());
    drop(guard);
    assert_eq!(second.messages(), [""; 0]);
}

/// Spans of time beyond those that a clock can tell are as good as for ever.
#[test]
fn endless_spans_of_time_are_no_danger() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(Config { poll: Duration::MAX, ..keep.config() }).unwrap();
    for n in 0..3 {
        info!("{n}");
        assert_eq!(flush_within(Duration::MAX), Ok(()));
        thread::sleep(Duration::from_millis(5)); // it goes to sleep meanwhile
    }
    drop(guard);
    assert_eq!(keep.messages(), ["0", "1", "2"]);
}

/// A configuration that cannot be is refused with its reason, and the next start succeeds.
#[test]
fn impossible_configurations_are_refused() {
    let _turn = turn();
    let file = tempfile::NamedTempFile::new().unwrap();
    for (config, word) in [
        (Config { longest: 100, ..Config::default() }, "1024"),
        (Config { longest: 8192, ring_bytes: 4096, ..Config::default() }, "`ring_bytes` of more"),
        (Config { directory: Some(file.path().into()), ..Config::default() }, "directory"),
        (Config { core: Some(100_000), ..Config::default() }, "core 100000"),
    ] {
        let error = Logger::start(config).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "the text says it already");
    }
    drop(Logger::start(Keep::default().config()).unwrap());
}

/// A value that logs while it is formatted.
struct Talks;

impl fmt::Display for Talks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("inner");
        info!("{}", TalksMore);
        f.write_str("outer")
    }
}

struct TalksMore;

impl fmt::Display for TalksMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("lost");
        f.write_str("inner, too")
    }
}

/// A line within a line is written; a third one within that is counted as dropped.
#[test]
fn lines_within_lines_are_written() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    info!("{}", Talks);
    drop(guard);
    let mut messages = keep.messages();
    messages.sort();
    let lost = "1 line of threads without a ring (see `Config::threads`) was dropped";
    assert_eq!(messages, [lost, "inner", "inner, too", "outer"]);
}

/// A value that panics while it is formatted costs its line, and no other.
#[test]
fn a_panic_within_a_line_costs_that_line() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("on purpose")
        }
    }
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    info!("one");
    assert!(std::panic::catch_unwind(|| info!("{} {}", 1, Panics)).is_err());
    info!("two");
    drop(guard);
    assert_eq!(keep.messages(), ["one", "two"]);
}

/// Logs when its thread puts its variables away.
struct LogsAtTheEnd(&'static str);

impl Drop for LogsAtTheEnd {
    fn drop(&mut self) {
        info!("{} at the end", self.0);
    }
}

thread_local! {
    static EARLY: RefCell<Option<LogsAtTheEnd>> = const { RefCell::new(None) };
    static LATER: RefCell<Option<LogsAtTheEnd>> = const { RefCell::new(None) };
}

/// Lines from the destructors of a thread's variables are written, whether those come before or
/// after the log's own; the latter are not said to be of another thread.
#[test]
fn lines_at_the_end_of_a_thread_are_written() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    for name in ["one", "two"] {
        let write = || {
            EARLY.set(Some(LogsAtTheEnd("early")));
            info!("its first line");
            LATER.set(Some(LogsAtTheEnd("later")));
        };
        thread::Builder::new().name(name.to_owned()).spawn(write).unwrap().join().unwrap();
    }
    drop(guard);
    let lines = keep.lines();
    let mut seen: Vec<_> = lines.iter().map(|line| (&*line.thread, &*line.message)).collect();
    seen.sort();
    let own = |name| [(name, "its first line"), (name, "later at the end")];
    let late = ("(a thread that ends)", "early at the end");
    assert_eq!(seen, [&[late, late][..], &own("one"), &own("two")].concat());
}

/// A sink that logs does not hang: its lines go nowhere, and it cannot wait for itself.
#[test]
fn a_sink_that_logs_is_not_heard() {
    #[derive(Clone)]
    struct Logs(Keep);
    impl Sink for Logs {
        fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
            info!("from within");
            assert_eq!(flush(), Err(FlushError::WithinSink));
            self.0.line(line)
        }
        fn flush(&mut self) -> io::Result<()> {
            warn!("from within");
            Ok(())
        }
    }
    let _turn = turn();
    let keep = Keep::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Logs(keep.clone()))];
    let config = Config { sinks, ring_bytes: 8192, longest: 1024, ..Config::default() };
    let guard = Logger::start(config).unwrap();
    for n in 0..1000 {
        info!("{n}");
    }
    drop(guard);
    assert_eq!(keep.lines().len(), 1000);
}

/// When a sink panics, nobody hangs: not who waits for room, not who flushes, not the guard.
#[test]
fn a_sink_that_panics_holds_nobody_up() {
    struct Breaks(u32);
    impl Sink for Breaks {
        fn line(&mut self, _line: &Line<'_>) -> io::Result<()> {
            self.0 += 1;
            assert!(self.0 < 100, "on purpose");
            Ok(())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let _turn = turn();
    let begun = Instant::now();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Breaks(0))];
    let config = Config { sinks, full: Full::Block, ..Config::default() };
    let guard = Logger::start(Config { ring_bytes: 8192, longest: 1024, ..config }).unwrap();
    for n in 0..100_000 {
        info!("{n}");
    }
    assert_eq!(flush(), Err(FlushError::NotRunning));
    drop(guard);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// A sink that fails is told on standard error, and gets the lines that come after.
#[test]
fn a_sink_that_fails_gets_more_lines() {
    #[derive(Clone)]
    struct Fails(Arc<Mutex<u32>>);
    impl Sink for Fails {
        fn line(&mut self, _line: &Line<'_>) -> io::Result<()> {
            *self.0.lock().unwrap() += 1;
            Err(io::Error::other("on purpose"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("on purpose"))
        }
    }
    let _turn = turn();
    let fails = Fails(Arc::default());
    let keep = Keep::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(fails.clone()), Box::new(keep.clone())];
    let guard = Logger::start(Config { sinks, ..Config::default() }).unwrap();
    (0..3).for_each(|n| info!("{n}"));
    drop(guard);
    assert_eq!((*fails.0.lock().unwrap(), keep.lines().len()), (3, 3));
}

/// A panic flushes before it unwinds: what was written before is out when the panic is caught.
#[test]
fn a_panic_lets_the_lines_out() {
    let _turn = turn();
    let keep = Keep::default();
    // So long that nothing comes of itself.
    let config = Config { poll: Duration::from_secs(3600), ..keep.config() };
    let _guard = Logger::start(config).unwrap();
    info!("so that it sleeps");
    flush().unwrap();
    let panic = std::panic::catch_unwind(|| {
        info!("last words");
        panic!("on purpose");
    });
    assert!(panic.is_err());
    assert_eq!(keep.messages(), ["so that it sleeps", "last words"]);
}

/// Who finds no room waits, and goes on when there is some; nothing is lost meanwhile.
#[test]
fn who_waits_for_room_goes_on_when_there_is_some() {
    struct Held(Arc<AtomicBool>, Keep);
    impl Sink for Held {
        fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
            while self.0.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            self.1.line(line)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let _turn = turn();
    let (held, keep) = (Arc::new(AtomicBool::new(true)), Keep::default());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Held(held.clone(), keep.clone()))];
    let config = Config { sinks, ring_bytes: 8192, longest: 1024, ..Config::default() };
    let guard = Logger::start(config).unwrap();
    let writer = thread::spawn(|| (0..2000).for_each(|n| info!("{n}")));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished(), "it waits");
    held.store(false, Ordering::Release);
    writer.join().unwrap();
    drop(guard);
    assert!(keep.messages().iter().map(|text| text.parse::<u32>().unwrap()).eq(0..2000));
}
