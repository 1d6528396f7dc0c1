//! Fibers in a program that is built with `panic = "abort"`: cancellation comes as an error alone,
//! is waited for by joins and scopes, and destructors run, for nothing is left out of a return.
//!
//! ```sh
//! CARGO_PROFILE_DEV_PANIC=abort cargo run -p tautline-runtime --example panic_abort
//! ```

use std::cell::Cell;
use std::error::Error as Any;
use std::rc::Rc;

use tautline_runtime::fiber::{self, JoinError, JoinHandle, Stack};
use tautline_runtime::{Config, Descriptor, Error, Runtime};

/// Counts up when it is dropped.
struct Counts(Rc<Cell<u32>>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn main() -> Result<(), Box<dyn Any>> {
    let runtime = Runtime::new(Config::default())?;
    runtime.run_fiber(Stack::Small, || read().and_then(|()| scope()))??;
    println!("joins, scopes and destructors are as ever");
    Ok(())
}

/// A read that is cancelled, and what its fiber held.
fn read() -> Result<(), Error> {
    let (a, _b) = Descriptor::pair().map_err(|error| refused(&error))?;
    let dropped = Rc::new(Cell::new(0));
    let held = Counts(dropped.clone());
    let waits = fiber::spawn(Stack::Small, move || {
        let _held = held;
        a.blocking().read(&mut [0; 8]).map(drop)
    })?;
    match cancelled(waits)? {
        Ok(Err(error)) if cfg!(panic = "abort") => println!("told by an error: {error}"),
        Err(error) if cfg!(panic = "unwind") => println!("unwound: {error}"),
        other => return Err(refused(&other)),
    }
    expect(dropped.get() == 1, "the destructor ran")
}

/// A scope that is cancelled from outside: its children are told, and waited for.
fn scope() -> Result<(), Error> {
    let ended = Rc::new(Cell::new(0));
    let counts = ended.clone();
    let parent = fiber::spawn(Stack::Small, move || {
        fiber::scope(|scope| {
            for _ in 0..3 {
                let held = Counts(counts.clone());
                let child = scope.spawn(Stack::Small, move || {
                    let _held = held;
                    fiber::park()
                });
                drop(child);
            }
        })
    })?;
    drop(cancelled(parent)?);
    expect(ended.get() == 3, "the scope waited for its children")?;
    let answer = fiber::spawn(Stack::Small, || 7)?.join();
    expect(matches!(answer, Ok(7)), "a result is joined")
}

/// Cancels a fiber once it waits. Returns how it ended.
fn cancelled<T>(handle: JoinHandle<T>) -> Result<Result<T, JoinError>, Error> {
    fiber::yield_now()?;
    fiber::yield_now()?;
    handle.cancel();
    Ok(handle.join())
}

fn expect(holds: bool, what: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(refused(&what)) }
}

fn refused(what: &dyn std::fmt::Debug) -> Error {
    Error::System {
        call: "panic_abort",
        source: std::io::Error::other(format!("not so: {what:?}")),
    }
}
