//! Two sessions that talk through memory.

use rcgen::generate_simple_self_signed;

use super::*;
use crate::tls::{Acceptor, Connector, Identity, Roots};

/// A client and a server, and the cipher bytes between them.
struct Pair {
    client: End,
    server: End,
}

/// One side: its session, what has arrived, what is under way to the other, what was read.
struct End {
    session: Box<dyn Session>,
    arrived: Vec<u8>,
    leaving: Outgoing,
    read: Vec<u8>,
    failure: Option<Error>,
}

impl End {
    fn new(session: Box<dyn Session>) -> Self {
        Self {
            session,
            arrived: Vec::new(),
            leaving: Outgoing::default(),
            read: Vec::new(),
            failure: None,
        }
    }

    /// Takes in all that has arrived, with room for `room` bytes a call.
    fn take_in(&mut self, room: usize) {
        let mut plain = vec![0; room];
        for _ in 0..100_000 {
            let done = self.session.receive(&mut self.arrived, &mut plain, &mut self.leaving);
            self.arrived.drain(..done.taken);
            self.read.extend_from_slice(&plain[..done.given]);
            self.failure = done.failure;
            if done.wants_more || self.failure.is_some() || room == 0 {
                return;
            }
        }
        panic!("a receive that never ends");
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        self.session.send(&mut self.arrived, bytes, &mut self.leaving).unwrap()
    }

    fn finish(&mut self) {
        self.session.finish(&mut self.arrived, &mut self.leaving).unwrap();
    }

    fn take_leaving(&mut self) -> Vec<u8> {
        let bytes = self.leaving.bytes().to_vec();
        self.leaving.clear();
        bytes
    }
}

impl Pair {
    fn new(version: Version) -> Self {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
        let acceptor = Acceptor::builder().identity(identity).build().unwrap();
        let connector = Connector::builder()
            .roots(Roots::from_pem(made.cert.pem()).unwrap())
            .least_version(version)
            .most_version(version)
            .build()
            .unwrap();
        Self::of(&connector, &acceptor)
    }

    fn of(connector: &Connector, acceptor: &Acceptor) -> Self {
        let client = End::new(connector.session("localhost").unwrap());
        let server = End::new(acceptor.session().unwrap());
        Self { client, server }
    }

    fn open(version: Version) -> Self {
        let mut pair = Self::new(version);
        pair.settle(usize::MAX);
        assert_eq!((pair.client.session.state(), pair.server.session.state()), OPEN);
        pair
    }

    /// Carries bytes between both, `at_a_time` at most, until none are under way.
    fn settle(&mut self, at_a_time: usize) {
        self.client.take_in(1 << 16);
        for _ in 0..1000 {
            let (up, down) = (self.client.take_leaving(), self.server.take_leaving());
            if up.is_empty() && down.is_empty() {
                return;
            }
            carry(&up, &mut self.server, at_a_time);
            carry(&down, &mut self.client, at_a_time);
        }
        panic!("two sessions that never settle");
    }
}

fn carry(bytes: &[u8], to: &mut End, at_a_time: usize) {
    for piece in bytes.chunks(at_a_time.min(bytes.len().max(1))) {
        to.arrived.extend_from_slice(piece);
        to.take_in(1 << 16);
    }
}

const OPEN: (State, State) = (State::Open, State::Open);
const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

/// A handshake and data in both directions come out the same when every byte arrives alone.
#[test]
fn a_byte_at_a_time_comes_out_the_same() {
    for version in BOTH {
        let mut pair = Pair::new(version);
        pair.settle(1);
        assert_eq!((pair.client.session.state(), pair.server.session.state()), OPEN);
        assert_eq!(pair.client.session.facts().version, Some(version));
        assert_eq!(pair.server.session.facts().server_name.as_deref(), Some("localhost"));
        assert_eq!(pair.client.session.facts().peer_certificates.len(), 1);
        pair.client.send(b"a question");
        pair.server.send(b"an answer");
        pair.settle(1);
        assert_eq!(
            (&pair.server.read[..], &pair.client.read[..]),
            (&b"a question"[..], &b"an answer"[..])
        );
    }
}

/// Two records that are split at every place between them come out whole.
#[test]
fn records_may_be_split_anywhere() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        let len = {
            pair.client.send(b"first");
            pair.client.send(b"second");
            pair.client.leaving.bytes().len()
        };
        pair.settle(usize::MAX);
        for at in 0..=len {
            pair.server.read.clear();
            pair.client.send(b"first");
            pair.client.send(b"second");
            let bytes = pair.client.take_leaving();
            for part in [&bytes[..at], &bytes[at..]] {
                pair.server.arrived.extend_from_slice(part);
                pair.server.take_in(64);
            }
            assert_eq!(pair.server.read, b"firstsecond", "split at {at}");
        }
    }
}

/// Records that arrive together are put out together, as far as there is room, and a reader with
/// little room gets all of a large record.
#[test]
fn a_reader_with_little_room_gets_everything() {
    for (version, room) in BOTH.into_iter().flat_map(|v| [1, 7, 1000, 1 << 17].map(|r| (v, r))) {
        let mut pair = Pair::open(version);
        let sent: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
        let mut at = 0;
        while at < sent.len() {
            at += pair.client.send(&sent[at..]);
        }
        pair.server.arrived = pair.client.take_leaving();
        pair.server.take_in(room);
        assert!(pair.server.read == sent, "room for {room}");
        assert!(!pair.server.session.holds());
    }
}

