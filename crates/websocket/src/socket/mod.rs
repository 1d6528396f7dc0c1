//! Connections on the loop.

mod callbacks;
mod error;
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
use crate::{CloseCode, Options, Role, Stock};

pub use self::{callbacks::Answer, error::SendError, sender::Sender};

/// A connection whose opening handshake is over.
pub struct WebSocket {
    shared: Rc<Shared>,
    receiving: Receiving,
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
        Ok(Self { shared, receiving })
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
