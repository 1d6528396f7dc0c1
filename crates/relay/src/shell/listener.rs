//! Listening sockets, shared by sources and destinations.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::{Descriptor, timer};

use super::report::Tally;
use super::sockets;
use crate::endpoint::{HostPort, UnixName};

/// How long accepting rests when descriptors or memory are exhausted.
const REST: Duration = Duration::from_millis(50);

/// A listening socket that hands on whoever comes.
pub(crate) struct Listener {
    /// `None` once it is closed.
    socket: RefCell<Option<Descriptor>>,
    /// The path to remove at the end.
    path: Option<PathBuf>,
}

/// Listens on TCP, and tells `tally` where.
pub(crate) async fn tcp(address: &HostPort, tally: &Tally) -> io::Result<Listener> {
    let socket = sockets::listen_tcp(address).await?;
    tally.set_bound(&socket);
    Ok(Listener { socket: RefCell::new(Some(socket)), path: None })
}

/// Listens on a Unix socket. A path that a dead process has left is taken over.
pub(crate) fn unix(name: &UnixName) -> io::Result<Listener> {
    let socket = sockets::listen_unix(name)?;
    let path = match name {
        UnixName::Path(path) => Some(path.clone()),
        UnixName::Abstract(_) => None,
    };
    Ok(Listener { socket: RefCell::new(Some(socket)), path })
}

impl Listener {
    /// Hands everybody who comes to `welcome`, until it is closed.
    pub(crate) fn serve(
        self,
        tally: &Rc<Tally>,
        welcome: impl Fn(Descriptor) + 'static,
    ) -> Rc<Self> {
        let listener = Rc::new(self);
        let door = Rc::new(Door { tally: tally.clone(), welcome: Box::new(welcome) });
        listener.accept(door);
        listener
    }

    fn accept(self: &Rc<Self>, door: Rc<Door>) {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return };
        let listener = self.clone();
        socket.accept().then(move |result| listener.accepted(door, result));
    }

    fn accepted(self: &Rc<Self>, door: Rc<Door>, result: io::Result<Descriptor>) {
        if self.socket.borrow().is_none() {
            return;
        }
        match result {
            Ok(socket) => (door.welcome)(socket),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                door.tally.note(&format!("cannot accept: {}", super::explain(&error)));
                return self.rest(door);
            }
        }
        self.accept(door);
    }

    /// Accepts again after a while: somebody may have left.
    fn rest(self: &Rc<Self>, door: Rc<Door>) {
        let listener = self.clone();
        let tally = door.tally.clone();
        if let Err(error) = timer::after(REST, move || listener.accept(door)) {
            tally.note(&error);
        }
    }

    /// Takes nobody new.
    pub(crate) fn close(&self) {
        // First the path: once nobody listens behind it, it is a successor's to take over.
        if let Some(path) = &self.path {
            // Whoever removed it before has done what is wanted.
            let _ = fs::remove_file(path);
        }
        self.socket.take();
    }
}

/// Where newcomers go.
struct Door {
    tally: Rc<Tally>,
    welcome: Box<dyn Fn(Descriptor)>,
}

/// Whether only the one who came is concerned, and the next may be accepted at once.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tautline_runtime::{Config, Runtime};

    use super::*;

    /// Proves that a path of which the listener is being closed never has nobody behind it: who
    /// finds one takes it over, and would lose it to the closing.
    #[test]
    fn closing_leaves_no_stale_path() {
        const ROUNDS: u32 = 2_000;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("socket");
        let runtime = Runtime::new(Config::default()).expect("a loop");
        // Odd while the listener is being closed.
        let phase = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let prober = scope.spawn(|| {
                let mut stale = 0;
                loop {
                    let before = phase.load(Ordering::SeqCst);
                    let result = UnixStream::connect(&path);
                    let refused = result.err().map(|error| error.kind());
                    if before % 2 == 1 && phase.load(Ordering::SeqCst) == before {
                        stale += u32::from(refused == Some(io::ErrorKind::ConnectionRefused));
                    }
                    if before == 2 * ROUNDS {
                        return stale;
                    }
                }
            });
            for _ in 0..ROUNDS {
                let listener = unix(&UnixName::Path(path.clone())).expect("the path is free");
                phase.fetch_add(1, Ordering::SeqCst);
                listener.close();
                let _ = runtime.poll_once();
                phase.fetch_add(1, Ordering::SeqCst);
            }
            assert_eq!(prober.join().expect("it does not panic"), 0);
        });
    }
}
