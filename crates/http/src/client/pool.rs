//! Connections that are kept for the next request.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use tautline_runtime::time::Instant;
use tautline_runtime::{Conn, task, timer};

use super::{ClientLimits, Outgoing, Target};
use crate::Body;

/// One end of a connection: requests go in.
pub(super) enum Sender {
    /// One request at a time.
    H1(Single),
    /// Many.
    H2(http2::SendRequest<Outgoing>, Use),
}

/// A connection of HTTP/1.1.
pub(crate) struct Single {
    pub(super) sender: http1::SendRequest<Outgoing>,
    pub(super) held: Conn,
}

/// Closes a connection at once, unless it is disarmed: whoever waits for an answer no longer has
/// no use for what is left of the request either.
struct Given<'a>(Option<&'a Conn>);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|held| held.abort());
    }
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
        matches!(self, Self::H2(..))
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match self {
            Self::H1(Single { sender, held }) => {
                let mut given = Given(Some(held));
                let answered = sender.try_send_request(request).await;
                given.0 = None;
                answered
            }
            Self::H2(sender, _) => sender.try_send_request(request).await,
        }
    }
}

/// By server, the connections that may be used again.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Target, VecDeque<Idle>>>,
    shared: RefCell<HashMap<Target, Shared>>,
    /// Those to whom somebody connects, and who waits for that.
    dialing: RefCell<HashMap<Target, Vec<Waker>>>,
    /// Those that were found to speak HTTP/1.1.
    singles: RefCell<HashSet<Target>>,
    /// A timer looks after those that are idle.
    swept: Cell<bool>,
}

struct Idle {
    single: Single,
    until: Instant,
}

impl Idle {
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now || self.single.sender.is_closed()
    }
}

/// A connection of HTTP/2.
struct Shared {
    sender: http2::SendRequest<Outgoing>,
    usage: Rc<Usage>,
}

/// How much a connection of HTTP/2 is used.
struct Usage {
    pool: Weak<Pool>,
    count: Cell<usize>,
    /// When it has been idle for too long.
    until: Cell<Option<Instant>>,
    within: Duration,
}

/// A request and its answer on a connection of HTTP/2.
pub(crate) struct Use(Rc<Usage>);

impl Use {
    fn of(usage: &Rc<Usage>) -> Self {
        usage.count.set(usage.count.get() + 1);
        usage.until.set(None);
        Self(usage.clone())
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let Self(usage) = self;
        usage.count.set(usage.count.get() - 1);
        if usage.count.get() > 0 {
            return;
        }
        usage.until.set(tautline_runtime::now().ok().map(|now| now + usage.within));
        if let Some(pool) = usage.pool.upgrade() {
            pool.sweep_in(usage.within);
        }
    }
}

/// Somebody connects. At its end, whoever waits for that is woken.
pub(super) struct Dialing<'p> {
    pool: &'p Pool,
    target: Target,
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let waiting = self.pool.dialing.borrow_mut().remove(&self.target);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Servers that are known to speak HTTP/1.1; beyond, all are forgotten.
const SINGLES: usize = 1024;

/// Turns that a connection gets to be done with the request before.
const PATIENCE: usize = 4;

impl Pool {
    /// A connection to `target` that can be used, if one is kept.
    pub(super) async fn take(&self, target: &Target) -> Option<Sender> {
        if let Some(sender) = self.shared(target) {
            return Some(sender);
        }
        loop {
            let mut idle = self.idle.borrow_mut().get_mut(target)?.pop_back()?;
            for _ in 0..PATIENCE {
                let ready = poll_fn(|cx| Poll::Ready(idle.single.sender.poll_ready(cx))).await;
                match ready {
                    Poll::Ready(Ok(())) => return Some(Sender::H1(idle.single)),
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending => task::yield_now().await,
                }
            }
        }
    }

