//! One receiver of a byte stream: a queue, and the socket it drains into.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::{Rc, Weak};

use tautline_runtime::Descriptor;

use super::backlog::Backlog;
use super::fanout::{Fanout, GATHER};
use super::report::Tally;
use crate::endpoint::Destination as Endpoint;
use crate::pool::Run;
use crate::queue::Queue;

/// Who is told that a link's socket is gone.
pub(crate) trait Owner {
    /// The socket ended (`None`) or failed; the link has let go of it. Called from within the
    /// link's own methods: the owner may not call them in turn.
    fn lost(&self, link: &Link, why: Option<io::Error>);
}

/// A bounded queue before a stream.
///
/// Invariants: while a socket is there and is not `blocked`, the queue is empty between two bursts;
/// while it is `blocked` exactly one wait for room is pending.
pub(crate) struct Link {
    backlog: Backlog,
    socket: RefCell<Option<Descriptor>>,
    /// The kernel takes no more for now.
    blocked: Cell<bool>,
    /// Counts sockets, so that what was started on an earlier one is known as stale.
    epoch: Cell<u32>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    owner: Weak<dyn Owner>,
}

impl Link {
    /// A link without a socket.
    pub(crate) fn new(
        to: &Endpoint,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
        owner: Weak<dyn Owner>,
    ) -> Rc<Self> {
        Rc::new(Self {
            backlog: Backlog::new(to, fanout, tally),
            socket: RefCell::new(None),
            blocked: Cell::new(false),
            epoch: Cell::new(0),
            fanout: fanout.clone(),
            tally: tally.clone(),
            owner,
        })
    }

    /// Sends over `socket` from now on, first what is queued; a packet of which the last socket
    /// took a part is sent again from its start. The receiver's end is noticed.
    pub(crate) fn attach(self: &Rc<Self>, socket: Descriptor) {
        self.attach_deaf(socket);
        self.watch();
    }

    /// The same for a descriptor that can only be written to.
    pub(crate) fn attach_deaf(self: &Rc<Self>, socket: Descriptor) {
        self.socket.replace(Some(socket));
        self.epoch.set(self.epoch.get() + 1);
        self.backlog.queue().rewind();
        self.flush();
    }

    /// Whether a socket is there.
    pub(crate) fn is_attached(&self) -> bool {
        self.socket.borrow().is_some()
    }

    /// Packets queued.
    pub(crate) fn queued(&self) -> usize {
        self.backlog.len()
    }

    /// Whether nothing is left to send.
    pub(crate) fn is_idle(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Queues packets; [`flush`](Self::flush) sends them.
    pub(crate) fn deliver(self: &Rc<Self>, run: &Run) {
        if self.can_send() && !self.backlog.has_room_for(run) {
            self.flush();
        }
        // Whoever is not there cannot be cut off: what is queued waits for the next connection.
        if !self.backlog.offer(run) && self.is_attached() {
            self.tally.count_disconnect();
            self.drop_socket(None);
            self.forget();
        }
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(crate) fn flush(self: &Rc<Self>) {
        while self.can_send() && !self.backlog.has_none_to_send() {
            match self.send_some() {
                Ok(true) => self.backlog.take_back(),
                Ok(false) => self.await_room(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.await_room(),
                Err(error) => self.drop_socket(Some(error)),
            }
        }
        self.backlog.take_back();
    }

    fn can_send(&self) -> bool {
        !self.blocked.get() && self.is_attached()
    }

    /// One send of what lies in one piece, or of several pieces side by side. `false`: the kernel
    /// took only a part.
    fn send_some(&self) -> io::Result<bool> {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return Ok(true) };
        let mut queue = self.backlog.queue();
        let (len, sent) = match only(queue.unsent()) {
            Some(part) => write(socket, part),
            None => self.fanout.gather(|room| {
                gather(&queue, room);
                write(socket, room)
            }),
        }?;
        let bytes = queue.counts().sent_bytes;
        let packets = queue.counts().sent;
        let now = OnceCell::new();
        queue.advance(sent, |run| self.fanout.sent(&run, &now));
        let counts = queue.counts();
        self.tally.count(counts.sent - packets, counts.sent_bytes - bytes);
        Ok(sent == len)
    }

    /// Goes on when the kernel has room again.
    fn await_room(self: &Rc<Self>) {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return };
        self.blocked.set(true);
        let (link, epoch) = (self.clone(), self.epoch.get());
        socket.writable().then(move |result| link.on_room(epoch, result));
    }

    fn on_room(self: &Rc<Self>, epoch: u32, result: io::Result<()>) {
        if epoch != self.epoch.get() {
            return;
        }
        self.blocked.set(false);
        match result {
            Ok(()) => self.flush(),
            Err(error) => self.drop_socket(Some(error)),
        }
    }

    /// Waits for whatever the receiver sends, and for its end.
    fn watch(self: &Rc<Self>) {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return };
        let (link, epoch) = (self.clone(), self.epoch.get());
        socket.readable().then(move |result| link.on_readable(epoch, result));
    }

    fn on_readable(self: &Rc<Self>, epoch: u32, result: io::Result<()>) {
        if epoch != self.epoch.get() {
            return;
        }
        match result.and_then(|()| self.read_away()) {
            Ok(true) => self.drop_socket(None),
            Ok(false) => self.watch(),
            Err(error) => self.drop_socket(Some(error)),
        }
    }

    /// Takes what the receiver sent and forgets it; true at its end.
    fn read_away(&self) -> io::Result<bool> {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return Ok(true) };
        let mut rubbish = [0; 4096];
        for _ in 0..16 {
            match socket.try_read(&mut rubbish) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Lets go of the socket, and tells the owner.
    fn drop_socket(&self, why: Option<io::Error>) {
        if self.detach().is_some()
            && let Some(owner) = self.owner.upgrade()
        {
            owner.lost(self, why);
        }
    }

    fn detach(&self) -> Option<Descriptor> {
        self.blocked.set(false);
        self.epoch.set(self.epoch.get() + 1);
        self.socket.take()
    }

    /// Closes the socket in order, behind everything that was sent.
    pub(crate) fn close(&self) {
        // Bytes left unread would turn the close into a reset.
        let _ = self.read_away();
        if let Some(socket) = self.detach() {
            // A peer that has gone already needs no orderly end.
            let _ = socket.shutdown(Shutdown::Write);
        }
        self.forget();
    }

    /// Drops what is queued; counts it as lost.
    pub(crate) fn forget(&self) {
        self.backlog.clear();
    }
}

/// The part, if there is no other; an empty one, if there is none.
fn only<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = parts.next().unwrap_or_default();
    parts.next().is_none().then_some(first)
}

/// What was to be sent and what the kernel took of it.
fn write(socket: &Descriptor, bytes: &[u8]) -> io::Result<(usize, usize)> {
    if bytes.is_empty() {
        return Ok((0, 0));
    }
    Ok((bytes.len(), socket.conn().try_write(bytes)?))
}

/// Puts the queue's first pieces side by side, as many as fit and at least one.
fn gather(queue: &Queue<Run>, room: &mut Vec<u8>) {
    for part in queue.unsent() {
        if !room.is_empty() && room.len() + part.len() > GATHER {
            break;
        }
        room.extend_from_slice(part);
    }
}
