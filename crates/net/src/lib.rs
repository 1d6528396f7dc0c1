//! Sockets on the Tautline loop: TCP, UDP, Unix, pipes, files, signals, and any other
//! descriptor that does not block.
//!
//! Start with [`TcpListener`] and [`TcpStream`], or [`UdpSocket`]. Every type has four
//! kinds of call, which may be mixed:
//!
//! * **callbacks**: `on_` handlers, to which a socket is given once and which see bytes
//!   where they were received, and `then` on any operation;
//! * **async**: operations that own their buffer while they are pending, and the traits
//!   of `futures-io` (of tokio too, behind the feature `tokio`);
//! * **fibers**: calls that wait, with borrowed buffers, and the traits of `std::io`: the types
//!   of the same names in [`fiber`], into which those here convert;
//! * **direct**: `try_` calls, which never wait; only a [`File`] has none.
//!
//! A protocol on a stream is a codec, which [`codec`] couples with any of them.
//!
//! An error names the address or path that the user gave, and what would help: see
//! [`Error`].

#![deny(unsafe_code)]

mod address;
mod call;
mod calls;
pub mod codec;
mod datagrams;
mod error;
pub mod fiber;
mod file;
mod lent;
mod less_granted;
mod link;
pub mod multicast;
pub mod op;
mod pipe;
pub mod prelude;
mod resolve;
mod signals;
mod split;
mod stdio;
mod tcp;
pub mod tls;
#[cfg(any(test, feature = "trial"))]
pub mod trial;
mod udp;
mod unix;

pub use self::{
    address::{Address, ToAddress},
    call::Call,
    error::Error,
    file::{File, OpenOptions},
    less_granted::LessGranted,
    link::{Layer, Link, Received},
    multicast::Peer as MulticastPeer,
    pipe::{PipeReader, PipeWriter, pipe},
    resolve::resolve,
    signals::{Signal, Signals},
    split::{Duplex, ReadHalf, WriteHalf},
    stdio::{Stdin, Stdout},
    tcp::{Dial, Incoming, ListenOptions, TcpListener, TcpStream},
    udp::{UdpOptions, UdpSocket},
    unix::{Credentials, UnixAddress, UnixDatagram, UnixListenOptions, UnixListener, UnixStream},
};
/// The adapter for every descriptor that has no type here.
pub use tautline_runtime::Descriptor as FdAdapter;
pub use tautline_runtime::{
    Arrival, Batch, Conn, Datagram, Details, Drained, Envelope, Gather, Gathering, KeepAlive,
    Landed, Packet, PushError, Scatter, Stamp, To,
};
