//! A destination that many subscribers come to and go from: byte streams.

use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::Descriptor;

use super::Destination;
use super::subscribers::{Door, Seat, Subscribers};
use crate::endpoint::{Destination as Endpoint, HostPort, UnixName};
use crate::pool::Run;
use crate::shell::fanout::Fanout;
use crate::shell::link::{Link, Owner};
use crate::shell::listener;
use crate::shell::report::Tally;

/// Whoever connects is a subscriber at once.
struct Open;

/// Listens for TCP subscribers.
pub(super) async fn tcp(
    to: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(Subscribers::start(to, fanout, tally, listener::tcp(address, tally).await?, Open))
}

/// Listens for subscribers on a Unix socket.
pub(super) fn unix(
    to: &Endpoint,
    name: &UnixName,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(Subscribers::start(to, fanout, tally, listener::unix(name)?, Open))
}

impl Door for Open {
    type Seat = Link;

    fn admit(&self, host: &Rc<Subscribers<Self>>, socket: Descriptor) {
        let owner: Weak<Subscribers<Self>> = Rc::downgrade(host);
        let link = Link::new(&host.to, &host.fanout, &host.tally, owner);
        host.seat(&link);
        link.attach(socket);
    }
}

impl Owner for Subscribers<Open> {
    fn lost(&self, link: &Link, why: Option<io::Error>) {
        if let Some(error) = why {
            self.tally.note(&format!("a subscriber went: {error}"));
        }
        link.forget();
        self.note_gone();
    }
}

impl Seat for Link {
    fn deliver(self: &Rc<Self>, run: &Run) {
        Link::deliver(self, run);
    }

    fn flush(self: &Rc<Self>) {
        Link::flush(self);
    }

    fn is_attached(&self) -> bool {
        Link::is_attached(self)
    }

    fn is_idle(&self) -> bool {
        Link::is_idle(self)
    }

    fn queued(&self) -> usize {
        Link::queued(self)
    }

    fn close(&self) {
        Link::close(self);
    }
}
