//! A destination that many subscribers come to and go from.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, SocketOption};

use super::Destination;
use crate::endpoint::{Destination as Endpoint, HostPort, UnixName};
use crate::pool::Run;
use crate::queue::Policy;
use crate::shell::fanout::Fanout;
use crate::shell::link::{Link, Owner};
use crate::shell::listener::{self, Listener};
use crate::shell::report::Tally;
use crate::stats::EndpointState;

/// All subscribers of one listening socket.
struct Subscribers {
    to: Endpoint,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    links: RefCell<Vec<Rc<Link>>>,
    /// Links whose socket has gone are still among `links`.
    gone: Cell<bool>,
    /// Newcomers that were turned away since there were too many.
    turned_away: Cell<u64>,
    listener: RefCell<Option<Rc<Listener>>>,
    own: Weak<Self>,
}

/// Listens for TCP subscribers.
pub(super) async fn tcp(
    to: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(Subscribers::start(to, fanout, tally, listener::tcp(address, tally).await?))
}

/// Listens for subscribers on a Unix socket.
pub(super) fn unix(
    to: &Endpoint,
    name: &UnixName,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(Subscribers::start(to, fanout, tally, listener::unix(name)?))
}

impl Subscribers {
    fn start(
        to: &Endpoint,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
        listener: Listener,
    ) -> Rc<dyn Destination> {
        let subscribers = Rc::new_cyclic(|own| Self {
            to: to.clone(),
            fanout: fanout.clone(),
            tally: tally.clone(),
            links: RefCell::default(),
            gone: Cell::new(false),
            turned_away: Cell::new(0),
            listener: RefCell::new(None),
            own: own.clone(),
        });
        tally.set_state(EndpointState::Open);
        let newcomers = subscribers.clone();
        let listener = listener.serve(tally, move |socket| newcomers.welcome(socket));
        subscribers.listener.replace(Some(listener));
        subscribers
    }

    fn welcome(&self, socket: Descriptor) {
        self.reap();
        if self.links.borrow().len() >= self.to.subscribers as usize {
            return self.turn_away();
        }
        // Best effort: an address family without the option works as well.
        let _ = socket.set_option(SocketOption::NoDelay(true));
        if let Some(bytes) = self.to.send_buffer {
            let _ = socket.set_option(SocketOption::SendBuffer(bytes as usize));
        }
        let link = Link::new(&self.to, &self.fanout, &self.tally, self.own.clone());
        self.tally.peer_came();
        self.links.borrow_mut().push(link.clone());
        link.attach(socket);
    }

    fn turn_away(&self) {
        let count = self.turned_away.get() + 1;
        self.turned_away.set(count);
        let limit = self.to.subscribers;
        self.tally.note(&format!(
            "{count} turned away: {limit} subscribers are here; raise ?subscribers="
        ));
    }

    /// Forgets the links whose sockets have gone.
    fn reap(&self) {
        if self.gone.take() {
            self.links.borrow_mut().retain(|link| link.is_attached());
        }
    }
}

impl Owner for Subscribers {
    fn lost(&self, link: &Link, why: Option<io::Error>) {
        if let Some(error) = why {
            self.tally.note(&format!("a subscriber went: {error}"));
        }
        link.forget();
        self.tally.peer_went();
        self.gone.set(true);
    }
}

impl Destination for Subscribers {
    fn deliver(&self, run: &Run) {
        self.links.borrow().iter().for_each(|link| {
            if link.is_attached() {
                link.deliver(run);
            }
        });
    }

    fn flush(&self) {
        self.links.borrow().iter().for_each(|link| link.flush());
        self.reap();
    }

    fn is_idle(&self) -> bool {
        self.links.borrow().iter().all(|link| link.is_idle())
    }

    fn is_attended(&self) -> bool {
        self.to.policy != Policy::Wait || self.tally.peers() > 0
    }

    fn close(&self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        for link in self.links.take() {
            link.close();
        }
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.links.borrow().iter().map(|link| link.queued()).max().unwrap_or(0)
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
