//! Reads with buffers of their own become hot while a loop spins, and cool again: they are then
//! probed directly rather than handed to the driver.

mod common;

use std::time::{Duration, Instant};

use common::small;
use tautline_runtime::fiber::{self, JoinHandle, Stack};
use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode};

fn runtime(hot: usize) -> Runtime {
    let (driver, wait) = (DriverChoice::Uring, WaitMode::Spin);
    Runtime::new(Config { driver, wait, hot, ..small() }).unwrap()
}

/// A fiber that counts the bytes that come, each by a read of its own, until the stream ends.
fn reader(stream: Descriptor) -> JoinHandle<usize> {
    let count = move || {
        let (mut bytes, mut buf) = (0, [0; 64]);
        loop {
            match stream.blocking().read(&mut buf).unwrap() {
                0 => return bytes,
                n => bytes += n,
            }
        }
    };
    fiber::spawn(Stack::Small, count).unwrap()
}

/// Sends so many single bytes, each after the one before was read.
fn feed(runtime: &Runtime, stream: &Descriptor, bytes: usize) {
    for _ in 0..bytes {
        stream.conn().write_now(b"x").unwrap();
        (0..4).for_each(|_| assert!(runtime.poll_once().is_ok()));
    }
}

/// A busy reader is served without the driver.
#[test]
fn a_busy_reader_becomes_hot() {
    let runtime = runtime(1);
    let (a, b) = Descriptor::pair().unwrap();
    let read = reader(b);
    feed(&runtime, &a, 32);
    let before = runtime.metrics().engine.completions;
    feed(&runtime, &a, 100);
    assert_eq!(runtime.metrics().engine.completions, before, "the driver was asked");
    drop(a);
    runtime.run_until(|| read.is_finished()).unwrap();
    assert_eq!(runtime.run_fiber(Stack::Small, || read.join()).unwrap().unwrap(), 132);
}

/// Two hot readers of which neither has anything do not keep a turn from its end.
#[test]
fn idle_hot_readers_let_the_turn_end() {
    let runtime = runtime(2);
    let pairs: Vec<_> = (0..2).map(|_| Descriptor::pair().unwrap()).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let readers: Vec<_> = theirs.into_iter().map(reader).collect();
    ours.iter().for_each(|stream| feed(&runtime, stream, 32));
    let before = runtime.metrics();
    runtime.run_for(Duration::from_millis(1)).unwrap();
    let after = runtime.metrics();
    assert!(after.turns > before.turns + 10);
    drop(ours);
    runtime.run_until(|| readers.iter().all(JoinHandle::is_finished)).unwrap();
}

/// A hot reader that falls silent while others are busy gives its place up.
#[test]
fn a_silent_reader_cools() {
    let runtime = runtime(1);
    let (a, b) = Descriptor::pair().unwrap();
    let (x, y) = Descriptor::pair().unwrap();
    let readers = [reader(b), reader(y)];
    feed(&runtime, &a, 32);
    // The other becomes hot only once the first has made room.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let before = runtime.metrics().engine.completions;
        feed(&runtime, &x, 100);
        if runtime.metrics().engine.completions == before {
            break;
        }
        assert!(Instant::now() < until, "the silent one stays hot");
    }
    drop((a, x));
    runtime.run_until(|| readers.iter().all(JoinHandle::is_finished)).unwrap();
}
