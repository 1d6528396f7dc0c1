//! Bodies that arrive, within their limits.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use send_wrapper::SendWrapper;
use tautline_runtime::timer;

use crate::client::Lease;
use crate::rt::Sleep;

/// The body of a message that arrives, piece by piece: read it whole by [`bytes`](Self::bytes)
/// or [`text`](Self::text), or frame by frame as any [`hyper::body::Body`]. Of a piece that
/// nobody asks for nothing more is read from the peer than fits the buffers.
///
/// It is `Send` so that `axum` takes it, and stays on its thread: used elsewhere, it panics.
pub struct Body {
    incoming: Incoming,
    /// Bytes that may still come.
    left: u64,
    bounds: Bounds,
    /// Runs while a piece is waited for.
    waiting: Option<Sleep>,
    /// Where a failure is noted for whoever answers.
    fault: Option<SendWrapper<Rc<Cell<Fault>>>>,
    /// A client's connection, which goes back to the pool at the end.
    lease: Option<SendWrapper<Lease>>,
    /// It has ended by an error, behind which nothing comes.
    failed: bool,
}

/// How much may come, and how slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) most: u64,
    pub(crate) within: Duration,
}

/// What was wrong with the body of a request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Fault {
    #[default]
    None,
    TooLong,
    Stalled,
}

/// Why a body ends early. Behind one of them nothing more comes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than was allowed.
    #[error("the body is longer than {limit} bytes: raise `body_bytes` if that is in order")]
    TooLong {
        /// Bytes that were allowed.
        limit: u64,
    },
    /// Nothing came for too long.
    #[error(
        "nothing more of the body has come for {within:?}: raise `progress_within` for slower peers"
    )]
    Stalled {
        /// How long a piece may take.
        within: Duration,
    },
    /// It is no text.
    #[error("the body is not UTF-8 from byte {at} on: read it as bytes")]
    NotText {
        /// Bytes before the first that is none.
        at: usize,
    },
    /// The connection or the stream has failed, or ended before the body did.
    #[error("the body was cut off: {0}")]
    Broken(#[from] hyper::Error),
}

impl Body {
    pub(crate) fn new(incoming: Incoming, bounds: Bounds) -> Self {
        let left = bounds.most;
        Self { incoming, left, bounds, waiting: None, fault: None, lease: None, failed: false }
    }

    pub(crate) fn with_fault(mut self, fault: Rc<Cell<Fault>>) -> Self {
        self.fault = Some(SendWrapper::new(fault));
        self
    }

    pub(crate) fn with_lease(mut self, lease: Lease) -> Self {
        if !self.incoming.is_end_stream() {
            self.lease = Some(SendWrapper::new(lease));
        } else {
            lease.give_back();
        }
        self
    }

    /// All of it.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn bytes(self) -> Result<Bytes, BodyError> {
        Ok(self.collect().await?.to_bytes())
    }

    /// All of it, as text.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn text(self) -> Result<String, BodyError> {
        String::from_utf8(self.bytes().await?.into())
            .map_err(|error| BodyError::NotText { at: error.utf8_error().valid_up_to() })
    }

    fn fails(&mut self, fault: Fault) -> BodyError {
        self.failed = true;
        // What was lent is closed, as the rest will not be read.
        drop(self.lease.take());
        if let Some(noted) = &self.fault {
            noted.set(fault);
        }
        let Bounds { most, within } = self.bounds;
        match fault {
            Fault::Stalled => BodyError::Stalled { within },
            _ => BodyError::TooLong { limit: most },
        }
    }

    /// Whether nothing has come for too long.
    fn overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let within = self.bounds.within;
        let waiting = self.waiting.get_or_insert_with(|| Sleep::new(timer::sleep(within)));
        Pin::new(waiting).poll(cx).is_ready()
    }

    fn at_end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.take().give_back();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            if this.overdue(cx) {
                return Poll::Ready(Some(Err(this.fails(Fault::Stalled))));
            }
            return Poll::Pending;
        };
        this.waiting = None;
        let Some(frame) = frame.transpose().inspect_err(|_| this.failed = true)? else {
            this.at_end();
            return Poll::Ready(None);
        };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = this.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(this.fails(Fault::TooLong))));
        };
        this.left = left;
        if this.incoming.is_end_stream() {
            this.at_end();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
