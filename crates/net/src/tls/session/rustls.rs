//! A session by `rustls` 0.23, through its unbuffered calls.
//!
//! What it copies and allocates today, a record: received, one vector into which it copies what it
//! has deciphered in place, which is then copied to the reader; sent, one vector into which it
//! copies the plain bytes and enciphers them, which is then copied to where it leaves. Version
//! 0.24 hands out what was deciphered where it lies: `read` below then shrinks to one copy, and
//! [`Rest`] goes, since what was not read stays in the buffer of the layer.
//!
//! Built with debug assertions, the library panics when a peer sends a broken record after we have
//! ended our side (its issue 959). Without them, as it is released and as this workspace builds
//! it, that is a failure as any other.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, ReadTraffic, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{
    ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig, SupportedCipherSuite,
};
use rustls_pki_types::ServerName;

use super::{Facts, MOST_PLAIN, OVERHEAD, Outgoing, Received, Session, State, Version};
use crate::tls::Error;
use crate::tls::error::{not_tls, of_session};
use crate::tls::store;

/// What one who speaks HTTP to a server is told, in words that they understand.
const TO_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\
    \r\n\r\nThis port speaks TLS: connect with https:// or wss://\r\n";

/// Bytes of the head of a record.
const HEAD: usize = 5;

/// A session of a client that wants to speak to `name`.
pub(in crate::tls) fn client(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    offered: Arc<str>,
) -> Result<Box<dyn Session>, Error> {
    let side = UnbufferedClientConnection::new(config, name)
        .map_err(|error| of_session(error, "server", &offered))?;
    Ok(Box::new(Rustls::new(side, offered)))
}

/// A session of a server.
pub(in crate::tls) fn server(
    config: Arc<ServerConfig>,
    offered: Arc<str>,
) -> Result<Box<dyn Session>, Error> {
    let side = UnbufferedServerConnection::new(config)
        .map_err(|error| of_session(error, "client", &offered))?;
    Ok(Box::new(Rustls::new(side, offered)))
}

/// What clients and servers differ in.
trait Side {
    /// What the library keeps for it.
    type Data;
    /// What the peer is.
    const PEER: &'static str;
    /// What one who speaks HTTP to it is told.
    const TO_HTTP: &'static [u8];

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;

    /// The name that was asked for in what was processed last.
    fn asked() -> Option<String>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const PEER: &'static str = "server";
    const TO_HTTP: &'static [u8] = b"";

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(cipher)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn asked() -> Option<String> {
        None
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    const PEER: &'static str = "client";
    const TO_HTTP: &'static [u8] = TO_HTTP;

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(cipher)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn asked() -> Option<String> {
        store::take_asked()
    }
}

struct Rustls<S> {
    side: S,
    /// The application protocols, as an error names them.
    offered: Arc<str>,
    /// Of a record that was larger than the reader's room.
    rest: Rest,
    asked: Option<String>,
    /// The peer has begun with something that may be TLS.
    begun: bool,
    /// What the last receive has left is the beginning of a record, or of a message in records.
    left_waits: bool,
    peer_closed: bool,
    finished: bool,
    failure: Option<Error>,
}

/// What came of one state of the library.
enum Step {
    /// Look again.
    Again,
    /// So many plain bytes were put out.
    Given(usize),
    /// There is no room for more plain bytes.
    Full,
    /// More cipher bytes are wanted.
    Wants,
}

impl<S: Side> Rustls<S> {
    fn new(side: S, offered: Arc<str>) -> Self {
        Self {
            side,
            offered,
            rest: Rest::default(),
            asked: None,
            begun: false,
            left_waits: false,
            peer_closed: false,
            finished: false,
            failure: None,
        }
    }

