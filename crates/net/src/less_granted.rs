//! Buffers for which the kernel grants less than was asked for.

use std::fmt;
use std::io;

use tautline_runtime::Conn;

/// A socket's buffer is smaller than was asked for: a limit of the system is in the way. Displayed with
/// the limit that is to be raised.
///
/// ```
/// use tautline_net::{LessGranted, UdpSocket};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// // Nobody has so much as the largest number of bytes that can be asked for.
/// let asked = i32::MAX as usize;
/// let less = LessGranted::of_receive_buffer(socket.conn(), asked)?.expect("less");
/// assert!(less.granted < asked && less.to_string().ends_with("raise net.core.rmem_max"));
/// assert_eq!(LessGranted::of_receive_buffer(socket.conn(), less.granted)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LessGranted {
    /// Bytes that were asked for.
    pub asked: usize,
    /// Bytes that the socket has.
    pub granted: usize,
    limit: &'static str,
}

impl LessGranted {
    /// Of what was not received yet.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn of_receive_buffer(socket: &Conn, asked: usize) -> io::Result<Option<Self>> {
        Ok(Self::of(asked, socket.receive_buffer()?, "rmem_max"))
    }

    /// Of what was not sent yet.
    ///
    /// # Errors
    /// When it is closed or no socket.
    pub fn of_send_buffer(socket: &Conn, asked: usize) -> io::Result<Option<Self>> {
        Ok(Self::of(asked, socket.send_buffer()?, "wmem_max"))
    }

    /// Linux counts what it needs for itself, as much again.
    fn of(asked: usize, counted: usize, limit: &'static str) -> Option<Self> {
        let granted = counted / 2;
        (granted < asked).then_some(Self { asked, granted, limit })
    }
}

impl fmt::Display for LessGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, granted, limit } = self;
        write!(f, "{asked} bytes were asked for and {granted} granted: raise net.core.{limit}")
    }
}
