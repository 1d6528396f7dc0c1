//! The subscribers of one listening socket, of whatever sort.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tautline_runtime::{Descriptor, SocketOption};

use super::Destination;
use crate::endpoint::Destination as Endpoint;
use crate::pool::Run;
use crate::queue::Policy;
use crate::shell::fanout::Fanout;
use crate::shell::listener::Listener;
use crate::shell::report::Tally;
use crate::stats::EndpointState;

/// Where one subscriber sits: a queue, and a connection that may be gone.
pub(super) trait Seat: 'static {
    fn deliver(self: &Rc<Self>, run: &Run);
    fn flush(self: &Rc<Self>);
    fn is_attached(&self) -> bool;
    fn is_idle(&self) -> bool;
    fn queued(&self) -> usize;
    fn close(&self);
}

/// How a newcomer comes to his seat.
pub(super) trait Door: Sized + 'static {
    type Seat: Seat;

    /// Gives `host` a [seat](Subscribers::seat) for the newcomer, at once or later.
    fn admit(&self, host: &Rc<Subscribers<Self>>, socket: Descriptor);

    /// Newcomers who have no seat yet.
    fn coming(&self) -> usize {
        0
    }
}

/// All subscribers of one listening socket.
pub(super) struct Subscribers<D: Door> {
    pub(super) to: Endpoint,
    pub(super) fanout: Rc<Fanout>,
    pub(super) tally: Rc<Tally>,
    pub(super) door: D,
    seats: RefCell<Vec<Rc<D::Seat>>>,
    /// Seats whose connection has gone are still among `seats`.
    gone: Cell<bool>,
    /// Newcomers that were turned away since there were too many.
    turned_away: Cell<u64>,
    listener: RefCell<Option<Rc<Listener>>>,
}

impl<D: Door> Subscribers<D> {
    /// Lets them in from now on.
    pub(super) fn start(
        to: &Endpoint,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
        listener: Listener,
        door: D,
    ) -> Rc<Self> {
        let subscribers = Rc::new(Self {
            to: to.clone(),
            fanout: fanout.clone(),
            tally: tally.clone(),
            door,
            seats: RefCell::default(),
            gone: Cell::new(false),
            turned_away: Cell::new(0),
            listener: RefCell::new(None),
        });
        tally.set_state(EndpointState::Open);
        let host = subscribers.clone();
        let listener = listener.serve(tally, move |socket| host.welcome(socket));
        subscribers.listener.replace(Some(listener));
        subscribers
    }

    fn welcome(self: &Rc<Self>, socket: Descriptor) {
        self.reap();
        if self.seats.borrow().len() + self.door.coming() >= self.to.subscribers as usize {
            return self.turn_away();
        }
        // Best effort: an address family without the option works as well.
        let _ = socket.set_option(SocketOption::NoDelay(true));
        if let Some(bytes) = self.to.send_buffer {
            let _ = socket.set_option(SocketOption::SendBuffer(bytes as usize));
        }
        self.door.admit(self, socket);
    }

    /// Seats a subscriber, whose connection is attached next.
    pub(super) fn seat(&self, seat: &Rc<D::Seat>) {
        self.tally.peer_came();
        self.seats.borrow_mut().push(seat.clone());
    }

    /// A connection has gone; its seat is forgotten soon.
    pub(super) fn note_gone(&self) {
        self.tally.peer_went();
        self.gone.set(true);
    }

    /// Whether nobody is let in any more.
    pub(super) fn is_closed(&self) -> bool {
        self.listener.borrow().is_none()
    }

    fn turn_away(&self) {
        let (count, limit) = (self.turned_away.get() + 1, self.to.subscribers);
        self.turned_away.set(count);
        self.tally.note(&format!(
            "{count} turned away: {limit} subscribers are here; raise ?subscribers="
        ));
    }

    /// Forgets the seats whose connections have gone.
    fn reap(&self) {
        if self.gone.take() {
            self.seats.borrow_mut().retain(|seat| seat.is_attached());
        }
    }
}

impl<D: Door> Destination for Subscribers<D> {
    fn deliver(&self, run: &Run) {
        self.seats.borrow().iter().for_each(|seat| {
            if seat.is_attached() {
                seat.deliver(run);
            }
        });
    }

    fn flush(&self) {
        self.seats.borrow().iter().for_each(|seat| seat.flush());
        self.reap();
    }

    fn is_idle(&self) -> bool {
        self.seats.borrow().iter().all(|seat| seat.is_idle())
    }

    fn is_attended(&self) -> bool {
        self.to.policy != Policy::Wait || self.tally.peers() > 0
    }

    fn close(&self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        for seat in self.seats.take() {
            seat.close();
        }
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.seats.borrow().iter().map(|seat| seat.queued()).max().unwrap_or(0)
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
