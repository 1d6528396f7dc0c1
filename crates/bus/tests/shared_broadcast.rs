//! Broadcasts between processes, lossless and lossy.

mod processes;

use std::time::{Duration, Instant};

use processes::{Other, namespace, part, stay, until};
use tautline_bus::broadcast::lossy::{self, Lossy, LossyError};
use tautline_bus::broadcast::{Broadcast, Config, Start};
use tautline_bus::{Full, OpenError, ReceiveError, SendError, Shared};

const SHORT: Duration = Duration::from_millis(1);
/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

fn open(namespace: &str) -> Broadcast<u64, Shared> {
    let (full, patience) = (Full::Block(Some(LONG)), Some(LONG));
    let config = Config { capacity: 64, subscribers: 3, full, patience, ..Config::default() };
    Broadcast::open(namespace, "ticks", config).unwrap()
}

/// So many words that a message takes a while.
type Large = [u64; 512];

fn open_lossy(namespace: &str) -> Lossy<Large, Shared> {
    let config = lossy::Config { capacity: 16, ..lossy::Config::default() };
    Lossy::open(namespace, "quotes", config).unwrap()
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    match part.as_str() {
        "publish" => {
            let mut publisher = open(&namespace).publisher().unwrap();
            until("nobody subscribes", || (open(&namespace).users()[1] == 2).then_some(()));
            (0..100_000).for_each(|n| publisher.send(n).unwrap());
        }
        "publish three" => {
            let mut publisher = open(&namespace).publisher().unwrap();
            (0..3).for_each(|n| publisher.send(n).unwrap());
            let _draft = publisher.loan().unwrap();
            stay();
        }
        "subscribe" => {
            let _subscriber = open(&namespace).subscriber().unwrap();
            stay();
        }
        "publish quotes" => {
            let mut publisher = open_lossy(&namespace).publisher().unwrap();
            println!("\nready");
            for n in 0.. {
                publisher.send([n; 512]).unwrap();
            }
        }
        other => panic!("there is no part {other}"),
    }
}

/// Each subscriber of any process gets every message, in order.
#[test]
fn each_gets_all() {
    let namespace = namespace("all");
    let broadcast = open(&namespace);
    let publisher = Other::play("publish", &namespace);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut subscriber = broadcast.subscriber().unwrap();
            scope.spawn(move || {
                let mut next = 0;
                while next < 100_000 {
                    assert_eq!(subscriber.receive(), Ok(next));
                    next += 1;
                    for copy in subscriber.drain(9).copies() {
                        assert_eq!(copy, Ok(next));
                        next += 1;
                    }
                }
            });
        }
    });
    publisher.done();
}

/// A subscriber that is killed holds the publisher up no more, which notices within its call.
#[test]
fn a_dead_subscriber_holds_nobody_up() {
    let namespace = namespace("held");
    let broadcast = open(&namespace);
    let mut publisher = broadcast.publisher().unwrap();
    let subscriber = Other::at("subscribe", &namespace);
    assert_eq!(publisher.send_batch(0..1000), 64);
    assert_eq!(publisher.send_timeout(64, SHORT), Err(SendError::TimedOut(64)));
    subscriber.kill();
    let begun = Instant::now();
    publisher.send(64).unwrap();
    println!("room after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(broadcast.users(), [1, 0]);
    let mut late = broadcast.subscriber_from(Start::Oldest, None).unwrap();
    assert!(matches!(late.receive(), Ok(1..64)));
}

/// What a publisher has sent before it is killed is received; the next goes on behind it.
#[test]
fn the_next_publisher_goes_on() {
    let namespace = namespace("next");
    let broadcast = open(&namespace);
    let mut subscriber = broadcast.subscriber().unwrap();
    let publisher = Other::at("publish three", &namespace);
    assert!(broadcast.publisher().is_err());
    publisher.kill();
    let mut publisher = broadcast.publisher().unwrap();
    publisher.send(3).unwrap();
    let received: Vec<_> = (0..4).map(|_| subscriber.receive().unwrap()).collect();
    assert_eq!(received, [0, 1, 2, 3]);
    assert_eq!(subscriber.receive_timeout(SHORT), Err(ReceiveError::TimedOut));
    let error = Broadcast::<i64, Shared>::open(&namespace, "ticks", broadcast.config());
    assert!(matches!(error, Err(OpenError::Mismatch { .. })), "{error:?}");
    let error = Lossy::<u64, Shared>::open(&namespace, "ticks", lossy::Config::default());
    assert!(matches!(error, Err(OpenError::Mismatch { .. })), "{error:?}");
}

/// A publisher that is killed in the midst of a message, again and again, wedges nobody: no message
/// is torn, and what was received and what was missed is all that was sent.
#[test]
fn a_publisher_that_dies_in_a_message_wedges_nobody() {
    let namespace = namespace("quotes");
    let lossy = open_lossy(&namespace);
    let mut subscriber = lossy.subscriber().unwrap();
    let (mut whole, mut torn, mut missed) = (0_u64, 0, 0);
    for round in 0..20 {
        let publisher = Other::at("publish quotes", &namespace);
        let (begun, mut next, before) = (Instant::now(), 0, subscriber.missed());
        while begun.elapsed() < Duration::from_millis(10 + round) {
            match subscriber.receive_timeout(SHORT) {
                Ok(message) => {
                    torn += usize::from(message.iter().any(|word| *word != message[0]));
                    // Each publisher counts from zero.
                    assert_eq!(message[0], next, "after {missed} of {round}");
                    (next, whole) = (next + 1, whole + 1);
                }
                Err(LossyError::Missed(count)) => (next, missed) = (next + count, missed + count),
                Err(LossyError::Receive(ReceiveError::TimedOut)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        publisher.kill();
        // What is left of it.
        loop {
            match subscriber.try_receive() {
                Ok(message) => assert_eq!(message, [message[0]; 512]),
                Err(LossyError::Missed(count)) => missed += count,
                Err(_) => break,
            }
        }
        assert!(subscriber.missed() >= before && subscriber.missed() == missed);
    }
    println!("{whole} whole, {missed} missed");
    assert!(whole > 0 && torn == 0);
}
