//! What can go wrong with TLS, each with what would help.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use rustls_pki_types::{ServerName, UnixTime};

/// Why there is no TLS, or why it has ended. Travels inside an [`io::Error`]; [`Error::of`] takes
/// it out again.
///
/// ```
/// use tautline_net::tls::{Error, Identity};
///
/// let error = Identity::from_pem_files("no/such/chain.pem", "no/such/key.pem").check().unwrap_err();
/// assert!(matches!(&error, Error::File { file, .. } if file == "no/such/chain.pem"));
/// ```
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}; check the path and its permissions")]
    File {
        /// The file.
        file: String,
        /// What sort of failure it is.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// There is no certificate in what should hold some.
    #[error("{from} holds no certificate; it must have a PEM section `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// The file, or that it was given in memory.
        from: String,
    },
    /// There is no private key in what should hold one.
    #[error(
        "{from} holds no private key; it must have a PEM section `BEGIN PRIVATE KEY`, \
         `BEGIN EC PRIVATE KEY` or `BEGIN RSA PRIVATE KEY`, not encrypted"
    )]
    NoKey {
        /// The file, or that it was given in memory.
        from: String,
    },
    /// What was given is no PEM, or no certificate or key of a sort that is known.
    #[error("{from} cannot be understood: {reason}")]
    Malformed {
        /// The file, or that it was given in memory.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key belongs to another certificate.
    #[error(
        "the key in {key} is not that of the certificate in {certificate}; give the pair that was issued together, the certificate of the server first in its file"
    )]
    KeyMismatch {
        /// Where the key is from.
        key: String,
        /// Where the certificate is from.
        certificate: String,
    },
    /// A certificate of one's own is not valid now.
    #[error("the certificate in {certificate} {when}; renew it, or check the clock")]
    NotCurrent {
        /// Where the certificate is from.
        certificate: String,
        /// Since when, or from when on.
        when: String,
    },
    /// A server was given no certificate.
    #[error("a server needs a certificate: give the acceptor an identity")]
    NoIdentity,
    /// The system has no certificates of authorities.
    #[error(
        "no certificates of authorities were found on this system ({reason}); install \
         `ca-certificates`, set SSL_CERT_FILE, or give roots of your own"
    )]
    NoSystemRoots {
        /// What was tried.
        reason: String,
    },
    /// What is to be connected to has no name that a certificate could hold.
    #[error("`{name}` is no name of a server: give a host name or an IP address, without a port")]
    BadName {
        /// What was given.
        name: String,
    },
    /// A choice that makes no sense.
    #[error("{0}")]
    Config(String),

    /// The certificate is that of another host.
    #[error(
        "the certificate is not for `{asked}`: it is for {presented}; connect by a name that it holds, or have one issued for `{asked}`"
    )]
    WrongHost {
        /// The name that was connected to.
        asked: String,
        /// The names that the certificate holds.
        presented: String,
    },
    /// Nobody who is trusted has signed the certificate.
    #[error(
        "the certificate of the {whose} was signed by nobody who is trusted here; add the \
         certificate of its authority to the roots, and have the {whose} send the whole chain"
    )]
    UnknownIssuer {
        /// The peer: `server` or `client`.
        whose: &'static str,
    },
    /// The peer's certificate is not valid now.
    #[error("the certificate of the {whose} {when}; have it renewed, or check the clock here")]
    PeerNotCurrent {
        /// The peer: `server` or `client`.
        whose: &'static str,
        /// Since when, or from when on.
        when: String,
    },
    /// The peer's certificate is wrong in another way.
    #[error("the certificate of the {whose} is not accepted: {reason}; have it replaced")]
    BadCertificate {
        /// The peer: `server` or `client`.
        whose: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The client has none, and must have one.
    #[error(
        "the client has sent no certificate, and this server wants one; give it one, or ask for none"
    )]
    NoClientCertificate,
    /// None of the application protocols is known to both.
    #[error(
        "client and server have no application protocol (ALPN) in common; here: {offered}; add one that the peer speaks"
    )]
    NoCommonProtocol {
        /// What was offered or known here.
        offered: String,
    },
    /// Versions, ciphers or key exchanges do not meet.
    #[error("the peer has no {what} in common with us; allow more versions on one of both sides")]
    NothingInCommon {
        /// What would have to be.
        what: String,
    },
    /// The peer has given up, and says why.
    #[error("the peer has ended it with the alert `{name}` ({code}){hint}")]
    Alert {
        /// The alert's name in RFC 8446 §6.2.
        name: String,
        /// Its number.
        code: u8,
        /// What it tends to mean; empty, or begins with what separates it.
        hint: &'static str,
    },
    /// The peer speaks HTTP without TLS.
    #[error("the peer speaks plain HTTP on a port for TLS; connect with https:// or wss://")]
    PlainHttp,
    /// The peer does not speak TLS.
    #[error("the peer does not speak TLS: it has sent {saw}; check the port")]
    NotTls {
        /// What has come first.
        saw: String,
    },
    /// The handshake was not over in time.
    #[error(
        "the TLS handshake was not over within {within:?}; the peer is slow or silent, or speaks no TLS; check the port, or allow more time"
    )]
    Timeout {
        /// The time that it had.
        within: Duration,
    },
    /// The stream was cut off: bytes may be missing at its end.
    #[error(
        "the stream has ended without `close_notify`{when}: it may have been cut off; take what has come for incomplete"
    )]
    Truncated {
        /// Empty, or begins with what separates it.
        when: &'static str,
    },
    /// The peer has broken the rules of the protocol, or bytes were changed on their way.
    #[error("TLS is broken: {reason}; connect again, and look at the peer if it stays so")]
    Broken {
        /// Which rule.
        reason: String,
    },
    /// All buffers of the thread are in use.
    #[error(
        "all {count} TLS buffers of this thread hold incomplete records; allow more with `tls::set_buffers`, or close connections that stand still"
    )]
    Buffers {
        /// How many there may be.
        count: usize,
    },
    /// The system grants no memory for a buffer.
    #[error("no memory for a TLS buffer: {0}; have fewer of them with `tls::set_buffers`")]
    Memory(String),
    /// Something was to be sent behind `close_notify`.
    #[error("nothing can be sent any more: the stream was finished; send before that")]
    Finished,
    /// The write limit of a stream is below that of a record.
    #[error("a write limit of less than {least} bytes has no room for a TLS record; raise it")]
    NoRoom {
        /// The least that will do.
        least: usize,
    },
}

