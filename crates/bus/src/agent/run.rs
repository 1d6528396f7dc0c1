//! What drives an agent: a future, or a thread.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::thread;

use crate::agent::{Agent, Ended, Owner, Turn};
use crate::completion::{self, Async};
use crate::error::ReceiveError;
use crate::request::Exchanges;
use crate::scope::Local;

impl<O: Owner, S: Exchanges<O::Message, O::Reply>> Agent<O, S> {
    /// Runs it until it ends: for a loop, in a task or a fiber. Gives way to others after
    /// [`Config::budget`](super::Config::budget) messages.
    ///
    /// To let somebody else wait for the end, give the result to a completion:
    /// `completer.complete(agent.run().await)`.
    ///
    /// # Errors
    /// [`Panicked`](super::Panicked).
    pub async fn run(mut self) -> Ended<O> {
        loop {
            match self.turn(self.budget) {
                Turn::Ended => return self.finish(),
                Turn::Busy => give_way().await,
                Turn::Idle => {
                    // Closed is for the next turn to see.
                    if let Ok(request) = self.server.receive_async().await {
                        self.deal_with(request);
                    }
                }
            }
        }
    }
}

impl<O: Owner> Agent<O, Local>
where
    Local: Exchanges<O::Message, O::Reply>,
{
    /// Runs it on this thread until it ends.
    ///
    /// # Errors
    /// [`Panicked`](super::Panicked).
    pub fn run_blocking(mut self) -> Ended<O> {
        loop {
            match self.server.receive() {
                Ok(request) => self.deal_with(request),
                Err(ReceiveError::Closed) => {
                    self.stop();
                    return self.finish();
                }
                // A client's patience is not the agent's.
                Err(_) => {}
            }
        }
    }

    /// Runs it on a thread of its own. What comes back is a [completion] that
    /// gives the owner when the agent has ended; dropping it leaves the agent alone.
    ///
    /// # Errors
    /// Those of [`thread::Builder::spawn`], and a name with a zero byte in it; the agent is dropped
    /// then.
    pub fn spawn_thread(self, name: &str) -> io::Result<Async<Ended<O>, Local>>
    where
        O: Send + 'static,
        O::Message: Send,
        O::Reply: Send,
    {
        if name.contains('\0') {
            let why = format!("a thread cannot be called {name:?}: leave the zero byte out");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut end = Async::new(completion::Config::default());
        let completer = end.begin().expect("nothing else has begun by it");
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // An owner that nobody waits for is dropped here.
            drop(completer.complete(self.run_blocking()));
        })?;
        Ok(end)
    }
}

/// Lets others of the loop have their turn.
async fn give_way() {
    let mut gave_way = false;
    poll_fn(|context| {
        if gave_way {
            return Poll::Ready(());
        }
        gave_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
