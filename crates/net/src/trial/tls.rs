//! A peer of a TLS session that says whatever it likes.

use rcgen::generate_simple_self_signed;

use crate::tls::{Acceptor, Connector, Identity, Outgoing, Roots, Session, State, Version};

/// Rounds in which two sessions have agreed, or never will.
const ROUNDS: usize = 40;

/// Bytes of a first part that says how the rest is played.
const HEAD: usize = 4;

thread_local! {
    static CONFIGURED: [(Connector, Acceptor); 2] =
        [Version::Tls12, Version::Tls13].map(configured);
}

fn configured(version: Version) -> (Connector, Acceptor) {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let acceptor = Acceptor::builder().identity(Identity::from_pem(chain.clone(), key)).build();
    let roots = Roots::from_pem(chain).expect("what was just made");
    let connector = Connector::builder().roots(roots).remember_sessions(0);
    let connector = connector.least_version(version).most_version(version).build();
    (connector.expect("a client"), acceptor.expect("a server"))
}

/// Plays a peer against a session, or changes what two sessions say to each other. The first bytes
/// choose: who it is done to, the version, what is done, how it is cut.
///
/// # Panics
/// If a session panics, counts wrongly, goes on after a failure, or fails although nothing was
/// changed.
pub fn tls_session(bytes: &[u8]) {
    let Some((&[choice, cut, room, when], rest)) = bytes.split_first_chunk::<HEAD>() else {
        return;
    };
    let version = usize::from(choice >> 1 & 1);
    let (client, server) = CONFIGURED.with(|both| {
        let (connector, acceptor) = &both[version];
        (connector.session("localhost").expect("a name"), acceptor.session().expect("a server"))
    });
    let (mut client, mut server) = (End::new(client, cut, room), End::new(server, cut, room));
    let mut edits = Edits { left: rest, countdown: usize::from(when) };
    if choice & 4 == 0 {
        // Nothing but what was made up.
        let end = if choice & 1 == 0 { &mut client } else { &mut server };
        end.hear(rest);
        return;
    }
    for _ in 0..ROUNDS {
        client.say();
        server.say();
        let (mut up, mut down) = (client.take_leaving(), server.take_leaving());
        edits.change(&mut up);
        edits.change(&mut down);
        server.hear(&up);
        client.hear(&down);
    }
    if rest.is_empty() {
        let states = (client.session.state(), server.session.state());
        assert_eq!(states, (State::Closed, State::Closed), "nothing was changed");
    }
}

/// Changes to what passes: how far on, and by what a byte is changed.
struct Edits<'b> {
    left: &'b [u8],
    countdown: usize,
}

impl Edits<'_> {
    fn change(&mut self, passing: &mut [u8]) {
        let mut at = 0;
        while let Some((&[far, by], rest)) = self.left.split_first_chunk() {
            let left = passing.len() - at;
            if self.countdown >= left {
                self.countdown -= left;
                return;
            }
            at += self.countdown;
            passing[at] ^= by;
            self.left = rest;
            self.countdown = 1 + usize::from(far);
        }
    }
}

/// One side, and what is checked of it.
struct End {
    session: Box<dyn Session>,
    arrived: Vec<u8>,
    leaving: Outgoing,
    plain: Vec<u8>,
    /// Bytes that arrive at a time.
    cut: usize,
    said: bool,
}

impl End {
    fn new(session: Box<dyn Session>, cut: u8, room: u8) -> Self {
        Self {
            session,
            arrived: Vec::new(),
            leaving: Outgoing::default(),
            plain: vec![0; 1 + 64 * usize::from(room)],
            cut: 1 + 16 * usize::from(cut),
            said: false,
        }
    }

    fn take_leaving(&mut self) -> Vec<u8> {
        let bytes = self.leaving.bytes().to_vec();
        self.leaving.clear();
        bytes
    }

    /// Takes in nothing, then says its word and ends, once it can.
    fn say(&mut self) {
        self.take_in();
        if self.said || self.session.state() == State::Handshaking {
            return;
        }
        self.said = true;
        let Self { session, arrived, leaving, .. } = self;
        match session.send(arrived, b"a word", leaving) {
            Ok(count) => assert_eq!(count, 6),
            Err(_) => return,
        }
        // It may have failed meanwhile.
        let _ = session.finish(arrived, leaving);
    }

    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.cut) {
            self.arrived.extend_from_slice(piece);
            self.take_in();
        }
    }

    fn take_in(&mut self) {
        for _ in 0..1 + self.arrived.len() {
            let Self { session, arrived, leaving, plain, .. } = self;
            let done = session.receive(arrived, plain, leaving);
            assert!(done.taken <= arrived.len() && done.given <= plain.len());
            assert!(leaving.bytes().len() < 1 << 17, "answers have a bound");
            arrived.drain(..done.taken);
            if let Some(failure) = done.failure {
                assert_eq!(session.state(), State::Failed);
                let again = session.receive(arrived, plain, leaving);
                assert_eq!((again.taken, again.failure), (0, Some(failure)));
                assert!(session.send(arrived, b"more", leaving).is_err());
                return;
            }
            if done.wants_more {
                return;
            }
            assert!(done.taken + done.given > 0, "it gets on, or wants more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sessions between which nothing is changed agree and end, however what they say is cut.
    #[test]
    fn unchanged_sessions_end_in_order() {
        for (choice, cut) in
            [4, 6].into_iter().flat_map(|choice| [0, 1, 3, 255].map(|cut| (choice, cut)))
        {
            for room in [0, 1, 255] {
                tls_session(&[choice, cut, room, 0]);
            }
        }
    }

    /// Whatever a peer says, and whatever is changed on the way, is a named failure and no panic.
    #[test]
    fn whatever_comes_is_no_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..600 {
            let mut bytes: Vec<u8> = (0..random.usize(HEAD..200)).map(|_| random.u8(..)).collect();
            if random.bool() && bytes.len() > HEAD + 3 {
                // The head of a handshake record, so that more is looked at.
                bytes[HEAD..HEAD + 3].copy_from_slice(&[22, 3, 3]);
            }
            tls_session(&bytes);
        }
    }

    /// What fuzzing has found, and what it began with, is played without harm.
    #[test]
    fn the_corpus_is_played() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/tls_session");
        let kept = std::fs::read_dir(folder).unwrap();
        let files: Vec<_> = kept.map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 8, "{} files", files.len());
        for file in files {
            println!("{}", file.display()); // shown if it fails
            tls_session(&std::fs::read(&file).unwrap());
        }
    }
}
