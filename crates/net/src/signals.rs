//! Signals of the process.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use tautline_runtime::{Conn, Descriptor, Drained, Outcome};

use crate::error::at;

/// A signal of the process, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// Ctrl-C.
    pub const INTERRUPT: Self = Self(signal_hook::consts::SIGINT);
    /// What `kill` sends.
    pub const TERMINATE: Self = Self(signal_hook::consts::SIGTERM);
    /// The terminal has gone, or the configuration is to be read again.
    pub const HANG_UP: Self = Self(signal_hook::consts::SIGHUP);
    /// Ctrl-\.
    pub const QUIT: Self = Self(signal_hook::consts::SIGQUIT);
    /// For the program's own use.
    pub const USER_1: Self = Self(signal_hook::consts::SIGUSR1);
    /// For the program's own use.
    pub const USER_2: Self = Self(signal_hook::consts::SIGUSR2);
    /// A child has ended or stopped.
    pub const CHILD: Self = Self(signal_hook::consts::SIGCHLD);
    /// The terminal has another size.
    pub const WINDOW: Self = Self(signal_hook::consts::SIGWINCH);

    /// Any other.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_hook::low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells of signals on the loop, instead of what they would do otherwise. Several of one
/// sort that come close together may be told as one. Dropping it ends that, but does not
/// bring back what the signals did before.
///
/// ```no_run
/// # use tautline_net::{Signal, Signals};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let mut signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
/// let signal = runtime.block_on(signals.next())??;
/// println!("{signal}: good-bye");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Signals {
    descriptor: Descriptor,
    delivery: Delivery,
    /// The end that the signals write to.
    write: UnixDatagram,
}

type Delivery = SignalDelivery<UnixDatagram, SignalOnly>;

impl Signals {
    /// Tells of these signals from now on.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names a signal that no process may handle; no
    /// descriptors left.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        let forbidden = |s: &&Signal| signal_hook::consts::FORBIDDEN.contains(&s.0);
        if let Some(signal) = signals.iter().find(forbidden) {
            let message = "no program may handle it: leave it out";
            let error = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(at("wait for", signal)(error));
        }
        // Datagrams: the loop only asks for readiness, and takes nothing itself.
        let (read, write) = UnixDatagram::pair()?;
        let descriptor = Descriptor::new(OwnedFd::from(read.try_clone()?))?;
        let numbers = signals.iter().map(|signal| signal.0);
        let delivery = Delivery::with_pipe(read, write.try_clone()?, SignalOnly, numbers)
            .map_err(|error| at("wait for", format!("{signals:?}"))(error))?;
        Ok(Self { descriptor, delivery, write })
    }

    /// Waits for the next signal. Dropped, it loses none.
    ///
    /// # Errors
    /// When the runtime goes, or its operation table is full.
    pub async fn next(&mut self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.try_next() {
                return Ok(signal);
            }
            self.descriptor.readable().await?;
        }
    }

    /// A signal that has come, without waiting.
    pub fn try_next(&mut self) -> Option<Signal> {
        self.delivery.pending().next().map(Signal)
    }

    /// Gives it to the loop, which calls `handler` with each signal until it is closed
    /// by the name that is returned.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_signal<F, R>(self, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(Signal) -> R + 'static,
        R: Outcome,
    {
        let mut delivery = self.delivery;
        let conn = self.descriptor.on_readable(move |_| {
            for signal in delivery.pending() {
                handler(Signal(signal)).into_result()?;
            }
            Ok(Drained::Yes)
        })?;
        // Signals that came before may have lost their readiness to `try_next`. An end that
        // is full is readable anyway.
        let _ = rustix::net::send(&self.write, &[0], rustix::net::SendFlags::DONTWAIT);
        Ok(conn)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}
