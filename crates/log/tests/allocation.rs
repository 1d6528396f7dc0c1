//! Nothing allocates on a thread that writes, after its first line.

mod common;

use std::fmt;

use common::turn;
use tautline_log::sink::Sink;
use tautline_log::{Config, Line, Logger, info, prepare_thread};

struct Silent;

impl Sink for Silent {
    fn line(&mut self, _line: &Line<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Point(u32, u32);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.0, self.1)
    }
}

fn lines(name: &str) {
    for n in 0..5000_u32 {
        info!("{n} {:.2} {name}", 1.5);
        info!("{} {:?}", Point(n, 2), Some(n));
    }
}

/// After a thread's first lines, none allocates, whatever is in it, also when it must wait for
/// room.
#[test]
fn writing_does_not_allocate() {
    let _turn = turn();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Silent)];
    let guard = Logger::start(Config { sinks, ring_bytes: 32 << 10, ..Config::default() }).unwrap();
    prepare_thread();
    let name = "a name".to_owned();
    lines(&name);
    let counted = allocation_counter::measure(|| lines(&name));
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    drop(guard);
}
