//! Why a tool cannot go on.

use std::io;
use std::net::SocketAddr;

use tautline_net::multicast;

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
    #[error("{group}: {}", told(error))]
    Group {
        group: SocketAddr,
        #[source]
        error: io::Error,
    },
    /// Two names of one interface.
    #[error("--iface: {one} and {other} are one interface; name it once")]
    SameInterface { one: String, other: String },
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

/// An error with a group, and what to do about it.
fn told(error: &io::Error) -> String {
    match multicast::Error::of(error) {
        // It names the calls of a program.
        Some(multicast::Error::NoRoute { .. }) => {
            "no route leads there: name the interface, by --iface NAME".to_owned()
        }
        Some(unknown @ multicast::Error::UnknownInterface { .. }) => format!("--iface: {unknown}"),
        Some(other) => other.to_string(),
        None if tautline_net::Error::of(error).is_some() => error.to_string(),
        None => format!("{error}{}", remedy(error)),
    }
}

/// What to do about an error of the system that says nothing of it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; a firewall of this machine refuses it",
        io::ErrorKind::AddrNotAvailable => {
            "; the interface has no address of this family: see whether it is up, and give it one"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// Proves that what a program would do about an error is not what a user is told to do, and that
    /// what the system says has a remedy.
    #[test]
    fn remedies_are_those_of_a_command_line() {
        let group = "239.1.1.1:5000".parse().unwrap();
        let told = |error: io::Error| Error::of(group)(error).to_string();
        let ip = IpAddr::from([239, 1, 1, 1]);
        let no_route = told(multicast::Error::NoRoute { group: ip }.into());
        assert_eq!(
            no_route,
            "239.1.1.1:5000: no route leads there: name the interface, by --iface NAME"
        );
        let other = told(multicast::Error::NotAGroup { group: ip }.into());
        assert!(other.contains("take one of 224.0.0.0/4"), "{other}");
        assert!(told(io::ErrorKind::PermissionDenied.into()).ends_with("refuses it"));
    }
}
