//! A source that publishers connect to.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, SocketOption};

use super::Source;
use super::intake::{Input, Intake, Owner};
use crate::endpoint::{HostPort, Source as Endpoint, UnixName};
use crate::shell::fanout::Fanout;
use crate::shell::listener::{self, Listener};
use crate::stats::EndpointState;

/// All publishers of one listening socket.
struct Publishers {
    from: Endpoint,
    fanout: Rc<Fanout>,
    intakes: RefCell<Vec<Rc<Intake>>>,
    /// Newcomers that were turned away since there were too many.
    turned_away: Cell<u64>,
    /// Bound, but not yet accepting.
    waiting: RefCell<Option<Listener>>,
    listener: RefCell<Option<Rc<Listener>>>,
    own: Weak<Self>,
}

/// Listens for TCP publishers.
pub(super) async fn tcp(
    from: &Endpoint,
    address: &HostPort,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let listener = listener::tcp(address, fanout.source()).await?;
    Ok(open(from, listener, fanout))
}

/// Listens for publishers on a Unix socket.
pub(super) fn unix(
    from: &Endpoint,
    name: &UnixName,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    Ok(open(from, listener::unix(name)?, fanout))
}

fn open(from: &Endpoint, listener: Listener, fanout: &Rc<Fanout>) -> Rc<dyn Source> {
    fanout.source().set_state(EndpointState::Open);
    Rc::new_cyclic(|own| Publishers {
        from: from.clone(),
        fanout: fanout.clone(),
        intakes: RefCell::default(),
        turned_away: Cell::new(0),
        waiting: RefCell::new(Some(listener)),
        listener: RefCell::new(None),
        own: own.clone(),
    })
}

impl Publishers {
    fn welcome(&self, socket: Descriptor) {
        if self.intakes.borrow().len() >= self.from.publishers as usize {
            return self.turn_away();
        }
        if let Some(bytes) = self.from.receive_buffer {
            // Best effort: the connection works without.
            let _ = socket.set_option(SocketOption::ReceiveBuffer(bytes as usize));
        }
        self.fanout.source().peer_came();
        let intake = Intake::new(&self.from, &self.fanout, self.own.clone(), Input::Stream(socket));
        self.intakes.borrow_mut().push(intake.clone());
        intake.read();
    }

    fn turn_away(&self) {
        let (count, limit) = (self.turned_away.get() + 1, self.from.publishers);
        self.turned_away.set(count);
        let remedy = "raise ?publishers=";
        let why = format!("{count} turned away: {limit} publishers are here; {remedy}");
        self.fanout.source().note(&why);
    }
}

impl Owner for Publishers {
    fn ended(&self, intake: &Intake, why: Option<io::Error>) {
        let source = self.fanout.source();
        if let Some(error) = why {
            source.note(&format!("a publisher went: {error}"));
        }
        source.peer_went();
        self.intakes.borrow_mut().retain(|other| !std::ptr::eq(Rc::as_ptr(other), intake));
    }
}

impl Source for Publishers {
    fn start(&self) {
        let (Some(own), Some(listener)) = (self.own.upgrade(), self.waiting.take()) else { return };
        let listener = listener.serve(self.fanout.source(), move |socket| own.welcome(socket));
        self.listener.replace(Some(listener));
    }

    fn resume(&self) {
        // Whoever ends meanwhile leaves the list.
        let intakes = self.intakes.borrow().clone();
        intakes.iter().for_each(Intake::resume);
    }

    fn stop(&self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.intakes.take().iter().for_each(|intake| intake.close());
    }
}
