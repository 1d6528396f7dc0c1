//! Receivers of the bus on the loop, by callback: what comes is handed to a handler, in a turn.
//!
//! Tasks await a receiver (`receive_async`) and fibers [wait](crate::fiber::wait()) for the same;
//! for callbacks there is [`Listen`], which gives a receiver of any kind to this thread's loop. The
//! senders may be on the same loop, in other threads, or where their scope lets them be.
//!
//! - A turn hands a listener at most [`Budgets::messages`](crate::Budgets::messages), the rest the
//!   next one: no receiver starves another.
//! - A loop that sleeps is woken once for all that was sent meanwhile. Objects made with
//!   `Wait::Spin` or `Wait::Yield` have nobody who would wake: a loop that listens to one looks
//!   each turn, and never sleeps.
//! - The last event is the error that says why nothing can come any more, such as
//!   `ReceiveError::Closed`. One bad message of many senders is not the end: `ReceiveError::Corrupt`
//!   is an event like others, up to a turn's worth of them in a row. At the end, or when the
//!   listener is [stopped](Listener::stop), or after a panic of the handler, the receiver is
//!   detached and the handler dropped.
//! - Nothing is allocated but when a receiver is given to the loop.

mod listener;
mod sources;

pub use self::listener::Listener;
pub use self::sources::Looked;

use std::task::{Context, Poll};

use crate::Error;

/// Something that a loop can listen to: the receivers of the bus, and any that a program has of its
/// own.
pub trait Source: 'static {
    /// What a handler sees: a message or, at last, why none comes any more.
    type Event<'e>;

    /// Hands what is there to `handler`, once at most. Does not wait.
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked;

    /// Ready when a look would find something; else the waker of `context` is left for when one
    /// would.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// Gives a receiver of the bus to this thread's loop.
pub trait Listen: Source + Sized {
    /// Calls `handler` for each message that this receives, in a turn of this thread's loop. It may
    /// call back into everything, and may stop its own listener. A panic in it is treated as one in
    /// any other handler ([`Config::panics`](crate::Config::panics)).
    ///
    /// # Errors
    /// [`Error::NoRuntime`]; [`Error::Exhausted`]: a listener takes the place of a task, of which
    /// there may be [`Config::tasks`](crate::Config::tasks). The receiver is detached then.
    ///
    /// ```
    /// use tautline_bus::{Local, ReceiveError, channel::{Channel, Config}};
    /// use tautline_runtime::{Runtime, listen::Listen, stop};
    /// # use std::{cell::Cell, rc::Rc};
    ///
    /// let runtime = Runtime::new(tautline_runtime::Config::default())?;
    /// let numbers = Channel::<u32, Local>::new(Config::default())?;
    /// let mut sender = numbers.sender()?;
    /// let thread = std::thread::spawn(move || (1..=3).all(|n| sender.send(n).is_ok()));
    ///
    /// let sum = Rc::new(Cell::new(0));
    /// let total = sum.clone();
    /// numbers.receiver()?.on_message(move |number| match number {
    ///     Ok(number) => total.set(total.get() + number),
    ///     Err(ReceiveError::Closed) => stop().unwrap(),   // nobody can send any more
    ///     Err(error) => panic!("{error}"),
    /// })?;
    /// drop(numbers);
    /// runtime.run()?;
    /// assert_eq!(sum.get(), 1 + 2 + 3);
    /// # assert!(thread.join().unwrap());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn on_message<F>(self, handler: F) -> Result<Listener, Error>
    where
        F: FnMut(Self::Event<'_>) + 'static,
    {
        Listener::start(self, handler)
    }
}

impl<S: Source> Listen for S {}
