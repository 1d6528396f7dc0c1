//! Reading into buffers that belong to whoever gets the datagram.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use tautline_bus::Local;
use tautline_bus::pool::{Borrower, Draft};
use tautline_runtime::{Conn, Details, Drained, Operation, Outcome, task};

use super::inlet::{Dry, Inlet};
use super::{Error, Groups, Peer, ReadEvent, Received};
use crate::datagrams::TURN;
use crate::op;

/// The read buffers of one peer: a name for them, cheap to clone, by which a handler names the
/// next one after the peer was given to the loop.
#[derive(Clone)]
pub struct ReadBuffers {
    conn: Conn,
    inlet: Rc<RefCell<Inlet>>,
}

impl ReadBuffers {
    pub(super) fn new(conn: Conn, details: Details, sieve: Option<Groups>) -> Self {
        Self { conn, inlet: Rc::new(RefCell::new(Inlet::new(details, sieve))) }
    }

    /// Names the buffer that the next datagram lands in, also for a read that is waiting
    /// already. Returns the one that was named before, if nothing has come to it.
    ///
    /// What was received into buffers of the region before comes first. While a buffer is named
    /// that one alone is received into: who names one for each read gets each datagram where
    /// they said last.
    pub fn set(&self, draft: Draft<[u8], Local>) -> Option<Draft<[u8], Local>> {
        let before = self.inlet.borrow_mut().name(draft);
        self.go_on();
        before
    }

    /// Takes the named buffer back, if nothing has come to it.
    pub fn take(&self) -> Option<Draft<[u8], Local>> {
        self.inlet.borrow_mut().take_named()
    }

    /// Has buffers taken out of `region` while none is named: as many as one call of the kernel
    /// fills, up to 32. A peer that is idle or paused, or that nobody calls any more, keeps what
    /// has landed and one buffer beside: what the call did not fill has gone back. Several peers
    /// may have borrowers of one region. Returns the borrower that was there before; what has
    /// landed in its buffers is still handed out. What has landed in buffers comes by the calls
    /// that hand out [`Received`] alone: a batch does not see it.
    pub fn read_from(
        &self,
        region: impl Into<Option<Borrower<[u8], Local>>>,
    ) -> Option<Borrower<[u8], Local>> {
        let before = self.inlet.borrow_mut().read_from(region.into());
        self.give_back();
        self.go_on();
        before
    }

    /// Waits until there is a buffer to receive to: named, or back in the region.
    pub async fn available(&self) {
        let waits = Waits(&self.inlet);
        poll_fn(|cx| Inlet::poll_buffer(&self.inlet, cx)).await;
        drop(waits);
        self.go_on();
    }

    /// There may be a buffer: tells all who wait for one, and has a handler that had none called
    /// again.
    fn go_on(&self) {
        let Some(waiting) = self.inlet.borrow_mut().take_waiting() else { return };
        if let Some(rescue) = waiting.rescue {
            rescue.abort();
        }
        waiting.waiters.into_iter().for_each(Waker::wake);
        // Whoever has paused it resumes it.
        if waiting.starving && !self.conn.is_paused() {
            // Refused by a peer that is closed, or by a table without room; readiness is
            // waited for all the same.
            _ = self.conn.resume();
        }
    }

    fn next(&self) -> io::Result<Result<Received, Dry>> {
        let next = self.inlet.borrow_mut().next(&self.conn)?;
        if next.is_err() {
            self.give_back();
        }
        Ok(next)
    }

    /// The same for who may not come again: nothing is kept for them but what has landed, and one.
    fn next_alone(&self) -> io::Result<Result<Received, Dry>> {
        let next = self.next();
        self.rest();
        next
    }

    /// Nobody may read for a while: the buffers that nothing has landed in are for others, but for one.
    fn rest(&self) {
        self.inlet.borrow_mut().spare(1);
        self.give_back();
    }

    /// Gives the region what is of no use here: with nothing borrowed, for whoever waits for it
    /// may call back.
    fn give_back(&self) {
        loop {
            let surplus = self.inlet.borrow_mut().take_surplus();
            if surplus.is_none() {
                return;
            }
        }
    }

