//! Connections that are kept for the next request.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use tautline_runtime::time::Instant;
use tautline_runtime::{task, timer};

use super::{ClientLimits, Outgoing, Target};
use crate::Body;

/// One end of a connection: requests go in.
pub(super) enum Sender {
    /// One request at a time.
    H1(http1::SendRequest<Outgoing>),
    /// Many.
    H2(http2::SendRequest<Outgoing>),
}

/// What has become of a request.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and nearly always an answer"
)]
pub(super) enum Exchange {
    Answer(Response<Body>),
    /// Nothing of it has left: the connection was closed.
    Unsent(Box<Request<Outgoing>>, hyper::Error),
}

impl Sender {
    pub(super) fn is_h2(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match self {
            Self::H1(sender) => sender.try_send_request(request).await,
            Self::H2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// By server, the connections that may be used again.
#[derive(Default)]
pub(super) struct Pool {
    idle: RefCell<HashMap<Target, VecDeque<Idle>>>,
    shared: RefCell<HashMap<Target, http2::SendRequest<Outgoing>>>,
    /// A timer looks after those that are idle.
    swept: Cell<bool>,
}

struct Idle {
    sender: http1::SendRequest<Outgoing>,
    until: Instant,
}

/// Turns that a connection gets to be done with the request before.
const PATIENCE: usize = 4;

impl Pool {
    /// A connection to `target` that can be used, if one is kept.
    pub(super) async fn take(&self, target: &Target) -> Option<Sender> {
        if let Some(sender) = self.shared(target) {
            return Some(Sender::H2(sender));
        }
        loop {
            let mut idle = self.idle.borrow_mut().get_mut(target)?.pop_back()?;
            for _ in 0..PATIENCE {
                let ready = poll_fn(|cx| Poll::Ready(idle.sender.poll_ready(cx))).await;
                match ready {
                    Poll::Ready(Ok(())) => return Some(Sender::H1(idle.sender)),
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending => task::yield_now().await,
                }
            }
        }
    }

    fn shared(&self, target: &Target) -> Option<http2::SendRequest<Outgoing>> {
        let mut shared = self.shared.borrow_mut();
        let sender = shared.get(target)?.clone();
        if sender.is_closed() {
            shared.remove(target);
            return None;
        }
        Some(sender)
    }

    /// Keeps one that several requests may use at once.
    pub(super) fn opened(&self, target: &Target, sender: &Sender) {
        if let Sender::H2(sender) = sender {
            self.shared.borrow_mut().insert(target.clone(), sender.clone());
        }
    }

    /// What brings a connection back once its answer has been read.
    pub(super) fn lease(
        self: &Rc<Self>,
        sender: Sender,
        target: &Target,
        limits: &ClientLimits,
    ) -> Option<Lease> {
        let Sender::H1(sender) = sender else { return None };
        let (pool, target) = (self.clone(), target.clone());
        let (most, within) = (limits.idle_connections, limits.idle_within);
        Some(Lease { pool, target, sender, most, within })
    }

    fn put(self: &Rc<Self>, target: Target, idle: Idle, most: usize, within: Duration) {
        let mut kept = self.idle.borrow_mut();
        let kept = kept.entry(target).or_default();
        kept.push_back(idle);
        if kept.len() > most {
            kept.pop_front();
        }
        self.sweep_in(within);
    }

    /// Looks `after` from now whether some have been idle for too long.
    fn sweep_in(self: &Rc<Self>, after: Duration) {
        if self.swept.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        let sweep = move || {
            if let Some(pool) = pool.upgrade() {
                pool.sweep();
            }
        };
        if let Err(error) = timer::after(after, sweep) {
            // They are closed by their servers, or when the client is dropped.
            log::debug!("idle connections are not looked after: {error}");
            self.swept.set(false);
        }
    }

    fn sweep(self: &Rc<Self>) {
        self.swept.set(false);
        let Ok(now) = tautline_runtime::now() else { return };
        let mut next: Option<Instant> = None;
        let mut old = Vec::new();
        self.idle.borrow_mut().retain(|_, kept| {
            while kept.front().is_some_and(|idle| idle.until <= now || idle.sender.is_closed()) {
                old.extend(kept.pop_front());
            }
            let first = kept.front().map(|idle| idle.until);
            next = next.into_iter().chain(first).min();
            !kept.is_empty()
        });
        drop(old);
        if let Some(next) = next {
            self.sweep_in(next.saturating_since(now));
        }
    }
}

/// A connection that is in use until its answer has been read. Dropped before, it is closed.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    target: Target,
    sender: http1::SendRequest<Outgoing>,
    most: usize,
    within: Duration,
}

impl Lease {
    /// The answer has been read: the connection may be used again.
    pub(crate) fn give_back(self) {
        let Self { pool, target, sender, most, within } = self;
        let Ok(now) = tautline_runtime::now() else { return };
        if !sender.is_closed() {
            pool.put(target, Idle { sender, until: now + within }, most, within);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.idle.borrow().values().map(VecDeque::len).sum();
        f.debug_struct("Pool").field("idle", &idle).finish_non_exhaustive()
    }
}
