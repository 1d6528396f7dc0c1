//! Opening connections: the handshakes, over sockets.

mod client;
mod error;
mod server;
mod talk;

pub use client::Client;
pub use error::OpenError;
pub use server::Server;
