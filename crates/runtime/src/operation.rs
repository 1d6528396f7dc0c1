//! One operation, on its way to be awaited or to call back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buf::IoBufMut;
use crate::core::Core;
use crate::engine::io::Class;
use crate::engine::ops::{Continuation, Ending, Finished};
use crate::engine::{Start, Submission};
use crate::inline_fn::OnceFn;
use crate::kinds::{Read, Yield, Yields};
use crate::parcel::Parcel;
use crate::slab::Key;
use crate::time::Instant;

/// An operation that has not been started, or is pending.
///
/// It starts when it is first awaited, or at [`then`](Self::then). Awaiting it, it may
/// complete at once, without a slot in any table. While it is pending, the runtime owns
/// its buffer: dropping or forgetting the future is sound at any time. Dropping it
/// cancels a receiving operation, and what it may still bring stays with the descriptor
/// for the next one; a sending operation goes on in the background, in order.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, Descriptor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(Config::default())?;
/// let (a, b) = Descriptor::pair()?;
/// let (sent, received) = runtime.block_on(async {
///     let sent = a.write_all(&b"hello"[..]).await.0;
///     let (read, buf) = b.read(vec![0; 16]).await;
///     (sent, read.map(|n| buf[..n].to_vec()))
/// })?;
/// assert_eq!(sent?, 5);
/// assert_eq!(received?, b"hello");
/// # Ok(())
/// # }
/// ```
#[must_use = "an operation does nothing until it is awaited or given a callback"]
pub struct Operation<K: Yields> {
    core: Rc<Core>,
    io: Key,
    deadline: Option<Instant>,
    state: State<K>,
}

enum State<K> {
    Fresh(K),
    Pending(Key),
    Over,
}

#[expect(private_bounds, reason = "the kinds of operations are the runtime's own")]
impl<K: Yield> Operation<K> {
    pub(crate) fn new(core: &Rc<Core>, io: Key, kind: K) -> Self {
        Self { core: core.clone(), io, deadline: None, state: State::Fresh(kind) }
    }

    /// Waits for it, in a fiber. In one that is cancelled it fails; outside a fiber it fails
    /// with the error [`NotInFiber`](crate::Error::NotInFiber). Either way its buffer comes
    /// back.
    ///
    /// # Panics
    /// If it was polled before and its result taken; or if it was polled before, is pending, and
    /// this is called outside a fiber: the kernel may have its buffer. It is given up then.
    pub fn wait(mut self) -> K::Output {
        let core = self.core.clone();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh(kind) => core.perform(self.io, self.deadline, kind, "wait"),
            State::Pending(key) => {
                // It is given up with this where the wait is refused.
                self.state = State::Pending(key);
                let output = core.await_started::<K>(key);
                self.state = State::Over;
                output
            }
            State::Over => panic!("an operation was waited for after it had completed"),
        }
    }

    /// Gives it up at `deadline`: it then fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives it up `after` from now.
    pub fn timeout(self, after: Duration) -> Self {
        let deadline = self.core.clock.borrow().now() + after;
        self.deadline(deadline)
    }

    /// Starts it; `done` is called on the loop with its result, never before this
    /// returns. If the runtime is dropped first, `done` is dropped uncalled.
    ///
    /// # Panics
    /// If it was polled before.
    pub fn then<F>(mut self, done: F) -> Pending
    where
        F: FnOnce(K::Output) + 'static,
        K::Output: 'static,
    {
        let kind = match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh(kind) => kind,
            polled => {
                self.state = polled;
                panic!("an operation that was polled is awaited to its end, or dropped");
            }
        };
        let core = self.core.clone();
        let callback = OnceFn::named_after::<F, _>(move |finished: Finished| {
            done(finished.parcel.take::<K>().output(&core, finished.outcome));
        });
        let key = self.start_with(kind, callback);
        Pending { core: self.core.clone(), io: self.io, key }
    }

    fn start_with(&self, kind: K, callback: OnceFn<Finished>) -> Option<Key> {
        let mut callback = Some(callback);
        let submission = Submission { io: self.io, deadline: self.deadline, inline: false };
        let started = self.core.with(|engine| {
            engine.start(kind, &submission, || {
                callback.take().map_or(Continuation::Detached, Continuation::Callback)
            })
        });
        match started {
            Start::Pending(key) => Some(key),
            Start::Done(kind, outcome, continuation) => {
                let mut parcel = Parcel::empty();
                parcel.put(kind);
                let made = match continuation {
                    Some(Continuation::Callback(callback)) => Some(callback),
                    _ => callback,
                };
                if let Some(callback) = made {
                    self.core.later(callback, Finished { outcome, parcel });
                }
                None
            }
        }
    }

    fn start(&mut self, kind: K, cx: &Context<'_>) -> Poll<K::Output> {
        let submission = Submission { io: self.io, deadline: self.deadline, inline: true };
        let continuation = || Continuation::Future(cx.waker().clone());
        match self.core.with(|engine| engine.start(kind, &submission, continuation)) {
            Start::Done(kind, outcome, _) => Poll::Ready(kind.output(&self.core, outcome)),
            Start::Pending(key) => {
                self.state = State::Pending(key);
                Poll::Pending
            }
        }
    }

    fn check(&mut self, key: Key, cx: &Context<'_>) -> Poll<K::Output> {
        match self.core.with(|engine| engine.take_finished(key)) {
            Some((finished, _)) => {
                self.state = State::Over;
                Poll::Ready(finished.parcel.take::<K>().output(&self.core, finished.outcome))
            }
            None => {
                self.core.with(|engine| engine.set_waker(key, cx.waker()));
                Poll::Pending
            }
        }
    }
}

