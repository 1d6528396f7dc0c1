//! Programs that end without dropping the guard, or that cannot begin: each is a child of this test.

mod common;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, exit};
use std::thread;
use std::time::{Duration, Instant};

use tautline_log::sink::{Human, Sink, Stream};
use tautline_log::{Config, FlushError, Line, Logger, StartError, flush_within, info};

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

/// Loses all lines.
struct Forgetful(u64);

impl Sink for Forgetful {
    fn line(&mut self, _: &Line<'_>) -> io::Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.0
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
        "exits while a sink hangs" | "exits after it gave up" => Box::new(AtLast(file, hang)),
        "loses lines" => Box::new(Forgetful(0)),
        _ => Box::new(file),
    };
    // So long that nothing comes of itself.
    let poll = Duration::from_secs(3600);
    let directory = (role == "has no room").then(|| folder.join("rings"));
    let started = Logger::start(Config { sinks: vec![sink], poll, directory, ..Config::default() });
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
        "exits" | "exits while a sink hangs" => exit(7),
        "exits in another thread" => drop(thread::spawn(|| exit(7)).join()),
        "exits within a line" => info!("{}", Exits),
        "exits after it gave up" => {
            assert_eq!(flush_within(Duration::from_millis(50)), Err(FlushError::TimedOut));
            fs::write(folder.join("exits"), []).unwrap();
            exit(7)
        }
        // It wakes the thread that exits.
        "exits in a sink" => flush_within(Duration::from_secs(20)).unwrap(),
        "loses lines" => {
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

/// What sinks have lost is told at the end, on standard error.
#[test]
fn lines_that_sinks_lost_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = Command::new(std::env::current_exe().unwrap());
    let output = child(program, "loses lines", folder.path());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    let line = "tautline-log: lines that sinks could not hand on, and gave up: 2";
    assert!(told.lines().any(|told| told == line), "{told}");
}
