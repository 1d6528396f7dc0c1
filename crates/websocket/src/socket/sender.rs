//! What a connection is sent on.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use super::shared::{Shared, State};
use super::{Ended, SendError};
use crate::close::Farewell;
use crate::frame::Opcode;
use crate::read::Kind;
use crate::{CloseCode, Message};

/// Sends on a connection, whoever reads from it. Cheap to clone; all clones send on one
/// connection, which ends when the last of them and its reader are dropped, or by a farewell.
///
/// Nothing here waits. What is sent while received messages are handled leaves in one call when all
/// of them were; what is sent at other times, at the end of the turn.
#[derive(Clone)]
pub struct Sender {
    pub(super) shared: Rc<Shared>,
}

impl Sender {
    /// Sends a message in one frame: all of it, or nothing.
    ///
    /// # Errors
    /// [`SendError`].
    #[inline]
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        self.shared.send(message.kind(), message.bytes())
    }

    /// As [`send`](Self::send), but not compressed, whatever was agreed: for what is so already, or is
    /// not to be seen through its length.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_plain<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        self.shared.send_plain(message.kind(), message.bytes())
    }

    /// Sends the next fragment of a message, the first of which says what it is. Until the `last`,
    /// which may be empty, only pings, pongs and a farewell may be sent beside.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Order`] if the kind is another than that of the first.
    pub fn send_part(&self, kind: Kind, bytes: &[u8], last: bool) -> Result<(), SendError> {
        self.shared.send_part(kind, bytes, last)
    }

    /// Asks the peer for a pong, with at most 125 bytes to tell it by; what is beyond is left out.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.control(Opcode::Ping, payload)
    }

    /// Gives a sign of life that nobody has asked for. Pings are answered without it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.shared.control(Opcode::Pong, payload)
    }

    /// Says farewell, behind everything that waits, however much that is. What the peer has sent is
    /// still received, until it answers: within
    /// [`Options::close_within`](crate::Options::close_within), or the connection is cut.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.shared.close(Some(Farewell { code, reason }))
    }

    /// Sends what waits now rather than at the end of the turn.
    pub fn flush(&self) -> io::Result<()> {
        self.shared.flush()?;
        self.shared.wire.borrow().link.conn().flush();
        Ok(())
    }

    /// Waits while so much waits that nothing more would be taken
    /// ([`SendError::Full`]); it is over too when the connection is.
    pub async fn ready(&self) {
        poll_fn(|cx| self.shared.poll_ready(cx)).await;
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.shared.wire.borrow().queued()
    }

    /// Whether messages can be sent: neither end has said farewell, and the stream is whole.
    pub fn is_open(&self) -> bool {
        self.shared.state() == State::Open && self.shared.wire.borrow().link.conn().is_open()
    }

    /// Calls `handler` once, when the connection has ended: with what the peer said in farewell, or
    /// with the reason why there was none.
    pub fn on_close<F>(&self, handler: F) -> &Self
    where
        F: FnOnce(io::Result<Ended>) + 'static,
    {
        self.shared.on_close(Box::new(handler));
        self
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Sender").field("role", &self.shared.role).field("state", &state).finish()
    }
}
