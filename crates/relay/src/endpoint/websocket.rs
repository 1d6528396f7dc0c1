//! WebSockets: whom to connect to, and where to listen.

use std::path::PathBuf;

use tautline_websocket::handshake::Url;

use super::address::{HostPort, PortZero, decode, file_path, host_port};
use super::error::EndpointError;
use super::options::refuse;
use super::url::{Parts, Scheme};

/// Messages of `?send=` at most.
const MESSAGES: usize = 64;
/// Bytes of all messages of `?send=` at most: what a connection takes at once.
const BYTES: usize = 64 << 10;

/// A WebSocket server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketPeer {
    /// Its address, with scheme and path, as the handshake needs it.
    pub url: String,
    /// Text messages to send first on each connection, in that order.
    pub send: Vec<String>,
    /// Certificates (PEM) that are trusted instead of those of the system; of `wss:` alone.
    pub trusted: Option<PathBuf>,
    /// Packets to send are text messages; without, those that came as text.
    pub text: bool,
}

impl WebSocketPeer {
    /// Reads `//HOST:PORT/PATH`; `%3F` is a question mark of the server's own.
    pub(super) fn of(scheme: Scheme, body: &str) -> Result<Self, EndpointError> {
        let url = format!("{}:{}", scheme.name(), body.replace("%3F", "?").replace("%3f", "?"));
        Url::parse(&url).map_err(|error| EndpointError::WebSocket {
            text: url.clone(),
            why: error.to_string(),
            example: format!("{}://127.0.0.1:8080/feed", scheme.name()),
        })?;
        Ok(Self { url, send: Vec::new(), trusted: None, text: false })
    }

    /// Takes an option of its own.
    pub(super) fn apply(&mut self, key: &'static str, value: &str) -> Result<(), EndpointError> {
        match key {
            "send" => self.add_message(key, value)?,
            "ca" => self.trusted = Some(file(key, value)?),
            _ => self.text = text(key, value)?,
        }
        Ok(())
    }

    fn add_message(&mut self, key: &'static str, value: &str) -> Result<(), EndpointError> {
        let bytes = decode(value).map_err(|why| refuse(key, value, why))?;
        let message = String::from_utf8(bytes)
            .map_err(|_| refuse(key, value, "it is no UTF-8; only text can be sent"))?;
        let length: usize = self.send.iter().map(String::len).sum();
        if self.send.len() >= MESSAGES || length + message.len() > BYTES {
            let why = format!("write {MESSAGES} messages with {BYTES} bytes at most");
            return Err(refuse(key, value, why));
        }
        self.send.push(message);
        Ok(())
    }
}

/// Where WebSocket clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketListener {
    /// Where to listen.
    pub address: HostPort,
    /// What TLS is spoken with; `None` for `ws-listen:`.
    pub certificate: Option<Certificate>,
    /// Packets to send are text messages; without, those that came as text.
    pub text: bool,
}

/// The files of a certificate; both in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// The certificate, and those by which it is signed.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl WebSocketListener {
    /// Reads `//HOST:PORT`.
    pub(super) fn of(scheme: Scheme, body: &str) -> Result<Self, EndpointError> {
        let address = host_port(scheme, body, PortZero::Allowed)?;
        let certificate = (scheme == Scheme::WssListen).then(Certificate::default);
        Ok(Self { address, certificate, text: false })
    }

    /// Takes an option of its own.
    pub(super) fn apply(&mut self, key: &'static str, value: &str) -> Result<(), EndpointError> {
        match (key, &mut self.certificate) {
            ("cert", Some(certificate)) => certificate.chain = file(key, value)?,
            ("key", Some(certificate)) => certificate.key = file(key, value)?,
            _ => self.text = text(key, value)?,
        }
        Ok(())
    }
}

/// Refuses a listener with TLS that was given no certificate.
pub(super) fn complete(parts: &Parts<'_>) -> Result<(), EndpointError> {
    let has = |wanted: &str| parts.options.iter().any(|&(key, _)| key == wanted);
    let missing = ["cert", "key"].into_iter().find(|key| !has(key));
    let Some(key) = missing.filter(|_| parts.scheme == Scheme::WssListen) else { return Ok(()) };
    let scheme = parts.scheme.name();
    let example = format!("{scheme}://0.0.0.0:8443?cert=chain.pem&key=key.pem");
    Err(EndpointError::MissingKey { scheme, key, example })
}

fn file(key: &'static str, value: &str) -> Result<PathBuf, EndpointError> {
    file_path(value).map_err(|error| match error {
        EndpointError::Path { why, .. } => refuse(key, value, format!("{why}; name a PEM file")),
        other => other,
    })
}

/// `text` alone, `text=on` or `text=off`.
fn text(key: &'static str, value: &str) -> Result<bool, EndpointError> {
    if value.is_empty() { Ok(true) } else { super::options::on_off(key, value) }
}