impl<B: IoBufMut, const EXACT: bool> Operation<Read<B, EXACT>> {
    /// Aims a read that is not over at another buffer, for instance because several
    /// streams share one region and another of them has filled the part that this one
    /// was aimed at. Gives the old buffer back if the kernel does not hold it; else it
    /// is dropped as soon as the kernel lets go of it. Bytes that arrive before that are
    /// delivered in the old buffer.
    ///
    /// # Errors
    /// Gives `buf` back when the read is over, or has moved bytes already.
    pub fn reaim(&mut self, buf: B) -> Result<Option<B>, B> {
        match &mut self.state {
            State::Fresh(read) => Ok(Some(std::mem::replace(&mut read.buf, buf))),
            State::Over => Err(buf),
            State::Pending(key) => {
                let (core, key) = (self.core.clone(), *key);
                reaim_read::<B, EXACT>(&core, self.io, key, buf)
            }
        }
    }
}

fn reaim_read<B: IoBufMut, const EXACT: bool>(
    core: &Core,
    io: Key,
    key: Key,
    buf: B,
) -> Result<Option<B>, B> {
    let aimed = core.with(|engine| {
        let class = engine.io(io).map_or(Class::Plain, |io| io.class);
        engine.reaim(key, Read::<B, EXACT> { buf, class })
    });
    aimed.map(|old| old.map(|read| read.buf)).map_err(|read| read.buf)
}

impl<K: Yields> Unpin for Operation<K> {}

impl<K: Yield> Future for Operation<K> {
    type Output = K::Output;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Output> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh(kind) => self.start(kind, cx),
            State::Pending(key) => {
                self.state = State::Pending(key);
                self.check(key, cx)
            }
            State::Over => panic!("an operation was polled after it had completed"),
        }
    }
}

impl<K: Yields> Drop for Operation<K> {
    fn drop(&mut self) {
        if let State::Pending(key) = self.state {
            self.core.with(|engine| engine.abandon(key));
        }
    }
}

impl<K: Yields> fmt::Debug for Operation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// A started operation with a callback. Dropping this does nothing to it.
#[derive(Clone)]
pub struct Pending {
    core: Rc<Core>,
    io: Key,
    /// `None`: it was refused at once; the callback says why.
    key: Option<Key>,
}

impl Pending {
    /// Aims a pending [`read`](crate::Descriptor::read) at another buffer of the same
    /// type: see [`Operation::reaim`].
    ///
    /// # Errors
    /// Gives `buf` back when the operation is over or no such read.
    pub fn reaim<B: IoBufMut>(&self, buf: B) -> Result<Option<B>, B> {
        match self.key {
            Some(key) => reaim_read::<B, false>(&self.core, self.io, key, buf),
            None => Err(buf),
        }
    }

    /// Asks it to end early: its callback gets the error [`Cancelled`](crate::Error::Cancelled), or
    /// the result if there is one already. Cancelling what is over does nothing.
    pub fn cancel(&self) {
        if let Some(key) = self.key {
            self.core.with(|engine| engine.cancel(key, Ending::Cancelled));
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("key", &self.key).finish_non_exhaustive()
    }
}
