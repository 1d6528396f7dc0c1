//! Connecting, and connecting again with capped exponential back-off.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::{Descriptor, task, timer};

use super::report::Tally;
use super::sockets;
use crate::backoff::Backoff;
use crate::endpoint::{HostPort, UnixName};
use crate::stats::EndpointState;
use crate::units::Nanos;

/// What to connect to.
pub(crate) enum Target {
    Tcp(HostPort),
    Unix(UnixName),
}

/// Delays between attempts.
const FLOOR: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);

/// What can be connected to.
pub(crate) trait Connect: 'static {
    /// What a connection is.
    type Connection: 'static;

    /// Tries once.
    async fn connect(&self) -> io::Result<Self::Connection>;
}

impl Connect for Target {
    type Connection = Descriptor;

    async fn connect(&self) -> io::Result<Descriptor> {
        match self {
            Self::Tcp(address) => sockets::connect_tcp(address).await,
            Self::Unix(name) => sockets::connect_unix(name).await,
        }
    }
}

/// Keeps one endpoint connected.
pub(crate) struct Dialer<T: Connect = Target> {
    target: T,
    tally: Rc<Tally>,
    backoff: RefCell<Backoff>,
    connected: Box<dyn Fn(T::Connection)>,
    /// When the last connection was made.
    since: Cell<Nanos>,
    stopped: Cell<bool>,
}

impl<T: Connect> Dialer<T> {
    /// Connects, and hands the socket to `connected`; again after each [`again`](Self::again).
    pub(crate) fn start(
        target: T,
        tally: &Rc<Tally>,
        connected: impl Fn(T::Connection) + 'static,
    ) -> io::Result<Rc<Self>> {
        let seed = super::clock().0;
        let dialer = Rc::new(Self {
            target,
            tally: tally.clone(),
            backoff: RefCell::new(Backoff::new(FLOOR, CAP, seed)),
            connected: Box::new(connected),
            since: Cell::default(),
            stopped: Cell::new(false),
        });
        task::spawn(dialer.clone().dial(Duration::ZERO))?;
        Ok(dialer)
    }

    /// The connection is gone: connects again, after a while.
    pub(crate) fn again(self: &Rc<Self>) {
        if self.stopped.get() {
            return;
        }
        self.tally.set_state(EndpointState::Connecting);
        let delay = {
            let mut backoff = self.backoff.borrow_mut();
            backoff.note_end(super::clock().since(self.since.get()));
            backoff.next_delay()
        };
        if let Err(error) = task::spawn(self.clone().dial(delay)) {
            self.tally.note(&error);
        }
    }

    /// Connects no more.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
    }

    async fn dial(self: Rc<Self>, delay: Duration) {
        let mut delay = delay;
        while !self.stopped.get() {
            if !delay.is_zero()
                && let Err(error) = timer::sleep(delay).await
            {
                return self.tally.note(&error);
            }
            match self.target.connect().await {
                Ok(socket) => return self.hand_over(socket),
                Err(error) => self.tally.note(&super::explain(&error)),
            }
            delay = self.backoff.borrow_mut().next_delay();
        }
    }

    fn hand_over(&self, socket: T::Connection) {
        if !self.stopped.get() {
            self.since.set(super::clock());
            (self.connected)(socket);
        }
    }
}
