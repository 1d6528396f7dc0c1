//! Unix sockets: streams and datagrams between processes of one machine.

mod address;
mod datagram;
mod listener;
mod stream;

pub use self::{
    address::UnixAddress,
    datagram::UnixDatagram,
    listener::{UnixListenOptions, UnixListener},
    stream::{Credentials, UnixStream},
};
