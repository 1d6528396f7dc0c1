//! The link that the two directions share, and what waits to leave by it.

use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use tautline_buffer::{Fifo, LendError, Lending, Lent, Pool};
use tautline_runtime::Conn;

use super::options::Flush;
use super::{Encode, SendError, due};
use crate::Link;

/// Shared by the halves of a stream. Borrowed for the length of a call only, never while it waits.
#[derive(Clone)]
pub(super) struct Outlet {
    shared: Rc<RefCell<Shared>>,
}

pub(super) struct Shared {
    pub(super) link: Link,
    /// Frames that wait to be given to the link; absent while there are none.
    out: Option<Lent>,
    pool: Pool,
    /// The place in the queue for a ring to write to.
    lending: Option<Lending>,
    flush: Flush,
    /// Bytes that may wait in the link.
    high_water: usize,
    /// The link took less than all when it was last given something.
    full: bool,
    /// The next turn sees to what waits.
    scheduled: bool,
    /// Somebody will see to what waits once he is done.
    corked: bool,
    /// Sending ends once everything that waits has left.
    finishing: bool,
    /// Why sending is over.
    broken: Option<io::Error>,
    /// Why the handler is given nothing: one bit for each [`Hold`].
    held: u8,
    /// A ring for the reader that waited for it.
    pub(super) granted: Option<Lent>,
}

/// A full stream is ready again when no more than this part of the high-water mark waits: the one by
/// which the loop calls `on_writable`.
const LOW: usize = 4;

/// Why a stream with a handler receives nothing.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// Its user says so.
    User = 1,
    /// Its peer does not take what is sent.
    Full = 2,
    /// All buffers are in use.
    NoRing = 4,
    /// There is nothing more, or nobody wants it.
    Ended = 8,
}

impl Outlet {
    pub(super) fn new(link: Link, pool: Pool, flush: Flush, high_water: usize) -> Self {
        link.conn().set_write_limit(high_water);
        let shared = Shared {
            link,
            out: None,
            pool,
            lending: None,
            flush,
            high_water,
            full: false,
            scheduled: false,
            corked: false,
            finishing: false,
            broken: None,
            held: 0,
            granted: None,
        };
        Self { shared: Rc::new(RefCell::new(shared)) }
    }

    pub(super) fn get(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    pub(super) fn downgrade(&self) -> Weak<RefCell<Shared>> {
        Rc::downgrade(&self.shared)
    }

    /// Whether both are of one stream.
    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn conn(&self) -> Conn {
        self.get().link.conn().clone()
    }

    /// Writes an item's frame; it leaves as [`Flush`] says.
    #[inline]
    pub(super) fn send<I, E: Encode<I>>(
        &self,
        encoder: &mut E,
        item: I,
    ) -> Result<(), SendError<E::Error>> {
        let size = encoder.size(&item).map_err(SendError::Encode)?;
        let mut shared = self.get();
        let ring = shared.room(size)?;
        let len = encoder.encode(item, ring.claim(size));
        ring.commit(len);
        let waiting = ring.used();
        match shared.flush {
            Flush::After(bytes) if waiting >= bytes => Ok(shared.push()?),
            Flush::Manual => Ok(()),
            Flush::Turn | Flush::After(_) if shared.corked => Ok(()),
            Flush::Turn | Flush::After(_) => {
                self.schedule(shared);
                Ok(())
            }
        }
    }

    /// The next turn sees to what waits, and to a ring in which nothing does.
    #[inline]
    fn schedule(&self, mut shared: RefMut<'_, Shared>) {
        if !mem::replace(&mut shared.scheduled, true) {
            drop(shared);
            due::add(self.downgrade());
        }
    }

    /// Closes it in order, behind everything that waits.
    pub(super) fn close(&self) {
        let mut shared = self.get();
        shared.hold(Hold::Ended);
        shared.let_go();
        if shared.broken.is_none() {
            // Closing ends it too, but not what a layer has begun.
            let _ = shared.link.finish();
        }
        let conn = shared.link.conn().clone();
        drop(shared);
        // Its handlers are dropped with it, and what they hold may use the stream.
        conn.close();
    }

    /// Waits until there is a ring with room in it. It is there for this turn.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.get();
        ready!(shared.poll_ready(cx))?;
        self.schedule(shared);
        Poll::Ready(Ok(()))
    }
}

