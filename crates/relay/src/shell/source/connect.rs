//! A source that the relay connects to, again and again.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, SocketOption};

use super::Source;
use super::intake::{Input, Intake, Owner};
use crate::endpoint::{HostPort, Source as Endpoint, UnixName};
use crate::shell::dial::{Dialer, Target};
use crate::shell::fanout::Fanout;

/// The connection, or the attempts at one.
struct Connection {
    from: Endpoint,
    target: RefCell<Option<Target>>,
    fanout: Rc<Fanout>,
    intake: RefCell<Option<Rc<Intake>>>,
    dialer: RefCell<Option<Rc<Dialer>>>,
    own: Weak<Self>,
}

pub(super) fn tcp(from: &Endpoint, address: &HostPort, fanout: &Rc<Fanout>) -> Rc<dyn Source> {
    open(from, Target::Tcp(address.clone()), fanout)
}

pub(super) fn unix(from: &Endpoint, name: &UnixName, fanout: &Rc<Fanout>) -> Rc<dyn Source> {
    open(from, Target::Unix(name.clone()), fanout)
}

fn open(from: &Endpoint, target: Target, fanout: &Rc<Fanout>) -> Rc<dyn Source> {
    Rc::new_cyclic(|own| Connection {
        from: from.clone(),
        target: RefCell::new(Some(target)),
        fanout: fanout.clone(),
        intake: RefCell::new(None),
        dialer: RefCell::new(None),
        own: own.clone(),
    })
}

impl Connection {
    fn connected(&self, socket: Descriptor) {
        if let Some(bytes) = self.from.receive_buffer {
            // Best effort: the connection works without.
            let _ = socket.set_option(SocketOption::ReceiveBuffer(bytes as usize));
        }
        self.fanout.source().peer_came();
        let intake = Intake::new(&self.from, &self.fanout, self.own.clone(), Input::Stream(socket));
        self.intake.replace(Some(intake.clone()));
        intake.read();
    }
}

impl Owner for Connection {
    fn ended(&self, _: &Intake, why: Option<io::Error>) {
        let source = self.fanout.source();
        match why {
            Some(error) => source.note(&error),
            None => source.note(&"the connection was closed"),
        }
        source.peer_went();
        if let Some(dialer) = &*self.dialer.borrow() {
            dialer.again();
        }
    }
}

impl Source for Connection {
    fn start(&self) {
        let (Some(own), Some(target)) = (self.own.upgrade(), self.target.take()) else { return };
        let tally = self.fanout.source();
        match Dialer::start(target, tally, move |socket| own.connected(socket)) {
            Ok(dialer) => drop(self.dialer.replace(Some(dialer))),
            Err(error) => self.fanout.ending().fail(tally.url(), &error),
        }
    }

    fn resume(&self) {
        let intake = self.intake.borrow().clone();
        if let Some(intake) = intake {
            intake.resume();
        }
    }

    fn stop(&self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.stop();
        }
        if let Some(intake) = self.intake.take() {
            intake.close();
        }
    }
}