    pub(super) fn try_receive(&self) -> io::Result<Received> {
        for _ in 0..TURN {
            match self.next_alone()? {
                Ok(received) => return Ok(received),
                Err(Dry::NoBuffer) => return Err(Error::Exhausted.into()),
                Err(Dry::Nothing) => break,
                Err(Dry::Stray) => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Waits by `readable`, with no buffer in the kernel: the one that is named when a datagram
    /// is there gets it.
    pub(super) async fn receive(
        &self,
        readable: impl Fn() -> Operation<op::Ready>,
    ) -> io::Result<Received> {
        loop {
            poll_fn(|cx| self.conn.poll_turn(cx)).await;
            match self.next_alone()? {
                Ok(received) => return Ok(received),
                Err(Dry::NoBuffer) => {
                    readable().await?;
                    if !self.inlet.borrow_mut().has_buffer() {
                        return Err(Error::Exhausted.into());
                    }
                }
                Err(Dry::Nothing) => readable().await?,
                Err(Dry::Stray) => {}
            }
        }
    }

    /// Hands out what is there, as much as a turn may.
    pub(super) fn hand_out<F, R>(&self, handler: &mut F) -> io::Result<Drained>
    where
        F: FnMut(&Conn, ReadEvent) -> R,
        R: Outcome,
    {
        let is_hot = self.conn.is_hot();
        for _ in 0..TURN {
            match self.next()? {
                Ok(received) => {
                    handler(&self.conn, ReadEvent::Datagram(received)).into_result()?;
                }
                Err(Dry::NoBuffer) => {
                    self.starve(handler)?;
                    return Ok(Drained::Yes);
                }
                Err(Dry::Nothing) => return Ok(Drained::Yes),
                Err(Dry::Stray) => {}
            }
            if self.inlet.borrow().is_through(is_hot) || self.conn.is_paused() {
                self.rest();
                return Ok(Drained::Yes);
            }
        }
        Ok(Drained::No)
    }

    /// Tells once that there is no buffer. Whoever gives one has the handler called again.
    fn starve<F, R>(&self, handler: &mut F) -> io::Result<()>
    where
        F: FnMut(&Conn, ReadEvent) -> R,
        R: Outcome,
    {
        if !self.inlet.borrow_mut().starve() {
            return Ok(());
        }
        self.hear_of_returns();
        handler(&self.conn, ReadEvent::Exhausted).into_result()
    }

    /// Has reading go on when a buffer comes back to the region.
    fn hear_of_returns(&self) {
        let mut inlet = self.inlet.borrow_mut();
        if inlet.wants_rescue() {
            let rescue = rescue(self.conn.clone(), Rc::downgrade(&self.inlet));
            // Without room for a task, the next datagram looks for a buffer again.
            inlet.set_rescue(task::spawn(rescue).ok());
        }
    }
}

/// Somebody who waits for a buffer. The region wakes the one alone who asked last: when that one
/// goes, the others are to ask again.
struct Waits<'r>(&'r RefCell<Inlet>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let others = self.0.borrow_mut().take_waiters();
        others.into_iter().for_each(Waker::wake);
    }
}

/// Waits for a buffer and has reading go on. It does not keep the buffers of a peer that is gone.
async fn rescue(conn: Conn, inlet: Weak<RefCell<Inlet>>) {
    let there = poll_fn(|cx| match inlet.upgrade() {
        Some(inlet) => Inlet::poll_buffer(&inlet, cx).map(|()| true),
        None => Poll::Ready(false),
    });
    if there.await
        && let Some(inlet) = inlet.upgrade()
    {
        // That is this task, which is done and not to be aborted.
        inlet.borrow_mut().set_rescue(None);
        ReadBuffers { conn, inlet }.go_on();
    }
}

impl fmt::Debug for ReadBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadBuffers").field(&self.inlet.borrow()).finish()
    }
}

impl Peer {
    /// Names the buffer that the next datagram lands in, also for a [`receive`](Self::receive)
    /// that is waiting already and for a handler. Returns the one that was named before, if
    /// nothing has come to it. Nothing is copied and no datagram is lost by it: no buffer lies in
    /// the kernel while a read waits.
    ///
    /// ```
    /// # use tautline_bus::{Local, pool::{Config, Pool}};
    /// # use tautline_net::multicast::Peer;
    /// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
    /// # let peer = Peer::options().interface("lo").bind("0.0.0.0:0")?;
    /// # peer.join_on("239.255.70.3", "lo")?;
    /// # let group = ([239, 255, 70, 3], peer.local_addr()?.port()).into();
    /// let region = Pool::<[u8], Local>::of_bytes(1500, Config::default())?;
    /// let mut borrower = region.borrower()?;
    /// runtime.block_on(async {
    ///     let mine = borrower.try_loan().unwrap();
    ///     let address = mine.as_ptr();
    ///     assert!(peer.set_read_buffer(mine).is_none());
    ///     peer.send_to(b"hello", group).await?;
    ///     let received = peer.receive().await?;
    ///     assert_eq!((&received[..], received.as_ptr()), (&b"hello"[..], address));
    ///     assert_eq!(received.destination, Some(group.ip()));
    ///     std::io::Result::Ok(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_read_buffer(&self, draft: Draft<[u8], Local>) -> Option<Draft<[u8], Local>> {
        self.at_buffers().set(draft)
    }

    /// Has buffers taken out of a region while none is named: see [`ReadBuffers::read_from`].
    pub fn read_from(
        &self,
        region: impl Into<Option<Borrower<[u8], Local>>>,
    ) -> Option<Borrower<[u8], Local>> {
        self.at_buffers().read_from(region)
    }

    /// A name for the read buffers, for handlers that name the next one.
    pub fn read_buffers(&self) -> ReadBuffers {
        self.at_buffers().clone()
    }

    /// Waits for a datagram, and receives it into the buffer that is named when it is there,
    /// else into one of the region; of the region's, up to 32 in one call, which the next calls
    /// get. Dropped, it loses nothing.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when a datagram is there and no buffer, and it stays there; what the
    /// kernel says.
    pub async fn receive(&self) -> io::Result<Received> {
        self.at_buffers().receive(|| self.readable()).await
    }

    /// Receives a datagram that is there, as [`receive`](Self::receive) does.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there; [`Error::Exhausted`]
    /// without a buffer; what the kernel says.
    pub fn try_receive(&self) -> io::Result<Received> {
        self.at_buffers().try_receive()
    }

    /// Gives the peer to the loop, which calls `handler` with each datagram, in the buffer that
    /// was named last or in one of the region, and when there is none. A turn takes at most 64
    /// datagrams from one peer.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_received<F, R>(self, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, ReadEvent) -> R + 'static,
        R: Outcome,
    {
        let buffers = self.read_buffers();
        self.into_descriptor().on_maybe_readable(move |_| buffers.hand_out(&mut handler))
    }
}
