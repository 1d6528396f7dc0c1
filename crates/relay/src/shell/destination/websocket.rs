//! Destinations whose packets are messages of WebSockets: a server, or subscribers who connect.

mod outlet;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, task};
use tautline_websocket::WebSocket;

use self::outlet::{Outlet, Owner};
use super::Destination;
use super::subscribers::{Door, Seat, Subscribers};
use crate::endpoint::{Destination as Endpoint, WebSocketListener, WebSocketPeer};
use crate::pool::Run;
use crate::shell::dial::Dialer;
use crate::shell::fanout::Fanout;
use crate::shell::listener;
use crate::shell::report::Tally;
use crate::shell::websocket::{Greeter, Target, options};
use crate::stats::EndpointState;

/// What receivers send comes in parts, to be passed over.
const IN_PARTS: usize = 0;

/// The connection to a server, or the attempts at one. Packets queue while there is none.
struct Connection {
    tally: Rc<Tally>,
    outlet: Rc<Outlet>,
    dialer: RefCell<Option<Rc<Dialer<Target>>>>,
}

/// Starts to connect.
pub(super) fn connect(
    to: &Endpoint,
    peer: &WebSocketPeer,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let target = Target::new(peer, options(IN_PARTS))?;
    let connection = Rc::new_cyclic(|own: &Weak<Connection>| Connection {
        tally: tally.clone(),
        outlet: Outlet::new(to, peer.text, fanout, tally, own.clone()),
        dialer: RefCell::new(None),
    });
    let connected = connection.clone();
    let dialer = Dialer::start(target, tally, move |socket| {
        connected.tally.peer_came();
        connected.outlet.attach(socket);
    })?;
    connection.dialer.replace(Some(dialer));
    Ok(connection)
}

impl Owner for Connection {
    fn lost(&self, _: &Outlet, why: &str) {
        self.tally.note(&why);
        self.tally.peer_went();
        if let Some(dialer) = &*self.dialer.borrow() {
            dialer.again();
        }
    }
}

impl Destination for Connection {
    fn deliver(&self, run: &Run) {
        self.outlet.deliver(run);
    }

    fn flush(&self) {
        self.outlet.flush();
    }

    fn is_idle(&self) -> bool {
        self.outlet.is_idle()
    }

    fn close(&self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.stop();
        }
        self.outlet.close();
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.outlet.queued()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Whoever connects is a subscriber once his handshakes are over.
struct Guarded {
    text: bool,
    greeter: Greeter,
    coming: Cell<usize>,
}

/// Listens for subscribers.
pub(super) async fn listen(
    to: &Endpoint,
    at: &WebSocketListener,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let greeter = Greeter::new(at, options(IN_PARTS))?;
    let door = Guarded { text: at.text, greeter, coming: Cell::new(0) };
    Ok(Subscribers::start(to, fanout, tally, listener::tcp(&at.address, tally).await?, door))
}

impl Door for Guarded {
    type Seat = Outlet;

    fn admit(&self, host: &Rc<Subscribers<Self>>, socket: Descriptor) {
        self.coming.set(self.coming.get() + 1);
        let (own, greeter) = (host.clone(), self.greeter.clone());
        let greet = async move {
            let opened = greeter.greet(socket).await;
            own.door.coming.set(own.door.coming.get() - 1);
            match opened {
                Ok(socket) => own.attach(socket),
                Err(error) => own.tally.note(&format!("a subscriber did not come in: {error}")),
            }
        };
        if let Err(error) = task::spawn(greet) {
            self.coming.set(self.coming.get() - 1);
            host.tally.note(&error);
        }
    }

    fn coming(&self) -> usize {
        self.coming.get()
    }
}

impl Subscribers<Guarded> {
    fn attach(self: &Rc<Self>, socket: WebSocket) {
        if self.is_closed() {
            return;
        }
        let owner: Weak<Self> = Rc::downgrade(self);
        let outlet = Outlet::new(&self.to, self.door.text, &self.fanout, &self.tally, owner);
        self.seat(&outlet);
        outlet.attach(socket);
    }
}

impl Owner for Subscribers<Guarded> {
    fn lost(&self, outlet: &Outlet, why: &str) {
        self.tally.note(&format!("a subscriber went: {why}"));
        outlet.forget();
        self.note_gone();
    }
}

impl Seat for Outlet {
    fn deliver(self: &Rc<Self>, run: &Run) {
        Outlet::deliver(self, run);
    }

    fn flush(self: &Rc<Self>) {
        Outlet::flush(self);
    }

    fn is_attached(&self) -> bool {
        Outlet::is_attached(self)
    }

    fn is_idle(&self) -> bool {
        Outlet::is_idle(self)
    }

    fn queued(&self) -> usize {
        Outlet::queued(self)
    }

    fn close(&self) {
        Outlet::close(self);
    }
}
