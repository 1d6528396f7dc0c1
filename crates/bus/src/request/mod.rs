//! Requests, and the answer to each: clients ask, servers reply.
//!
//! A [`Client`] has a lane to the server, and some slots for replies. [`Client::request`] asks and
//! waits; [`Client::call`] gives a [`Call`], which is a [completion](crate::completion): look, wait
//! with a deadline, await, cancel, or wait for it among others. [`Client::tell`] wants no answer.
//! The [`Server`] takes a [`Request`] and replies to it, at once or later and in any order; one
//! that is dropped without a reply is told to its caller as
//! [abandoned](crate::completion::TakeError::Abandoned). Each way costs one store that the other
//! side sees; nothing is allocated.
//!
//! ```
//! use tautline_bus::{Local, request::{Config, Requests}};
//!
//! let squares = Requests::<u64, u64, Local>::new(Config { clients: 2, ..Config::default() })?;
//! let mut server = squares.server()?;
//! let thread = std::thread::spawn(move || while server.serve(|n| n * n).is_ok() {});
//!
//! let mut client = squares.client()?;
//! assert_eq!(client.request(7)?, 49);                 // asks and waits
//! let (a, b) = (client.call(8)?, client.call(9)?);    // asks now, waits later
//! assert_eq!((b.wait(None)?, a.wait(None)?), (81, 64));
//! # drop((client, squares));
//! # thread.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Between processes ([`Requests::open`]) a server that dies leaves what it has taken and not answered
//! to the next ([`Config::orphans`]), and a client that dies its slots; what it has asked is served.
//! A request that was only told goes to one server, once.
//!
//! A call that is cancelled (or dropped) keeps its slot until the server has answered it: the
//! answer meets nobody, and is dropped when the slot is used again. A server that takes long looks
//! at [`Ticket::is_wanted`].

mod call;
mod client;
#[cfg(all(test, loom))]
mod loom_models;
mod server;
#[cfg(not(loom))]
mod shared;
mod slots;
#[cfg(all(test, not(loom)))]
mod tests;

pub use self::call::Call;
pub use self::client::Client;
pub use self::server::{Request, Server, Ticket};

use std::error::Error;
use std::fmt;
use std::time::Duration;

use self::slots::{Correlation, Replies};
pub use crate::channel::Orphans;
use crate::channel::{self, Channel, Order};
use crate::completion::TakeError;
use crate::error::{AttachError, Corrupt, CreateError, SendError};
use crate::object::{Handle, Role};
use crate::policy::{Full, Wait};
use crate::scope::{Carries, Heap, InProcess, Place};

/// How clients and servers deal with each other.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many clients there may be at once.
    pub clients: usize,
    /// How many servers there may be at once. Several share the requests: each goes to one.
    pub servers: usize,
    /// Calls of one client that may be under way at once.
    pub outstanding: usize,
    /// Requests, of calls and told ones, that there is room for until a server takes them: for
    /// each client, or for all together where there are several servers. Rounded up to a power of
    /// two.
    pub capacity: usize,
    /// What a call does that finds no free slot, or no room for its request.
    pub full: Full,
    /// How long [`Client::request`] waits for the answer, and a server for a request: `None`, for
    /// as long as it takes.
    pub patience: Option<Duration>,
    /// How the users wait.
    pub wait: Wait,
    /// What becomes of a call that a server has taken and not answered when its process dies: the
    /// next gets the request, marked ([`Ticket::is_redelivered`]), or the caller is told that it
    /// was [abandoned](crate::completion::TakeError::Abandoned).
    pub orphans: Orphans,
}

impl Default for Config {
    /// One client with 16 calls at once, one server, room for 64 requests; whoever finds no room
    /// waits.
    fn default() -> Self {
        Self {
            clients: 1,
            servers: 1,
            outstanding: 16,
            capacity: 64,
            full: Full::Block(None),
            patience: None,
            wait: Wait::default(),
            orphans: Orphans::default(),
        }
    }
}

impl Config {
    fn checked(self) -> Result<Self, CreateError> {
        let kind = "request/response";
        if self.full == Full::Overwrite {
            let what = "a request cannot be overwritten, for somebody waits for its answer: let \
                        callers wait (Full::Block) or be refused (Full::Refuse)";
            return Err(CreateError::Conflict { what });
        }
        let limit = Correlation::MAX_SLOTS / self.clients.max(1);
        if self.outstanding == 0 || self.outstanding > limit {
            return Err(CreateError::Capacity { kind, asked: self.outstanding, limit });
        }
        Ok(self)
    }

    fn of_the_channel(&self) -> channel::Config {
        channel::Config {
            capacity: self.capacity,
            senders: self.clients,
            receivers: self.servers,
            order: Order::PerSender,
            full: self.full,
            patience: self.patience,
            wait: self.wait,
            ..channel::Config::default()
        }
    }
}