    /// Whether what has come first may be TLS. None: too little has come.
    fn begins(&mut self, cipher: &[u8], answer: &mut Outgoing) -> Option<Result<(), Error>> {
        if self.begun || cipher.is_empty() {
            return Some(Ok(()));
        }
        let (first, _) = cipher.split_at_checked(HEAD)?;
        // Change of cipher, alert, handshake, data: RFC 8446 §5.1; then a version 3.x.
        if (20..=23).contains(&first[0]) && first[1] == 3 {
            self.begun = true;
            return Some(Ok(()));
        }
        let error = not_tls(cipher);
        if error == Error::PlainHttp {
            let told = answer.spare(S::TO_HTTP.len());
            told[..S::TO_HTTP.len()].copy_from_slice(S::TO_HTTP);
            answer.filled(S::TO_HTTP.len());
        }
        Some(Err(error))
    }

    /// Takes the library on by one state. Returns how much of `cipher` is used up too.
    fn step(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        answer: &mut Outgoing,
    ) -> (usize, Result<Step, Error>) {
        let UnbufferedStatus { discard, state } = self.side.process(cipher);
        let step = match state {
            Err(error) => Err(self.fail(error, &mut cipher[discard..], answer)),
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, answer),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::ReadTraffic(data)) => Ok(read(data, plain, &mut self.rest)),
            Ok(ConnectionState::PeerClosed) => {
                self.peer_closed = true;
                Ok(Step::Again)
            }
            // There is no early data, since no configuration of ours allows it.
            Ok(_) => Ok(Step::Wants),
        };
        (discard, step)
    }

    /// It has failed. Adds what tells the peer why, before which the library looks at no more
    /// bytes: it may not look at any after a failure.
    fn fail(&mut self, error: rustls::Error, cipher: &mut [u8], answer: &mut Outgoing) -> Error {
        // Behind our end nothing may follow, RFC 8446 §6.1.
        while !self.finished && self.side.common().wants_write() {
            let status = self.side.process(cipher);
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else { break };
            if encode(data, answer).is_err() {
                break;
            }
        }
        let error = of_session(error, S::PEER, &self.offered);
        self.failure = Some(error.clone());
        error
    }

    /// Does what can be done only when application data may be sent. False: the handshake goes
    /// on.
    fn when_open(
        &mut self,
        left: &mut [u8],
        out: &mut Outgoing,
        mut act: impl FnMut(WriteTraffic<'_, S::Data>, &mut Outgoing) -> Result<(), EncryptError>,
    ) -> Result<bool, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.finished {
            return Err(Error::Finished);
        }
        // Whole records that nobody has room for are not to be looked at now.
        let left = if self.left_waits { left } else { &mut [] };
        loop {
            let UnbufferedStatus { discard, state } = self.side.process(left);
            debug_assert_eq!(discard, 0, "what is left is part of a record");
            match state {
                Err(error) => return Err(self.fail(error, left, out)),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    act(traffic, out)
                        .map_err(|error| Error::Broken { reason: error.to_string() })?;
                    return Ok(true);
                }
                Ok(ConnectionState::EncodeTlsData(data)) => _ = encode(data, out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(data)) => keep(data, &mut self.rest),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::Closed) => return Err(Error::Finished),
                Ok(_) => return Ok(false),
            }
        }
    }
}

