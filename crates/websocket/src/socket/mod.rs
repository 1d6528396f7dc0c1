//! Connections on the loop.

mod callbacks;
mod error;
mod inflating;
mod receiving;
mod sender;
mod shared;
mod tasks;
mod wire;

use std::fmt;
use std::io;
use std::rc::Rc;

use tautline_net::Link;

use self::receiving::Receiving;
use self::shared::Shared;
use crate::deflate::Agreed;
use crate::{CloseCode, Options, Role, Stock};

pub use self::{callbacks::Answer, error::SendError, sender::Sender};

/// A connection whose opening handshake is over.
pub struct WebSocket {
    shared: Rc<Shared>,
    receiving: Receiving,
    ended: Option<Ended>,
    protocol: Option<String>,
    deflate: Option<Agreed>,
}

/// How a connection has ended in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What the peer gave as the reason; `None` if it gave none.
    pub code: Option<CloseCode>,
    /// The same for people.
    pub reason: String,
}

impl WebSocket {
    /// Over a stream whose opening handshake is over, and which `leftover` has come on since.
    ///
    /// # Errors
    /// When the system grants no ring for the leftover.
    pub fn over(
        link: impl Into<Link>,
        role: Role,
        options: Options,
        stock: &Stock,
        leftover: &[u8],
    ) -> io::Result<Self> {
        let mut receiving = Receiving::new(role, options.limits, stock.clone());
        if !leftover.is_empty() {
            receiving.put(leftover)?;
        }
        let shared = Shared::new(link.into(), role, options, stock.clone());
        Ok(Self { shared, receiving, ended: None, protocol: None, deflate: None })
    }

    /// Compresses as both ends have agreed in the opening handshake, with the
    /// [configuration](Options::deflate) that led to it.
    #[must_use]
    pub fn deflated(mut self, agreed: &Agreed) -> Self {
        let (role, options) = (self.shared.role, *self.shared.options());
        let (ours, theirs) = match role {
            Role::Client => (agreed.client(), agreed.server()),
            Role::Server => (agreed.server(), agreed.client()),
        };
        self.receiving = self.receiving.inflate(theirs, options.limits);
        let config = options.deflate.unwrap_or_default();
        self.shared.wire.borrow_mut().deflate(ours, &config);
        self.deflate = Some(*agreed);
        self
    }

    /// Speaks the subprotocol that both ends have agreed on in the opening handshake.
    #[must_use]
    pub fn speaking(mut self, protocol: Option<&str>) -> Self {
        self.protocol = protocol.map(str::to_owned);
        self
    }

    /// The subprotocol that both ends have agreed on, if there is one.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// How messages are compressed, if both ends have agreed to that.
    pub fn deflate(&self) -> Option<&Agreed> {
        self.deflate.as_ref()
    }

    /// What the peer has said in farewell, once [`read`](Self::read) has returned `None`.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Sends on it, also while a message that was read is still looked at.
    pub fn sender(&self) -> Sender {
        Sender { shared: self.shared.clone() }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocket").field(&self.sender()).finish()
    }
}
