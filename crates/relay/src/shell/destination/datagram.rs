//! Datagrams to one address, many in one system call.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use socket2::SockAddr;
use tautline_net::multicast::{self, Interface};
use tautline_runtime::Descriptor;

use super::Destination;
use super::messages::Messages;
use crate::endpoint::{Destination as Endpoint, HostPort, MulticastDestination};
use crate::framing::Framing;
use crate::pool::Run;
use crate::queue::Queue;
use crate::shell::fanout::Fanout;
use crate::shell::report::Tally;
use crate::shell::sockets;
use crate::stats::EndpointState;

/// A queue before a socket.
struct Outlet {
    queue: RefCell<Queue<Run>>,
    messages: RefCell<Messages>,
    socket: Descriptor,
    peer: SockAddr,
    /// The interface that it sends by, if the peer is a group.
    by: Interface,
    /// The kernel takes no more for now.
    blocked: Cell<bool>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    own: Weak<Self>,
}

/// Makes a socket to send to `address` with.
pub(super) async fn open(
    to: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    outlet(to, sockets::udp_to(address).await?, Interface::ANY, fanout, tally)
}

/// Makes a socket to send to a group with.
pub(super) fn open_group(
    to: &Endpoint,
    group: &MulticastDestination,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let peer = sockets::open_group(group)?;
    let by = peer.sends_by();
    outlet(to, (peer.into_descriptor(), group.group.into()), by, fanout, tally)
}

fn outlet(
    to: &Endpoint,
    (socket, peer): (Descriptor, SockAddr),
    by: Interface,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    if let Some(bytes) = to.send_buffer {
        sockets::hold_unsent(&socket, bytes, tally)?;
    }
    tally.peer_came();
    Ok(Rc::new_cyclic(|own| Outlet {
        queue: RefCell::new(Queue::new(to.limits, to.policy, Framing::Raw)),
        messages: RefCell::new(Messages::new()),
        socket,
        peer,
        by,
        blocked: Cell::new(false),
        fanout: fanout.clone(),
        tally: tally.clone(),
        own: own.clone(),
    }))
}

impl Outlet {
    /// Sends the oldest packets of the queue in one call. Returns how many the kernel took.
    fn send_some(&self) -> io::Result<usize> {
        let queue = self.queue.borrow();
        self.messages.borrow_mut().send(queue.runs(), self.socket.conn(), &self.peer)
    }

    fn forget_sent(&self, count: usize) {
        let (mut queue, now) = (self.queue.borrow_mut(), OnceCell::new());
        let before = queue.counts().sent_bytes;
        queue.pop_sent(count, |run| self.fanout.sent(&run, &now));
        self.tally.count(count as u64, queue.counts().sent_bytes - before);
    }

    /// The kernel refuses the first packet of the queue: it is lost, the next one is tried.
    fn skip(&self, error: io::Error) {
        let error = match self.peer.as_socket() {
            Some(peer) => multicast::Error::of_send(error, peer, self.by),
            None => error,
        };
        self.tally.note(&error);
        self.queue.borrow_mut().pop_sent(1, drop);
        self.tally.count_lost(1);
    }

    fn await_room(&self) {
        let Some(own) = self.own.upgrade() else { return };
        self.blocked.set(true);
        self.socket.writable().then(move |_| {
            own.blocked.set(false);
            own.flush();
        });
    }
}

impl Destination for Outlet {
    fn deliver(&self, run: &Run) {
        if !self.blocked.get() && !self.queue.borrow().has_room_for(run) {
            self.flush();
        }
        let outcome = self.queue.borrow_mut().offer(run.clone());
        self.tally.count_offer(&outcome);
    }

    fn flush(&self) {
        while !self.blocked.get() && !self.queue.borrow().is_empty() {
            match self.send_some() {
                Ok(sent) => self.forget_sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.await_room(),
                Err(error) if self.messages.borrow_mut().go_apart(&error) => {}
                Err(error) => self.skip(error),
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    fn close(&self) {
        let lost = self.queue.borrow_mut().clear();
        self.tally.count_lost(lost);
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