impl Error {
    /// The error of TLS inside `error`, if it carries one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        let inner = error.get_ref()?;
        inner
            .downcast_ref::<Self>()
            .or_else(|| Self::of(crate::Error::cause(inner.downcast_ref()?)))
    }

    /// What the standard library calls it.
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            Self::File { kind, .. } => *kind,
            Self::NoCertificate { .. }
            | Self::NoKey { .. }
            | Self::Malformed { .. }
            | Self::KeyMismatch { .. }
            | Self::NotCurrent { .. }
            | Self::NoIdentity
            | Self::BadName { .. }
            | Self::Config(_)
            | Self::NoRoom { .. } => Kind::InvalidInput,
            Self::NoSystemRoots { .. } => Kind::NotFound,
            Self::Alert { .. } => Kind::ConnectionAborted,
            Self::Timeout { .. } => Kind::TimedOut,
            Self::Truncated { .. } => Kind::UnexpectedEof,
            Self::Buffers { .. } | Self::Memory(_) => Kind::OutOfMemory,
            Self::Finished => Kind::BrokenPipe,
            _ => Kind::InvalidData,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What the library says of a session, in our terms. `whose` is what the peer is.
pub(super) fn of_session(error: rustls::Error, whose: &'static str, offered: &str) -> Error {
    match error {
        rustls::Error::InvalidCertificate(why) => of_certificate(why, whose),
        rustls::Error::NoCertificatesPresented => Error::NoClientCertificate,
        rustls::Error::NoApplicationProtocol => {
            Error::NoCommonProtocol { offered: offered.to_owned() }
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            Error::NoCommonProtocol { offered: offered.to_owned() }
        }
        rustls::Error::AlertReceived(alert) => of_alert(alert),
        rustls::Error::PeerIncompatible(why) => incompatible(&why),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Error::Broken { reason: "a record of a sort that there is not".to_owned() }
        }
        other => Error::Broken { reason: other.to_string() },
    }
}

fn incompatible(why: &PeerIncompatible) -> Error {
    let what = match why {
        PeerIncompatible::NoCipherSuitesInCommon => "cipher suite".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "key exchange".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon => "signature scheme".to_owned(),
        other => format!("way to go on ({other:?})"),
    };
    let versions = [
        PeerIncompatible::ServerDoesNotSupportTls12Or13,
        PeerIncompatible::SupportedVersionsExtensionRequired,
        PeerIncompatible::Tls12NotOffered,
        PeerIncompatible::Tls12NotOfferedOrEnabled,
        PeerIncompatible::Tls13RequiredForQuic,
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
    ];
    let what = if versions.contains(why) { "version of TLS".to_owned() } else { what };
    Error::NothingInCommon { what }
}

