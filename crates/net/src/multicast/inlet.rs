//! Where the next datagrams of a peer land: the buffer that was named last, else buffers of its
//! region.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::task::{Context, Poll, Waker};

use tautline_bus::Local;
use tautline_bus::pool::{Borrower, Draft};
use tautline_runtime::task::JoinHandle;
use tautline_runtime::{Conn, Details, Scatter};

use super::{Groups, Received};
use crate::datagrams::{Demand, is_report};

/// Datagrams that one call receives at most.
pub(super) const MOST: usize = 32;

/// Why there is no datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dry {
    /// Nothing is there.
    Nothing,
    /// Nowhere to receive to; the kernel was not asked.
    NoBuffer,
    /// One was there that is not the peer's own; there may be more behind it.
    Stray,
}

/// The buffers of one peer that are to be received into, or were and are not handed out yet.
///
/// Whoever has it borrowed drops no buffer of the region and no waker: the waker of whoever waits for
/// a buffer may call back into the peer, and so may a drop. What is to go lies in `surplus` until
/// nothing is borrowed.
pub(super) struct Inlet {
    details: Details,
    /// Says what is not the peer's own.
    sieve: Option<Groups>,
    /// Where the next datagram lands, before all others.
    named: Option<Draft<[u8], Local>>,
    region: Option<Borrower<[u8], Local>>,
    /// How often the region was changed.
    changes: u32,
    /// First those that hold datagrams, then those that the next ones land in.
    places: VecDeque<Draft<[u8], Local>>,
    /// Those that go back to the region.
    surplus: Vec<Draft<[u8], Local>>,
    /// Made with the first receive. It tells of the last one.
    scatter: Option<Scatter>,
    /// Datagrams of the last receive, and how many of them were handed out.
    landed: usize,
    handed: usize,
    /// The last receive was to the named buffer.
    to_named: bool,
    /// How many buffers of the region the next receive is to have.
    demand: Demand,
    /// The last receive has found less than there was room for.
    has_room: bool,
    /// The handler was told that there is no buffer, and nothing has come since.
    starving: bool,
    /// Has the handler called when a buffer comes back.
    rescue: Option<JoinHandle<()>>,
    /// Wait for a buffer; the rescue is one.
    waiters: Vec<Waker>,
}

/// Who waits for a buffer.
pub(super) struct Waiting {
    pub(super) rescue: Option<JoinHandle<()>>,
    pub(super) waiters: Vec<Waker>,
    /// A handler is to be called again.
    pub(super) starving: bool,
}

impl Inlet {
    pub(super) fn new(details: Details, sieve: Option<Groups>) -> Self {
        Self {
            details,
            sieve,
            named: None,
            region: None,
            changes: 0,
            places: VecDeque::new(),
            surplus: Vec::new(),
            scatter: None,
            landed: 0,
            handed: 0,
            to_named: false,
            demand: Demand::FIRST,
            has_room: false,
            starving: false,
            rescue: None,
            waiters: Vec::new(),
        }
    }

    /// Names where the next datagram lands; returns what was named before, if nothing has come
    /// to it.
    pub(super) fn name(&mut self, draft: Draft<[u8], Local>) -> Option<Draft<[u8], Local>> {
        self.named.replace(draft)
    }

    pub(super) fn take_named(&mut self) -> Option<Draft<[u8], Local>> {
        self.named.take()
    }

    /// Has buffers taken from `region` from now on.
    pub(super) fn read_from(
        &mut self,
        region: Option<Borrower<[u8], Local>>,
    ) -> Option<Borrower<[u8], Local>> {
        self.spare(0);
        self.changes = self.changes.wrapping_add(1);
        std::mem::replace(&mut self.region, region)
    }

    /// Keeps so many buffers at most that nothing has landed in. The others go when nothing is
    /// borrowed.
    pub(super) fn spare(&mut self, most: usize) {
        let kept = self.unread() + most;
        if self.places.len() > kept {
            self.surplus.extend(self.places.drain(kept..));
        }
    }

    /// One that goes back to the region.
    pub(super) fn take_surplus(&mut self) -> Option<Draft<[u8], Local>> {
        self.surplus.pop()
    }

    /// Whether all was handed out that the last receive has brought, and that need not be followed
    /// by another one: it left room, or the socket is looked at in every turn.
    pub(super) fn is_through(&self, is_hot: bool) -> bool {
        self.unread() == 0 && (self.has_room || is_hot)
    }

    /// Datagrams that are to be handed out.
    fn unread(&self) -> usize {
        self.landed - self.handed
    }

    /// Whether a receive has somewhere to put a datagram.
    pub(super) fn has_buffer(&mut self) -> bool {
        self.named.is_some() || self.has_place()
    }

    fn has_place(&mut self) -> bool {
        let unread = self.unread();
        if self.places.len() == unread
            && let Some(draft) = self.region.as_mut().and_then(|region| region.try_loan().ok())
        {
            self.places.push_back(draft);
        }
        self.places.len() > unread
    }

