//! Messages into a byte channel, from which another process reads.
//!
//! The relay never waits in a send: what finds no room in the channel waits in the queue, with its
//! policy, for the reader to make some, whether that is slow, gone, or yet to come.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tautline_bus::Shared;
use tautline_bus::bytes::{Bytes, ReserveError, Sender};
use tautline_runtime::task;
use tautline_runtime::timer::Timer;

use super::Destination;
use crate::endpoint::{Destination as Endpoint, ShmChannel};
use crate::framing::Framing;
use crate::pool::Run;
use crate::shell::backlog::Backlog;
use crate::shell::fanout::Fanout;
use crate::shell::report::Tally;
use crate::shell::segments;
use crate::stats::EndpointState;

/// A queue before a channel.
///
/// Invariant: while the channel is not `blocked` and not `forsaken`, the queue is empty between two
/// bursts; while it is `blocked` exactly one task waits for room.
struct Outlet {
    backlog: Backlog,
    channel: Bytes<Shared>,
    /// `None` when nothing more is sent.
    sender: RefCell<Option<Sender<Shared>>>,
    blocked: Cell<bool>,
    /// It is full and nobody is there to make room: each look at who has come tries again. To wait
    /// for room would cost a barrier in all processes every few milliseconds, in vain.
    forsaken: Cell<bool>,
    /// Looks who is there.
    look: RefCell<Option<Timer>>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    own: Weak<Self>,
}

/// Opens the channel, and takes a seat to send.
pub(super) fn open(
    to: &Endpoint,
    channel: &ShmChannel,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let channel = segments::open(channel)?;
    let sender = channel.sender_as(segments::SEAT);
    let sender = sender.map_err(|error| {
        segments::taken(&error, "end it, or write ?publishers=N for all who open the channel")
    })?;
    tally.set_state(EndpointState::Open);
    let to = Endpoint { framing: Framing::Raw, ..to.clone() };
    Ok(Rc::new_cyclic(|own| Outlet {
        backlog: Backlog::new(&to, fanout, tally),
        channel,
        sender: RefCell::new(Some(sender)),
        blocked: Cell::new(false),
        forsaken: Cell::new(false),
        look: RefCell::new(None),
        fanout: fanout.clone(),
        tally: tally.clone(),
        own: own.clone(),
    }))
}

impl Outlet {
    fn can_send(&self) -> bool {
        !self.blocked.get() && !self.forsaken.get() && self.sender.borrow().is_some()
    }

    /// Sends what is queued, as far as there is room, and hands it to the reader all at once.
    fn send_some(&self) -> Result<(), ReserveError> {
        let mut sender = self.sender.borrow_mut();
        let Some(sender) = &mut *sender else { return Ok(()) };
        let (mut queue, now) = (self.backlog.queue(), OnceCell::new());
        let before = queue.counts();
        let mut result = Ok(());
        while let Some(packet) = queue.head().map(first)
            && result.is_ok()
        {
            result = stage(sender, packet);
            if result.is_ok() {
                queue.pop_sent(1, |run| self.fanout.sent(&run, &now));
            }
        }
        sender.flush();
        let after = queue.counts();
        self.tally.count(after.sent - before.sent, after.sent_bytes - before.sent_bytes);
        result
    }

    /// Goes on when there is room for the oldest packet.
    fn await_room(&self) {
        let Some(own) = self.own.upgrade() else { return };
        if self.readers() == 0 {
            return self.forsaken.set(true);
        }
        let len = self.backlog.queue().head().map_or(0, |run| first(run).len());
        self.blocked.set(true);
        let waiting = task::spawn(async move {
            poll_fn(|context| own.poll_room(context, len)).await;
            own.blocked.set(false);
            own.flush();
        });
        if let Err(error) = waiting {
            self.fail(&error.into());
        }
    }

    fn readers(&self) -> usize {
        self.channel.users()[1]
    }

    /// Ready when there is room, never will be, or nobody is left to make it.
    fn poll_room(&self, context: &mut Context<'_>, len: usize) -> Poll<()> {
        let mut sender = self.sender.borrow_mut();
        let sender = sender.as_mut().filter(|_| self.readers() > 0);
        sender.map_or(Poll::Ready(()), |sender| sender.poll_room(context, len).map(drop))
    }

    fn fail(&self, error: &io::Error) {
        self.leave();
        self.tally.set_state(EndpointState::Failed);
        self.tally.note(error);
        self.fanout.ending().fail(self.tally.url(), error);
    }

    /// Sends no more, and looks no more who is there.
    fn leave(&self) {
        self.sender.take();
        if let Some(look) = self.look.take() {
            look.cancel();
        }
    }

    /// Whether all that was sent has been read. What other publishers send is theirs to see to.
    fn was_read(&self) -> bool {
        self.channel.config().senders > 1 || self.channel.used() == 0
    }

    /// Sees who reads; a reader that was killed is noticed by this.
    fn count_readers(&self) {
        if let Some(sender) = &mut *self.sender.borrow_mut() {
            sender.flush();
        }
        self.tally.set_peers(self.readers());
        if self.forsaken.take() {
            self.flush();
        }
    }

    /// What lies in the channel goes with it when its last user does. Where nobody reads, it is taken
    /// out and counted; where somebody does, it is still read.
    fn lose_what_nobody_reads(&self) {
        if self.channel.config().senders > 1 {
            return;
        }
        let Ok(mut receiver) = self.channel.receiver() else { return };
        let mut lost = 0;
        while receiver.take().is_ok() {
            lost += 1;
        }
        if lost > 0 {
            self.tally.note(&"nobody reads from it");
        }
        self.tally.count_lost(lost);
    }
}

/// The oldest packet of those that came joined.
fn first(run: &Run) -> &[u8] {
    let bytes = run.bytes();
    &bytes[..run.segment().min(bytes.len())]
}

/// Writes a packet into the channel; the reader gets it with the next flush.
fn stage(sender: &mut Sender<Shared>, packet: &[u8]) -> Result<(), ReserveError> {
    let mut claim = sender.try_reserve(packet.len())?;
    claim.view_mut().copy_from(0, packet);
    claim.stage(packet.len());
    Ok(())
}

impl Destination for Outlet {
    fn begin(&self) -> io::Result<()> {
        let Some(own) = self.own.upgrade() else { return Ok(()) };
        self.look.replace(Some(segments::attend(&own, Self::count_readers)?));
        Ok(())
    }

    fn deliver(&self, run: &Run) {
        if self.can_send() && !self.backlog.has_room_for(run) {
            self.flush();
        }
        // No policy that is allowed here cuts anybody off.
        let _ = self.backlog.offer(run);
    }

    fn flush(&self) {
        while self.can_send() && !self.backlog.has_none_to_send() {
            match self.send_some() {
                Ok(()) => self.backlog.take_back(),
                Err(ReserveError::Full) => self.await_room(),
                Err(error) => self.fail(&segments::refused(&error)),
            }
        }
        self.backlog.take_back();
    }

    fn is_idle(&self) -> bool {
        self.sender.borrow().is_none() || self.backlog.is_empty() && self.was_read()
    }

    fn close(&self) {
        self.backlog.clear();
        if self.sender.borrow().is_some() {
            self.leave();
            self.lose_what_nobody_reads();
            self.tally.set_state(EndpointState::Ended);
        }
    }

    fn queued(&self) -> usize {
        self.backlog.len()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
