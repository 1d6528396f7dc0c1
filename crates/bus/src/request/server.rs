//! The answering end.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::due;
use crate::channel::Receiver;
use crate::error::{AttachError, ReceiveError};
use crate::object::Role;
use crate::request::slots::{Correlation, Met, NoReply, Seat};
use crate::request::{Ask, Exchanges, Requests};
use crate::scope::Carries;

/// Takes requests. Dropping it detaches, once its requests are answered; those that it has not
/// taken are there for the next server.
///
/// On cache lines of its own, away from a client that may lie beside it.
#[repr(align(128))]
pub struct Server<Q: 'static, R: 'static, S: Exchanges<Q, R>> {
    receiver: Receiver<Ask<Q>, S>,
    /// Goes after the receiver, so that there is a seat for the receiver of whoever takes this one.
    seat: S::Shared<Seat<R, S>>,
    /// The last request had been with a server that has died.
    again: bool,
}

/// So long does a server wait, where others may die, before it looks what they have left.
const SLICE: Duration = Duration::from_millis(5);

/// So many requests that others have, or had, does a server pass over before it says that there is
/// none for it: another process may send such without end.
pub(super) const PASSED: usize = 64;

impl<Q, R, S: Exchanges<Q, R>> Server<Q, R, S> {
    pub(super) fn attach(
        requests: &Requests<Q, R, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = requests.replies.attach_as(Role::Taker, name)?;
        let receiver = match name {
            Some(name) => requests.channel.receiver_as(name)?,
            None => requests.channel.receiver()?,
        };
        Ok(Self { receiver, seat: S::share(seat), again: false })
    }

    /// Takes a request; waits for one up to [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`ReceiveError`]: as [`Receiver::receive`].
    #[inline]
    pub fn receive(&mut self) -> Result<Request<Q, R, S>, ReceiveError> {
        self.next().map(|ask| self.taken(ask))
    }

