//! What the tests of fibers share: a test as a fiber, on each real driver.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::io;
use std::panic::resume_unwind;
use std::time::Duration;

use tautline_net::fiber::{TcpListener, TcpStream};
use tautline_runtime::fiber::{JoinError, JoinHandle, Stack, sleep, spawn};
use tautline_runtime::{Error, Runtime};

use crate::common::{everywhere, until};

/// Runs `test` as a fiber on each real driver, within the patience.
pub fn run(test: fn() -> io::Result<()>) {
    everywhere(|runtime| finish(runtime, spawn(Stack::Medium, test).unwrap()).unwrap());
}

/// The result of a fiber, within the patience.
pub fn finish<T>(runtime: &Runtime, handle: JoinHandle<T>) -> T {
    until(runtime, || handle.is_finished());
    joined(handle)
}

/// The result of a fiber for one that waits for it; its panic is one here.
pub fn joined<T>(handle: JoinHandle<T>) -> T {
    handle.join().unwrap_or_else(|error| match error {
        JoinError::Panicked(panic) => resume_unwind(panic.into_payload()),
        other => panic!("{other}"),
    })
}

/// A connected pair over the loopback.
pub fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, peer) = listener.accept_from()?;
    assert_eq!(peer, near.local_addr()?);
    Ok((near, far))
}

/// Bytes of which no two neighbours, nor any two blocks, are alike.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Long enough for the others to get to where they wait.
pub fn a_while() {
    sleep(Duration::from_millis(3)).unwrap();
}

/// Whether a call was refused because no fiber made it.
pub fn not_in_fiber<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| matches!(Error::of(&error), Some(Error::NotInFiber)))
}
