//! TCP: listening, dialling, streams.

mod dial;
mod listener;
mod options;
mod stream;

pub use self::{
    dial::Dial,
    listener::{Incoming, ListenOptions, TcpListener},
    stream::TcpStream,
};
