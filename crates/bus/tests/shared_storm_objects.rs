//! Other objects than channels whose users are killed at random: what is promised of each holds.
//!
//! One user is never killed, and sees what becomes of the others.

mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use processes::storm::{Part, Storm, attach, nothing_is_left, strikes};
use tautline_bus::broadcast::lossy::{self, Lossy, LossyError};
use tautline_bus::broadcast::{Broadcast, Config, Subscriber};
use tautline_bus::completion::TakeError;
use tautline_bus::request::{self, Client, Requests};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Full, ReceiveError, SendError, Shared};

const SHORT: Duration = Duration::from_millis(2);

/// Who has sent it, its number, and words that tell whether it is torn.
type Message = [u64; 32];

fn message(id: u64, number: u64) -> Message {
    let mut message = [number; 32];
    message[0] = id;
    message
}

fn parse(message: Message) -> [u64; 2] {
    assert!(message[2..].iter().all(|word| *word == message[1]), "torn: {message:?}");
    [message[0], message[1]]
}

fn broadcast(namespace: &str) -> Broadcast<Message, Shared> {
    let config = Config { capacity: 32, subscribers: 8, ..Config::default() };
    Broadcast::open(namespace, "storm", config).unwrap()
}

fn lossy(namespace: &str) -> Lossy<Message, Shared> {
    let config = lossy::Config { capacity: 8, subscribers: 8, ..lossy::Config::default() };
    Lossy::open(namespace, "storm", config).unwrap()
}

const CLIENTS: usize = 4;
const OUTSTANDING: usize = 4;

fn requests(namespace: &str) -> Requests<[u64; 2], [u64; 4], Shared> {
    let config = request::Config {
        clients: CLIENTS,
        servers: 2,
        outstanding: OUTSTANDING,
        full: Full::Block(Some(SHORT)),
        ..request::Config::default()
    };
    Requests::open(namespace, "storm", config).unwrap()
}

fn signal(namespace: &str) -> Signal<Shared> {
    Signal::open(namespace, "storm", signal::Config::default()).unwrap()
}

// --------------------------------------------------------------------------------- the users

/// What a user does; nothing where the tests themselves are run.
#[test]
fn a_user_of_the_storm() {
    let Some(part) = Part::of_this_process() else { return };
    let kind = part.namespace().split('-').next().unwrap().to_owned();
    match (kind.as_str(), part.role.as_str()) {
        ("broadcast", "publisher") => publish(part),
        ("broadcast", _) => subscribe(part),
        ("lossy", "publisher") => publish_lossy(part),
        ("lossy", _) => subscribe_lossy(part),
        ("requests", "client") => ask(part),
        ("requests", _) => serve(part),
        ("signal", "raiser") => raise(part),
        ("signal", _) => wait(part),
        other => panic!("there is no part {other:?}"),
    }
    std::process::exit(0);
}

fn own_id() -> u64 {
    std::process::id().into()
}

/// Sends numbers, each noted when it is sent, until it is told to stop.
fn publish(mut part: Part) {
    let broadcast = broadcast(part.namespace());
    part.joined();
    let mut publisher = attach(|| broadcast.publisher().ok());
    let mut next = 0;
    while !part.is_over() {
        for _ in 0..50 {
            match publisher.send_timeout(message(own_id(), next), SHORT) {
                Ok(()) => part.note(&[next]),
                Err(SendError::TimedOut(_)) => break,
                Err(error) => panic!("{error}"),
            }
            next += 1;
        }
    }
}

/// Each publisher's numbers come without a gap, from the first that this one got.
fn subscribe(part: Part) {
    let broadcast = broadcast(part.namespace());
    part.joined();
    let mut subscriber = attach(|| broadcast.subscriber().ok());
    let mut seen = BTreeMap::new();
    while !part.is_over() {
        if let Ok(message) = subscriber.receive_timeout(SHORT) {
            let [id, number] = parse(message);
            let before = seen.insert(id, number);
            assert!(before.is_none_or(|before| number == before + 1), "{number} after {before:?}");
        }
    }
}

fn publish_lossy(mut part: Part) {
    let lossy = lossy(part.namespace());
    part.joined();
    let mut publisher = attach(|| lossy.publisher().ok());
    for next in 0.. {
        publisher.send(message(own_id(), next)).unwrap();
        part.note(&[next]);
        if next % 64 == 0 && part.is_over() {
            return;
        }
    }
}

fn subscribe_lossy(part: Part) {
    let lossy = lossy(part.namespace());
    part.joined();
    let mut subscriber = attach(|| lossy.subscriber().ok());
    let mut seen = BTreeMap::new();
    while !part.is_over() {
        if let Ok(message) = subscriber.receive_timeout(SHORT) {
            let [id, number] = parse(message);
            let before = seen.insert(id, number);
            assert!(before < Some(number), "{number} after {before:?}");
        }
    }
}

