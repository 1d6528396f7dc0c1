//! WebSockets are opened: by the relay, or by those who come to it.

use std::io;

use tautline_net::Link;
use tautline_net::tls::{Acceptor, Connector, Roots};
use tautline_runtime::Descriptor;
use tautline_websocket::read::Limits;
use tautline_websocket::{Client, Options, Server, WebSocket};

use super::dial::Connect;
use crate::endpoint::{WebSocketListener, WebSocketPeer};

/// Bytes that a connection takes before they leave. What is beyond waits in the subscriber's queue,
/// under its policy.
const WRITE_LIMIT: usize = 64 << 10;

/// What a connection is like whose messages of at most `longest` bytes come in one piece.
pub(super) fn options(longest: usize) -> Options {
    let limits = Limits { whole: longest as u64, ..Limits::default() };
    Options { limits, write_limit: WRITE_LIMIT, ..Options::default() }
}

/// A server to connect to.
pub(super) struct Target {
    client: Client,
    peer: WebSocketPeer,
}

impl Target {
    /// Reads the certificates that are trusted, if the peer has any of its own.
    pub(super) fn new(peer: &WebSocketPeer, options: Options) -> io::Result<Self> {
        let mut client = Client::with(options);
        if let Some(file) = &peer.trusted {
            let roots = Roots::from_pem_file(file)?;
            client = client.tls(Connector::builder().roots(roots).build()?);
        }
        Ok(Self { client, peer: peer.clone() })
    }
}

impl Connect for Target {
    type Connection = WebSocket;

    /// Connects, and subscribes.
    async fn connect(&self) -> io::Result<WebSocket> {
        let socket = self.client.connect(&self.peer.url).await?;
        for message in &self.peer.send {
            socket.sender().send(message.as_str())?;
        }
        Ok(socket)
    }
}

/// Makes WebSockets of the connections that come to a listener.
#[derive(Clone)]
pub(super) struct Greeter {
    server: Server,
    tls: Option<Acceptor>,
}

impl Greeter {
    /// Reads the certificate, if there is to be one.
    pub(super) fn new(at: &WebSocketListener, options: Options) -> io::Result<Self> {
        let files = at.certificate.as_ref();
        let tls = files.map(|files| Acceptor::from_pem_files(&files.chain, &files.key));
        Ok(Self { server: Server::with(options), tls: tls.transpose()? })
    }

    /// Both handshakes.
    pub(super) async fn greet(self, socket: Descriptor) -> io::Result<WebSocket> {
        let link = match &self.tls {
            Some(tls) => tls.accept(socket).await?.into(),
            None => Link::from(socket),
        };
        Ok(self.server.accept(link).await?)
    }
}
