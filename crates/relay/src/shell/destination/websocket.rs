//! Destinations whose packets are messages of WebSockets: a server, or subscribers who connect.

mod outlet;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, SocketOption, task};
use tautline_websocket::WebSocket;

use self::outlet::{Outlet, Owner};
use super::Destination;
use crate::endpoint::{Destination as Endpoint, WebSocketListener, WebSocketPeer};
use crate::pool::Run;
use crate::queue::Policy;
use crate::shell::dial::Dialer;
use crate::shell::fanout::Fanout;
use crate::shell::listener::{self, Listener};
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

/// All subscribers of one listening socket.
struct Subscribers {
    to: Endpoint,
    text: bool,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    greeter: Greeter,
    outlets: RefCell<Vec<Rc<Outlet>>>,
    /// Newcomers whose handshake is not over.
    coming: Cell<usize>,
    /// Outlets whose connection has gone are still among `outlets`.
    gone: Cell<bool>,
    /// Newcomers that were turned away since there were too many.
    turned_away: Cell<u64>,
    listener: RefCell<Option<Rc<Listener>>>,
    own: Weak<Self>,
}

/// Listens for subscribers.
pub(super) async fn listen(
    to: &Endpoint,
    at: &WebSocketListener,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let greeter = Greeter::new(at, options(IN_PARTS))?;
    let listener = listener::tcp(&at.address, tally).await?;
    let subscribers = Rc::new_cyclic(|own| Subscribers {
        to: to.clone(),
        text: at.text,
        fanout: fanout.clone(),
        tally: tally.clone(),
        greeter,
        outlets: RefCell::default(),
        coming: Cell::new(0),
        gone: Cell::new(false),
        turned_away: Cell::new(0),
        listener: RefCell::new(None),
        own: own.clone(),
    });
    tally.set_state(EndpointState::Open);
    let newcomers = subscribers.clone();
    let listener = listener.serve(tally, move |socket| newcomers.clone().welcome(socket));
    subscribers.listener.replace(Some(listener));
    Ok(subscribers)
}

impl Subscribers {
    fn welcome(self: Rc<Self>, socket: Descriptor) {
        self.reap();
        if self.outlets.borrow().len() + self.coming.get() >= self.to.subscribers as usize {
            return self.turn_away();
        }
        // Best effort: the connection works without either.
        let _ = socket.set_option(SocketOption::NoDelay(true));
        if let Some(bytes) = self.to.send_buffer {
            let _ = socket.set_option(SocketOption::SendBuffer(bytes as usize));
        }
        self.coming.set(self.coming.get() + 1);
        let host = self.clone();
        let greet = async move {
            let opened = host.greeter.clone().greet(socket).await;
            host.coming.set(host.coming.get() - 1);
            match opened {
                Ok(socket) => host.seat(socket),
                Err(error) => host.tally.note(&format!("a subscriber did not come in: {error}")),
            }
        };
        if let Err(error) = task::spawn(greet) {
            self.coming.set(self.coming.get() - 1);
            self.tally.note(&error);
        }
    }

    fn seat(&self, socket: WebSocket) {
        if self.listener.borrow().is_none() {
            return;
        }
        let outlet = Outlet::new(&self.to, self.text, &self.fanout, &self.tally, self.own.clone());
        self.tally.peer_came();
        self.outlets.borrow_mut().push(outlet.clone());
        outlet.attach(socket);
    }

    fn turn_away(&self) {
        let (count, limit) = (self.turned_away.get() + 1, self.to.subscribers);
        self.turned_away.set(count);
        self.tally.note(&format!(
            "{count} turned away: {limit} subscribers are here; raise ?subscribers="
        ));
    }

    /// Forgets the outlets whose connections have gone.
    fn reap(&self) {
        if self.gone.take() {
            self.outlets.borrow_mut().retain(|outlet| outlet.is_attached());
        }
    }
}

impl Owner for Subscribers {
    fn lost(&self, outlet: &Outlet, why: &str) {
        self.tally.note(&format!("a subscriber went: {why}"));
        outlet.forget();
        self.tally.peer_went();
        self.gone.set(true);
    }
}

impl Destination for Subscribers {
    fn deliver(&self, run: &Run) {
        self.outlets.borrow().iter().for_each(|outlet| {
            if outlet.is_attached() {
                outlet.deliver(run);
            }
        });
    }

    fn flush(&self) {
        self.outlets.borrow().iter().for_each(Outlet::flush);
        self.reap();
    }

    fn is_idle(&self) -> bool {
        self.outlets.borrow().iter().all(|outlet| outlet.is_idle())
    }

    fn is_attended(&self) -> bool {
        self.to.policy != Policy::Wait || self.tally.peers() > 0
    }

    fn close(&self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        for outlet in self.outlets.take() {
            outlet.close();
        }
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.outlets.borrow().iter().map(|outlet| outlet.queued()).max().unwrap_or(0)
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
