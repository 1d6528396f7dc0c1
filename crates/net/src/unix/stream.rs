//! A Unix stream.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Type};
use tautline_runtime::{Conn, Descriptor, IoBuf, IoBufMut, Operation, Outcome};

use super::UnixAddress;
use crate::call::Call;
use crate::calls::{handing_over, of_descriptor, reading, stands, writing};
use crate::error::at;
use crate::op;
use crate::split::{Duplex, ReadHalf, WriteHalf, split};

/// A connection between two processes of one machine. All reading and writing calls take
/// `&self`.
#[derive(Debug)]
pub struct UnixStream {
    descriptor: Descriptor,
}

of_descriptor!(UnixStream);
stands!(UnixStream);
reading!([] UnixStream);
writing!([] UnixStream);
handing_over!(UnixStream);

impl Duplex for UnixStream {}

impl From<UnixStream> for Descriptor {
    fn from(stream: UnixStream) -> Self {
        stream.into_descriptor()
    }
}

/// Who is at the other end, as it was when the connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The process.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl UnixStream {
    /// Connects to a listener, within 30 s: one whose backlog is full is tried again.
    ///
    /// The result is an error that names `peer` and what would help.
    pub fn connect(peer: impl Into<UnixAddress>) -> Call<Self> {
        Self::connect_timeout(peer, Duration::from_secs(30))
    }

    /// As [`connect`](Self::connect), within another time.
    pub fn connect_timeout(peer: impl Into<UnixAddress>, within: Duration) -> Call<Self> {
        let peer = peer.into();
        let name = peer.to_string();
        let steps = Call::new(async move {
            let addr = peer.to_socket()?;
            loop {
                let socket = Descriptor::socket(Domain::UNIX, Type::STREAM, None)?;
                match socket.connect(addr.clone()).await {
                    Ok(()) => return Ok(Self { descriptor: socket }),
                    // No readiness tells of room in a Unix listener's backlog.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tautline_runtime::timer::sleep(Duration::from_millis(1)).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        Call::new(async move { steps.timeout(within).await.map_err(at("connect to", name)) })
    }

    /// Two streams, connected to each other.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = Descriptor::pair()?;
        Ok((Self { descriptor: a }, Self { descriptor: b }))
    }

    /// Its own name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        Ok(UnixAddress::of(&self.conn().local_addr()?))
    }

    /// The peer's name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        Ok(UnixAddress::of(&self.conn().peer_addr()?))
    }

    /// Who is at the other end, as the kernel knows it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        self.conn().with_fd(|fd| {
            let found = rustix::net::sockopt::socket_peercred(fd)?;
            let (pid, uid, gid) = (found.pid, found.uid, found.gid);
            Ok(Credentials {
                pid: pid.as_raw_nonzero().get(),
                uid: uid.as_raw(),
                gid: gid.as_raw(),
            })
        })
    }

    /// Ends one or both directions; sending once everything that was written has left.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.descriptor.shutdown(how)
    }

    /// Its two directions, each with an owner of its own.
    pub fn split(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
        split(self)
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
