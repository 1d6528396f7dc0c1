//! A destination that the relay connects to, again and again.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, SocketOption};

use super::Destination;
use crate::endpoint::{Destination as Endpoint, HostPort};
use crate::pool::Run;
use crate::shell::dial::{Dialer, Target};
use crate::shell::fanout::Fanout;
use crate::shell::link::{Link, Owner};
use crate::shell::report::Tally;
use crate::stats::EndpointState;

/// The connection, or the attempts at one. Packets queue while there is none.
struct Connection {
    send_buffer: Option<u32>,
    tally: Rc<Tally>,
    link: Rc<Link>,
    dialer: RefCell<Option<Rc<Dialer>>>,
}

/// Starts to connect.
pub(super) fn open(
    to: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let connection = Rc::new_cyclic(|own: &Weak<Connection>| Connection {
        send_buffer: to.send_buffer,
        tally: tally.clone(),
        link: Link::new(to, fanout, tally, own.clone()),
        dialer: RefCell::new(None),
    });
    let connected = connection.clone();
    let target = Target::Tcp(address.clone());
    let dialer = Dialer::start(target, tally, move |socket| connected.connected(socket))?;
    connection.dialer.replace(Some(dialer));
    Ok(connection)
}

impl Connection {
    fn connected(&self, socket: Descriptor) {
        // Best effort: the connection works without either.
        let _ = socket.set_option(SocketOption::NoDelay(true));
        if let Some(bytes) = self.send_buffer {
            let _ = socket.set_option(SocketOption::SendBuffer(bytes as usize));
        }
        self.tally.peer_came();
        self.link.attach(socket);
    }
}

impl Owner for Connection {
    fn lost(&self, _: &Link, why: Option<io::Error>) {
        match why {
            Some(error) => self.tally.note(&error),
            None => self.tally.note(&"the connection was closed"),
        }
        self.tally.peer_went();
        if let Some(dialer) = &*self.dialer.borrow() {
            dialer.again();
        }
    }
}

impl Destination for Connection {
    fn deliver(&self, run: &Run) {
        self.link.deliver(run);
    }

    fn flush(&self) {
        self.link.flush();
    }

    fn is_idle(&self) -> bool {
        self.link.is_idle()
    }

    fn close(&self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.stop();
        }
        self.link.close();
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.link.queued()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
