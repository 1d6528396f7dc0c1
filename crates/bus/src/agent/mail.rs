//! What others have of an agent.

use std::fmt;

use crate::error::AttachError;
use crate::request::{Client, Exchanges, Requests};
use crate::scope::{Scope, Word};
use crate::sync::Ordering;

/// What an agent is told beside its messages.
pub(super) struct Orders<S: Scope> {
    /// Not zero: what is left in the mailbox is not to be handled.
    abort: S::Word32,
}

impl<S: Scope> Orders<S> {
    pub(super) fn new() -> Self {
        Self { abort: S::Word32::new(0) }
    }

    #[inline(always)]
    pub(super) fn are_to_abort(&self) -> bool {
        // Relaxed: `Mail::abort` waits for nobody, and hands nothing over.
        self.abort.load(Ordering::Relaxed) != 0
    }
}

/// The name of an agent's mailbox: clone it, give it to others of its scope, and attach by
/// [`Mail::client`].
pub struct Mail<M: 'static, R: 'static, S: Exchanges<M, R>> {
    pub(super) requests: Requests<M, R, S>,
    pub(super) orders: S::Shared<Orders<S>>,
}

impl<M, R, S: Exchanges<M, R>> Mail<M, R, S> {
    /// Attaches a client, by which messages are sent.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::clients`](super::Config::clients) are attached.
    pub fn client(&self) -> Result<Client<M, R, S>, AttachError> {
        self.requests.client()
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn client_as(&self, name: &str) -> Result<Client<M, R, S>, AttachError> {
        self.requests.client_as(name)
    }

    /// Ends the agent once it has handled all that was sent. From now on sends fail with
    /// [`SendError::Closed`](crate::SendError).
    pub fn stop(&self) {
        self.requests.close();
    }

    /// Ends the agent once it has handled the message that it is at: those behind are
    /// [abandoned](crate::completion::TakeError::Abandoned).
    pub fn abort(&self) {
        // Relaxed: see `are_to_abort`.
        self.orders.abort.store(1, Ordering::Relaxed);
        self.requests.close();
    }

    /// Messages that wait, at this moment: a hint.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is none at this moment: a hint.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl<M, R, S: Exchanges<M, R>> Clone for Mail<M, R, S> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), orders: self.orders.clone() }
    }
}

impl<M, R, S: Exchanges<M, R>> fmt::Debug for Mail<M, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("requests", &self.requests).finish_non_exhaustive()
    }
}