    fn shared(&self, target: &Target) -> Option<Sender> {
        let mut shared = self.shared.borrow_mut();
        let Shared { sender, usage } = shared.get(target)?;
        if sender.is_closed() {
            shared.remove(target);
            return None;
        }
        Some(Sender::H2(sender.clone(), Use::of(usage)))
    }

    /// Keeps one that several requests may use at once.
    pub(super) fn share(
        self: &Rc<Self>,
        target: &Target,
        sender: http2::SendRequest<Outgoing>,
        within: Duration,
    ) -> Sender {
        let (count, until) = (Cell::new(0), Cell::new(None));
        let usage = Rc::new(Usage { pool: Rc::downgrade(self), count, until, within });
        let used = Use::of(&usage);
        let shared = Shared { sender: sender.clone(), usage };
        let old = self.shared.borrow_mut().insert(target.clone(), shared);
        drop(old);
        Sender::H2(sender, used)
    }

    /// Takes it upon the caller to connect, unless somebody does.
    pub(super) fn dialing(&self, target: &Target) -> Option<Dialing<'_>> {
        match self.dialing.borrow_mut().entry(target.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(Vec::new());
                Some(Dialing { pool: self, target: target.clone() })
            }
        }
    }

    /// Waits until whoever connects has done so, or has failed.
    pub(super) async fn dialed(&self, target: &Target) {
        poll_fn(|cx| match self.dialing.borrow_mut().get_mut(target) {
            Some(waiting) => {
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Whether each of its connections serves one request at a time.
    pub(super) fn is_single(&self, target: &Target) -> bool {
        self.singles.borrow().contains(target)
    }

    pub(super) fn note_single(&self, target: &Target) {
        let mut singles = self.singles.borrow_mut();
        if singles.len() == SINGLES {
            singles.clear();
        }
        singles.insert(target.clone());
    }

    /// What brings a connection back once its answer has been read.
    pub(super) fn lease(
        self: &Rc<Self>,
        sender: Sender,
        target: &Target,
        limits: &ClientLimits,
    ) -> Lease {
        let single = match sender {
            Sender::H1(single) => single,
            Sender::H2(_, used) => return Lease::Stream(used),
        };
        let (pool, target) = (self.clone(), target.clone());
        let (most, within) = (limits.idle_connections, limits.idle_within);
        Lease::Single { pool, target, single, most, within }
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
        let (mut old, mut unused) = (Vec::new(), Vec::new());
        self.idle.borrow_mut().retain(|_, kept| {
            while kept.front().is_some_and(|idle| idle.is_over(now)) {
                old.extend(kept.pop_front());
            }
            let first = kept.front().map(|idle| idle.until);
            next = next.into_iter().chain(first).min();
            !kept.is_empty()
        });
        self.shared.borrow_mut().retain(|_, shared| {
            let until = shared.usage.until.get();
            let over = shared.sender.is_closed() || until.is_some_and(|until| until <= now);
            if over {
                unused.push(shared.sender.clone());
            } else {
                next = next.into_iter().chain(until).min();
            }
            !over
        });
        drop((old, unused));
        if let Some(next) = next {
            self.sweep_in(next.saturating_since(now));
        }
    }
}

/// A connection that is in use until its answer has been read.
pub(crate) enum Lease {
    /// Dropped before, the connection is closed.
    Single { pool: Rc<Pool>, target: Target, single: Single, most: usize, within: Duration },
    /// Dropped before, the stream is reset.
    Stream(#[expect(dead_code, reason = "it is held")] Use),
}

impl Lease {
    /// The answer has been read: the connection may be used again.
    pub(crate) fn give_back(self) {
        let Self::Single { pool, target, single, most, within } = self else { return };
        let Ok(now) = tautline_runtime::now() else { return };
        if !single.sender.is_closed() {
            pool.put(target, Idle { single, until: now + within }, most, within);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.idle.borrow().values().map(VecDeque::len).sum();
        f.debug_struct("Pool").field("idle", &idle).finish_non_exhaustive()
    }
}
