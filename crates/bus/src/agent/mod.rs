//! Agents: an owner with a mailbox.
//!
//! Something that must not be touched by two threads at once (a command pool, an order book, a
//! socket) has one [`Owner`], and others send it messages. An [`Agent`] hands these to the owner,
//! one at a time: on a thread of its own ([`Agent::spawn_thread`]), as a future on any loop, task
//! or fiber ([`Agent::run`]), or whenever somebody calls [`Agent::turn`].
//!
//! [`Mail`] names the mailbox. Its [clients](crate::request::Client) tell
//! ([`tell`](crate::request::Client::tell)) and ask ([`call`](crate::request::Client::call),
//! [`request`](crate::request::Client::request)). [`Mail::stop`] ends the agent after all that was
//! sent before, [`Mail::abort`] after the message that it is at; it also ends when nobody can send
//! any more.
//!
//! ```
//! use tautline_bus::{Local, agent::{Agent, Config, Owner}};
//!
//! struct Account { balance: i64 }
//! impl Owner for Account {
//!     type Message = i64;
//!     type Reply = i64;
//!     fn handle(&mut self, amount: i64) -> i64 {
//!         self.balance += amount;
//!         self.balance
//!     }
//! }
//!
//! let agent = Agent::<_, Local>::new(Account { balance: 0 }, Config::default())?;
//! let mail = agent.mail();
//! let mut end = agent.spawn_thread("account")?;
//! let mut client = mail.client()?;
//! client.tell(40)?;
//! assert_eq!(client.request(2)?, 42);
//! mail.stop();
//! let account = end.wait(None)??;         // the owner comes back
//! assert_eq!(account.balance, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod mail;
mod run;

pub use self::mail::Mail;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self::mail::Orders;
use crate::error::{CreateError, ReceiveError};
use crate::policy::{Full, Wait};
use crate::request::{self, Exchanges, Request, Requests, Server};
use crate::scope::InProcess;

/// What owns something, and handles the messages about it.
pub trait Owner {
    /// What it is sent.
    type Message: 'static;
    /// What it replies. Dropped where nobody asked.
    type Reply: 'static;

    /// Handles one message. A panic ends the agent: whoever asked is told
    /// [`Panicked`](crate::completion::TakeError::Panicked), those behind
    /// [`Abandoned`](crate::completion::TakeError::Abandoned).
    fn handle(&mut self, message: Self::Message) -> Self::Reply;

    /// The last message was handled: no other will come.
    fn stopped(&mut self) {}
}

/// How others deal with an agent.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many clients there may be at once.
    pub clients: usize,
    /// Calls of one client that may be under way at once.
    pub outstanding: usize,
    /// Messages of one client that there is room for. Rounded up to a power of two.
    pub capacity: usize,
    /// What a client does that finds no room.
    pub full: Full,
    /// How long a [`request`](crate::request::Client::request) waits: `None`, for as long as it
    /// takes.
    pub patience: Option<Duration>,
    /// How clients and the agent wait for each other.
    pub wait: Wait,
    /// Messages that [`Agent::run`] handles in a row before it gives way to others on its loop.
    pub budget: usize,
}

impl Default for Config {
    /// Eight clients with 16 calls at once and room for 64 messages each; gives way after 32.
    fn default() -> Self {
        let request::Config { outstanding, capacity, full, patience, wait, .. } =
            request::Config::default();
        Self { clients: 8, outstanding, capacity, full, patience, wait, budget: 32 }
    }
}

impl Config {
    fn of_the_requests(&self) -> request::Config {
        let Self { clients, outstanding, capacity, full, patience, wait, budget: _ } = *self;
        request::Config {
            clients,
            servers: 1,
            outstanding,
            capacity,
            full,
            patience,
            wait,
            ..request::Config::default()
        }
    }
}

/// The owner has panicked over a message, and is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

impl Panicked {
    fn of(payload: &(dyn Any + Send)) -> Self {
        let said = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned());
        Self { message: said.unwrap_or_else(|| "a panic without a text".to_owned()) }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the owner of an agent has panicked: {}; start another, if its state can be rebuilt",
            self.message
        )
    }
}

impl Error for Panicked {}

/// What became of an owner: it comes back, unless it has panicked.
pub type Ended<O> = Result<O, Panicked>;

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was no message, or no other.
    Idle,
    /// It has handled as many as it may; there may be more.
    Busy,
    /// There will be no other: time for [`Agent::finish`].
    Ended,
}

