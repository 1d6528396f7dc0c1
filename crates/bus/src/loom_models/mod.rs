//! Every interleaving of the rings, events, wakers and seats with at most three preemptions, as
//! loom sees it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p tautline-bus --lib loom
//! ```

mod alarm;
mod broadcast;
mod bytes;
mod channel;
mod event;
mod object;
mod pool;
mod record;
mod rings;
mod signal;

use std::sync::Arc as StdArc;
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use crate::policy::Wait;

/// Checks `body` under every interleaving with at most three preemptions.
pub(crate) fn check(body: impl Fn() + Send + Sync + 'static) {
    check_with(3, body);
}

/// The same with at most two, for models of three threads, which would take minutes.
fn check_three(body: impl Fn() + Send + Sync + 'static) {
    check_with(2, body);
}

fn check_with(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 5_000;
    model.check(body);
}

/// Users that sleep as soon as they find nothing: a wake-up that is lost is a deadlock, which loom
/// reports.
const SLEEPY: Wait = Wait::Park { spin_for: Duration::ZERO };

/// What a task waits for that has left its waker. A waker that is never called is a deadlock.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.condition.notify_one();
    }
}

impl Bell {
    fn new() -> (StdArc<Self>, Waker) {
        let bell = StdArc::new(Self::default());
        (bell.clone(), bell.into())
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.condition.wait(rung).unwrap();
        }
        *rung = false;
    }
}
