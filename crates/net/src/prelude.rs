//! What most programs need, in one line.
//!
//! ```
//! use tautline_net::prelude::*;
//! ```

pub use crate::{
    FdAdapter, File, Signal, Signals, TcpListener, TcpStream, ToAddress, UdpSocket, UnixDatagram,
    UnixListener, UnixStream, pipe, resolve,
};
pub use tautline_runtime::{Config, Conn, Drained, Runtime, WaitMode, task, timer};