/// While a reader takes its time, the session can send: what has come is kept.
#[test]
fn sending_goes_on_while_records_wait_to_be_read() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        pair.client.send(&[7; 5000]);
        pair.client.send(&[8; 5000]);
        pair.server.arrived = pair.client.take_leaving();
        let mut plain = [0; 100];
        let done = pair.server.session.receive(
            &mut pair.server.arrived,
            &mut plain,
            &mut pair.server.leaving,
        );
        pair.server.arrived.drain(..done.taken);
        assert_eq!((done.given, done.wants_more), (100, false));
        assert!(pair.server.session.holds());
        pair.server.send(b"answer");
        pair.settle(usize::MAX);
        assert_eq!(pair.client.read, b"answer");
        pair.server.take_in(1 << 16);
        assert_eq!(pair.server.read.len(), 9900);
    }
}

/// After the peer has ended its side, one can still send, and the peer still reads; then both
/// know that it is over.
#[test]
fn each_side_ends_by_itself() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        pair.client.send(b"last words");
        pair.client.finish();
        pair.settle(usize::MAX);
        assert_eq!(pair.server.read, b"last words");
        assert_eq!(pair.client.session.state(), State::Finished);
        assert_eq!(pair.server.session.state(), State::PeerClosed);
        pair.server.send(b"a late answer");
        pair.server.finish();
        pair.settle(usize::MAX);
        assert_eq!(pair.client.read, b"a late answer");
        assert_eq!(
            (pair.client.session.state(), pair.server.session.state()),
            (State::Closed, State::Closed)
        );
        let late = pair.client.session.send(&mut [], b"too late", &mut Outgoing::default());
        assert_eq!(late, Err(Error::Finished));
    }
}

/// A changed byte ends the session, is told, and the peer is told why.
#[test]
fn a_changed_byte_is_found_and_told_to_the_peer() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        pair.client.send(b"honest");
        pair.client.send(b"changed");
        let mut bytes = pair.client.take_leaving();
        *bytes.last_mut().unwrap() ^= 1;
        pair.server.arrived = bytes;
        pair.server.take_in(64);
        assert_eq!(pair.server.read, b"honest", "what came before it is given");
        assert!(matches!(pair.server.failure, Some(Error::Broken { .. })));
        assert_eq!(pair.server.session.state(), State::Failed);
        let alert = pair.server.take_leaving();
        carry(&alert, &mut pair.client, usize::MAX);
        let Some(Error::Alert { name, code, .. }) = &pair.client.failure else {
            panic!("{:?}", pair.client.failure)
        };
        assert_eq!((name.as_str(), *code), ("BadRecordMac", 20));
    }
}

/// A broken record behind our own end is a failure, to which nothing is said any more.
#[test]
fn a_broken_record_behind_our_end_is_a_failure() {
    for version in BOTH {
        let mut pair = Pair::open(version);
        pair.client.finish();
        pair.settle(usize::MAX);
        pair.server.send(b"changed");
        let mut bytes = pair.server.take_leaving();
        *bytes.last_mut().unwrap() ^= 1;
        carry(&bytes, &mut pair.client, usize::MAX);
        assert!(matches!(pair.client.failure, Some(Error::Broken { .. })));
        assert!(pair.client.take_leaving().is_empty());
    }
}

/// Whoever speaks HTTP to a server for TLS is told so in HTTP, and the server in its error.
#[test]
fn plain_http_is_recognised_and_answered() {
    let mut pair = Pair::new(Version::Tls13);
    carry(b"GET / HTTP/1.1\r\n\r\n", &mut pair.server, 3);
    assert_eq!(pair.server.failure, Some(Error::PlainHttp));
    assert!(pair.server.take_leaving().starts_with(b"HTTP/1.0 400 "));
}

/// A session is taken up again with either sort of memory, and not when there is none.
#[test]
fn sessions_are_taken_up_again() {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    for (tickets, remembered) in [(true, 0), (false, 64), (false, 0)] {
        for version in BOTH {
            let acceptor = Acceptor::builder()
                .identity(identity.clone())
                .tickets(tickets)
                .remember_sessions(remembered)
                .build()
                .unwrap();
            let connector = Connector::builder()
                .roots(Roots::from_pem(made.cert.pem()).unwrap())
                .most_version(version)
                .build()
                .unwrap();
            let resumed = [(); 2].map(|()| {
                let mut pair = Pair::of(&connector, &acceptor);
                pair.settle(usize::MAX);
                assert_eq!((pair.client.session.state(), pair.server.session.state()), OPEN);
                assert_eq!(
                    pair.client.session.facts().resumed,
                    pair.server.session.facts().resumed
                );
                pair.server.session.facts().resumed
            });
            assert_eq!(resumed, [false, tickets || remembered > 0], "{version:?} {tickets}");
        }
    }
}
