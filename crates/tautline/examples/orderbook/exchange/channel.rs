//! How a client is spoken to: by lines, or by the messages of a WebSocket, plain or through TLS.
//! That side is `tungstenite` and `rustls` on blocking sockets, and has nothing in common with the
//! client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{Error, Message, WebSocket};

/// How the exchange is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    /// One JSON document a line, over TCP.
    Lines,
    /// A WebSocket.
    Ws,
    /// A WebSocket through TLS, with a certificate made for this run.
    Wss,
}

/// The exchange's certificate for this run.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) chain: String,
    config: Arc<ServerConfig>,
}

impl Certificate {
    pub(super) fn new() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)
            })
            .map_err(io::Error::other)?;
        Ok(Self { chain: made.cert.pem(), config: Arc::new(config) })
    }
}

pub(super) trait Stream: Read + Write + Send + Sync {}
impl<S: Read + Write + Send + Sync> Stream for S {}

/// One client.
pub(super) enum Channel {
    Lines { stream: TcpStream, requests: Receiver<String> },
    Messages { stream: TcpStream, socket: Box<WebSocket<Box<dyn Stream>>> },
}

impl Channel {
    /// Takes a client in; with a certificate through TLS.
    pub(super) fn open(
        stream: TcpStream,
        over: Over,
        certificate: Option<&Certificate>,
    ) -> io::Result<Self> {
        if over == Over::Lines {
            let requests = lines(stream.try_clone()?)?;
            return Ok(Self::Lines { stream, requests });
        }
        let plain = stream.try_clone()?;
        let spoken: Box<dyn Stream> = match certificate {
            None => Box::new(plain),
            Some(certificate) => {
                let session = ServerConnection::new(certificate.config.clone());
                Box::new(StreamOwned::new(session.map_err(io::Error::other)?, plain))
            }
        };
        let socket = tungstenite::accept(spoken).map_err(io::Error::other)?;
        Ok(Self::Messages { stream, socket: Box::new(socket) })
    }

    /// The next request, if one comes within that time.
    ///
    /// # Errors
    /// `UnexpectedEof`: the client has gone.
    pub(super) fn receive(&mut self, within: Duration) -> io::Result<Option<String>> {
        match self {
            Self::Lines { requests, .. } => match requests.recv_timeout(within) {
                Ok(line) => Ok(Some(line)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(gone()),
            },
            Self::Messages { stream, socket } => {
                stream.set_read_timeout(Some(within))?;
                match socket.read() {
                    Ok(Message::Text(text)) => Ok(Some(text.to_string())),
                    Ok(Message::Close(_)) => {
                        // The answer, if the client waits for it.
                        let _ = socket.flush();
                        Err(gone())
                    }
                    Ok(_) => Ok(None),
                    Err(Error::Io(error)) if is_late(&error) => Ok(None),
                    Err(_) => Err(gone()),
                }
            }
        }
    }

    /// Sends lines, each as it is or as a message.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Lines { stream, .. } => stream.write_all(text.as_bytes()),
            Self::Messages { socket, .. } => {
                let mut messages = text.lines().map(Message::text);
                messages.try_for_each(|message| socket.write(message)).map_err(io::Error::other)?;
                socket.flush().map_err(io::Error::other)
            }
        }
    }

    /// Ends the connection, if the client has not.
    pub(super) fn close(&self) {
        let (Self::Lines { stream, .. } | Self::Messages { stream, .. }) = self;
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client left early")
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The client's lines, until it has gone.
fn lines(stream: TcpStream) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    let read = move || {
        let lines = BufReader::new(stream).lines();
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    };
    thread::Builder::new().spawn(read)?;
    Ok(receiver)
}
