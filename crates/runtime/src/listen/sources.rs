//! What a loop can listen to, and what a look at each finds.

use std::task::{Context, Poll};

use tautline_bus::broadcast::lossy::{self, LossyError};
use tautline_bus::broadcast::{self, Shows};
use tautline_bus::completion::{Async, Completion, TakeError};
use tautline_bus::request::{Call, Exchanges, Request, Server};
use tautline_bus::{Carries, Plain, ReceiveError, Scope, bytes, channel, signal};

use super::Source;

/// What a look at a source has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing: the handler was not called.
    Nothing,
    /// Something, which the handler has seen. More may be there.
    Handed,
    /// Something that is no message, which the handler has seen as an error. Messages may follow;
    /// where a turn's worth of these come in a row, nothing is expected any more.
    Damaged,
    /// What the handler has seen is the last.
    Over,
}

impl Looked {
    /// Hands on what was received, unless that is nothing.
    fn at<M>(
        received: Result<M, ReceiveError>,
        handler: &mut impl FnMut(Result<M, ReceiveError>),
    ) -> Self {
        let looked = match &received {
            Ok(_) => Self::Handed,
            Err(ReceiveError::Empty) => return Self::Nothing,
            Err(ReceiveError::Corrupt) => Self::Damaged,
            Err(_) => Self::Over,
        };
        handler(received);
        looked
    }
}

/// Each message of a channel.
impl<T: 'static, S: Carries<T>> Source for channel::Receiver<T, S> {
    type Event<'e> = Result<T, ReceiveError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        Looked::at(self.try_receive(), handler)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// Each message of a byte channel, where it lies.
impl<S: Scope> Source for bytes::Receiver<S> {
    type Event<'e> = Result<bytes::Message<'e, S>, ReceiveError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        Looked::at(self.take(), handler)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// Each message of a broadcast, where it lies.
impl<T: 'static, S: Shows<T>> Source for broadcast::Subscriber<T, S> {
    type Event<'e> = Result<broadcast::Loan<'e, T, S>, ReceiveError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        Looked::at(self.take(), handler)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// Each message of a lossy broadcast, and how many were missed before it.
impl<T: Plain, S: Carries<T>> Source for lossy::Subscriber<T, S> {
    type Event<'e> = Result<T, LossyError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        let received = self.try_receive();
        let looked = match received {
            Ok(_) | Err(LossyError::Missed(_)) => Looked::Handed,
            Err(LossyError::Receive(ReceiveError::Empty)) => return Looked::Nothing,
            Err(LossyError::Receive(ReceiveError::Corrupt)) => Looked::Damaged,
            Err(LossyError::Receive(_)) => Looked::Over,
        };
        handler(received);
        looked
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// The count of a signal, taken whole: how often it was raised since the last time.
impl<S: Scope> Source for signal::Waiter<S> {
    type Event<'e> = Result<u64, ReceiveError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        match self.take_all() {
            0 => Looked::at(self.try_take().map(|()| 1), handler),
            count => Looked::at(Ok(count), handler),
        }
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// Each request to a server, with the right to reply to it.
impl<Q: 'static, R: 'static, S: Exchanges<Q, R>> Source for Server<Q, R, S> {
    type Event<'e> = Result<Request<Q, R, S>, ReceiveError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        Looked::at(self.try_receive(), handler)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_wait(context)
    }
}

/// The result of the operation that is under way, and the object itself: it is listened to for as
/// long as the handler begins another operation.
impl<T: 'static, S: Carries<T>> Source for Async<T, S> {
    type Event<'e> = (Result<T, TakeError>, &'e mut Self);

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        let result = match self.try_take() {
            Err(TakeError::Pending) => return Looked::Nothing,
            result => result,
        };
        handler((result, self));
        if self.is_idle() { Looked::Over } else { Looked::Handed }
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(context)
    }
}

/// The reply to a call, or why there is none.
impl<R: 'static, S: Carries<R>> Source for Call<R, S> {
    type Event<'e> = Result<R, TakeError>;

    #[inline]
    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        match self.try_take() {
            Err(TakeError::Pending) => Looked::Nothing,
            result => {
                handler(result);
                Looked::Over
            }
        }
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(context)
    }
}
