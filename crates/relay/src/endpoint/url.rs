//! A URL taken apart into scheme, body and options, before anybody knows what they mean.

use super::error::EndpointError;

/// Whether a URL names a source or a destination; chooses the words and lists of error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Destination,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// All schemes of this direction, in the order in which messages list them.
    fn schemes(self) -> &'static [Scheme] {
        use Scheme::{
            Demo, File, Mcast, Shm, Stdin, Stdout, Tcp, TcpListen, Udp, Unix, UnixListen, Ws,
            WsListen, Wss, WssListen,
        };
        match self {
            Self::Source => &[
                Udp, Mcast, Tcp, TcpListen, Ws, Wss, WsListen, WssListen, Unix, UnixListen, Shm,
                File, Stdin, Demo,
            ],
            Self::Destination => &[
                Udp, Mcast, Tcp, TcpListen, Ws, Wss, WsListen, WssListen, UnixListen, Shm, File,
                Stdout,
            ],
        }
    }

    fn known(self) -> String {
        let forms: Vec<_> = self.schemes().iter().map(|s| s.form()).collect();
        forms.join(", ")
    }
}

/// The schemes that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Udp,
    Mcast,
    Tcp,
    TcpListen,
    Ws,
    Wss,
    WsListen,
    WssListen,
    Unix,
    UnixListen,
    Shm,
    File,
    Stdin,
    Stdout,
    Demo,
}

impl Scheme {
    /// The scheme's name, as it stands before the colon.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Mcast => "mcast",
            Self::Tcp => "tcp",
            Self::TcpListen => "tcp-listen",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::WsListen => "ws-listen",
            Self::WssListen => "wss-listen",
            Self::Unix => "unix",
            Self::UnixListen => "unix-listen",
            Self::Shm => "shm",
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Demo => "demo",
        }
    }

    /// Whether packets are messages of a WebSocket, without a prefix of ours.
    pub(super) fn sends_messages(self) -> bool {
        matches!(self, Self::Ws | Self::Wss | Self::WsListen | Self::WssListen)
    }

    /// How a URL of this scheme looks.
    fn form(self) -> &'static str {
        match self {
            Self::Udp => "udp://HOST:PORT",
            Self::Mcast => "mcast://GROUP:PORT",
            Self::Tcp => "tcp://HOST:PORT",
            Self::TcpListen => "tcp-listen://HOST:PORT",
            Self::Ws => "ws://HOST:PORT/PATH",
            Self::Wss => "wss://HOST:PORT/PATH",
            Self::WsListen => "ws-listen://HOST:PORT",
            Self::WssListen => "wss-listen://HOST:PORT",
            Self::Unix => "unix://PATH",
            Self::UnixListen => "unix-listen://PATH",
            Self::Shm => "shm://NAMESPACE/NAME",
            Self::File => "file:PATH",
            Self::Stdin => "stdin:",
            Self::Stdout => "stdout:",
            Self::Demo => "demo:",
        }
    }
}

/// The three parts of a URL, still as written.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) scheme: Scheme,
    /// What stands between the colon and the question mark.
    pub(super) body: &'a str,
    /// The options in the order written.
    pub(super) options: Vec<(&'a str, &'a str)>,
}

/// Takes `url` apart and checks that its scheme serves `role`.
pub(super) fn split(url: &str, role: Role) -> Result<Parts<'_>, EndpointError> {
    let (scheme, rest) = url
        .split_once(':')
        .ok_or_else(|| EndpointError::NoScheme { url: url.to_owned(), known: role.known() })?;
    let found = role.schemes().iter().find(|s| s.name() == scheme);
    let scheme = *found.ok_or_else(|| EndpointError::UnknownScheme {
        scheme: scheme.to_owned(),
        role: role.word(),
        known: role.known(),
    })?;
    let (body, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Parts { scheme, body, options: pairs(query) })
}

/// The `key=value` pairs of a query; a key without `=` has the empty value.
fn pairs(query: &str) -> Vec<(&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect()
}
