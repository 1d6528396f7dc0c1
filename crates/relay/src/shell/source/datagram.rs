//! Datagrams, many in one system call.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_net::multicast::Groups;
use tautline_runtime::{Conn, Descriptor, Details, Drained, Landed, Scatter, SocketOption};

use super::Source;
use crate::endpoint::{HostPort, MulticastSource, Source as Endpoint};
use crate::framing::MAX_PACKET;
use crate::pool::{Claim, PoolError, Run};
use crate::queue::Wire;
use crate::shell::fanout::Fanout;
use crate::shell::sockets;
use crate::units::Nanos;

/// Messages in one system call: each a datagram, or several of one flow that the kernel has joined.
pub(super) const BATCH: usize = 32;
/// Datagrams that are passed on before any is sent: few enough to stay in the cache.
const BURST: usize = 256;

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
    scatter: Scatter,
    /// Tells what came by an interface where the group was not joined.
    sieve: Option<Groups>,
    /// Where messages are received to, and stay: one that holds datagrams is given on, and another
    /// takes its place.
    places: Vec<Claim>,
    /// Bytes of a place that a message may take.
    room: usize,
    /// The message to go on with.
    next: usize,
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
    Ok(Inlet::new(from, socket, None, fanout)?)
}

/// Joins the group.
pub(super) fn open_group(
    from: &Endpoint,
    group: &MulticastSource,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let (socket, groups) = sockets::join(group)?;
    Ok(Inlet::new(from, socket, groups, fanout)?)
}

impl Inlet {
    fn new(
        from: &Endpoint,
        socket: Descriptor,
        sieve: Option<Groups>,
        fanout: &Rc<Fanout>,
    ) -> io::Result<Rc<Self>> {
        if let Some(bytes) = from.receive_buffer {
            sockets::hold_received(&socket, bytes, fanout.source())?;
        }
        fanout.source().peer_came();
        fanout.source().set_bound(&socket);
        let received = Received::new(&socket, from.max_packet, sieve, fanout);
        let received = received.map_err(io::Error::other)?;
        Ok(Rc::new_cyclic(|own| Self {
            waiting: RefCell::new(Some(socket)),
            conn: RefCell::new(None),
            received: RefCell::new(received),
            paused: Cell::new(false),
            fanout: fanout.clone(),
            own: own.clone(),
        }))
    }