    /// Takes a request if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<Request<Q, R, S>, ReceiveError> {
        self.try_next().map(|ask| self.taken(ask))
    }

    /// Takes a request; waits for one, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<Request<Q, R, S>, ReceiveError> {
        if S::MORTAL {
            return self.next_until(due(Some(limit))).map(|ask| self.taken(ask));
        }
        self.receiver.receive_timeout(limit).map(|ask| self.taken(ask))
    }

    /// Takes a request; the task waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub async fn receive_async(&mut self) -> Result<Request<Q, R, S>, ReceiveError> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Takes a request, or leaves a waker for when there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Request<Q, R, S>, ReceiveError>> {
        if S::MORTAL {
            return self.poll_kept(context).map_ok(|ask| self.taken(ask));
        }
        self.receiver.poll_receive(context).map_ok(|ask| self.taken(ask))
    }

    /// Where others may die: they wake nobody for what they leave, so that the task must be polled
    /// every [`SLICE`], as those who lend a doorbell do.
    fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<Result<Ask<Q>, ReceiveError>> {
        match self.next_kept() {
            Err(ReceiveError::Empty) => {}
            done => return Poll::Ready(done),
        }
        if self.poll_wait(context).is_ready() {
            // There is more, of which nobody knows how much there is for this server.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ready when there is a request or no client can come any more; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let polled = self.receiver.poll_wait(context);
        if S::MORTAL && polled.is_pending() {
            self.seat.attend_in_wait();
            if self.seat.may_take_over() {
                return Poll::Ready(());
            }
        }
        polled
    }

    /// Takes a request and replies what `work` makes of it; waits for one as [`Server::receive`].
    /// The fastest way to serve. Should `work` panic, the caller is told so.
    ///
    /// # Errors
    /// [`ReceiveError`].
    #[inline]
    pub fn serve(&mut self, work: impl FnOnce(Q) -> R) -> Result<(), ReceiveError> {
        let ask = self.next()?;
        self.answer(ask, work);
        Ok(())
    }

    /// The same if there is a request.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline]
    pub fn try_serve(&mut self, work: impl FnOnce(Q) -> R) -> Result<(), ReceiveError> {
        let ask = self.try_next()?;
        self.answer(ask, work);
        Ok(())
    }

    #[inline(always)]
    fn next(&mut self) -> Result<Ask<Q>, ReceiveError> {
        if S::MORTAL {
            self.next_until(due(self.receiver.patience()))
        } else {
            self.receiver.receive()
        }
    }

    #[inline(always)]
    fn try_next(&mut self) -> Result<Ask<Q>, ReceiveError> {
        if S::MORTAL { self.next_kept() } else { self.receiver.try_receive() }
    }

    /// Where others may die: waits for a request, and looks now and then what they have left.
    fn next_until(&mut self, due: Option<Instant>) -> Result<Ask<Q>, ReceiveError> {
        loop {
            match self.next_kept() {
                Err(ReceiveError::Empty) => {}
                done => return done,
            }
            self.seat.attend_in_wait();
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                return Err(ReceiveError::TimedOut);
            }
            let slice = now + SLICE;
            match self.receiver.wait_until(due.map_or(Some(slice), |due| Some(due.min(slice)))) {
                Ok(()) | Err(ReceiveError::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a request where others may die: one that the dead had, or one from the channel, which is
    /// kept before the channel lets go of it.
    fn next_kept(&mut self) -> Result<Ask<Q>, ReceiveError> {
        self.seat.attend();
        if let Some(to) = self.seat.take_over() {
            return self.recall(to);
        }
        for _ in 0..PASSED {
            if let Some(ask) = self.keep_next()? {
                return Ok(ask);
            }
        }
        Err(ReceiveError::Empty)
    }

    /// Takes the next request of the channel; `None`: others have it, or had.
    fn keep_next(&mut self) -> Result<Option<Ask<Q>>, ReceiveError> {
        let loan = self.receiver.take()?;
        let ask = loan.copy_out();
        let to = ask.as_ref().map_or_else(|_| S::addressed(loan.place()).to, |ask| ask.to);
        let met = self.seat.meet(to, loan.is_redelivered());
        self.again = loan.is_redelivered() || met == Met::Again;
        let mut ask = match ask {
            Ok(ask) => ask,
            Err(corrupt) => {
                if matches!(met, Met::New | Met::Again) {
                    self.seat.answer(to, Err(NoReply::Abandoned));
                }
                return Err(corrupt.into());
            }
        };
        match met {
            Met::New => {
                S::keep(self.seat.keeping(to), &ask.message);
                self.seat.has_kept(to);
            }
            Met::Again => {}
            Met::Told => ask.to = Correlation::NONE,
            Met::Served => return Ok(None),
        }
        Ok(Some(ask))
    }

    /// A request that the dead had, and that is this server's now.
    fn recall(&mut self, to: Correlation) -> Result<Ask<Q>, ReceiveError> {
        self.again = true;
        match S::recall(self.seat.keeping(to)) {
            Ok(message) => Ok(Ask { to, message }),
            Err(corrupt) => {
                self.seat.answer(to, Err(NoReply::Abandoned));
                Err(corrupt.into())
            }
        }
    }

    /// Whether the request that was taken last had been with a server that has died, which may have
    /// acted upon it. Only in the scope `Shared` ([`Orphans`](super::Orphans)).
    pub fn is_redelivered(&self) -> bool {
        self.again
    }

    #[inline(always)]
    fn answer(&self, ask: Ask<Q>, work: impl FnOnce(Q) -> R) {
        let on_panic = OnPanic { seat: &self.seat, to: ask.to };
        let reply = work(ask.message);
        mem::forget(on_panic);
        self.seat.answer(ask.to, Ok(reply));
    }

    fn taken(&self, ask: Ask<Q>) -> Request<Q, R, S> {
        Request { message: ask.message, ticket: Ticket::new(self.seat.clone(), ask.to, self.again) }
    }

    /// Another handle to where it serves.
    pub fn requests(&self) -> Requests<Q, R, S> {
        Requests { channel: self.receiver.channel(), replies: self.seat.handle() }
    }
}

/// Tells the caller when the work for it panics.
struct OnPanic<'s, R: 'static, S: Carries<R>> {
    seat: &'s Seat<R, S>,
    to: Correlation,
}

impl<R, S: Carries<R>> Drop for OnPanic<'_, R, S> {
    fn drop(&mut self) {
        self.seat.answer(self.to, Err(NoReply::Panicked));
    }
}

impl<Q, R, S: Exchanges<Q, R>> fmt::Debug for Server<Q, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// A request, and the right to reply to it.
///
/// ```
/// use tautline_bus::{Private, request::{Config, Request, Requests}};
/// let requests = Requests::<String, usize, Private>::new(Config::default())?;
/// let (mut client, mut server) = (requests.client()?, requests.server()?);
/// let mut call = client.call("seven".into())?;
/// let Request { message, ticket } = server.receive()?;   // the reply may come later
/// ticket.reply(message.len());
/// assert_eq!(call.try_take(), Ok(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Request<Q, R: 'static, S: Carries<R>> {
    /// What was asked.
    pub message: Q,
    /// By which it is answered.
    pub ticket: Ticket<R, S>,
}

impl<Q, R, S: Carries<R>> Request<Q, R, S> {
    /// Replies to it.
    #[inline]
    pub fn reply(self, response: R) {
        self.ticket.reply(response);
    }
}

impl<Q: fmt::Debug, R, S: Carries<R>> fmt::Debug for Request<Q, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("message", &self.message)
            .field("ticket", &self.ticket)
            .finish()
    }
}

/// The right to reply to one request. Dropped without a reply, the caller is told that its request
/// was [abandoned](crate::completion::TakeError::Abandoned).
pub struct Ticket<R: 'static, S: Carries<R>> {
    seat: S::Shared<Seat<R, S>>,
    to: Correlation,
    again: bool,
}

impl<R, S: Carries<R>> Ticket<R, S> {
    pub(super) fn new(seat: S::Shared<Seat<R, S>>, to: Correlation, again: bool) -> Self {
        Self { seat, to, again }
    }

    /// Whether the request had been with a server that has died: see [`Server::is_redelivered`].
    pub fn is_redelivered(&self) -> bool {
        self.again
    }

    /// Replies. Where nobody waits any more, or the request was only [told](super::Client::tell),
    /// the reply is dropped: here, or by the client when it uses the slot again.
    #[inline]
    pub fn reply(mut self, response: R) {
        let to = mem::replace(&mut self.to, Correlation::NONE);
        self.seat.answer(to, Ok(response));
    }

    /// Whether somebody waits for the reply: the call was not given up, and the request not only
    /// told.
    pub fn is_wanted(&self) -> bool {
        self.seat.is_wanted(self.to)
    }

    /// Tells the caller that the work for it has panicked: for those who catch that themselves.
    pub fn panicked(mut self) {
        let to = mem::replace(&mut self.to, Correlation::NONE);
        self.seat.answer(to, Err(NoReply::Panicked));
    }
}

impl<R, S: Carries<R>> Drop for Ticket<R, S> {
    fn drop(&mut self) {
        // An answer to nobody, if it has replied.
        self.seat.answer(self.to, Err(NoReply::Abandoned));
    }
}

impl<R, S: Carries<R>> fmt::Debug for Ticket<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("scope", &S::NAME)
            .field("wanted", &self.is_wanted())
            .finish_non_exhaustive()
    }
}