/// Asks, and waits as long as it likes.
fn ask(part: Part) {
    let requests = requests(part.namespace());
    part.joined();
    let mut client = attach(|| requests.client().ok());
    for n in 0.. {
        if part.is_over() {
            return;
        }
        let Ok(mut call) = client.call([own_id(), n]) else { continue };
        match call.wait_for(SHORT * (n % 3) as u32) {
            Ok(reply) => assert_eq!(reply, answer([own_id(), n])),
            Err(TakeError::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Answers, out of order, until it is killed.
fn serve(part: Part) {
    let requests = requests(part.namespace());
    part.joined();
    let mut server = attach(|| requests.server().ok());
    loop {
        let held: Vec<_> =
            std::iter::from_fn(|| server.receive_timeout(SHORT / 4).ok()).take(3).collect();
        for request in held.into_iter().rev() {
            let reply = answer(request.message);
            request.reply(reply);
        }
    }
}

fn answer([id, number]: [u64; 2]) -> [u64; 4] {
    [id, number, id ^ number, id.wrapping_add(number)]
}

fn raise(mut part: Part) {
    let signal = signal(part.namespace());
    part.joined();
    let raiser = attach(|| signal.raiser().ok());
    while !part.is_over() {
        raiser.raise(1);
        part.note(&[1]);
    }
}

fn wait(mut part: Part) {
    let signal = signal(part.namespace());
    part.joined();
    let mut waiter = attach(|| signal.waiter().ok());
    while !part.is_over() {
        if waiter.wait_timeout(SHORT).is_ok() {
            part.note(&[1]);
        }
    }
}

// ---------------------------------------------------------------------------------- the storm

/// How many messages each publisher has noted.
fn noted(storm: &Storm, role: &str) -> BTreeMap<u64, u64> {
    let notes = storm.notes(role).into_iter();
    notes.map(|(id, words)| (id, words.len() as u64)).collect()
}

/// Runs a storm while `watch` sees what happens, in a thread that hears when it is over; gives back
/// what that has seen, when nobody is there but the test. What it `joins` with is there before the
/// first of the others: it misses nothing.
fn weather<J, R: Send>(
    kind: &str,
    roles: &[(&'static str, usize)],
    joins: impl FnOnce(&str) -> J + Send,
    watch: impl FnOnce(J, &AtomicBool) -> R + Send,
) -> (Storm, R) {
    let folder = tempfile::Builder::new().prefix(kind).tempdir().unwrap();
    let path = folder.path().to_owned();
    let over = AtomicBool::new(false);
    let (joined, has_joined) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let joint = joins(namespace_of(&path));
            joined.send(()).unwrap();
            watch(joint, &over)
        });
        has_joined.recv_timeout(Duration::from_secs(10)).expect("the one who watches joins");
        let mut storm = Storm::within(folder, roles);
        storm.rage(strikes() / 10);
        storm.end(roles[0].0);
        over.store(true, Ordering::Relaxed);
        (storm, watching.join().unwrap())
    })
}

fn namespace_of(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

/// A subscriber that lives gets every message of every publisher, once and in order, whoever else
/// is killed.
#[test]
fn a_broadcast_loses_nothing_and_wedges_nobody() {
    let joins = |namespace: &str| {
        let broadcast = broadcast(namespace);
        let subscriber = broadcast.subscriber().unwrap();
        (broadcast, subscriber)
    };
    let watch = |(broadcast, mut subscriber): (Broadcast<_, _>, Subscriber<_, _>),
                 over: &AtomicBool| {
        let mut received: BTreeMap<u64, u64> = BTreeMap::new();
        loop {
            let is_over = over.load(Ordering::Relaxed);
            match subscriber.receive_timeout(SHORT) {
                Ok(message) => {
                    let [id, number] = parse(message);
                    let next = received.entry(id).or_default();
                    assert_eq!(number, *next, "of {id}");
                    *next += 1;
                }
                Err(ReceiveError::TimedOut) if is_over => break,
                Err(ReceiveError::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let begun = Instant::now();
        while broadcast.users() != [0, 1] {
            _ = subscriber.receive_timeout(SHORT);
            assert!(begun.elapsed() < Duration::from_secs(10), "{broadcast:?}");
        }
        received
    };
    let (storm, received) =
        weather("broadcast-", &[("publisher", 2), ("subscriber", 3)], joins, watch);
    let sent = noted(&storm, "publisher");
    for (id, sent) in &sent {
        let arrived = received.get(id).copied().unwrap_or(0);
        // The last message may have been sent but not noted.
        assert!((*sent..=sent + 1).contains(&arrived), "{id}: {arrived} of {sent}");
    }
    assert!(received.keys().all(|id| sent.contains_key(id)));
    println!("{} messages of {} publishers balance", received.values().sum::<u64>(), sent.len());
    nothing_is_left(storm.namespace());
}

/// A subscriber that lives gets or misses every message of every publisher, and none that is torn.
#[test]
fn a_lossy_broadcast_counts_what_is_missed() {
    let joins = |namespace: &str| lossy(namespace).subscriber().unwrap();
    let watch = |mut subscriber: lossy::Subscriber<Message, Shared>, over: &AtomicBool| {
        let (mut seen, mut received, mut missed) = (BTreeMap::new(), 0_u64, 0);
        loop {
            let is_over = over.load(Ordering::Relaxed);
            match subscriber.receive_timeout(SHORT) {
                Ok(message) => {
                    let [id, number] = parse(message);
                    let before = seen.insert(id, number);
                    assert!(before < Some(number), "{number} of {id} after {before:?}");
                    received += 1;
                }
                Err(LossyError::Missed(count)) => missed += count,
                Err(LossyError::Receive(ReceiveError::TimedOut)) if is_over => break,
                Err(LossyError::Receive(ReceiveError::TimedOut)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        (received, missed)
    };
    let roles = &[("publisher", 2), ("subscriber", 2)];
    let (storm, (received, missed)) = weather("lossy-", roles, joins, watch);
    let sent = noted(&storm, "publisher");
    let (all, publishers) = (sent.values().sum::<u64>(), sent.len() as u64);
    // The last message of each may have been sent but not noted, or begun and never sent.
    assert!((all..=all + publishers).contains(&(received + missed)), "{received} {missed} {all}");
    println!("{received} received, {missed} missed, of {publishers} publishers");
    nothing_is_left(storm.namespace());
}

/// What was raised is taken or left, whoever is killed.
#[test]
fn a_signal_keeps_its_count() {
    let watch = |signal: Signal<Shared>, over: &AtomicBool| {
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(SHORT);
        }
        signal.count()
    };
    let (storm, left) = weather("signal-", &[("raiser", 2), ("waiter", 2)], signal, watch);
    let (raised, taken) = (noted(&storm, "raiser"), noted(&storm, "waiter"));
    let (raisers, waiters) = (raised.len() as u64, taken.len() as u64);
    let (raised, taken) = (raised.values().sum::<u64>(), taken.values().sum::<u64>());
    // Each may have done once more than it has noted.
    assert!(taken + left <= raised + raisers, "{taken} {left} {raised}");
    assert!(raised <= taken + left + waiters, "{taken} {left} {raised}");
    nothing_is_left(storm.namespace());
}

/// A client that lives has every call answered, and rightly, though servers are killed over them; no
/// slot is lost.
#[test]
fn requests_are_answered_whoever_dies() {
    let joins = |namespace: &str| {
        let requests = requests(namespace);
        let client = requests.client().unwrap();
        (requests, client)
    };
    let watch = |(requests, mut client): (Requests<_, _, _>, Client<_, _, _>),
                 over: &AtomicBool| {
        let mut answered = 0_u64;
        while !over.load(Ordering::Relaxed) {
            let Ok(mut call) = client.call([0, answered]) else { continue };
            let begun = Instant::now();
            loop {
                match call.wait_for(SHORT) {
                    Ok(reply) => break assert_eq!(reply, answer([0, answered])),
                    Err(TakeError::TimedOut) => {}
                    Err(error) => panic!("{error}"),
                }
                if over.load(Ordering::Relaxed) {
                    // All servers are killed: the test is the next.
                    let mut server = attach(|| requests.server().ok());
                    _ = server.serve(answer);
                }
                assert!(begun.elapsed() < Duration::from_secs(10), "{requests:?}");
            }
            answered += 1;
        }
        answered
    };
    let (storm, answered) = weather("requests-", &[("client", 2), ("server", 3)], joins, watch);
    println!("{answered} answered");
    assert!(answered > 0);
    // All seats and all slots can be had again.
    let requests = requests(storm.namespace());
    let mut server = attach(|| requests.server().ok());
    while server.receive_timeout(SHORT * 10).is_ok() {}
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| requests.client().unwrap()).collect();
    for client in &mut clients {
        let calls: Vec<_> = (0..OUTSTANDING as u64).map(|n| client.call([1, n]).unwrap()).collect();
        while server.receive_timeout(SHORT).map(|request| request.reply([7; 4])).is_ok() {}
        assert!(calls.into_iter().all(|call| call.wait(Some(SHORT * 1000)) == Ok([7; 4])));
    }
    drop((clients, server, requests));
    nothing_is_left(storm.namespace());
}
