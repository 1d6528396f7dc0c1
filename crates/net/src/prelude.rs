//! What most programs need, in one line.
//!
//! ```
//! use tautline_net::prelude::*;
//! ```

pub use crate::{FdAdapter, TcpListener, TcpStream, ToAddress, UdpSocket, resolve};
pub use tautline_runtime::{Config, Conn, Drained, Runtime, WaitMode, task, timer};
