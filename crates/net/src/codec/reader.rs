//! The half of a framed stream that receives.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tautline_buffer::{Fifo, LendError, Lending, Lent, Pool};
use tautline_runtime::{Conn, Operation};

use super::decode::check_used;
use super::outlet::Outlet;
use super::{Decode, Decoded, Error, Malformed, Writer};
use crate::{Received, op};

/// The half of a [`Framed`](super::Framed) that receives: items, one after the other, each where it
/// was received.
pub struct Reader<D> {
    outlet: Outlet,
    decoder: D,
    /// What has come and was not taken; absent while there is nothing.
    ring: Option<Lent>,
    pools: Pools,
    /// Bytes of the ring that the latest item was decoded from. They go when the next is asked for.
    taken: usize,
    /// Bytes of the stream before those in the ring.
    offset: u64,
    /// More bytes that the frame at the start of the ring needs at least.
    missing: usize,
    /// Nothing is there to be received, as far as is known: it is waited for.
    dry: bool,
    /// The latest receive found nothing.
    found_nothing: bool,
    /// Receives without a wait.
    streak: u32,
    state: State,
    waiting: Option<Operation<op::Ready>>,
    lending: Option<Lending>,
    pub(super) half_open: bool,
}

struct Pools {
    usual: Pool,
    /// For frames that do not fit a usual ring.
    large: Option<Pool>,
    /// The ring is to be exchanged for a large one, or was.
    is_large: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The peer has ended its side; what has come may still hold items.
    Ended,
    /// It has, and what is left is no whole frame.
    Last,
    /// All items were taken.
    Done,
    /// It has failed, which was told.
    Failed,
}

/// Receives without a wait after which the other tasks have their turn.
const STREAK: u32 = 32;

/// What lies at the start of the ring.
type Found<'a, D> = Option<Result<<D as Decode>::Item<'a>, Error<<D as Decode>::Error>>>;

impl<D> Reader<D> {
    /// Whether both are of one stream.
    pub(super) fn is_other_half_of<E>(&self, writer: &Writer<E>) -> bool {
        self.outlet.is(writer.outlet())
    }
}

impl<D: Decode> Reader<D> {
    pub(super) fn new(outlet: Outlet, decoder: D, usual: Pool, large: Option<Pool>) -> Self {
        Self {
            outlet,
            decoder,
            ring: None,
            pools: Pools { usual, large, is_large: false },
            taken: 0,
            offset: 0,
            missing: 1,
            dry: false,
            found_nothing: false,
            streak: 0,
            state: State::Open,
            waiting: None,
            lending: None,
            half_open: false,
        }
    }

    pub(super) fn keep_half_open(mut self, keep: bool) -> Self {
        self.half_open = keep;
        self
    }

