//! What the tests of sockets share: a runtime on each real driver.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::{Config, DriverChoice, Runtime, WaitMode};

/// Long enough for anything here, so that what is broken fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` on a fresh runtime for each driver that makes system calls.
pub fn everywhere(test: impl Fn(&Runtime)) {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let wait = WaitMode::Warm { spin_for: Duration::from_micros(20) };
        let config = Config { driver, wait, ..small() };
        test(&Runtime::new(config).unwrap());
    }
}

/// A configuration that is quick to make.
pub fn small() -> Config {
    Config {
        operations: 8192,
        descriptors: 8192,
        timers: 8192,
        tasks: 8192,
        receive_buffers: 16,
        send_chunks: 256,
        ..Config::default()
    }
}

/// Runs a future everywhere, within the patience.
pub fn run<F: AsyncFn() -> io::Result<()>>(test: F) {
    everywhere(|runtime| block(runtime, test()));
}

/// Runs a future to its end, within the patience.
pub fn block<T>(runtime: &Runtime, test: impl Future<Output = io::Result<T>>) -> T {
    let within = tautline_runtime::timer::timeout(PATIENCE, test);
    runtime.block_on(within).unwrap().expect("the test is not done in time").unwrap()
}

/// Runs the loop until `done`, within the patience.
pub fn until(runtime: &Runtime, mut done: impl FnMut() -> bool) {
    let late = Rc::new(Cell::new(false));
    let seen = late.clone();
    let alarm = tautline_runtime::timer::after(PATIENCE, move || seen.set(true)).unwrap();
    runtime.run_until(|| late.get() || done()).unwrap();
    alarm.cancel();
    assert!(!late.get(), "the test is not done in time");
}