fn of_alert(alert: AlertDescription) -> Error {
    let hint = match alert {
        AlertDescription::UnknownCA => ": it does not trust who has signed our certificate",
        AlertDescription::CertificateExpired => ": our certificate has expired",
        AlertDescription::CertificateRequired => ": it wants a certificate of ours",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            ": it does not accept our certificate"
        }
        AlertDescription::HandshakeFailure => {
            ": no cipher suite in common, or it wants a certificate of ours"
        }
        AlertDescription::ProtocolVersion => ": it does not speak our versions of TLS",
        AlertDescription::UnrecognisedName => ": it has no host of that name",
        _ => "",
    };
    Error::Alert { name: format!("{alert:?}"), code: alert.into(), hint }
}

fn of_certificate(why: CertificateError, whose: &'static str) -> Error {
    match why {
        CertificateError::UnknownIssuer => Error::UnknownIssuer { whose },
        CertificateError::NotValidForNameContext { expected, presented } => {
            Error::WrongHost { asked: plain(&expected), presented: listed(&presented) }
        }
        CertificateError::Expired => {
            Error::PeerNotCurrent { whose, when: "has expired".to_owned() }
        }
        CertificateError::ExpiredContext { time, not_after } => {
            Error::PeerNotCurrent { whose, when: expired(time, not_after) }
        }
        CertificateError::NotValidYet => {
            Error::PeerNotCurrent { whose, when: "is not valid yet".to_owned() }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Error::PeerNotCurrent { whose, when: too_early(time, not_before) }
        }
        CertificateError::Other(other) => {
            let reason = match other.0.downcast_ref() {
                Some(webpki::Error::CaUsedAsEndEntity) => {
                    "it is that of an authority (CA:TRUE), as `openssl req -x509` makes them; \
                     sign one with it, or make one with `-addext basicConstraints=CA:FALSE`"
                        .to_owned()
                }
                _ => other.to_string(),
            };
            Error::BadCertificate { whose, reason }
        }
        other => Error::BadCertificate { whose, reason: other.to_string() },
    }
}

/// A server's name as one would type it.
fn plain(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// The names of a certificate, which come as the library prints them.
fn listed(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".to_owned();
    }
    let bare = |name: &String| match name.split_once('"') {
        Some((_, rest)) => rest.trim_end_matches([')', '"']).to_owned(),
        None => name.clone(),
    };
    presented.iter().map(|name| format!("`{}`", bare(name))).collect::<Vec<_>>().join(", ")
}

pub(super) fn expired(now: UnixTime, not_after: UnixTime) -> String {
    format!("expired {} ago", span(now.as_secs().saturating_sub(not_after.as_secs())))
}

pub(super) fn too_early(now: UnixTime, not_before: UnixTime) -> String {
    let left = span(not_before.as_secs().saturating_sub(now.as_secs()));
    format!("is not valid yet: it will be in {left}")
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What a peer has sent that cannot be TLS.
pub(super) fn not_tls(first: &[u8]) -> Error {
    const METHODS: [&[u8]; 8] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ", b"PRI * "];
    if first.starts_with(b"HTTP/") || METHODS.iter().any(|method| first.starts_with(method)) {
        return Error::PlainHttp;
    }
    let shown = first[..first.len().min(24)].escape_ascii();
    Error::NotTls { saw: format!("`{shown}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no TLS is told by what it looks like.
    #[test]
    fn what_is_no_tls_is_told_by_its_looks() {
        assert_eq!(not_tls(b"GET / HTTP/1.1\r\n"), Error::PlainHttp);
        assert_eq!(not_tls(b"HTTP/1.1 400 Bad"), Error::PlainHttp);
        let ssh = not_tls(b"SSH-2.0-OpenSSH\r\n").to_string();
        assert!(ssh.contains("`SSH-2.0-OpenSSH\\r\\n`"), "{ssh}");
    }

    /// An alert is told by its name, its number and what it tends to mean.
    #[test]
    fn an_alert_is_named() {
        let told = of_alert(AlertDescription::UnknownCA).to_string();
        assert!(
            told.contains("UnknownCA") && told.contains("48") && told.contains("trust"),
            "{told}"
        );
    }

    /// Times are told in the unit that a person would take.
    #[test]
    fn times_are_told_in_fitting_units() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        assert_eq!(expired(at(1_000_000), at(1_000_000 - 3 * 86_400)), "expired 3 days ago");
        assert_eq!(expired(at(1000), at(940)), "expired 60 s ago");
        assert!(too_early(at(0), at(600)).ends_with("10 min"));
    }

    /// An error is found in an I/O error that names the call, too.
    #[test]
    fn an_error_is_found_again_inside_others() {
        let outer = crate::error::at("connect to", "somewhere")(Error::PlainHttp.into());
        assert_eq!(Error::of(&outer), Some(&Error::PlainHttp));
        assert_eq!(Error::of(&io::Error::other("another")), None);
    }
}
