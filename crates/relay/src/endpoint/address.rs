//! Addresses: host and port, Unix socket names, file paths.

use core::fmt;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::error::EndpointError;
use super::url::Scheme;

/// A Unix socket path holds at most this many bytes (`sun_path` less the final NUL).
const UNIX_PATH_MAX: usize = 107;

/// The host part of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, to be resolved when the endpoint opens.
    Name(String),
    /// A literal IPv4 or IPv6 address.
    Ip(IpAddr),
}

/// A host and a port, as in `example.net:5000`, `10.0.0.1:5000` or `[::1]:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port; 0 only where the system may choose one (binding and listening).
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
        }
    }
}

/// The name of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnixName {
    /// A path in the file system, at most 107 bytes.
    Path(PathBuf),
    /// A name in the abstract namespace (written `@name`), at most 107 bytes.
    Abstract(Vec<u8>),
}

/// Whether port 0 makes sense: only where the system can choose a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortZero {
    Allowed,
    Refused,
}

impl PortZero {
    fn no_port(self) -> &'static str {
        match self {
            Self::Allowed => "the port is no number from 0 to 65535",
            Self::Refused => "the port is no number from 1 to 65535",
        }
    }
}

/// Reads `//HOST:PORT`.
pub(super) fn host_port(
    scheme: Scheme,
    body: &str,
    zero: PortZero,
) -> Result<HostPort, EndpointError> {
    let refuse = |why| EndpointError::Address {
        text: body.trim_start_matches('/').to_owned(),
        why,
        example: format!("{}://127.0.0.1:5000 or {0}://[::1]:5000", scheme.name()),
    };
    let text = body.strip_prefix("//").ok_or_else(|| refuse("'//' is missing"))?;
    let (host, port) = split_host(text).map_err(refuse)?;
    let port: u16 = port.parse().map_err(|_| refuse(zero.no_port()))?;
    if port == 0 && zero == PortZero::Refused {
        return Err(refuse("port 0 cannot be sent or connected to"));
    }
    Ok(HostPort { host: parse_host(host).map_err(refuse)?, port })
}

/// Divides at the port's colon; brackets keep the colons of an IPv6 address together.
fn split_host(text: &str) -> Result<(&str, &str), &'static str> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("the port is missing");
    };
    let bracketed = host.starts_with('[');
    if bracketed != host.ends_with(']') {
        return Err(if bracketed { "the port is missing" } else { "the '[' is missing" });
    }
    if !bracketed && host.contains(':') {
        return Err("an IPv6 address stands in brackets");
    }
    Ok((host, port))
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let ip: Ipv6Addr = inner.parse().map_err(|_| "the brackets hold no IPv6 address")?;
        return Ok(Host::Ip(ip.into()));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    name(text)
}

/// Accepts letters, digits, hyphens, underscores and dots, with no empty label in between.
fn name(text: &str) -> Result<Host, &'static str> {
    let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(is_name_byte);
    let relative = text.strip_suffix('.').unwrap_or(text);
    let numeric = relative.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text {
        "" => Err("the host is missing"),
        _ if numeric => Err("that is no IPv4 address"),
        _ if text.len() <= 253 && relative.split('.').all(label) => Ok(Host::Name(text.to_owned())),
        _ => Err("the host is neither a name nor an address"),
    }
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

/// Reads `//PATH` or `//@name`.
pub(super) fn unix_name(scheme: Scheme, body: &str) -> Result<UnixName, EndpointError> {
    let refuse = |why| refuse_path(body, why, format!("{}:///tmp/feed.sock", scheme.name()));
    let text = body.strip_prefix("//").ok_or_else(|| refuse("'//' is missing"))?;
    let bytes = decode(text.strip_prefix('@').unwrap_or(text)).map_err(refuse)?;
    if bytes.len() > UNIX_PATH_MAX {
        return Err(refuse("a Unix socket name holds at most 107 bytes"));
    }
    if text.starts_with('@') {
        return Ok(UnixName::Abstract(bytes));
    }
    Ok(UnixName::Path(PathBuf::from(OsString::from_vec(bytes))))
}

/// Reads `PATH`, or `///PATH` as other tools write file URLs.
pub(super) fn file_path(body: &str) -> Result<PathBuf, EndpointError> {
    let refuse = |why| refuse_path(body, why, "file:/tmp/feed.bin or file:feed.bin".to_owned());
    let text = body.strip_prefix("//").unwrap_or(body);
    if text.len() != body.len() && !text.starts_with('/') {
        return Err(refuse("'//' would be followed by a host"));
    }
    let bytes = decode(text).map_err(refuse)?;
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn refuse_path(body: &str, why: &'static str, example: String) -> EndpointError {
    EndpointError::Path { text: body.to_owned(), why, example }
}

/// Replaces each `%XX` by its byte.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, used) = if first == b'%' { (hex_byte(tail)?, 3) } else { (first, 1) };
        if byte == 0 {
            return Err("it holds a zero byte");
        }
        bytes.push(byte);
        rest = &rest[used..];
    }
    if bytes.is_empty() { Err("it is empty") } else { Ok(bytes) }
}

fn hex_byte(text: &[u8]) -> Result<u8, &'static str> {
    let digit = |at: usize| text.get(at).and_then(|&b| char::from(b).to_digit(16));
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => Err("'%' needs two hexadecimal digits; a plain '%' is written %25"),
    }
}
