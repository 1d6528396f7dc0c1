//! A scope's children borrow from its parent's frame: it is not left before they have ended,
//! whatever the parent, the children and what they have lent do meanwhile.

mod common;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::small;
use tautline_runtime::fiber::{self, Builder, Stack};
use tautline_runtime::{Config, Descriptor, IoBuf, Runtime};

/// Counts those that are alive.
struct Alive(Rc<Cell<u32>>);

impl Alive {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Bytes to be sent that panic when they are dropped.
struct Explosive([u8; 4]);

// SAFETY: the bytes are this value's own, and an operation keeps it where it is.
unsafe impl IoBuf for Explosive {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        resume_unwind(Box::new("a buffer"));
    }
}

/// A write whose future is dropped, and which waits behind that of a child, is done when the
/// child's is taken back. What its buffer panics with then is noted, and does not unwind the
/// parent past its children.
#[test]
fn a_buffer_panics_while_a_scope_cancels() {
    let runtime = Runtime::new(Config { dispatch_limit: 2, ..small() }).unwrap();
    let alive = Rc::new(Cell::new(0));
    let counted = alive.clone();
    let left = runtime.run_fiber(Stack::Medium, move || {
        let (near, _far) = Descriptor::pair().unwrap();
        let (other, _peer) = Descriptor::pair().unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            fiber::scope(|scope| {
                let sends = || {
                    let _alive = Alive::new(&counted);
                    // The third finds no immediate completion left, and is put off.
                    (0..3).for_each(|_| near.blocking().flush().unwrap());
                };
                drop(scope.spawn(Stack::Small, sends).unwrap());
                let parks = || {
                    let _alive = Alive::new(&counted);
                    fiber::park()
                };
                drop(scope.spawn(Stack::Small, parks).unwrap());
                fiber::yield_now().unwrap();
                let mut write = near.write_all(Explosive([1; 4]));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut write).poll(&mut cx).is_pending());
                drop(write);
                other.blocking().flush().unwrap();
                assert_eq!(counted.get(), 2);
                resume_unwind(Box::new("the parent"));
            })
        }));
        let payload = caught.err().unwrap();
        (counted.get(), payload.downcast_ref::<&str>().copied())
    });
    assert_eq!(left.unwrap(), (0, Some("the parent")));
    assert_eq!(runtime.metrics().panics, 1);
}

/// A fiber that takes cancellations as errors, and that joins a child when it is cancelled, is not
/// unwound out of that: the children of all its scopes are asked to end in its place.
#[test]
fn a_cancellation_that_is_an_error_reaches_children() {
    let runtime = Runtime::new(small()).unwrap();
    let parent = Builder::new(Stack::Medium).cancel_by_error().spawn(|| {
        fiber::scope(|outer| {
            let first = outer.spawn(Stack::Small, fiber::park).unwrap();
            let joined = fiber::scope(|inner| {
                let second = inner.spawn(Stack::Small, fiber::park).unwrap();
                let joined = (second.join().is_err(), first.join().is_err());
                // It is asked to end as soon as it is spawned.
                drop(inner.spawn(Stack::Small, || unreachable!("its scope is over")).unwrap());
                joined
            });
            (joined.unwrap(), fiber::yield_now().is_err())
        })
    });
    let parent = parent.unwrap();
    runtime.poll().unwrap();
    parent.cancel();
    runtime.run_for(Duration::from_millis(20)).unwrap();
    assert!(parent.is_finished());
    assert_eq!(runtime.block_on(parent).unwrap().unwrap().unwrap(), ((true, true), true));
}

/// One whose scope is over is cancelled like any other.
#[test]
fn a_scope_that_is_over_is_not_cancelled() {
    let runtime = Runtime::new(small()).unwrap();
    let parent = Builder::new(Stack::Medium).cancel_by_error().spawn(|| {
        fiber::scope(|scope| drop(scope.spawn(Stack::Small, || ()).unwrap())).unwrap();
        fiber::park().is_err()
    });
    let parent = parent.unwrap();
    runtime.poll().unwrap();
    parent.cancel();
    assert!(runtime.block_on(parent).unwrap().unwrap());
}
