//! A process without a free descriptor: who waits for other processes is looked after, without a
//! doorbell. Alone in its process, since it changes that process's limits.

mod common;

use std::cell::Cell;
use std::fs::{self, File};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{REAL, limit_descriptors, small};
use tautline_bus::channel::{Channel, Config, Receiver};
use tautline_bus::{ReceiveError, Shared};
use tautline_runtime::listen::{Listen, Looked, Source};
use tautline_runtime::{Runtime, WaitMode};

/// Counts what the porter says.
struct Lines(AtomicUsize);

static LINES: Lines = Lines(AtomicUsize::new(0));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().ends_with("porter") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// A receiver, and how often the loop has looked at it.
struct Counted(Receiver<u64, Shared>, Rc<Cell<usize>>);

impl Source for Counted {
    type Event<'e> = Result<u64, ReceiveError>;

    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        self.1.set(self.1.get() + 1);
        self.0.look(handler)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Source::poll_wait(&mut self.0, context)
    }
}

/// Whether this process has a doorbell that is there to be rung.
fn has_doorbell() -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let process = format!("@tautline-bell/{:x}", std::process::id());
    // Behind the process are six digits.
    let is_ours = |name: &str| name.starts_with(&process) && name.len() == process.len() + 6;
    sockets.split_whitespace().any(is_ours)
}

/// While there is no descriptor the loop looks now and then, and says once why; it gets what comes,
/// and has a doorbell when there are descriptors again.
#[test]
fn who_waits_is_looked_after_without_descriptors() {
    limit_descriptors(256);
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    for (at, driver) in REAL.into_iter().enumerate() {
        let before = LINES.0.load(Ordering::Relaxed);
        let namespace = format!("emfile{at}-{}", std::process::id());
        let config =
            tautline_runtime::Config { driver, wait: WaitMode::Sleep, stall: None, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let channel = Channel::<u64, Shared>::open(&namespace, "numbers", Config::default());
        let channel = channel.unwrap();
        let (mut sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let fillers: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null"))
            .take(300)
            .map_while(Result::ok)
            .collect();
        assert!(fillers.len() < 300, "the limit holds");

        let (looks, sum) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let total = sum.clone();
        let counted = Counted(receiver, looks.clone());
        let listener = counted.on_message(move |n| total.set(total.get() + n.unwrap())).unwrap();
        runtime.run_for(Duration::from_millis(200)).unwrap();
        assert!((2..100).contains(&looks.get()), "{} looks", looks.get());
        assert_eq!(LINES.0.load(Ordering::Relaxed), before + 1);
        let began = Instant::now();
        let until = |n| {
            let over = || sum.get() == n || began.elapsed() > Duration::from_secs(20);
            runtime.run_until(over).unwrap();
            assert_eq!(sum.get(), n);
        };
        sender.send(1).unwrap();
        until(1);

        drop(fillers);
        runtime.run_until(|| has_doorbell() || began.elapsed() > Duration::from_secs(20)).unwrap();
        assert!(has_doorbell());
        sender.send(2).unwrap();
        until(3);
        assert!(listener.stop());
    }
}