impl Shared {
    /// The ring, with room for a frame of `size` bytes.
    #[inline]
    fn room<E: std::error::Error + 'static>(
        &mut self,
        size: usize,
    ) -> Result<&mut Lent, SendError<E>> {
        let fits = self.out.as_ref().is_some_and(|ring| ring.free() >= size);
        if !fits || self.broken.is_some() {
            self.make_room(size)?;
        }
        self.out.as_mut().ok_or(SendError::Full { waiting: 0 })
    }

    fn make_room<E: std::error::Error + 'static>(
        &mut self,
        size: usize,
    ) -> Result<(), SendError<E>> {
        self.check()?;
        let holds = |ring: &Lent| match ring.capacity() {
            holds if holds < size => Err(SendError::TooLarge { needs: size, holds }),
            _ => Ok(()),
        };
        if let Some(ring) = &self.out {
            holds(ring)?;
            self.push()?;
        }
        if self.out.is_none() {
            let ring = self.lend().map_err(SendError::NoBuffer)?;
            holds(&ring)?;
            self.out = Some(ring);
        }
        match &self.out {
            Some(ring) if ring.free() >= size => Ok(()),
            _ => Err(SendError::Full { waiting: self.waiting() }),
        }
    }

    /// Sending is over: why.
    fn check(&self) -> io::Result<()> {
        match &self.broken {
            Some(error) => Err(again(error)),
            None => Ok(()),
        }
    }

    /// A ring; where all are in use, those of streams that are to leave soon leave now.
    fn lend(&self) -> Result<Lent, LendError> {
        self.pool.lend().or_else(|error| match error {
            LendError::Exhausted { .. } => {
                due::push_all();
                self.pool.lend()
            }
            error => Err(error),
        })
    }

    /// It was due, and is now.
    pub(super) fn push_due(&mut self) {
        self.scheduled = false;
        if self.in_ring() == 0 {
            self.out = None;
        }
        // Who sends next, or flushes, is told if it fails.
        let _ = self.leave();
    }

    /// Gives the link everything that waits, in one call. What does not fit below the high-water
    /// mark goes behind it, once, so that a peer that takes nothing keeps no ring from others; then
    /// the stream is full until [`make_way`](Self::make_way).
    pub(super) fn push(&mut self) -> io::Result<()> {
        self.check()?;
        let given = match &mut self.out {
            None => Ok(()),
            Some(ring) => match self.link.send_now(ring.readable()) {
                Ok(taken) => {
                    ring.consume(taken);
                    let falls_short = !ring.is_empty();
                    let was_full = self.full;
                    self.full |= falls_short;
                    if falls_short && !was_full { self.exceed() } else { Ok(()) }
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = given {
            self.out = None;
            self.broken = Some(again(&error));
            return Err(error);
        }
        if self.in_ring() == 0 {
            self.out = None;
        }
        self.end_if_sent()
    }

    /// Queues what is left in the ring behind the high-water mark.
    fn exceed(&mut self) -> io::Result<()> {
        let Some(ring) = &mut self.out else { return Ok(()) };
        let conn = self.link.conn().clone();
        // A layer may add to it.
        conn.set_write_limit(conn.queued() + ring.used() + ring.used() / 16 + 1024);
        let taken = self.link.send(&[IoSlice::new(ring.readable())]);
        conn.set_write_limit(self.high_water);
        ring.consume(taken?);
        Ok(())
    }

    /// The link takes something again.
    pub(super) fn make_way(&mut self) {
        self.full = false;
    }

    /// The same where it is not up to the user.
    #[inline]
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if self.out.is_none() || self.flush == Flush::Manual { Ok(()) } else { self.push() }
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.in_ring() + self.link.conn().queued()
    }

    /// Half of the ring is in use: time to leave.
    pub(super) fn is_half_full(&self) -> bool {
        self.out.as_ref().is_some_and(|ring| ring.used() >= ring.capacity() / 2)
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whoever sets this pushes when he is done.
    pub(super) fn cork(&mut self, corked: bool) {
        self.corked = corked;
    }

    /// Waits until something may be sent again: the link has taken everything that waited in the
    /// ring, and there is a ring to be had.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.full || self.is_half_full() {
            ready!(self.poll_push(cx))?;
        }
        self.check()?;
        self.poll_ring(cx)
    }

    /// Waits for a ring to write to.
    fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_some() {
            return Poll::Ready(Ok(()));
        }
        let pool = &self.pool;
        let lending = self.lending.get_or_insert_with(|| pool.lending());
        let ring = ready!(Pin::new(lending).poll(cx));
        self.lending = None;
        self.out = Some(ring.map_err(io::Error::other)?);
        Poll::Ready(Ok(()))
    }

    /// Waits until everything has been taken by the kernel.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_push(cx))?;
        self.poll_sent(cx)
    }

    /// Waits until everything has been taken by the link, below its mark.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.full {
                if self.link.conn().queued() > self.high_water / LOW {
                    ready!(self.poll_sent(cx))?;
                }
                self.make_way();
            }
            let before = self.in_ring();
            self.push()?;
            if !self.full {
                return Poll::Ready(Ok(()));
            }
            if self.in_ring() == before {
                // There is no chunk to queue it in, since other streams have them all; or too little room
                // for what a layer has to say.
                ready!(self.link.poll_room(cx, 1))?;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn in_ring(&self) -> usize {
        self.out.as_ref().map_or(0, |ring| ring.used())
    }

    /// Waits until what the link has taken has been taken by the kernel.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.owned()?.poll_flush(cx)
    }

    /// Nothing more will be sent: says so behind everything that waits.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.finishing = true;
        self.push()
    }

    fn end_if_sent(&mut self) -> io::Result<()> {
        if !self.finishing || self.out.is_some() {
            return Ok(());
        }
        match self.link.finish() {
            // A layer has something to say, and no room to say it in.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = true;
                Ok(())
            }
            finished => {
                self.finishing = false;
                self.broken = Some(io::ErrorKind::BrokenPipe.into());
                finished
            }
        }
    }

    /// Everything that waits goes to the link, whatever its mark says.
    fn let_go(&mut self) {
        let _ = self.push();
        let _ = self.exceed();
        (self.out, self.granted) = (None, None);
    }

    pub(super) fn hold(&mut self, why: Hold) {
        if self.held == 0 {
            self.link.conn().pause();
        }
        self.held |= why as u8;
    }

    pub(super) fn release(&mut self, why: Hold) -> io::Result<()> {
        let was_held = self.is_held();
        self.held &= !(why as u8);
        if was_held && !self.is_held() { self.link.conn().resume() } else { Ok(()) }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held != 0
    }
}

impl Drop for Shared {
    /// What was sent leaves, although nobody has flushed it.
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
