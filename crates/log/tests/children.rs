//! Programs that end without dropping the guard, or that cannot begin: each is a child of this test.

mod common;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use tautline_log::sink::{Console, Human, Sink, Stream};
use tautline_log::{Config, FlushError, Line, Logger, StartError, flush, flush_within, info};

const ROLE: &str = "TAUTLINE_LOG_ROLE";
const FOLDER: &str = "TAUTLINE_LOG_FOLDER";

// --------------------------------------------------------------------------------- the child

/// Ends its process with code 7 while it is formatted.
struct Exits;

impl fmt::Display for Exits {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        exit(7)
    }
}

/// Hands lines on, and does something at the last of them.
struct AtLast<S>(S, fn());

impl<S: Sink> Sink for AtLast<S> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.0.line(line)?;
        if line.message == "the last" {
            self.0.flush()?;
            (self.1)();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Loses all lines, and holds so many as well.
struct Forgetful(u64, u64);

impl Sink for Forgetful {
    fn line(&mut self, _: &Line<'_>) -> io::Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn held(&self) -> u64 {
        self.1
    }

    fn lost(&self) -> u64 {
        self.0
    }
}

/// Can never write, and counts nothing, as the least that a sink may do.
struct Refuses;

impl Sink for Refuses {
    fn line(&mut self, _: &Line<'_>) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::Error::other("no\nroom"))
    }
}

/// Breaks at its second line.
struct Breaks(u32);

impl Sink for Breaks {
    fn line(&mut self, _: &Line<'_>) -> io::Result<()> {
        self.0 += 1;
        assert!(self.0 < 2, "on purpose");
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For so long that the test fails.
fn hang() {
    thread::sleep(Duration::from_secs(20));
}

/// What a child does; nothing where the test itself is run.
#[test]
fn a_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let file = Stream::new(File::create(folder.join("lines")).unwrap(), Human::new());
    let sink: Box<dyn Sink> = match &*role {
        "exits in a sink" => Box::new(AtLast(file, || exit(7))),
        "exits while a sink hangs"
        | "exits after it gave up"
        | "ends while a sink hangs"
        | "panics while a sink hangs" => Box::new(AtLast(file, hang)),
        "loses lines" => Box::new(Forgetful(0, 0)),
        "loses and holds lines" | "exits with losses" => Box::new(Forgetful(0, 5)),
        "cannot write" => Box::new(Refuses),
        "has an unread console" => Box::new(Console::stderr()),
        _ => Box::new(file),
    };
    // So long that nothing comes of itself.
    let poll = Duration::from_secs(3600);
    let directory = (role == "has no room").then(|| folder.join("rings"));
    let mut sinks = vec![sink];
    if role == "has a sink that breaks" {
        sinks.insert(0, Box::new(Breaks(0)));
    }
    let started = Logger::start(Config { sinks, poll, directory, ..Config::default() });
    if role == "has no room" {
        let error = started.expect_err("a ring needs more");
        assert!(matches!(error, StartError::Ring(_)), "{error}");
        assert!(error.to_string().contains("ring-0"), "{error}");
        exit(7);
    }
    let guard = started.unwrap();
    info!("one");
    thread::sleep(Duration::from_millis(50)); // the log's own thread sleeps again
    info!("the last");
    match &*role {
        "exits" | "exits while a sink hangs" | "exits with losses" => exit(7),
        "has an unread console" => {
            // More than a pipe takes, and less than the ring.
            (0..2000).for_each(|n| info!("{n:0>64}"));
            exit(7)
        }
        "has a sink that breaks" => {
            flush().unwrap();
            info!("after");
            flush().unwrap();
            drop(guard);
            exit(7)
        }
        "cannot write" => {
            assert_eq!(flush_within(Duration::from_millis(50)), Err(FlushError::TimedOut));
            drop(guard);
            exit(7)
        }
        "panics while a sink hangs" => {
            let panic = std::panic::catch_unwind(AssertUnwindSafe(move || {
                let _guard = guard;
                panic!("on purpose")
            }));
            assert!(panic.is_err());
            exit(7)
        }
        "exits in another thread" => drop(thread::spawn(|| exit(7)).join()),
        "exits within a line" => info!("{}", Exits),
        "exits after it gave up" => {
            assert_eq!(flush_within(Duration::from_millis(50)), Err(FlushError::TimedOut));
            fs::write(folder.join("exits"), []).unwrap();
            exit(7)
        }
        // It wakes the thread that exits.
        "exits in a sink" => flush_within(Duration::from_secs(20)).unwrap(),
        "loses lines" | "loses and holds lines" | "ends while a sink hangs" => {
            drop(guard);
            exit(7)
        }
        other => panic!("no role: {other}"),
    }
}

// -------------------------------------------------------------------------------- the parent

fn child(mut command: Command, role: &str, folder: &Path) -> Output {
    command
        .args(["--exact", "a_child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .output()
        .unwrap()
}

/// Whoever ends the process without dropping the guard loses no line, wherever it happens: within a
/// line, in another thread, on the log's own. It takes no longer than two seconds if a sink hangs, and
/// no time at all if a flush has waited for that already.
#[test]
fn an_exit_lets_the_lines_out() {
    for role in [
        "exits",
        "exits in another thread",
        "exits within a line",
        "exits in a sink",
        "exits while a sink hangs",
        "exits after it gave up",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let output = child(Command::new(std::env::current_exe().unwrap()), role, folder.path());
        assert_eq!(output.status.code(), Some(7), "{role}: {output:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{role}: {:?}", begun.elapsed());
        if let Ok(exits) = fs::metadata(folder.path().join("exits")) {
            let took = exits.modified().unwrap().elapsed().unwrap();
            assert!(took < Duration::from_millis(1900), "{role}: {took:?}");
        }
        let lines = fs::read_to_string(folder.path().join("lines")).unwrap();
        let messages: Vec<_> = lines.lines().filter_map(|line| line.split(": ").nth(1)).collect();
        assert_eq!(messages, ["one", "the last"], "{role}");
    }
}

/// A log whose rings cannot be made does not start, and says which file it was: lines would be lost
/// in silence otherwise.
#[test]
fn without_room_for_a_ring_there_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    // A ring in memory still fits, but no file of it, which has a page more. Who writes more is told so,
    // and not killed.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 516; exec \"$0\" \"$@\""]);
    shell.arg(std::env::current_exe().unwrap());
    let output = child(shell, "has no room", folder.path());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let left = fs::read_dir(folder.path().join("rings")).unwrap().count();
    assert_eq!(left, 0, "nothing is left behind");
}

/// A child of that role, the lines of the log about itself, and how long it took.
fn told(role: &str) -> (Vec<String>, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let program = Command::new(std::env::current_exe().unwrap());
    let output = child(program, role, folder.path());
    assert_eq!(output.status.code(), Some(7), "{role}: {output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter_map(|line| line.strip_prefix("tautline-log: "));
    (lines.map(str::to_owned).collect(), begun.elapsed())
}

/// What sinks have lost, and what they still hold, is told at the end, on standard error, whether the
/// guard is dropped or the process exits.
#[test]
fn lines_that_did_not_get_out_are_told() {
    let lost = "lines that sinks could not hand on, and gave up: 2";
    let held = "lines that were not written before the end: 5";
    assert_eq!(told("loses lines").0, [lost]);
    assert_eq!(told("loses and holds lines").0, [held, lost]);
    assert_eq!(told("exits with losses").0, [held, lost]);
}

/// A sink whose flush fails has not written what it was given, also if it counts nothing: a flush of
/// the log fails then, the error is told once, on one line, and how many lines it had at the end.
#[test]
fn a_flush_that_fails_is_no_success() {
    let failed = "cannot write the log: no\\nroom";
    assert_eq!(told("cannot write").0, [failed, "lines that were not written before the end: 2"]);
}

/// The end does not wait for ever for a sink that hangs, nor does an exit, and both say that lines
/// may be lost, and how many of them the sink had.
#[test]
fn a_sink_that_hangs_is_left_and_told() {
    let begin = "lines that were not written before the end: at least ";
    for role in ["ends while a sink hangs", "panics while a sink hangs", "exits while a sink hangs"]
    {
        let (lines, took) = told(role);
        assert!(took < Duration::from_secs(15), "{role}: {took:?}");
        assert!(lines.len() == 1 && lines[0].starts_with(begin), "{role}: {lines:?}");
    }
}

/// A console that nobody reads holds no exit up, though the warning does not fit into it either.
#[test]
fn an_unread_console_holds_no_exit_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_child", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, "has an unread console").env(FOLDER, folder.path());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(15);
    let mut status = child.try_wait().unwrap();
    while status.is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
        status = child.try_wait().unwrap();
    }
    child.kill().ok();
    child.wait().unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(7));
}

/// A sink that panics is told of once, and keeps no line from the others; those that it did not get
/// count as lost.
#[test]
fn a_sink_that_panics_is_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let program = Command::new(std::env::current_exe().unwrap());
    let output = child(program, "has a sink that breaks", folder.path());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let lines = fs::read_to_string(folder.path().join("lines")).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error.matches("a sink has panicked").count(), 1, "{error}");
    let lost = error.lines().last().unwrap();
    assert!(lost.starts_with("tautline-log: lines that sinks could not hand on"), "{error}");
    assert!(lost.ends_with(": 2") || lost.ends_with(": 3"), "as it was flushed or not: {error}");
}