    fn receive(&self, conn: &Conn) -> io::Result<Drained> {
        if self.paused.get() {
            return Ok(Drained::Yes);
        }
        let result = self.received.borrow_mut().receive(conn);
        match result {
            Ok(count) => {
                self.received.borrow_mut().restart(crate::shell::arrival());
                self.pass_on();
                let more = count == BATCH && !self.paused.get();
                Ok(if more { Drained::No } else { Drained::Yes })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Drained::Yes),
            Err(error) => {
                // Such as a memory shortage; the socket itself goes on, and there may be datagrams
                // behind the error.
                self.fanout.source().note(&error);
                Ok(Drained::No)
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
    fn new(
        socket: &Descriptor,
        longest: usize,
        sieve: Option<Groups>,
        fanout: &Fanout,
    ) -> Result<Self, PoolError> {
        let joins = socket.set_option(SocketOption::ReceiveOffload(true)).is_ok();
        let details = Details { destination: sieve.is_some(), offload: true, ..Details::NONE };
        Ok(Self {
            scatter: Scatter::with_details(BATCH, details),
            sieve,
            places: (0..BATCH).map(|_| fanout.place()).collect::<Result<_, _>>()?,
            room: if joins { MAX_PACKET } else { longest },
            next: 0,
            arrival: Nanos::default(),
            longest,
        })
    }

    fn receive(&mut self, conn: &Conn) -> io::Result<usize> {
        let places = self.places.iter_mut().map(|place| place.space(self.room));
        self.scatter.receive(conn, places)
    }

    fn restart(&mut self, arrival: Nanos) {
        (self.next, self.arrival) = (0, arrival);
    }

    /// Publishes message after message; false if some are left for want of room.
    fn publish(&mut self, fanout: &Fanout) -> bool {
        let mut unsent = 0;
        while let Some(message) = self.scatter.get(self.next) {
            if !fanout.is_ready() {
                return false;
            }
            if !self.is_stray() {
                unsent += self.publish_one(message, fanout);
            }
            self.next += 1;
            if unsent >= BURST {
                fanout.flush();
                unsent = 0;
            }
        }
        true
    }

    fn is_stray(&self) -> bool {
        let Some(groups) = &self.sieve else { return false };
        self.scatter.envelope(self.next).is_some_and(|envelope| groups.is_stray(&envelope))
    }

    /// Publishes the datagrams of a message; returns how many.
    fn publish_one(&mut self, message: Landed, fanout: &Fanout) -> usize {
        let Landed { len, segment, truncated } = message;
        let datagrams = len.div_ceil(segment.max(1)).max(1);
        match fanout.place() {
            Ok(fresh) => {
                let place = std::mem::replace(&mut self.places[self.next], fresh);
                let run = place.freeze_joined(len, segment, self.arrival);
                let accepted = if truncated { None } else { within(self.longest, run) };
                let packets = accepted.as_ref().map_or(0, Wire::packets);
                if packets < datagrams {
                    let refused = (datagrams - packets) as u64;
                    fanout.source().drop_packets(|drops| drops.too_long += refused);
                }
                accepted.into_iter().for_each(|run| fanout.publish_run(run));
            }
            Err(_) => fanout.count_homeless(datagrams, len),
        }
        datagrams
    }
}

/// The datagrams of `run` that are not longer than `longest`: all, none, or the last one.
fn within(longest: usize, mut run: Run) -> Option<Run> {
    if run.segment() > longest && run.packets() > 1 {
        drop(run.split_front(run.packets() - 1));
    }
    (run.segment() <= longest).then_some(run)
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use tautline_runtime::{Config, Runtime};

    use super::*;
    use crate::config::{HostConfig, RelayConfig};
    use crate::shell::ending::Ending;
    use crate::shell::fanout::Shape;
    use crate::shell::report::{Needs, Tally};
    use crate::stats::Role;

    /// Proves that a datagram that waits behind an error is received without another one to come.
    #[test]
    fn datagrams_behind_an_error_are_received() {
        let _runtime = Runtime::new(Config::default()).unwrap();
        let from: Endpoint = "udp://127.0.0.1:0".parse().unwrap();
        let (host, to) = (HostConfig::default(), Vec::new());
        let config = RelayConfig { from: from.clone(), to, run_for: None, host, slots: 64 };
        let tally = Rc::new(Tally::new(&from.url, Role::Source, Needs::Nobody, Nanos(0)));
        let fanout =
            Rc::new(Fanout::new(&Shape::of(&config), tally, Rc::new(Ending::new())).unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Descriptor::new(socket.into()).unwrap();
        let conn = socket.conn().clone();
        let inlet = Inlet::new(&from, socket, None, &fanout).unwrap();
        // A port that nobody has any more refuses what is sent there.
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        conn.connect_now(&gone.into()).unwrap();
        conn.try_send_to(b"anybody?", None).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        conn.connect_now(&sender.local_addr().unwrap().into()).unwrap();
        let here = conn.local_addr().unwrap().as_socket().unwrap();
        sender.send_to(b"behind", here).unwrap();
        assert!(matches!(inlet.receive(&conn), Ok(Drained::No)));
        assert!(fanout.source().error().is_some_and(|error| error.contains("refused")));
        assert!(matches!(inlet.receive(&conn), Ok(Drained::Yes)));
        assert_eq!(fanout.source().total(Nanos(1), 0).rates.packets, 1);
    }
}
