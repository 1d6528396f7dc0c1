//! Dialling: every address of a name in turn, within one deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::Type;
use tautline_runtime::{Descriptor, KeepAlive, SocketOption, now_precise};

use super::TcpStream;
use super::options::stream_options;
use crate::address::{Address, ToAddress, domain};
use crate::call::Call;
use crate::error::at;
use crate::resolve::addresses;

/// How a connection is to be made.
///
/// ```
/// # use std::time::Duration;
/// # use tautline_net::{Dial, TcpListener};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let port = listener.local_addr()?.port();
/// let dial = Dial::new().timeout(Duration::from_secs(5)).send_buffer(1 << 20);
/// let stream = runtime.block_on(dial.connect(("localhost", port)))??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dial {
    within: Duration,
    local: Option<SocketAddr>,
    options: Vec<SocketOption>,
}

impl Default for Dial {
    fn default() -> Self {
        Self::new()
    }
}

impl Dial {
    /// Within 30 s, from any address, without delay of small segments (`TCP_NODELAY`):
    /// this is a library for low latency.
    pub fn new() -> Self {
        Self {
            within: Duration::from_secs(30),
            local: None,
            options: vec![SocketOption::NoDelay(true)],
        }
    }

    /// How long all of it may take: resolving the name, and trying its addresses. Each
    /// address gets an equal share of the time that is left, so that a silent one does
    /// not use up the others' time.
    pub fn timeout(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The address to connect from; port 0 leaves the port to the system.
    pub fn local(mut self, addr: SocketAddr) -> Self {
        self.local = Some(addr);
        self
    }

    /// Connects to the first address of `peer` that answers.
    ///
    /// The result is an error that names `peer`, and what happened with the last of its
    /// addresses.
    pub fn connect(self, peer: impl ToAddress) -> Call<TcpStream> {
        let peer = peer.to_address();
        Call::new(async move {
            let peer = peer?;
            let name = peer.to_string();
            self.run(peer).await.map_err(at("connect to", name))
        })
    }

    async fn run(&self, peer: Address) -> io::Result<TcpStream> {
        let deadline = now_precise()? + self.within;
        let found = addresses(peer, self.within).await?;
        let mut failure = io::Error::from(io::ErrorKind::TimedOut);
        for (at, &addr) in found.iter().enumerate() {
            let left = deadline.saturating_since(now_precise()?);
            let share = left / (found.len() - at) as u32;
            match self.attempt(addr, share).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn attempt(&self, addr: SocketAddr, within: Duration) -> io::Result<TcpStream> {
        let socket = Descriptor::socket(domain(addr), Type::STREAM, None)?;
        for &option in &self.options {
            socket.set_option(option)?;
        }
        if let Some(local) = self.local {
            socket.bind(&local.into()).map_err(at("bind", local))?;
        }
        socket.connect(addr.into()).timeout(within).await?;
        Ok(TcpStream::from_descriptor(socket))
    }
}

stream_options!(Dial, options);
