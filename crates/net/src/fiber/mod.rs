//! The sockets and files for fibers: calls that wait, with borrowed buffers.
//!
//! What waits is the fiber that calls; its thread goes on with others. Streams and files are
//! [`std::io::Read`] and [`std::io::Write`], so that crates written for blocking sockets run on
//! the loop as they are; the same calls are there without those traits imported.
//!
//! ```
//! use tautline_net::fiber::{TcpListener, TcpStream};
//! use tautline_runtime::{Runtime, fiber::{self, Stack}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new(Default::default())?;
//! let echoed = runtime.run_fiber(Stack::Small, || {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = listener.local_addr()?;
//!     fiber::spawn(Stack::Small, move || {
//!         let stream = listener.accept()?;
//!         let mut buf = [0; 4096];
//!         loop {
//!             match stream.read(&mut buf)? {
//!                 0 => return std::io::Result::Ok(()),
//!                 n => stream.write_all(&buf[..n])?,
//!             }
//!         }
//!     })?
//!     .detach();
//!     let stream = TcpStream::connect(addr)?;
//!     stream.write_all(b"hello")?;
//!     let mut buf = [0; 5];
//!     stream.read_exact(&mut buf)?;
//!     std::io::Result::Ok(buf)
//! })??;
//! assert_eq!(&echoed, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # One socket, several views
//! Each type here is a view of the type of the same name [above](crate), and turns into it and
//! back by `From` while none of its operations is pending; `get_ref` lends it out, for what does
//! not wait (`try_` calls) and for operations, which [`Operation::wait`] waits for. A view does
//! not dereference to it: there, `read` is an operation that does nothing by itself.
//!
//! # One stream, two fibers
//! The calls of streams take `&self`: one fiber may read while another writes, through a
//! reference in a [`scope`], through an [`Rc`](std::rc::Rc), or each with a half of its own
//! ([`TcpStream::split`]). So no stream needs a `try_clone`.
//!
//! # Timeouts
//! They are those of `std`, with one difference: a timeout is for a whole call. A `read_exact`
//! or `write_all` that has not done all of it by then fails, where `std` would begin to count
//! anew with each piece. What a read has received by then is not lost: the next read gets it. A
//! `write_all` of which a part has left cannot be taken up again: its stream cannot be written
//! to any more.
//!
//! # Errors
//! All calls that wait fail outside a fiber with
//! [`Error::NotInFiber`](tautline_runtime::Error::NotInFiber), which travels in an
//! [`io::Error`]. In a fiber that is cancelled they unwind, or fail, as
//! [`Fiber::cancel`](tautline_runtime::fiber::Fiber::cancel) says: what was lent to the kernel
//! has come back by then.
//!
//! [`Operation::wait`]: tautline_runtime::Operation::wait
//! [`scope`]: tautline_runtime::fiber::scope

mod calls;
mod datagrams;
mod file;
mod framed;
mod listing;
pub mod multicast;
mod pipe;
mod signals;
mod split;
mod stdio;
mod tcp;
mod timeouts;
mod tls;
mod udp;
mod unix;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::{fiber, now_precise, timer};

pub use self::{
    file::File,
    framed::{Framed, Reader, Writer},
    listing::list_on,
    pipe::{PipeReader, PipeWriter, pipe},
    signals::Signals,
    split::{ReadHalf, WriteHalf},
    stdio::{Stdin, Stdout},
    tcp::{TcpListener, TcpStream},
    tls::{TlsHandshake, TlsListener, TlsStream},
    udp::UdpSocket,
    unix::{UnixDatagram, UnixListener, UnixStream},
};
/// What the views are made with and speak of.
pub use crate::{
    Batch, Credentials, Datagram, Dial, ListenOptions, OpenOptions, Packet, Signal, To, ToAddress,
    UdpOptions, UnixAddress, UnixListenOptions,
};

/// Waits in this fiber for the addresses of `host`, each with `port`: as
/// [`resolve`](crate::resolve()).
///
/// # Errors
/// [`Error`](crate::Error) that names `host`: there is no such name, or no answer in time.
///
/// ```
/// # use std::time::Duration;
/// # use tautline_net::fiber;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// let within = Duration::from_secs(5);
/// let found = runtime.run_fiber(Stack::Small, move || fiber::resolve("localhost", 80, within))??;
/// assert!(found.iter().all(|addr| addr.ip().is_loopback()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn resolve(
    host: impl Into<String>,
    port: u16,
    within: Duration,
) -> io::Result<Vec<SocketAddr>> {
    wait("resolve", crate::resolve(host, port, within))
}

/// Waits in this fiber for what a task would await, in a call of that name.
fn wait<T>(call: &'static str, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    fiber::wait_as(call, future)?
}

/// The same, until `deadline`.
fn wait_until<T>(
    call: &'static str,
    deadline: Option<Instant>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let time = match deadline {
        Some(deadline) => Some(deadline.saturating_since(now_precise()?)),
        None => None,
    };
    wait_within(call, time, future)
}

/// The same, for so long.
fn wait_within<T>(
    call: &'static str,
    time: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match time {
        Some(time) => wait(call, async { timer::timeout(time, future).await? }),
        None => wait(call, future),
    }
}
