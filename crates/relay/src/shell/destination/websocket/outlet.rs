//! One receiver of messages: a queue, and the WebSocket that it drains into.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::task;
use tautline_websocket::{CloseCode, Ended, Message, SendError, Sender, WebSocket};

use crate::endpoint::Destination as Endpoint;
use crate::pool::Run;
use crate::shell::backlog::Backlog;
use crate::shell::fanout::Fanout;
use crate::shell::report::Tally;

/// Who is told that an outlet's connection is gone.
pub(super) trait Owner {
    /// The outlet has let go of it. Called from within the outlet's own methods: the owner may call
    /// none of them in turn but [`Outlet::forget`].
    fn lost(&self, outlet: &Outlet, why: &str);
}

/// A bounded queue before a WebSocket.
///
/// Invariants: while a connection is there and is not `blocked`, the queue is empty between two
/// bursts; while it is `blocked` exactly one task waits for room.
pub(super) struct Outlet {
    backlog: Backlog,
    sender: RefCell<Option<Sender>>,
    /// The connection takes no more for now.
    blocked: Cell<bool>,
    /// Counts connections, so that what was started on an earlier one is known as stale.
    epoch: Cell<u32>,
    /// All packets go as text that are text.
    text: bool,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    owner: Weak<dyn Owner>,
}

impl Outlet {
    /// One without a connection.
    pub(super) fn new(
        to: &Endpoint,
        text: bool,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
        owner: Weak<dyn Owner>,
    ) -> Rc<Self> {
        Rc::new(Self {
            backlog: Backlog::new(to, fanout, tally),
            sender: RefCell::new(None),
            blocked: Cell::new(false),
            epoch: Cell::new(0),
            text,
            fanout: fanout.clone(),
            tally: tally.clone(),
            owner,
        })
    }

    /// Sends over `socket` from now on, first what is queued. What the receiver sends is passed
    /// over; its end is noticed.
    pub(super) fn attach(self: &Rc<Self>, socket: WebSocket) {
        let epoch = self.epoch.get() + 1;
        self.epoch.set(epoch);
        let (outlet, sender) = (Rc::downgrade(self), socket.sender());
        sender.on_close(move |how| {
            // It may be told from within a send: what follows from it comes when that is over.
            let late = async move {
                if let Some(outlet) = outlet.upgrade() {
                    outlet.on_end(epoch, how);
                }
            };
            if let Err(error) = task::spawn(late) {
                log::warn!("the end of a connection was not told: {error}");
            }
        });
        self.sender.replace(Some(sender));
        match socket.on_event(|_, _| ()) {
            Ok(_) => self.flush(),
            Err(error) => self.lose(&crate::shell::explain(&error)),
        }
    }

    fn on_end(&self, epoch: u32, how: io::Result<Ended>) {
        if epoch != self.epoch.get() {
            return;
        }
        match how {
            Ok(Ended { code: Some(code), reason }) => {
                self.lose(&format!("the connection was closed: {code} {reason}"));
            }
            Ok(_) => self.lose("the connection was closed"),
            Err(error) => self.lose(&crate::shell::explain(&error)),
        }
    }

    /// Whether a connection is there.
    pub(super) fn is_attached(&self) -> bool {
        self.sender.borrow().is_some()
    }

    /// Packets queued.
    pub(super) fn queued(&self) -> usize {
        self.backlog.len()
    }

    /// Whether nothing is left to send.
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.sender.borrow().as_ref().is_some_and(|sender| sender.queued() > 0);
        self.backlog.is_empty() && !waits
    }

    /// Queues packets; [`flush`](Self::flush) sends them.
    pub(super) fn deliver(self: &Rc<Self>, run: &Run) {
        if self.can_send() && !self.backlog.has_room_for(run) {
            self.flush();
        }
        // Whoever is not there cannot be cut off: what is queued waits for the next connection.
        if !self.backlog.offer(run) && self.is_attached() {
            self.tally.count_disconnect();
            self.part(CloseCode::POLICY, "too slow");
            self.tell("cut off: it reads too slowly");
            self.forget();
        }
    }

    /// Sends what is queued, as far as the connection takes it.
    pub(super) fn flush(self: &Rc<Self>) {
        let now = OnceCell::new();
        while self.can_send() {
            // Nothing is borrowed while it is sent.
            let Some(run) = self.backlog.queue().head().cloned() else { break };
            match self.send(&run) {
                Ok(bytes) => self.note_sent(bytes, &now),
                Err(SendError::Full { .. }) => self.await_room(),
                Err(error) => self.lose(&error.to_string()),
            }
        }
        self.backlog.take_back();
    }

    fn can_send(&self) -> bool {
        !self.blocked.get() && self.is_attached()
    }

    /// Sends the first packet of `run` as a message; returns how long that is.
    fn send(&self, run: &Run) -> Result<usize, SendError> {
        let sender = self.sender.borrow().clone();
        let Some(sender) = sender else { return Err(SendError::Closing) };
        let all = run.bytes();
        let bytes = &all[..run.segment().min(all.len())];
        let is_text = self.text || run.is_text();
        let text = if is_text { std::str::from_utf8(bytes).ok() } else { None };
        sender.send(text.map_or(Message::Binary(bytes), Message::Text))?;
        Ok(bytes.len())
    }

    fn note_sent(&self, bytes: usize, now: &OnceCell<crate::Nanos>) {
        self.backlog.queue().pop_sent(1, |run| self.fanout.sent(&run, now));
        self.tally.count(1, bytes as u64);
        self.backlog.take_back();
    }

    /// Goes on when the connection has room again.
    fn await_room(self: &Rc<Self>) {
        let Some(sender) = self.sender.borrow().clone() else { return };
        self.blocked.set(true);
        let (outlet, epoch) = (self.clone(), self.epoch.get());
        let wait = async move {
            sender.ready().await;
            if epoch == outlet.epoch.get() {
                outlet.blocked.set(false);
                outlet.flush();
            }
        };
        if let Err(error) = task::spawn(wait) {
            self.lose(&error.to_string());
        }
    }

    /// The connection is of no use any more.
    fn lose(&self, why: &str) {
        if self.detach().is_some() {
            self.tell(why);
        }
    }

    fn tell(&self, why: &str) {
        if let Some(owner) = self.owner.upgrade() {
            owner.lost(self, why);
        }
    }

    fn detach(&self) -> Option<Sender> {
        self.blocked.set(false);
        self.epoch.set(self.epoch.get() + 1);
        self.sender.take()
    }

    /// Says farewell, behind everything that was sent.
    fn part(&self, code: CloseCode, reason: &str) {
        if let Some(sender) = self.detach() {
            // A peer that has gone already needs no farewell.
            let _ = sender.close(code, reason);
            let _ = sender.flush();
        }
    }

    /// Ends the connection in order; what is still queued is lost.
    pub(super) fn close(&self) {
        self.part(CloseCode::GOING_AWAY, "the relay ends");
        self.forget();
    }

    /// Drops what is queued; counts it as lost.
    pub(super) fn forget(&self) {
        self.backlog.clear();
    }
}
