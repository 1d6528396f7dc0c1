//! The asking end.

use std::fmt;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use crate::bells::due;
use crate::channel::Sender;
use crate::completion::late;
use crate::error::{AttachError, SendError};
use crate::object::Role;
use crate::parker;
use crate::policy::Full;
use crate::request::slots::{Correlation, Seat};
use crate::request::{Ask, Call, Exchanges, RequestError, Requests};
use crate::scope::Carries;

/// Asks. Dropping it detaches, once its calls are over; requests it has sent are still served.
///
/// On cache lines of its own, away from a server that may lie beside it.
#[repr(align(128))]
pub struct Client<Q: 'static, R: 'static, S: Exchanges<Q, R>> {
    sender: Sender<Ask<Q>, S>,
    /// Goes after the sender, so that there is a seat for the sender of whoever takes this one.
    seat: S::Shared<Seat<R, S>>,
    /// The slot that is looked at first.
    hint: usize,
    full: Full,
    patience: Option<Duration>,
}

impl<Q, R, S: Exchanges<Q, R>> Client<Q, R, S> {
    pub(super) fn attach(
        requests: &Requests<Q, R, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = requests.replies.attach_as(Role::Giver, name)?;
        let sender = match name {
            Some(name) => requests.channel.sender_as(name)?,
            None => requests.channel.sender()?,
        };
        let config = seat.shape().config();
        let (full, patience) = (config.full, config.patience);
        Ok(Self { sender, seat: S::share(seat), hint: 0, full, patience })
    }

    /// Asks, and waits for the reply, up to [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`RequestError`]. In the scope [`Private`](crate::Private) nobody could answer meanwhile:
    /// it asks, and gives the call up as [pending](crate::completion::TakeError::Pending).
    #[inline]
    pub fn request(&mut self, message: Q) -> Result<R, RequestError<Q>> {
        let to = self.ask(message).map_err(RequestError::NotSent)?;
        // Given up should something panic meanwhile; and no count of who has the seat on the way.
        let call = Asked { seat: &self.seat, to };
        if self.seat.wait(to, due(self.patience)) {
            std::mem::forget(call);
            return self.seat.take(to).map_err(RequestError::NoReply);
        }
        drop(call);
        Err(RequestError::NoReply(late::<S>()))
    }

    /// Asks: the reply is the call's to give.
    ///
    /// # Errors
    /// [`SendError`], with the message. In the scope [`Private`](crate::Private) nobody could make
    /// room meanwhile: it says [`SendError::Full`] rather than wait.
    #[inline]
    pub fn call(&mut self, message: Q) -> Result<Call<R, S>, SendError<Q>> {
        let to = self.ask(message)?;
        Ok(Call::new(self.seat.clone(), to))
    }

    /// The same; the task waits while there is no free slot or no room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the message.
    pub async fn call_async(&mut self, message: Q) -> Result<Call<R, S>, SendError<Q>> {
        let to = loop {
            match self.seat.issue(&mut self.hint) {
                Some(to) => break to,
                None if self.seat.is_forsaken() => return Err(SendError::Closed(message)),
                None => poll_fn(|context| self.seat.poll_free(context)).await,
            }
        };
        let unsent = Unsent { seat: &self.seat, to };
        self.sender.send_async(Ask { to, message }).await.map_err(|error| error.map(content))?;
        std::mem::forget(unsent);
        Ok(Call::new(self.seat.clone(), to))
    }

    /// Sends a request to which no reply is wanted.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    #[inline]
    pub fn tell(&mut self, message: Q) -> Result<(), SendError<Q>> {
        let ask = Ask { to: Correlation::NONE, message };
        self.sender.send(ask).map_err(|error| error.map(content))
    }

    /// The same; the task waits while there is no room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the message.
    pub async fn tell_async(&mut self, message: Q) -> Result<(), SendError<Q>> {
        let ask = Ask { to: Correlation::NONE, message };
        self.sender.send_async(ask).await.map_err(|error| error.map(content))
    }

    /// Another handle to where it asks.
    pub fn requests(&self) -> Requests<Q, R, S> {
        Requests { channel: self.sender.channel(), replies: self.seat.handle() }
    }

    /// Sends a request, and says to which call its reply will come.
    #[inline(always)]
    fn ask(&mut self, message: Q) -> Result<Correlation, SendError<Q>> {
        let Some(to) = self.seat.issue(&mut self.hint) else {
            return self.ask_later(message);
        };
        self.send(to, message)
    }

    #[inline(always)]
    fn send(&mut self, to: Correlation, message: Q) -> Result<Correlation, SendError<Q>> {
        match self.sender.send(Ask { to, message }) {
            Ok(()) => Ok(to),
            Err(error) => {
                self.seat.take_back(to);
                Err(error.map(content))
            }
        }
    }

    /// There is no free slot.
    #[cold]
    #[inline(never)]
    fn ask_later(&mut self, message: Q) -> Result<Correlation, SendError<Q>> {
        let due = match self.full {
            Full::Block(limit) if S::OTHERS_RUN => due(limit),
            _ if self.seat.is_forsaken() => return Err(SendError::Closed(message)),
            _ => return Err(SendError::Full(message)),
        };
        match self.wait_for_slot(due) {
            Some(Some(to)) => self.send(to, message),
            Some(None) => Err(SendError::Closed(message)),
            None => Err(SendError::TimedOut(message)),
        }
    }

    /// Waits for a free slot, and takes it. `None`: there was none in time; none at all: nobody
    /// answers any more.
    fn wait_for_slot(&mut self, due: Option<Instant>) -> Option<Option<Correlation>> {
        loop {
            if let Some(to) = self.seat.issue(&mut self.hint) {
                return Some(Some(to));
            }
            if self.seat.is_forsaken() {
                return Some(None);
            }
            parker::block_on(due, |context| self.seat.poll_free(context))?;
        }
    }
}

/// The message of a request.
fn content<Q>(ask: Ask<Q>) -> Q {
    ask.message
}

/// A call of a client that waits for it on the spot. Dropped, it is given up.
struct Asked<'c, R: 'static, S: Carries<R>> {
    seat: &'c Seat<R, S>,
    to: Correlation,
}

impl<R, S: Carries<R>> Drop for Asked<'_, R, S> {
    fn drop(&mut self) {
        self.seat.cancel(self.to);
    }
}

/// A call whose request is not sent yet. Dropped, its slot is free.
struct Unsent<'c, R: 'static, S: Carries<R>> {
    seat: &'c Seat<R, S>,
    to: Correlation,
}

impl<R, S: Carries<R>> Drop for Unsent<'_, R, S> {
    fn drop(&mut self) {
        self.seat.take_back(self.to);
    }
}

impl<Q, R, S: Exchanges<Q, R>> fmt::Debug for Client<Q, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("scope", &S::NAME).finish_non_exhaustive()
    }
}
