//! TLS without I/O: the seam behind which a library stands.

mod outgoing;
mod rustls;
#[cfg(test)]
mod tests;

pub use self::outgoing::Outgoing;
pub(super) use self::rustls::{client, server};
use super::Error;

/// Most bytes of what one record carries (RFC 8446 §5.1).
pub const MOST_PLAIN: usize = 1 << 14;

/// What a record is longer than what it carries, at most: header, nonce, tag and the byte that
/// says what it is (RFC 8446 §5.2, RFC 5288 §3).
pub const OVERHEAD: usize = 5 + 8 + 16 + 1;

/// One end of a TLS connection, which does no I/O: cipher bytes go in where they were received,
/// plain bytes come out; plain bytes go in, cipher bytes come out.
///
/// What stands behind it today is `rustls` 0.23 by its unbuffered calls.
pub trait Session {
    /// Takes in what lies at the front of `cipher`, deciphers it there, and puts what it carries
    /// into `plain`. What has to be answered is added to `answer`, also when this fails: then it
    /// is the alert that tells the peer why. What [`Received::taken`] counts is to be dropped from
    /// the front of `cipher` before the next call, and what is left to lie there still.
    fn receive(&mut self, cipher: &mut [u8], plain: &mut [u8], answer: &mut Outgoing) -> Received;

    /// Makes records of `plain`, at most [`MOST_PLAIN`] bytes of it, and adds them to `out`.
    /// `left` is what [`receive`](Self::receive) has left. Returns how many plain bytes were
    /// taken: all of them, or none while the handshake goes on.
    ///
    /// # Errors
    /// When sending was finished, or the keys are used up.
    fn send(&mut self, left: &mut [u8], plain: &[u8], out: &mut Outgoing) -> Result<usize, Error>;

    /// Adds to `out` what says that nothing more will be sent.
    ///
    /// # Errors
    /// When the session has failed before.
    fn finish(&mut self, left: &mut [u8], out: &mut Outgoing) -> Result<(), Error>;

    /// How far it is.
    fn state(&self) -> State;

    /// Whether it holds plain bytes that [`receive`](Self::receive) would give without more
    /// cipher bytes.
    fn holds(&self) -> bool;

    /// What was agreed on; complete once the handshake is over.
    fn facts(&self) -> Facts;
}

/// What [`Session::receive`] has done.
#[derive(Debug)]
pub struct Received {
    /// Cipher bytes that are used up.
    pub taken: usize,
    /// Plain bytes that were put out.
    pub given: usize,
    /// Whether it can go on only when more cipher bytes have come; else there was no room for
    /// more plain bytes.
    pub wants_more: bool,
    /// What is wrong, if anything is: nothing more will come.
    pub failure: Option<Error>,
}

/// A version of TLS. Older ones are not spoken: RFC 8996 forbids it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Both sides still agree on keys.
    Handshaking,
    /// Bytes pass in both directions.
    Open,
    /// The peer has said that it sends nothing more. We may.
    PeerClosed,
    /// We have said that we send nothing more. The peer may.
    Finished,
    /// Both have said so.
    Closed,
    /// It has failed.
    Failed,
}

/// What both sides have agreed on, and what they know of each other.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The version of TLS.
    pub version: Option<Version>,
    /// The cipher suite by its name, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher_suite: Option<&'static str>,
    /// The application protocol (ALPN), such as `h2`. None: there was none to agree on.
    pub alpn: Option<Vec<u8>>,
    /// On a server: the name that the client has asked for (SNI).
    pub server_name: Option<String>,
    /// The peer's certificates, its own first, each as DER.
    pub peer_certificates: Vec<Vec<u8>>,
    /// Whether an earlier session was taken up, which spares both sides the certificates.
    pub resumed: bool,
}
