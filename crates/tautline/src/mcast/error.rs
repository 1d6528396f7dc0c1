//! Why a tool cannot go on.

use std::io;
use std::net::SocketAddr;

use super::capture::CaptureError;
use crate::Failure;

/// Why a tool cannot go on, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A capture cannot be read or written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There is no loop to be had.
    #[error(transparent)]
    Host(#[from] tautline_relay::RunError),
    /// The loop broke.
    #[error("the loop: {0}")]
    Loop(#[from] tautline_runtime::Error),
    /// There is no room in the loop.
    #[error("the loop: {0}")]
    Room(io::Error),
    /// A group cannot be joined, received from or sent to.
    #[error("{group}: {error}{}", remedy(error))]
    Group {
        group: SocketAddr,
        #[source]
        error: io::Error,
    },
    /// Standard input cannot be read.
    #[error("standard input: {0}")]
    Input(io::Error),
    /// A line that goes into no datagram.
    #[error("standard input: line {line} has more than the {most} bytes that go into a packet")]
    Line { line: u64, most: usize },
    /// A packet of a capture that goes into no datagram of that layout.
    #[error("packet {packet} of the capture has more than the {most} bytes that go into a packet")]
    Packet { packet: u64, most: usize },
}

/// Whoever reads a capture from standard output may have seen enough, as of everything that is there.
impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        match error {
            CaptureError::Output(error) => Self::Output(error),
            other => Self::Mcast(other.into()),
        }
    }
}

impl Error {
    /// Names the group that an error is about.
    pub(super) fn of(group: SocketAddr) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Group { group, error }
    }
}

/// What to do about an error of the system that says nothing of it.
fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    let told = tautline_net::Error::of(error).is_some()
        || tautline_net::multicast::Error::of(error).is_some();
    match error.kind() {
        _ if told => "",
        Kind::NetworkUnreachable | Kind::HostUnreachable => {
            "; name an interface that has a way there: --iface NAME"
        }
        Kind::PermissionDenied => "; a firewall of this machine refuses it",
        Kind::AddrNotAvailable => "; the interface has no address of this family",
        _ => "",
    }
}
