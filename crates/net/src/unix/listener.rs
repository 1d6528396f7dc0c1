//! A Unix listener.

use std::io;

use socket2::{Domain, Type};
use tautline_runtime::{Conn, Descriptor, Outcome, Pending};

use super::{UnixAddress, UnixStream};
use crate::calls::{accepting, of_descriptor};
use crate::error::at;

/// How a Unix listener is to be made.
#[derive(Clone, Debug)]
pub struct UnixListenOptions {
    backlog: i32,
    remove_stale: bool,
}

impl Default for UnixListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, remove_stale: false }
    }
}

impl UnixListenOptions {
    /// Connections that may wait to be accepted. Default 1,024.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// Whether a path that an earlier process has left, and on which nobody listens any
    /// more, may be taken over. A path that is in use, or is no socket, never is.
    /// Default: no.
    pub fn remove_stale(mut self, on: bool) -> Self {
        self.remove_stale = on;
        self
    }

    /// Listens on `addr`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(&self, addr: impl Into<UnixAddress>) -> io::Result<UnixListener> {
        let addr = addr.into();
        self.listen(&addr).map_err(at("bind", &addr))
    }

    fn listen(&self, addr: &UnixAddress) -> io::Result<UnixListener> {
        let descriptor = Descriptor::socket(Domain::UNIX, Type::STREAM, None)?;
        addr.bind(&descriptor, Type::STREAM, self.remove_stale)?;
        descriptor.listen(self.backlog)?;
        Ok(UnixListener { descriptor })
    }
}

/// A Unix socket that waits for connections. Its path stays when it is dropped.
///
/// ```
/// # use tautline_net::{UnixListener, UnixStream};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// # let name = format!("@tautline-doc-{}", std::process::id());
/// let listener = UnixListener::bind(&name)?;
/// runtime.block_on(async {
///     let near = UnixStream::connect(&name).await?;
///     let far = listener.accept().await?;
///     near.write_all("hello").await.0?;
///     far.read_exact(vec![0; 5]).await.0
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    descriptor: Descriptor,
}

of_descriptor!(UnixListener);
accepting!(UnixListener, UnixStream);

impl UnixListener {
    /// Listens on `addr`, a path or an abstract name such as `"@feed"`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Self::options().bind(addr)
    }

    /// The choices.
    pub fn options() -> UnixListenOptions {
        UnixListenOptions::default()
    }

    /// The name that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        Ok(UnixAddress::of(&self.conn().local_addr()?))
    }

    /// Accepts a connection. Dropped, it loses none.
    ///
    /// # Errors
    /// No descriptors left; what the kernel says.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(UnixStream::from_descriptor(self.descriptor.accept().await?))
    }
    /// Accepts one connection and gives it to `done`.
    pub fn accept_then<F>(&self, done: F) -> Pending
    where
        F: FnOnce(io::Result<UnixStream>) + 'static,
    {
        let accept = self.descriptor.accept();
        accept.then(|accepted| done(accepted.map(UnixStream::from_descriptor)))
    }

    /// Accepts a connection that waits.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when none waits or another accept is
    /// before it; what the kernel says.
    pub fn try_accept(&self) -> io::Result<UnixStream> {
        Ok(UnixStream::from_descriptor(self.conn().try_accept()?))
    }
}
