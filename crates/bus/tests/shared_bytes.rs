//! Byte channels between processes.

mod processes;

use std::time::Duration;

use processes::{Other, namespace, part, stay};
use tautline_bus::bytes::{Bytes, Config, Orphans, Receiver, ReserveError};
use tautline_bus::channel::Channel;
use tautline_bus::{Full, OpenError, ReceiveError, Shared};

fn open(namespace: &str) -> Bytes<Shared> {
    Bytes::open(namespace, "bytes", Config { senders: 2, ..config() }).unwrap()
}

fn open_losing(namespace: &str) -> Bytes<Shared> {
    Bytes::open(namespace, "losing", Config { orphans: Orphans::Lose, ..config() }).unwrap()
}

/// With waits that end.
fn config() -> Config {
    let long = Duration::from_secs(20);
    let (full, patience) = (Full::Block(Some(long)), Some(long));
    Config { capacity: 8192, full, patience, ..Config::default() }
}

/// A message that tells its number, as long as that says.
fn message(n: u32) -> Vec<u8> {
    let mut message = n.to_le_bytes().to_vec();
    message.extend((0..n % 3000).map(|at| (at + n) as u8));
    message
}

fn receive(receiver: &mut Receiver<Shared>) -> Vec<u8> {
    receiver.receive().unwrap().view().to_vec()
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    match part.as_str() {
        "send" => {
            let mut sender = open(&namespace).sender().unwrap();
            (0..20_000).for_each(|n| sender.send(&message(n)).unwrap());
        }
        "write half" => {
            let mut sender = open(&namespace).sender().unwrap();
            sender.send(b"whole").unwrap();
            let mut claim = sender.reserve(100).unwrap();
            claim.view_mut().copy_from(0, b"half");
            claim.stage(50);
            stay();
        }
        "borrow" => {
            let mut receiver = open(&namespace).receiver().unwrap();
            let message = receiver.take().unwrap();
            assert_eq!(message.view().to_vec(), b"first");
            stay();
        }
        "borrow two" => {
            let mut receiver = open(&namespace).receiver().unwrap();
            let _messages = receiver.drain(2);
            stay();
        }
        "borrow two and lose" => {
            let mut receiver = open_losing(&namespace).receiver().unwrap();
            let messages = receiver.drain(2);
            assert_eq!(messages.len(), 2);
            stay();
        }
        other => panic!("there is no part {other}"),
    }
}

/// Messages of any length cross in one piece and in order, many times round the end.
#[test]
fn messages_of_any_length_cross() {
    let namespace = namespace("cross");
    let mut receiver = open(&namespace).receiver().unwrap();
    let sender = Other::play("send", &namespace);
    let mut n = 0;
    while n < 20_000 {
        assert_eq!(receive(&mut receiver), message(n));
        n += 1;
        for view in receiver.drain(9).views() {
            assert_eq!(view.to_vec(), message(n));
            n += 1;
        }
    }
    sender.done();
    let nothing = receiver.receive_timeout(Duration::from_millis(1)).map(drop);
    assert_eq!(nothing, Err(ReceiveError::TimedOut));
}

/// What a sender had not committed when it was killed is gone, what it had is there, and its place
/// is free for the next, which a sender notices that waits.
#[test]
fn half_a_message_is_never_seen() {
    let namespace = namespace("half");
    let channel = open(&namespace);
    let mut sender = channel.sender().unwrap();
    let writer = Other::at("write half", &namespace);
    assert_eq!(channel.users(), [2, 0]);
    assert_eq!(channel.sender().unwrap_err().limit, 2);
    writer.kill();
    let next = processes::until("its seat is not free", || {
        _ = sender.reserve_timeout(4000, Duration::from_millis(1)).map(drop);
        channel.sender().ok()
    });
    let mut receiver = channel.receiver().unwrap();
    for mut sender in [sender, next] {
        sender.send(b"after").unwrap();
    }
    let mut received: Vec<_> = (0..3).map(|_| receive(&mut receiver)).collect();
    received.sort_unstable();
    assert_eq!(received, [b"after".as_slice(), b"after", b"whole"]);
    assert!(receiver.take().is_err());
}

/// What a receiver had borrowed when it was killed comes again with a mark, or is counted as lost.
#[test]
fn what_the_dead_had_borrowed_comes_again() {
    let namespace = namespace("borrow");
    let channel = open(&namespace);
    let mut sender = channel.sender().unwrap();
    assert_eq!(sender.send_batch(&["first", "second", "third"]), 3);
    Other::at("borrow", &namespace).kill();
    let mut receiver = channel.receiver().unwrap();
    let message = receiver.take().unwrap();
    assert_eq!((message.view().to_vec(), message.is_redelivered()), (b"first".to_vec(), true));
    drop(message);
    assert_eq!(receive(&mut receiver), b"second");
    assert!(!receiver.is_redelivered());

    let channel = open_losing(&namespace);
    let mut sender = channel.sender().unwrap();
    assert_eq!(sender.send_batch(&["first", "second", "third"]), 3);
    Other::at("borrow two and lose", &namespace).kill();
    let mut receiver = channel.receiver().unwrap();
    assert_eq!((receive(&mut receiver), receiver.lost()), (b"third".to_vec(), 2));
    assert_eq!(channel.used(), 0);
}

/// What a receiver had borrowed keeps its mark when the next one dies too, having borrowed less.
#[test]
fn the_mark_of_the_first_who_died_outlives_the_second() {
    let namespace = namespace("marks");
    let channel = open(&namespace);
    let mut sender = channel.sender().unwrap();
    assert_eq!(sender.send_batch(&["first", "second", "third", "fourth"]), 4);
    drop(sender);
    Other::at("borrow two", &namespace).kill();
    Other::at("borrow", &namespace).kill();
    let mut receiver = channel.receiver().unwrap();
    let mut received = Vec::new();
    for _ in 0..4 {
        let message = receiver.take().unwrap();
        received.push((message.view().to_vec(), message.is_redelivered()));
    }
    let marked = [("first", true), ("second", true), ("third", false), ("fourth", false)];
    assert_eq!(received, marked.map(|(text, again)| (text.as_bytes().to_vec(), again)));
}

/// Where the others are trusted messages are written and read in place; a channel of another kind
/// or size under the name is refused.
#[test]
fn trust_and_mistrust() {
    let namespace = namespace("trust");
    let channel = open(&namespace);
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut claim = sender.reserve(3).unwrap();
    // SAFETY: this process is the only one that has the channel.
    unsafe { claim.view_mut().trust() }.copy_from_slice(b"abc");
    claim.commit(3);
    let message = receiver.take().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { message.view().trust() }, b"abc");

    let error = Channel::<u64, Shared>::open(&namespace, "bytes", Default::default()).unwrap_err();
    assert!(matches!(error, OpenError::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("byte channel, capacity 8192 bytes"), "{error}");
    let error = Bytes::<Shared>::open(&namespace, "bytes", Config::default()).unwrap_err();
    assert!(error.to_string().contains("262144"), "{error}");
    let refusing = Config { full: Full::Overwrite, ..Config::default() };
    let error = Bytes::<Shared>::open(&namespace, "other", refusing).unwrap_err();
    assert!(matches!(error, OpenError::Create(_)), "{error}");
    let error = sender.reserve(5000).unwrap_err();
    assert_eq!(error, ReserveError::TooLong { len: 5000, limit: channel.limit() });
}