/// An owner and its mailbox. Dropped, its owner goes with it, and those who wait are told that
/// their requests were abandoned.
pub struct Agent<O: Owner, S: Exchanges<O::Message, O::Reply>> {
    owner: O,
    server: Server<O::Message, O::Reply, S>,
    orders: S::Shared<Orders<S>>,
    budget: usize,
    state: State,
}

/// How far an agent is.
#[derive(Debug)]
enum State {
    Runs,
    /// The owner has panicked; what is left in the mailbox is abandoned.
    Fails(Panicked),
    /// [`Owner::stopped`] was called.
    Stopped,
}

impl<O: Owner, S: Exchanges<O::Message, O::Reply> + InProcess> Agent<O, S> {
    /// An agent, which does nothing before it is run. Take its [mail](Agent::mail) before: an
    /// agent to which nobody can send ends at once.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn new(owner: O, config: Config) -> Result<Self, CreateError> {
        let requests = Requests::new(config.of_the_requests())?;
        let server = requests.server().expect("nobody else knows of the one seat for a server");
        let orders = S::share(Orders::new());
        Ok(Self { owner, server, orders, budget: config.budget.max(1), state: State::Runs })
    }
}

impl<O: Owner, S: Exchanges<O::Message, O::Reply>> Agent<O, S> {
    /// A name of its mailbox.
    pub fn mail(&self) -> Mail<O::Message, O::Reply, S> {
        Mail { requests: self.server.requests(), orders: self.orders.clone() }
    }

    /// Its owner.
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// Handles messages that are there, at most `limit`. Does not wait.
    ///
    /// ```
    /// use tautline_bus::{Private, agent::{Agent, Config, Owner, Turn}};
    /// struct Sum(u32);
    /// impl Owner for Sum {
    ///     type Message = u32;
    ///     type Reply = ();
    ///     fn handle(&mut self, n: u32) { self.0 += n; }
    /// }
    /// let mut sum = Agent::<_, Private>::new(Sum(0), Config::default())?;
    /// let mail = sum.mail();
    /// let mut client = mail.client()?;
    /// (1..=4).for_each(|n| client.tell(n).unwrap());
    /// assert_eq!(sum.turn(3), Turn::Busy);
    /// assert_eq!(sum.turn(3), Turn::Idle);
    /// mail.stop();
    /// assert_eq!(sum.turn(3), Turn::Ended);
    /// assert_eq!(sum.finish()?.0, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn turn(&mut self, limit: usize) -> Turn {
        for _ in 0..limit {
            match self.server.try_receive() {
                Ok(request) => self.deal_with(request),
                Err(ReceiveError::Closed) => {
                    self.stop();
                    return Turn::Ended;
                }
                Err(_) => return Turn::Idle,
            }
        }
        Turn::Busy
    }

    /// Gives the owner back. Messages that were not handled are abandoned, if nobody has seen to
    /// [`Turn::Ended`].
    ///
    /// # Errors
    /// [`Panicked`].
    pub fn finish(self) -> Ended<O> {
        match self.state {
            State::Fails(panicked) => Err(panicked),
            State::Runs | State::Stopped => Ok(self.owner),
        }
    }

    /// Hands a message to the owner; drops it, if there is no owner for it any more.
    fn deal_with(&mut self, request: Request<O::Message, O::Reply, S>) {
        if !matches!(self.state, State::Runs) || self.orders.are_to_abort() {
            return;
        }
        let Request { message, ticket } = request;
        // An owner that has panicked is not used again.
        match catch_unwind(AssertUnwindSafe(|| self.owner.handle(message))) {
            Ok(reply) => ticket.reply(reply),
            Err(payload) => {
                self.fail(&*payload);
                ticket.panicked();
            }
        }
    }

    /// Nothing is handled any more, and nothing is sent.
    #[cold]
    fn fail(&mut self, payload: &(dyn Any + Send)) {
        self.state = State::Fails(Panicked::of(payload));
        self.server.requests().close();
    }

    /// All that was sent is handled.
    fn stop(&mut self) {
        if matches!(self.state, State::Runs) {
            self.state = State::Stopped;
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.owner.stopped())) {
                self.fail(&*payload);
            }
        }
    }
}

impl<O: Owner, S: Exchanges<O::Message, O::Reply>> fmt::Debug for Agent<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("scope", &S::NAME)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