impl<S: Side> Session for Rustls<S> {
    fn receive(&mut self, cipher: &mut [u8], plain: &mut [u8], answer: &mut Outgoing) -> Received {
        let given = self.rest.give(plain);
        let mut done = Received { taken: 0, given, wants_more: false, failure: None };
        self.left_waits = false;
        if self.failure.is_some() {
            done.failure.clone_from(&self.failure);
            return done;
        }
        match self.begins(cipher, answer) {
            None => done.wants_more = true,
            Some(Ok(())) => {}
            Some(Err(error)) => done.failure = Some(error),
        }
        while !done.wants_more && done.failure.is_none() {
            if done.given == plain.len() && !plain.is_empty() {
                break;
            }
            let (left, room) = (&mut cipher[done.taken..], &mut plain[done.given..]);
            let (taken, step) = self.step(left, room, answer);
            done.taken += taken;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Given(count)) => done.given += count,
                Ok(Step::Full) => break,
                Ok(Step::Wants) => done.wants_more = true,
                Err(error) => done.failure = Some(error),
            }
        }
        self.asked = S::asked().or(self.asked.take());
        self.left_waits = done.wants_more && self.begun;
        self.failure.clone_from(&done.failure);
        done
    }

    fn send(&mut self, left: &mut [u8], plain: &[u8], out: &mut Outgoing) -> Result<usize, Error> {
        let plain = &plain[..plain.len().min(MOST_PLAIN)];
        if plain.is_empty() {
            return Ok(0);
        }
        let open = self.when_open(left, out, |mut traffic, out| {
            let mut size = plain.len() + OVERHEAD;
            loop {
                match traffic.encrypt(plain, out.spare(size)) {
                    Ok(count) => {
                        out.filled(count);
                        return Ok(());
                    }
                    // An answer of the library's own goes before it.
                    Err(EncryptError::InsufficientSize(least)) if least.required_size > size => {
                        size = least.required_size;
                    }
                    Err(error) => return Err(error),
                }
            }
        })?;
        Ok(if open { plain.len() } else { 0 })
    }

    fn finish(&mut self, left: &mut [u8], out: &mut Outgoing) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        self.when_open(left, out, |mut traffic, out| {
            let count = traffic.queue_close_notify(out.spare(MOST_PLAIN))?;
            out.filled(count);
            Ok(())
        })?;
        self.finished = true;
        Ok(())
    }

    fn state(&self) -> State {
        match (&self.failure, self.peer_closed, self.finished) {
            (Some(_), ..) => State::Failed,
            (None, true, true) => State::Closed,
            (None, true, false) => State::PeerClosed,
            (None, false, true) => State::Finished,
            (None, false, false) if self.side.common().is_handshaking() => State::Handshaking,
            (None, false, false) => State::Open,
        }
    }

    fn holds(&self) -> bool {
        !self.rest.is_empty()
    }

    fn facts(&self) -> Facts {
        let common = self.side.common();
        let version = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some(Version::Tls12),
            Some(ProtocolVersion::TLSv1_3) => Some(Version::Tls13),
            _ => None,
        };
        let certificates = common.peer_certificates().unwrap_or_default();
        Facts {
            version,
            cipher_suite: common.negotiated_cipher_suite().and_then(name),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            server_name: self.asked.clone(),
            peer_certificates: certificates.iter().map(|der| der.to_vec()).collect(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

fn name(suite: SupportedCipherSuite) -> Option<&'static str> {
    suite.suite().as_str()
}

/// Adds a record that the library has made on its own account.
fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Outgoing) -> Result<Step, Error> {
    let mut size = OVERHEAD;
    loop {
        match data.encode(out.spare(size)) {
            Ok(count) => {
                out.filled(count);
                return Ok(Step::Again);
            }
            Err(EncodeError::InsufficientSize(least)) if least.required_size > size => {
                size = least.required_size;
            }
            Err(error) => return Err(Error::Broken { reason: error.to_string() }),
        }
    }
}

/// Puts out the next record: all of it, or what there is room for and the rest later. A reader
/// that has got something already gets a record that does not fit with its next call.
fn read<D>(mut data: ReadTraffic<'_, '_, D>, plain: &mut [u8], rest: &mut Rest) -> Step {
    if plain.is_empty() {
        return Step::Full;
    }
    let Some(Ok(record)) = data.next_record() else { return Step::Again };
    let (now, later) = record.payload.split_at(record.payload.len().min(plain.len()));
    plain[..now.len()].copy_from_slice(now);
    rest.put(later);
    Step::Given(now.len())
}

/// Keeps what has come until somebody reads.
fn keep<D>(mut data: ReadTraffic<'_, '_, D>, rest: &mut Rest) {
    while let Some(Ok(record)) = data.next_record() {
        rest.put(record.payload);
    }
}

/// Plain bytes that a reader had no room for.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    /// The first that was not given.
    at: usize,
}

/// Spare memory for rests that a thread keeps.
const MOST_SPARE: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn give(&mut self, plain: &mut [u8]) -> usize {
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(plain.len());
        plain[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        if count > 0 && self.at == self.bytes.len() {
            self.give_back();
        }
        count
    }

    /// An empty rest holds no memory.
    fn give_back(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        (self.at, _) = (0, bytes.clear());
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST_SPARE {
                spare.push(bytes);
            }
        });
    }
}
