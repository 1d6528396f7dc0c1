//! Writers that take nothing for a while, or for ever: what they hold back is not lost in silence.

mod common;

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::turn;
use tautline_log::sink::{Human, Sink, Stream};
use tautline_log::{Config, FlushError, Logger, flush, flush_within, info, recover};

/// A writer that can be shut.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shut: Option<ErrorKind>,
    bytes: Vec<u8>,
}

impl Door {
    fn shut(kind: ErrorKind) -> Self {
        let door = Self::default();
        door.0.lock().unwrap().shut = Some(kind);
        door
    }

    fn open(&self) {
        self.0.lock().unwrap().shut = None;
    }

    fn messages(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().bytes.clone()).unwrap();
        text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    }

    fn config(&self) -> Config {
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Stream::new(self.clone(), Human::new()))];
        Config { sinks, ..Config::default() }
    }
}

impl Write for Door {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if let Some(kind) = state.shut {
            return Err(kind.into());
        }
        state.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A flush fails while a sink cannot write, and what it holds goes out as soon as it can again,
/// without another line.
#[test]
fn a_flush_fails_while_a_sink_holds_text() {
    let _turn = turn();
    for kind in [ErrorKind::WouldBlock, ErrorKind::StorageFull] {
        let door = Door::shut(kind);
        let guard = Logger::start(door.config()).unwrap();
        info!("one");
        for _ in 0..2 {
            assert_eq!(flush_within(Duration::from_millis(100)), Err(FlushError::TimedOut));
        }
        door.open();
        let until = Instant::now() + Duration::from_secs(10);
        while door.messages().is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(door.messages(), ["one"], "{kind}");
        flush().unwrap();
        drop(guard);
    }
}

/// The end waits a while for a sink that cannot write.
#[test]
fn the_end_waits_a_while() {
    let _turn = turn();
    for kind in [ErrorKind::WouldBlock, ErrorKind::StorageFull] {
        let door = Door::shut(kind);
        let guard = Logger::start(door.config()).unwrap();
        info!("last");
        let opens = door.clone();
        let opener = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            opens.open();
        });
        drop(guard);
        assert_eq!(door.messages(), ["last"], "{kind}");
        opener.join().unwrap();
    }
}

/// It does not wait without end; the folder of the run stays then, and the lines are in it. A reader
/// who has gone is not waited for.
#[test]
fn what_never_got_out_is_in_the_folder() {
    let _turn = turn();
    let parent = tempfile::tempdir().unwrap();
    let directory = || Some(parent.path().to_owned());
    let door = Door::shut(ErrorKind::StorageFull);
    let guard = Logger::start(Config { directory: directory(), ..door.config() }).unwrap();
    let folder = guard.folder().unwrap().to_owned();
    info!("never out");
    let begun = Instant::now();
    drop(guard);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let mut left = Vec::new();
    recover(&folder).unwrap().visit(|line, _| left.push(line.message.to_owned()));
    assert_eq!(left, ["never out"]);
    let gone = Door::shut(ErrorKind::BrokenPipe);
    let guard = Logger::start(Config { directory: directory(), ..gone.config() }).unwrap();
    let folder = guard.folder().unwrap().to_owned();
    info!("to nobody");
    flush().unwrap();
    let begun = Instant::now();
    drop(guard);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(!folder.exists(), "there is nothing to wait for");
}
