//! Values on their way from fiber to fiber, in a ring of fixed size.

mod error;
mod receiver;
mod sender;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::fiber::sync::permits::Permits;

pub use self::{
    error::{RecvError, SendError},
    receiver::{Received, Receiver, RecvFuture},
    sender::Sender,
};

/// A channel for at most `capacity` values that were sent and not received. Its ring is
/// allocated here, and never grows. Both ends may be cloned.
///
/// Values are received in the order in which they were sent; who waits is served in the order
/// of coming. Each value is received once, or given back to its sender, or dropped with the
/// last receiver.
///
/// There is no channel without room, where sender and receiver meet: of two fibers that
/// [`select`](super::select()) on the ends of such a one, neither could move first. To know that a
/// value has arrived, send a [`Baton`](crate::fiber::Baton) with it.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let (sender, receiver) = fiber::channel(2);
/// let sum: u32 = runtime.run_fiber(Stack::Small, move || {
///     fiber::spawn(Stack::Small, move || {
///         for n in 1..=4 {
///             sender.send(n).unwrap(); // waits while two are on their way
///         }
///     }).map(drop)?;
///     Ok::<_, tautline_runtime::Error>(receiver.iter().sum())
/// })??;
/// assert_eq!(sum, 10);
/// # Ok(())
/// # }
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for one value at least");
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::with_capacity(capacity)),
        capacity,
        room: Permits::new(capacity),
        values: Permits::draining(),
        senders: Cell::new(1),
        receivers: Cell::new(1),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// What both ends share.
struct Shared<T> {
    /// Borrowed only where no code of the user's runs.
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    /// One for each place that is free, or promised to a sender. Closed with the last receiver.
    room: Permits,
    /// One for each value that is not promised to a receiver. Closed with the last sender.
    values: Permits,
    senders: Cell<usize>,
    receivers: Cell<usize>,
}

impl<T> Shared<T> {
    /// Queues a value, by a permit for room.
    fn push(&self, value: T) {
        let mut queue = self.queue.borrow_mut();
        debug_assert!(queue.len() < self.capacity, "a permit for each place");
        queue.push_back(value);
        drop(queue);
        self.values.give(1);
    }

    /// Takes the first value, by a permit for one.
    fn pop(&self) -> T {
        let value = self.queue.borrow_mut().pop_front();
        self.room.give(1);
        value.expect("a value for each permit")
    }

    fn len(&self) -> usize {
        self.queue.borrow().len()
    }
}