    /// The next item, which borrows from the buffer that it was received into; `None` once the peer
    /// has ended its side in order. May be dropped at any time: nothing is lost.
    ///
    /// Before it waits, what was sent leaves.
    ///
    /// # Errors
    /// [`Error`]. It fails once; asked again it says that it [has failed](Error::Failed).
    ///
    /// # Panics
    /// If the codec says that an item has no bytes, or more than there are.
    pub async fn next(&mut self) -> Option<Result<D::Item<'_>, Error<D::Error>>> {
        let mut this = self;
        loop {
            match this.at_hand() {
                Ok(found) => return found,
                Err(reader) => this = reader,
            }
            if let Err(error) = poll_fn(|cx| this.poll_more(cx)).await {
                return Some(Err(error));
            }
        }
    }

    /// All items as a [`Stream`], each made one that owns what it needs.
    pub fn map<T, F>(self, make: F) -> Items<D, F>
    where
        F: FnMut(D::Item<'_>) -> T,
    {
        Items { reader: self, make }
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// How many bytes have been decoded: where in the stream the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset + self.taken as u64
    }

    /// Names the stream's descriptor.
    pub fn conn(&self) -> Conn {
        self.outlet.conn()
    }

    /// What can be told without receiving; else gives itself back.
    #[inline]
    #[allow(unsafe_code, reason = "a loan that is over if it was not passed on")]
    pub(crate) fn at_hand<'a>(&'a mut self) -> Result<Found<'a, D>, &'a mut Self> {
        let this = ptr::from_mut(self);
        // SAFETY: `this` was lent for `'a` and is used by nobody else; the reference made of it here
        // is either passed on in what is found, or is the last use of it before the next line.
        if let Some(found) = unsafe { (*this).look() } {
            return Ok(found);
        }
        // SAFETY: nothing was found, so nothing is left of what `look` has borrowed: it takes any
        // lifetime, hence neither the decoder nor `Self` can have kept it. This reference is again
        // the only one, as `self` was. (The borrow checker takes a loan that one branch passes on
        // for taken in all of them.)
        let this = unsafe { &mut *this };
        if this.state == State::Last { Ok(this.last()) } else { Err(this) }
    }

    /// What can be told of the frame at the start. `None`: more must be received, or it is the last.
    #[inline]
    fn look(&mut self) -> Option<Found<'_, D>> {
        self.settle();
        match self.state {
            State::Open | State::Ended => {}
            State::Last => return None,
            State::Done => return Some(None),
            State::Failed => return Some(Some(Err(Error::Failed { offset: self.offset }))),
        }
        if self.ring.is_none() {
            self.missing = 1;
            return self.nothing_left().then_some(None);
        }
        let ring = self.ring.as_mut()?;
        let (capacity, used) = (ring.capacity(), ring.used());
        match self.decoder.decode(ring.readable_mut()) {
            Ok(Decoded::Item { item, used: taken }) => {
                check_used(taken, used);
                self.taken = taken;
                Some(Some(Ok(item)))
            }
            Ok(Decoded::NeedMore(hint)) => {
                self.missing = hint.max(1);
                if self.state == State::Ended {
                    self.state = State::Last;
                    return None;
                }
                let needs = used.saturating_add(self.missing);
                let holds = self.pools.holds(capacity, needs)?;
                self.state = State::Failed;
                Some(Some(Err(Error::TooLarge { offset: self.offset, needs, holds })))
            }
            Err(Malformed { at, error }) => {
                self.state = State::Failed;
                Some(Some(Err(Error::Malformed { offset: self.offset + at as u64, error })))
            }
        }
    }

    /// The end has come behind the start of a frame: is that one?
    fn last(&mut self) -> Found<'_, D> {
        let Some(ring) = &mut self.ring else { return None };
        let got = ring.used();
        self.state = State::Failed;
        match self.decoder.finish(ring.readable_mut()) {
            Ok(Some(item)) => {
                (self.state, self.taken) = (State::Done, got);
                Some(Ok(item))
            }
            Ok(None) => {
                let needs = got.saturating_add(self.missing);
                Some(Err(Error::Truncated { offset: self.offset, got, needs }))
            }
            Err(Malformed { at, error }) => {
                Some(Err(Error::Malformed { offset: self.offset + at as u64, error }))
            }
        }
    }

    /// Lets go of the latest item; and of the ring, if nothing of use is left in it.
    #[inline]
    fn settle(&mut self) {
        let taken = mem::take(&mut self.taken);
        let Some(ring) = &mut self.ring else { return };
        ring.consume(taken);
        self.offset += taken as u64;
        if ring.is_empty() || self.state == State::Failed {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.ring = None;
        self.pools.is_large = false;
    }

    /// With nothing at hand: whether that was all.
    fn nothing_left(&mut self) -> bool {
        if self.state == State::Ended {
            self.state = State::Done;
        }
        self.state == State::Done
    }

    /// Waits until more has come than is at hand, or the end.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error<D::Error>>> {
        if self.streak >= STREAK {
            self.streak = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.dry {
                // Who sends next, or flushes, is told if it fails; what has come can still be read.
                let _ = self.outlet.get().leave();
                ready!(self.poll_readable(cx)).inspect_err(|_| self.state = State::Failed)?;
            }
            ready!(self.poll_ring(cx))?;
            self.receive()?;
            if !self.dry || self.ring.is_some() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            none => none.insert(self.outlet.get().link.owned()?.readable()),
        };
        let Poll::Ready(ready) = Pin::new(waiting).poll(cx) else {
            self.streak = 0;
            return Poll::Pending;
        };
        self.waiting = None;
        self.dry = false;
        Poll::Ready(ready)
    }

    /// The pool that a ring is needed from, if the one at hand does not do.
    fn wanted(&self) -> Option<&Pool> {
        match &self.ring {
            None => Some(&self.pools.usual),
            Some(ring) if ring.free() >= self.missing => None,
            Some(_) => self.pools.large.as_ref(),
        }
    }

    fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error<D::Error>>> {
        let Some(pool) = self.wanted() else { return Poll::Ready(Ok(())) };
        let fresh = pool.lending();
        let mut lending = self.lending.take().unwrap_or(fresh);
        match Pin::new(&mut lending).poll(cx) {
            Poll::Ready(ring) => self.take_ring(ring.map_err(Error::NoBuffer)?),
            Poll::Pending => {
                self.lending = Some(lending);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same without waiting. False: all are in use.
    pub(super) fn try_ring(&mut self) -> Result<bool, Error<D::Error>> {
        let Some(pool) = self.wanted() else { return Ok(true) };
        let granted = self.outlet.get().granted.take();
        match granted.map_or_else(|| pool.lend(), Ok) {
            Ok(ring) => self.take_ring(ring),
            Err(LendError::Exhausted { .. }) => return Ok(false),
            Err(error) => return Err(Error::NoBuffer(error)),
        }
        Ok(true)
    }

    /// The loop reads from now on: what was waited for is not waited for here. Its place in the queue
    /// goes to the next, who would never get the ring that is kept for it.
    pub(super) fn give_to_loop(&mut self) {
        (self.waiting, self.lending) = (None, None);
    }

    /// A place in the queue for the ring that is needed.
    pub(super) fn queue(&self) -> Option<Lending> {
        self.wanted().map(Pool::lending)
    }

    /// Goes on with this ring, and what there is in the one before.
    fn take_ring(&mut self, mut ring: Lent) {
        if let Some(old) = &self.ring {
            ring.put(old.readable());
            self.pools.is_large = true;
        }
        self.ring = Some(ring);
    }

    /// Takes in what has arrived. There is a ring, with room in it.
    pub(super) fn receive(&mut self) -> Result<(), Error<D::Error>> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        self.streak += 1;
        (self.dry, self.found_nothing) = (false, false);
        match self.outlet.get().link.receive(ring.claim(usize::MAX)) {
            Ok(Received::Bytes { count, more }) => {
                ring.commit(count);
                self.dry = !more;
            }
            Ok(Received::Nothing) => (self.dry, self.found_nothing) = (true, true),
            Ok(Received::End) => self.state = State::Ended,
            Err(error) => {
                self.state = State::Failed;
                return Err(error.into());
            }
        }
        if ring.is_empty() {
            self.give_back();
        }
        Ok(())
    }

    /// Whether the latest receive found nothing. (One that found something, however little, may have
    /// left the end of the stream, and the loop tells of both only once.)
    pub(super) fn found_nothing(&self) -> bool {
        self.found_nothing
    }
}

impl Pools {
    /// Whether a frame of `needs` bytes is too large for all there are: how much the largest holds.
    fn holds(&self, capacity: usize, needs: usize) -> Option<usize> {
        let large = self.large.as_ref().filter(|_| !self.is_large).map_or(0, Pool::size);
        let holds = capacity.max(large);
        (needs > holds).then_some(holds)
    }
}

impl<D> fmt::Debug for Reader<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.ring.as_ref().map_or(0, |ring| ring.used());
        f.debug_struct("Reader")
            .field("offset", &self.offset)
            .field("held", &held)
            .finish_non_exhaustive()
    }
}

/// All items of a stream, each made one of its own: see [`Reader::map`].
#[must_use = "a stream does nothing until it is asked for items"]
pub struct Items<D, F> {
    reader: Reader<D>,
    make: F,
}

impl<D, F> Unpin for Items<D, F> {}

impl<D, F, T> Stream for Items<D, F>
where
    D: Decode,
    F: FnMut(D::Item<'_>) -> T,
{
    type Item = Result<T, Error<D::Error>>;

    /// Ends after an error.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { reader, make } = self.get_mut();
        let mut this = reader;
        loop {
            match this.at_hand() {
                Ok(Some(Err(Error::Failed { .. }))) => return Poll::Ready(None),
                Ok(found) => return Poll::Ready(found.map(|item| item.map(&mut *make))),
                Err(reader) => this = reader,
            }
            if let Err(error) = ready!(this.poll_more(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl<D: fmt::Debug, F> fmt::Debug for Items<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("reader", &self.reader).finish_non_exhaustive()
    }
}
