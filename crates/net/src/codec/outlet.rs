//! The link that the two directions share, and what waits to leave by it.

use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use tautline_buffer::{Fifo, Lending, Lent, Pool};
use tautline_runtime::{Conn, defer};

use super::options::Flush;
use super::{Encode, SendError};
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

/// Why a stream with a handler receives nothing.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// Its user says so.
    User = 1,
    /// Its peer does not take what is sent.
    Full = 2,
    /// All buffers are in use.
    NoRing = 4,
    /// There is nothing more.
    Ended = 8,
}

impl Outlet {
    pub(super) fn new(link: Link, pool: Pool, flush: Flush) -> Self {
        let shared = Shared {
            link,
            out: None,
            pool,
            lending: None,
            flush,
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
            Flush::Turn | Flush::After(_) if shared.corked || shared.scheduled => Ok(()),
            Flush::Turn | Flush::After(_) => {
                shared.scheduled = true;
                drop(shared);
                Ok(self.schedule()?)
            }
        }
    }

    #[cold]
    fn no_loop(&self) -> io::Result<()> {
        let mut shared = self.get();
        shared.scheduled = false;
        shared.push()
    }

    fn schedule(&self) -> io::Result<()> {
        let scheduled = defer(self.downgrade(), |shared| {
            if let Some(shared) = shared.upgrade() {
                let mut shared = shared.borrow_mut();
                shared.scheduled = false;
                // Who sends next, or flushes, is told.
                let _ = shared.push();
            }
        });
        scheduled.or_else(|_| self.no_loop())
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
            let ring = self.pool.lend().map_err(SendError::NoBuffer)?;
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

    /// Gives the link everything that waits, in one call. What it does not take stays.
    pub(super) fn push(&mut self) -> io::Result<()> {
        self.check()?;
        let Some(ring) = &mut self.out else { return self.end_if_sent() };
        match self.link.send_now(ring.readable()) {
            Ok(taken) => {
                ring.consume(taken);
                self.full = !ring.is_empty();
                if !self.full {
                    self.out = None;
                }
                self.end_if_sent()
            }
            Err(error) => {
                self.out = None;
                self.broken = Some(again(&error));
                Err(error)
            }
        }
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
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Waits until everything has been taken by the link.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = self.in_ring();
            self.push()?;
            if !self.full {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_sent(cx))?;
            if self.in_ring() == before {
                // There is no chunk to queue it in: other streams have them all.
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
        if !self.finishing || self.full {
            return Ok(());
        }
        self.finishing = false;
        self.broken = Some(io::ErrorKind::BrokenPipe.into());
        self.link.finish()
    }

    /// Closes it, behind everything that waits.
    pub(super) fn close(&mut self) {
        let waits = self.waiting();
        if self.full {
            // The link takes it all, this last time.
            self.link.conn().set_write_limit(waits);
        }
        let _ = self.push();
        (self.out, self.granted) = (None, None);
        self.link.conn().close();
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
        if self.out.is_some() {
            self.close();
        }
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
