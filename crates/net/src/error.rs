//! Errors that say what was tried with what, and what would help.

use std::fmt;
use std::io;

/// A call on something that the user named: an address, a name, a path. Travels inside an
/// [`io::Error`] of the same kind as its cause.
///
/// ```
/// # use tautline_net::{Error, TcpListener};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let first = TcpListener::bind("127.0.0.1:0")?;
/// let taken = TcpListener::bind(first.local_addr()?).unwrap_err();
/// assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
/// assert!(Error::of(&taken).unwrap().to_string().contains("choose another port"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(thiserror::Error)]
#[error("cannot {call} {target}: {source}{remedy}")]
pub struct Error {
    call: &'static str,
    target: String,
    source: io::Error,
    /// Empty, or begins with what separates it from the cause.
    remedy: &'static str,
}

/// As it is displayed: that is what `main` prints of it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// The error of this crate inside `error`, if it carries one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What the system, or the runtime, said.
    pub fn cause(&self) -> &io::Error {
        &self.source
    }
}

/// Names the call and what it was tried with.
pub(crate) fn at(
    call: &'static str,
    target: impl fmt::Display,
) -> impl FnOnce(io::Error) -> io::Error {
    move |source| {
        let (kind, remedy) = (source.kind(), remedy(call, &source));
        io::Error::new(kind, Error { call, target: target.to_string(), source, remedy })
    }
}

/// An argument that makes no sense, and what it should look like.
pub(crate) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What the kernel says of a datagram to nobody, with what would help.
pub(crate) fn unconnected(error: io::Error) -> io::Error {
    if error.raw_os_error() != Some(rustix::io::Errno::DESTADDRREQ.raw_os_error()) {
        return error;
    }
    let message = "the socket has no peer: connect it, or use `send_to`";
    io::Error::new(io::ErrorKind::NotConnected, message)
}

fn remedy(call: &str, error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    let files = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    if matches!(files, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) {
        return "; raise the limit on open files (`ulimit -n`)";
    }
    match (error.kind(), call) {
        (Kind::AddrInUse, _) => {
            "; choose another port or path, or stop the program that holds it (`ss -lp` names it)"
        }
        (Kind::AddrNotAvailable, "bind") => {
            "; bind to an address of this machine (`ip address` lists them), or to 0.0.0.0 or [::]"
        }
        (Kind::PermissionDenied, "bind") => {
            "; ports below 1024 want CAP_NET_BIND_SERVICE, paths a folder that may be written to"
        }
        (Kind::PermissionDenied, _) => "; check the permissions, or run as another user",
        (Kind::ConnectionRefused, _) => "; start the server, or check the port",
        (Kind::TimedOut, _) => "; check the address and the firewall, or allow more time",
        (Kind::NetworkUnreachable | Kind::HostUnreachable, _) => {
            "; check the route (`ip route get`)"
        }
        (Kind::NotFound, _) => "; check the spelling",
        _ => "",
    }
}