    /// Waits until a receive has somewhere to put a datagram. Nothing is borrowed while wakers are
    /// cloned and dropped, and while the region is asked, which does both.
    pub(super) fn poll_buffer(inlet: &RefCell<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (mut region, asked) = {
            let mut this = inlet.borrow_mut();
            if this.has_buffer() {
                return Poll::Ready(());
            }
            (this.region.take(), this.changes)
        };
        let polled = region.as_mut().map(|region| region.poll_loan(cx));
        let mut waker = Some(cx.waker().clone());
        let mut this = inlet.borrow_mut();
        if this.changes == asked {
            this.region = region.take();
            if let Some(Poll::Ready(draft)) = polled {
                this.places.push_back(draft);
                return Poll::Ready(());
            }
        }
        if !this.waiters.iter().any(|other| other.will_wake(cx.waker())) {
            this.waiters.extend(waker.take());
        }
        // Somebody may have named one meanwhile.
        if this.has_buffer() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Those who wait for a buffer.
    pub(super) fn take_waiters(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiters)
    }

    /// There is a buffer: all who wait for one are to be told.
    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        if !self.starving && self.waiters.is_empty() {
            return None;
        }
        let (rescue, waiters) = (self.rescue.take(), self.take_waiters());
        Some(Waiting { rescue, waiters, starving: std::mem::take(&mut self.starving) })
    }

    /// There is no buffer for the handler. Whether it is to be told.
    pub(super) fn starve(&mut self) -> bool {
        !std::mem::replace(&mut self.starving, true)
    }

    /// Whether it takes a task to hear of buffers that come back to the region.
    pub(super) fn wants_rescue(&self) -> bool {
        self.region.is_some() && self.rescue.is_none()
    }

    pub(super) fn set_rescue(&mut self, task: Option<JoinHandle<()>>) {
        self.rescue = task;
    }

    /// The next datagram, received now if all that came before were handed out.
    pub(super) fn next(&mut self, from: &Conn) -> io::Result<Result<Received, Dry>> {
        if self.unread() == 0
            && let Some(dry) = self.fill(from)?
        {
            return Ok(Err(dry));
        }
        Ok(self.hand_out())
    }

    /// Receives. To be called when all that came before was handed out.
    fn fill(&mut self, from: &Conn) -> io::Result<Option<Dry>> {
        debug_assert_eq!(self.unread(), 0);
        if self.named.is_none() {
            self.borrow(self.demand.room(from.is_hot()).min(MOST));
            if self.places.is_empty() {
                return Ok(Some(Dry::NoBuffer));
            }
        }
        for _ in 0..=MOST {
            match self.receive(from) {
                Ok(()) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_report(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // An idle peer keeps one alone.
        self.spare(1);
        self.demand = Demand::FIRST;
        Ok(Some(Dry::Nothing))
    }

    /// Takes buffers from the region until it has `room` of them, as far as there are.
    fn borrow(&mut self, room: usize) {
        let Some(region) = &mut self.region else { return };
        while self.places.len() < room {
            match region.try_loan() {
                Ok(draft) => self.places.push_back(draft),
                Err(_) => return,
            }
        }
    }

    fn receive(&mut self, from: &Conn) -> io::Result<()> {
        let Self { details, named, places, surplus, scatter, .. } = self;
        let scatter = scatter.get_or_insert_with(|| {
            places.reserve(MOST + 1);
            surplus.reserve(MOST + 1);
            Scatter::with_details(MOST, *details)
        });
        let count = match named {
            Some(draft) => scatter.receive(from, [&mut draft[..]])?,
            None => scatter.receive(from, places.iter_mut().map(|draft| &mut draft[..]))?,
        };
        self.to_named = named.is_some();
        self.has_room = named.is_none() && count < places.len();
        match named.take() {
            Some(draft) => places.push_front(draft),
            None => self.demand.note(count, places.len()),
        }
        (self.landed, self.handed) = (count, 0);
        self.starving = false;
        Ok(())
    }

    /// The next of those that were received, unless it is a stray.
    fn hand_out(&mut self) -> Result<Received, Dry> {
        if self.unread() == 0 {
            return Err(Dry::Nothing);
        }
        let scatter = self.scatter.as_ref().ok_or(Dry::Nothing)?;
        let landed = scatter.get(self.handed).ok_or(Dry::Nothing)?;
        let envelope = scatter.envelope(self.handed).ok_or(Dry::Nothing)?;
        let draft = self.places.pop_front().ok_or(Dry::Nothing)?;
        self.handed += 1;
        if self.sieve.as_ref().is_some_and(|groups| groups.is_stray(&envelope)) {
            if self.to_named {
                // Nobody could name another one since it landed.
                self.named = Some(draft);
            } else {
                self.surplus.push(draft);
            }
            return Err(Dry::Stray);
        }
        Ok(Received::new(draft.freeze_to(landed.len), landed, &envelope))
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        if let Some(task) = self.rescue.take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("named", &self.named.is_some())
            .field("unread", &self.unread())
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
