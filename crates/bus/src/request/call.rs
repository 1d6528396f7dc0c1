//! A request on its way, as the one sees it who has asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::bells::due;
use crate::completion::{Completion, TakeError, late};
use crate::request::slots::{Correlation, Seat};
use crate::scope::Carries;

/// A call whose answer has not been taken: a [completion](crate::completion). Dropping it gives the
/// call up.
///
/// It outlives its client, whose seat it keeps, and may go to another thread of the scope.
///
/// ```
/// use std::time::Duration;
/// use tautline_bus::{Local, completion::TakeError, request::{Config, Requests}};
/// let requests = Requests::<u32, u32, Local>::new(Config::default())?;
/// let (mut client, mut server) = (requests.client()?, requests.server()?);
/// let mut call = client.call(20)?;
/// assert_eq!(call.wait_for(Duration::from_millis(1)), Err(TakeError::TimedOut));
/// let request = server.receive()?;
/// assert_eq!(request.message, 20);
/// request.reply(21);
/// assert_eq!(call.try_take(), Ok(21));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Call<R: 'static, S: Carries<R>> {
    seat: S::Shared<Seat<R, S>>,
    to: Correlation,
    /// Its answer was not taken, and it was not given up.
    open: bool,
}

impl<R, S: Carries<R>> Call<R, S> {
    pub(super) fn new(seat: S::Shared<Seat<R, S>>, to: Correlation) -> Self {
        Self { seat, to, open: true }
    }

    /// Takes the reply, if it is there.
    ///
    /// # Errors
    /// [`TakeError::Pending`]; [`TakeError::Abandoned`] and [`TakeError::Panicked`], when there
    /// will be none; [`TakeError::Idle`], when it was taken before.
    #[inline]
    pub fn try_take(&mut self) -> Result<R, TakeError> {
        if !self.open {
            return Err(TakeError::Idle);
        }
        let taken = self.seat.take(self.to);
        self.open = matches!(taken, Err(TakeError::Pending));
        taken
    }

    /// Takes the reply; waits for it, at most for `limit`, and then gives the call up.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`], or those of [`Call::try_take`]. In the scope
    /// [`Private`](crate::Private) nobody could answer meanwhile: it says [`TakeError::Pending`]
    /// rather than wait.
    pub fn wait(mut self, limit: Option<Duration>) -> Result<R, TakeError> {
        self.wait_up_to(limit)
    }

    /// The same for a call that goes on when the time is over.
    ///
    /// # Errors
    /// [`TakeError`].
    pub fn wait_for(&mut self, limit: Duration) -> Result<R, TakeError> {
        self.wait_up_to(Some(limit))
    }

    fn wait_up_to(&mut self, limit: Option<Duration>) -> Result<R, TakeError> {
        if self.open && !self.seat.wait(self.to, due(limit)) {
            return Err(late::<S>());
        }
        self.try_take()
    }

    /// Takes the reply, or leaves a waker for when it is there.
    pub fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<R, TakeError>> {
        self.poll_ready(context).map(|()| self.try_take())
    }

    /// Gives the call up: a reply meets nobody. Whether it was still open.
    pub fn cancel(mut self) -> bool {
        self.give_up()
    }

    fn give_up(&mut self) -> bool {
        if self.open {
            self.open = false;
            self.seat.cancel(self.to);
            return true;
        }
        false
    }
}

impl<R, S: Carries<R>> Future for Call<R, S> {
    type Output = Result<R, TakeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_take(context)
    }
}

// It holds a pointer, and none of it is pinned.
impl<R, S: Carries<R>> Unpin for Call<R, S> {}

impl<R, S: Carries<R>> Completion for Call<R, S> {
    fn is_ready(&self) -> bool {
        !self.open || self.seat.is_answered(self.to)
    }

    fn others_run(&self) -> bool {
        S::OTHERS_RUN
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.open { self.seat.poll(self.to, context) } else { Poll::Ready(()) }
    }
}

impl<R, S: Carries<R>> Drop for Call<R, S> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl<R, S: Carries<R>> fmt::Debug for Call<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("scope", &S::NAME)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
