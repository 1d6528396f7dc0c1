//! Channels whose users are killed at random, again and again, while others come: there is one
//! segment all the time, what was committed arrives once, seats come back, and nothing is left.
//!
//! A sender notes each message that it has sent, a receiver each one that it has on loan, before it
//! gives it back.

mod processes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use processes::storm::{Part, Storm, attach, nothing_is_left, strikes};
use processes::users::{GUEST, OWNER, are_to_be_had};
use tautline_bus::bytes::{self, Bytes, ReserveError};
use tautline_bus::channel::{self, Channel, Config};
use tautline_bus::pool::{self, Borrower, Pool, RedeemError, Ticket};
use tautline_bus::shared::{Guests, Namespace};
use tautline_bus::{Full, SendError, Shared};

const SENDERS: usize = 3;
const RECEIVERS: usize = 2;
const BUFFERS: usize = 256;
const SHORT: Duration = Duration::from_millis(2);

/// A way on which messages go: who sent it, and its number.
trait Way: Sized + std::fmt::Debug {
    type Sender;
    type Receiver;

    fn open(namespace: &str) -> Self;
    fn sender(&self) -> Option<Self::Sender>;
    fn receiver(&self) -> Option<Self::Receiver>;
    /// Whether there was room.
    fn send(sender: &mut Self::Sender, message: [u64; 2]) -> bool;
    /// Takes what is there, and notes it while it is on loan.
    fn receive_some(receiver: &mut Self::Receiver, part: &mut Part);
    fn is_empty(&self) -> bool;
    fn users(&self) -> [usize; 2];
}

type Numbers = Channel<[u64; 2], Shared>;

impl Way for Numbers {
    type Sender = channel::Sender<[u64; 2], Shared>;
    type Receiver = channel::Receiver<[u64; 2], Shared>;

    /// A lane for each sender, or one ring for all, as the namespace begins; of another user, if it
    /// has guests and this is one.
    fn open(namespace: &str) -> Self {
        let receivers = if namespace.starts_with("lanes") { 1 } else { RECEIVERS };
        let config = Config { capacity: 32, senders: SENDERS + 1, receivers, ..Config::default() };
        let place = if !namespace.starts_with("guests") {
            Namespace::new(namespace)
        } else if rustix::process::geteuid().as_raw() == OWNER {
            // Root among them, which the test is.
            Namespace::new(namespace).guests(Guests::Users(vec![0, GUEST]))
        } else {
            Namespace::of_user(namespace, OWNER)
        };
        Numbers::open(place, "storm", config).unwrap()
    }

    fn sender(&self) -> Option<Self::Sender> {
        self.sender().ok()
    }

    fn receiver(&self) -> Option<Self::Receiver> {
        self.receiver().ok()
    }