/// A request on its way, and to which call it belongs.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Ask<Q> {
    to: Correlation,
    message: Q,
}

/// A scope that carries requests of type `Q` and replies of type `R`.
pub trait Exchanges<Q, R>: Carries<Ask<Q>> + Carries<R> {
    /// Words in which a request is kept until it is answered, where servers may die.
    #[doc(hidden)]
    const KEPT_WORDS: usize;

    /// Keeps a request.
    #[doc(hidden)]
    fn keep(words: &[Self::Word], message: &Q);

    /// A copy of a request that was kept.
    ///
    /// # Errors
    /// [`Corrupt`]: it is none.
    #[doc(hidden)]
    fn recall(words: &[Self::Word]) -> Result<Q, Corrupt>;

    /// A request without its message, which is none: to which call it belongs.
    #[doc(hidden)]
    fn addressed(place: &Place<Ask<Q>>) -> Ask<()>;
}

/// Nobody dies alone.
impl<Q, R, S: InProcess + Carries<Ask<Q>> + Carries<R>> Exchanges<Q, R> for S {
    const KEPT_WORDS: usize = 0;

    fn keep(_: &[S::Word], _: &Q) {}

    fn recall(_: &[S::Word]) -> Result<Q, Corrupt> {
        Err(Corrupt)
    }

    fn addressed(_: &Place<Ask<Q>>) -> Ask<()> {
        Ask { to: Correlation::NONE, message: () }
    }
}

/// Why a request has brought no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError<Q> {
    /// It was not sent, and comes back.
    NotSent(SendError<Q>),
    /// It was sent, and this is what came of it.
    NoReply(TakeError),
}

impl<Q> fmt::Display for RequestError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => error.fmt(f),
            Self::NoReply(error) => error.fmt(f),
        }
    }
}

impl<Q: fmt::Debug> Error for RequestError<Q> {}

/// The name of a place where clients ask and servers reply: clone it, give it to others of its
/// scope, and attach by [`Requests::client`] and [`Requests::server`].
pub struct Requests<Q: 'static, R: 'static, S: Exchanges<Q, R>> {
    channel: Channel<Ask<Q>, S>,
    replies: Handle<Replies<R>, S>,
}

impl<Q, R, S: Exchanges<Q, R>> Requests<Q, R, S> {
    /// A place for requests and their answers.
    ///
    /// # Errors
    /// [`CreateError`].
    ///
    /// ```
    /// use tautline_bus::{CreateError, Full, Private, request::{Config, Requests}};
    /// let config = Config { full: Full::Overwrite, ..Config::default() };
    /// let error = Requests::<u8, u8, Private>::new(config);
    /// assert!(matches!(error, Err(CreateError::Conflict { .. })));
    /// ```
    pub fn new(config: Config) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(config, &mut Heap)
    }

    fn create_in(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        let config = config.checked()?;
        let replies = Handle::create_in(Replies::new(config, S::KEPT_WORDS), store)?;
        Ok(Self { channel: Channel::create_in(config.of_the_channel(), store)?, replies })
    }

    /// Attaches a client.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::clients`] are attached; one counts until its last call is
    /// over.
    pub fn client(&self) -> Result<Client<Q, R, S>, AttachError> {
        Client::attach(self, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn client_as(&self, name: &str) -> Result<Client<Q, R, S>, AttachError> {
        Client::attach(self, Some(name))
    }

    /// Attaches a server.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::servers`] are attached; one counts until its last request is
    /// answered.
    pub fn server(&self) -> Result<Server<Q, R, S>, AttachError> {
        Server::attach(self, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn server_as(&self, name: &str) -> Result<Server<Q, R, S>, AttachError> {
        Server::attach(self, Some(name))
    }

    /// Lets nothing be asked any more: servers get what is left. When the last of them has gone, calls
    /// that nobody has answered are [abandoned](crate::completion::TakeError::Abandoned), and so is one
    /// that was sent just then.
    pub fn close(&self) {
        self.channel.close();
        self.replies.shape().close(self.replies.parts());
    }

    /// What was decided when it was made.
    pub fn config(&self) -> Config {
        *self.replies.shape().config()
    }

    /// Users of both kinds at this moment: clients, servers.
    pub fn users(&self) -> [usize; 2] {
        [Role::Giver, Role::Taker].map(|role| self.replies.parts().users(role))
    }

    /// Requests that no server has taken, at this moment: a hint.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Whether there is none at this moment: a hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<Q, R, S: Exchanges<Q, R>> Clone for Requests<Q, R, S> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), replies: self.replies.clone() }
    }
}

impl<Q, R, S: Exchanges<Q, R>> fmt::Debug for Requests<Q, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("replies", &self.replies).finish_non_exhaustive()
    }
}
