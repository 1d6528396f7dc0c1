//! Datagrams, many in one system call.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Batch, Conn, Descriptor, Drained, Packet, SocketOption};

use super::Source;
use crate::endpoint::{HostPort, Source as Endpoint};
use crate::shell::fanout::Fanout;
use crate::shell::sockets;
use crate::units::Nanos;

/// Messages in one system call: each a datagram, or several of one flow that the kernel has joined.
const BATCH: usize = 64;
/// Bytes of the longest message that the kernel joins.
const JOINED: usize = 65_536;
/// Datagrams that are passed on before any is sent: as many as one message to send holds, and few
/// enough to stay in the cache.
const BURST: usize = 64;

/// A bound socket.
struct Inlet {
    /// Bound, but not yet received from.
    waiting: RefCell<Option<Descriptor>>,
    conn: RefCell<Option<Conn>>,
    received: RefCell<Received>,
    /// Receiving stands still until there is room.
    paused: Cell<bool>,
    fanout: Rc<Fanout>,
    own: Weak<Self>,
}

/// What a call brought, and how far it has been passed on.
struct Received {
    batch: Batch,
    /// The message to go on with, and how many of its datagrams have been passed on.
    next: (usize, usize),
    arrival: Nanos,
    /// Bytes of the longest datagram accepted.
    longest: usize,
}

/// Binds the socket.
pub(super) async fn open(
    from: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let socket = sockets::bind_udp(address).await?;
    if let Some(bytes) = from.receive_buffer {
        socket.set_option(SocketOption::ReceiveBuffer(bytes as usize))?;
    }
    fanout.source().peer_came();
    let received = Received::new(&socket, from.max_packet);
    Ok(Rc::new_cyclic(|own| Inlet {
        waiting: RefCell::new(Some(socket)),
        conn: RefCell::new(None),
        received: RefCell::new(received),
        paused: Cell::new(false),
        fanout: fanout.clone(),
        own: own.clone(),
    }))
}

impl Inlet {
    fn receive(&self, conn: &Conn) -> io::Result<Drained> {
        if self.paused.get() {
            return Ok(Drained::Yes);
        }
        let result = self.received.borrow_mut().batch.receive(conn);
        match result {
            Ok(count) => {
                self.received.borrow_mut().restart(crate::shell::arrival());
                self.pass_on();
                let more = count == BATCH && !self.paused.get();
                Ok(if more { Drained::No } else { Drained::Yes })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Drained::Yes),
            Err(error) => {
                // Such as a memory shortage; the socket itself goes on.
                self.fanout.source().note(&error);
                Ok(Drained::Yes)
            }
        }
    }

    /// Passes on what was received; stands still if there is no room for all of it.
    fn pass_on(&self) {
        let all = self.received.borrow_mut().publish(&self.fanout);
        self.fanout.flush();
        if !all {
            self.paused.set(true);
            if let Some(conn) = &*self.conn.borrow() {
                conn.pause();
            }
            self.fanout.await_room();
        }
    }
}

impl Received {
    /// Room for what `socket` brings. The kernel joins datagrams if it can (`UDP_GRO`), which takes
    /// longer room.
    fn new(socket: &Descriptor, longest: usize) -> Self {
        let joins = socket.set_option(SocketOption::ReceiveOffload(true)).is_ok();
        let batch = Batch::new(BATCH, if joins { JOINED } else { longest });
        Self { batch, next: (0, 0), arrival: Nanos::default(), longest }
    }

    fn restart(&mut self, arrival: Nanos) {
        (self.next, self.arrival) = ((0, 0), arrival);
    }

    /// Publishes datagram after datagram; false if some are left for want of room.
    fn publish(&mut self, fanout: &Fanout) -> bool {
        let mut unsent = 0;
        while let Some(message) = self.batch.get(self.next.0) {
            for datagram in datagrams(&message).skip(self.next.1) {
                if !fanout.is_ready() {
                    return false;
                }
                self.next.1 += 1;
                if message.truncated() || datagram.len() > self.longest {
                    fanout.source().drop_packets(|drops| drops.too_long += 1);
                } else {
                    fanout.publish(datagram, datagram.len(), self.arrival);
                }
            }
            unsent += self.next.1;
            if unsent >= BURST {
                fanout.flush();
                unsent = 0;
            }
            self.next = (self.next.0 + 1, 0);
        }
        true
    }
}

/// The datagrams of a message; an empty message is one, too.
fn datagrams<'b>(message: &Packet<'b>) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    let empty = message.bytes.is_empty().then_some(message.bytes);
    message.segments().chain(empty)
}

impl Source for Inlet {
    fn start(&self) {
        let (Some(own), Some(socket)) = (self.own.upgrade(), self.waiting.take()) else { return };
        match socket.on_readable(move |conn| own.receive(conn)) {
            Ok(conn) => drop(self.conn.replace(Some(conn))),
            Err(error) => self.fanout.ending().fail(self.fanout.source().url(), &error),
        }
    }

    fn resume(&self) {
        self.paused.set(false);
        self.pass_on();
        if !self.paused.get()
            && let Some(conn) = &*self.conn.borrow()
            && let Err(error) = conn.resume()
        {
            self.fanout.ending().fail(self.fanout.source().url(), &error);
        }
    }

    fn stop(&self) {
        self.paused.set(true);
        if let Some(conn) = self.conn.take() {
            conn.close();
        }
    }
}