    fn send(sender: &mut Self::Sender, message: [u64; 2]) -> bool {
        match sender.send_timeout(message, SHORT) {
            Ok(()) => true,
            Err(SendError::TimedOut(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn receive_some(receiver: &mut Self::Receiver, part: &mut Part) {
        _ = receiver.wait(Some(SHORT));
        while let Ok(loan) = receiver.take() {
            let [id, number] = loan.read().unwrap();
            part.note(&[id, number, u64::from(loan.is_redelivered())]);
        }
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn users(&self) -> [usize; 2] {
        self.users()
    }
}

impl Way for Bytes<Shared> {
    type Sender = bytes::Sender<Shared>;
    type Receiver = bytes::Receiver<Shared>;

    fn open(namespace: &str) -> Self {
        let config =
            bytes::Config { capacity: 4096, senders: SENDERS + 1, ..bytes::Config::default() };
        Bytes::open(namespace, "storm", config).unwrap()
    }

    fn sender(&self) -> Option<Self::Sender> {
        self.sender().ok()
    }

    fn receiver(&self) -> Option<Self::Receiver> {
        self.receiver().ok()
    }

    /// The number, and as many bytes of it as that says.
    fn send(sender: &mut Self::Sender, [id, number]: [u64; 2]) -> bool {
        let len = 16 + number as usize % 300;
        let mut claim = match sender.reserve_timeout(len, SHORT) {
            Ok(claim) => claim,
            Err(ReserveError::TimedOut) => return false,
            Err(error) => panic!("{error}"),
        };
        let mut view = claim.view_mut();
        view.write(0, &[id, number]);
        view.copy_from(16, &[number as u8; 300][..len - 16]);
        claim.commit(len);
        true
    }

    fn receive_some(receiver: &mut Self::Receiver, part: &mut Part) {
        _ = receiver.wait(Some(SHORT));
        while let Ok(message) = receiver.take() {
            let bytes = message.view().to_vec();
            let [id, number] = message.view().read::<[u64; 2]>(0).unwrap();
            assert_eq!(bytes.len(), 16 + number as usize % 300);
            assert!(bytes[16..].iter().all(|byte| *byte == number as u8), "{bytes:?}");
            part.note(&[id, number, u64::from(message.is_redelivered())]);
        }
    }

    fn is_empty(&self) -> bool {
        self.used() == 0
    }

    fn users(&self) -> [usize; 2] {
        self.users()
    }
}

/// Buffers, whose tickets go through a channel.
#[derive(Debug)]
struct Buffers {
    pool: Pool<[u64; 2], Shared>,
    way: Channel<Ticket, Shared>,
}

impl Way for Buffers {
    type Sender = (Borrower<[u64; 2], Shared>, channel::Sender<Ticket, Shared>);
    type Receiver = (Borrower<[u64; 2], Shared>, channel::Receiver<Ticket, Shared>);

    /// More buffers than are ever on their way, so that none is lent whose ticket may be.
    fn open(namespace: &str) -> Self {
        let config = Config {
            capacity: 32,
            senders: SENDERS + 1,
            full: Full::Block(Some(SHORT)),
            ..Config::default()
        };
        let way = Channel::open(namespace, "storm", config).unwrap();
        let config = pool::Config { buffers: BUFFERS, borrowers: 16, ..pool::Config::default() };
        Self { pool: Pool::open(namespace, "pool", config).unwrap(), way }
    }

    fn sender(&self) -> Option<Self::Sender> {
        Some((self.pool.borrower().ok()?, self.way.sender().ok()?))
    }

    fn receiver(&self) -> Option<Self::Receiver> {
        Some((self.pool.borrower().ok()?, self.way.receiver().ok()?))
    }

    fn send((borrower, sender): &mut Self::Sender, message: [u64; 2]) -> bool {
        let mut draft = borrower.loan().unwrap();
        draft.write(&message);
        match draft.freeze().send(sender) {
            Ok(()) => true,
            Err(SendError::TimedOut(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn receive_some((borrower, receiver): &mut Self::Receiver, part: &mut Part) {
        _ = receiver.wait(Some(SHORT));
        while let Ok(loan) = receiver.take() {
            // One that had given its buffer back when it died has noted it before.
            let buffer = match borrower.redeem(loan.ticket().unwrap()) {
                Ok(buffer) => buffer,
                Err(RedeemError::Stale) if loan.is_redelivered() => continue,
                Err(error) => panic!("{error}"),
            };
            let [id, number] = buffer.read().unwrap();
            part.note(&[id, number, u64::from(loan.is_redelivered())]);
        }
        _ = borrower.loan_timeout(Duration::ZERO);
    }

    /// With all buffers back.
    fn is_empty(&self) -> bool {
        self.way.is_empty() && self.pool.available() == BUFFERS
    }

    fn users(&self) -> [usize; 2] {
        self.way.users()
    }
}

// --------------------------------------------------------------------------------- the users

/// What a user does; nothing where the test itself is run.
#[test]
fn a_user_of_the_storm() {
    let Some(part) = Part::of_this_process() else { return };
    match part.namespace().split('-').next().unwrap() {
        "bytes" => play::<Bytes<Shared>>(part),
        "pool" => play::<Buffers>(part),
        _ => play::<Numbers>(part),
    }
    // Not back into the harness, whose output nobody reads any more.
    std::process::exit(0);
}

fn play<W: Way>(mut part: Part) {
    let way = W::open(part.namespace());
    part.joined();
    if part.role.starts_with("sender") {
        return send::<W>(way, part);
    }
    let mut receiver = attach(|| way.receiver());
    // Until it is killed.
    loop {
        W::receive_some(&mut receiver, &mut part);
    }
}

/// Sends numbers, each noted when it is sent, until it is told to stop.
fn send<W: Way>(way: W, mut part: Part) {
    let mut sender = attach(|| way.sender());
    let id = u64::from(std::process::id());
    let mut next = 0;
    while !part.is_over() {
        for _ in 0..50 {
            if !W::send(&mut sender, [id, next]) {
                break;
            }
            part.note(&[next]);
            next += 1;
        }
    }
}

// ---------------------------------------------------------------------------------- the storm

fn storm<W: Way>(kind: &str, strikes: usize) {
    let mut storm = Storm::new(kind, &[("sender", SENDERS), ("receiver", RECEIVERS)]);
    storm.rage(strikes);
    drain_the_rest::<W>(&mut storm);
    balance(&storm);
    nothing_is_left(storm.namespace());
}

/// A thousand users are killed, half of them around a channel of lanes and half around one of one
/// ring, and the books balance.
#[test]
fn the_killed_lose_nothing_and_leave_nothing() {
    storm::<Numbers>("lanes-", strikes() / 2);
    storm::<Numbers>("ring-", strikes() / 2);
}

/// Hosts and guests in turn, and all hosts or all guests at once: each time the next find the same
/// segment with those who are left, and the books balance.
#[test]
fn the_killed_of_several_users_lose_nothing_and_leave_nothing() {
    if !are_to_be_had("hosts and guests that are killed") {
        return;
    }
    let roles = [("sender", 2), ("receiver", 1), ("sender-guest", 1), ("receiver-guest", 1)];
    let folder = tempfile::Builder::new().prefix("guests-").tempdir().unwrap();
    let is_guest = |role: &str| role.ends_with("guest");
    let mut storm = Storm::among(folder, &roles, |role| {
        Some(if role.ends_with("guest") { GUEST } else { OWNER })
    });
    let segments = storm.segments();
    assert_eq!(segments.len(), 1);
    for round in 0..strikes().div_ceil(100) {
        storm.rage(5);
        storm.replace(|role| is_guest(role) == (round % 2 == 0));
        assert_eq!(storm.segments(), segments, "after round {round}");
    }
    drain_the_rest::<Numbers>(&mut storm);
    balance(&storm);
    nothing_is_left(storm.namespace());
}

/// The same around a byte channel, whose messages arrive whole.
#[test]
fn the_killed_lose_no_bytes() {
    storm::<Bytes<Shared>>("bytes-", strikes() / 10);
}

/// The same around a pool: no buffer is lost either.
#[test]
fn the_killed_lose_no_buffers() {
    storm::<Buffers>("pool-", strikes() / 10);
}

/// Takes part until all others have ended and what they have sent is received.
fn drain_the_rest<W: Way>(storm: &mut Storm) {
    let way = W::open(storm.namespace());
    storm.end("sender");
    let mut part = Part::of_the_test("receiver", storm.folder.path());
    let begun = Instant::now();
    let mut receiver = attach(|| way.receiver());
    while !way.is_empty() || way.users() != [0, 1] {
        W::receive_some(&mut receiver, &mut part);
        assert!(begun.elapsed() < Duration::from_secs(10), "{way:?}");
    }
    // All seats can be taken: none has leaked.
    let seats: Vec<_> = (0..=SENDERS).map(|_| way.sender().unwrap()).collect();
    drop(seats);
}

/// What was sent was received, once, or again with a mark; each sender's in order.
fn balance(storm: &Storm) {
    let mut received: BTreeMap<u64, BTreeMap<u64, (u32, u32)>> = BTreeMap::new();
    for (receiver, words) in storm.notes("receiver") {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for &[id, number, again] in words.as_chunks::<3>().0 {
            // What comes again comes late.
            let before = if again == 0 { last.insert(id, number) } else { None };
            assert!(before < Some(number), "{receiver} got {number} of {id} after {before:?}");
            let counts = received.entry(id).or_default().entry(number).or_default();
            if again == 0 { counts.0 += 1 } else { counts.1 += 1 }
        }
    }
    let mut all = 0;
    for (sender, noted) in storm.notes("sender") {
        let of_it = received.remove(&sender).unwrap_or_default();
        let sent = noted.len() as u64;
        let arrived = of_it.len() as u64;
        // The last message may have been sent but not noted.
        assert!((sent..=sent + 1).contains(&arrived), "{sender}: {arrived} of {sent}");
        for (expected, (number, (plain, marked))) in (0..).zip(&of_it) {
            assert_eq!(expected, *number, "of {sender} is missing");
            assert!(*plain <= 1 && plain + marked >= 1, "{number} of {sender}: {plain}, {marked}");
        }
        all += arrived;
    }
    assert!(received.is_empty(), "from nobody: {received:?}");
    println!("{all} messages of {} senders balance", storm.notes("sender").len());
}
