//! Channels do what their names say, in both scopes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tautline_bus::channel::{Channel, Config, Order};
use tautline_bus::{Carries, Full, InProcess, Local, Private, ReceiveError, SendError, Wait};

fn refusing(capacity: usize) -> Config {
    Config { capacity, full: Full::Refuse, ..Config::default() }
}

/// Runs `test` for a lane and for a ring, in a scope.
fn each(test: impl Fn(Config)) {
    test(Config::default());
    test(Config { senders: 3, ..Config::default() });
    test(Config { receivers: 2, ..Config::default() });
    test(Config { senders: 2, order: Order::Total, ..Config::default() });
}

fn order_is_kept<S: Carries<u64> + InProcess>() {
    each(|config| {
        let channel = Channel::<u64, S>::new(Config { capacity: 8, ..config }).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        for n in 0..100 {
            sender.send(2 * n).unwrap();
            sender.send(2 * n + 1).unwrap();
            assert_eq!(receiver.receive(), Ok(2 * n));
            assert_eq!(receiver.receive(), Ok(2 * n + 1));
            assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty));
        }
    });
}

/// Messages arrive once, in order, across many laps.
#[test]
fn messages_arrive_in_order() {
    order_is_kept::<Private>();
    order_is_kept::<Local>();
}

fn full_is_told<S: Carries<u64> + InProcess>() {
    each(|config| {
        let config = Config { full: Full::Refuse, capacity: 4, ..config };
        let channel = Channel::<u64, S>::new(config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert_eq!(sender.send_batch(0..10), 4);
        assert_eq!(sender.send(9), Err(SendError::Full(9)));
        assert_eq!(channel.len(), 4);
        assert_eq!(receiver.drain(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(sender.send_batch(4..10), 2);
        assert_eq!(receiver.drain(9).collect::<Vec<_>>(), [2, 3, 4, 5]);
    });
}

/// What finds no room comes back, and places that were freed are used again.
#[test]
fn a_full_channel_refuses() {
    full_is_told::<Private>();
    full_is_told::<Local>();
}

fn loans_are_whole<S: Carries<u64> + InProcess>() {
    each(|config| {
        let config = Config { full: Full::Refuse, capacity: 2, ..config };
        let channel = Channel::<u64, S>::new(config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        drop(sender.loan().unwrap());
        sender.loan().unwrap().send(7);
        assert_eq!(*receiver.take().unwrap(), 7);
        assert_eq!(receiver.take().unwrap_err(), ReceiveError::Empty);
        for n in 0..2 {
            sender.loan().unwrap().send_with(|place| place.write(n));
        }
        assert_eq!(sender.loan().unwrap_err(), SendError::Full(()));
        assert_eq!(*receiver.take().unwrap(), 0);
        sender.loan().unwrap().send(2);
        assert_eq!((receiver.receive(), receiver.receive()), (Ok(1), Ok(2)));
    });
}

/// A loan that is not sent sends nothing; one that is sent arrives.
#[test]
fn loans_are_sent_or_given_back() {
    loans_are_whole::<Private>();
    loans_are_whole::<Local>();
}

/// The oldest messages make room, and are counted.
#[test]
fn overwriting_counts_what_it_drops() {
    let config = Config { full: Full::Overwrite, ..refusing(4) };
    let channel = Channel::<u64, Local>::new(config).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..10).for_each(|n| sender.send(n).unwrap());
    assert_eq!(receiver.dropped(), 6);
    assert_eq!(receiver.drain(10).collect::<Vec<_>>(), [6, 7, 8, 9]);
}

/// Seats are limited, errors name who has them, and a seat that is given up can be taken again.
#[test]
fn seats_are_limited() {
    let channel = Channel::<u64, Local>::new(Config::default()).unwrap();
    let first = channel.sender_as("the feed").unwrap();
    let error = channel.sender().unwrap_err();
    assert_eq!((error.user, error.limit), ("sender", 1));
    assert_eq!(error.holders, ["the feed"]);
    assert!(error.to_string().contains("the feed"), "{error}");
    drop(first);
    channel.sender().unwrap().send(1).unwrap();
    let second = channel.sender().unwrap();
    assert_eq!(channel.receiver().unwrap().receive(), Ok(1));
    drop(second);
}

/// When nobody can send any more the receiver gets what is left and then hears of it; when nobody
/// can receive any more the sender gets its message back.
#[test]
fn ends_are_told() {
    let channel = Channel::<u64, Local>::new(Config::default()).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(receiver.receive(), Ok(1));
    assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty)); // the handle could attach again
    drop(channel);
    assert_eq!(receiver.receive(), Err(ReceiveError::Closed));

    let channel = Channel::<u64, Local>::new(Config::default()).unwrap();
    let mut sender = channel.sender().unwrap();
    drop(channel);
    assert_eq!(sender.send(5), Err(SendError::Closed(5)));
}

/// A sleeping receiver is woken by a message, by the end, and by its deadline; a sleeping sender
/// by room.
#[test]
fn sleepers_are_woken() {
    let park = Config { wait: Wait::Park { spin_for: Duration::ZERO }, ..Config::default() };
    for config in [park, Config { receivers: 2, ..park }] {
        let channel = Channel::<u64, Local>::new(Config { capacity: 2, ..config }).unwrap();
        let mut receiver = channel.receiver().unwrap();
        let limit = Duration::from_millis(5);
        assert_eq!(receiver.receive_timeout(limit), Err(ReceiveError::TimedOut));
        let mut sender = channel.sender().unwrap();
        drop(channel);
        let thread = std::thread::spawn(move || {
            (0..10_000).for_each(|n| sender.send(n).unwrap());
        });
        (0..10_000).for_each(|n| assert_eq!(receiver.receive(), Ok(n)));
        assert_eq!(receiver.receive(), Err(ReceiveError::Closed));
        thread.join().unwrap();
    }
}

/// What nobody has received is dropped with the channel, each message once.
#[test]
fn what_is_left_is_dropped() {
    let token = std::rc::Rc::new(());
    for receivers in [1, 2] {
        let config = Config { receivers, ..refusing(4) };
        let channel = Channel::<_, Private>::new(config).unwrap();
        let mut sender = channel.sender().unwrap();
        for _ in 0..6 {
            _ = sender.send(Message(token.clone()));
        }
        drop((channel.receiver().unwrap().receive(), channel, sender));
        assert_eq!(std::rc::Rc::strong_count(&token), 1);
    }
}

struct Message(#[allow(dead_code, reason = "it is counted")] std::rc::Rc<()>);

/// A time that is too long to be counted is for ever: nobody panics over it.
#[test]
fn the_longest_times_are_for_ever() {
    let longest = Some(Duration::MAX);
    let config =
        Config { capacity: 1, full: Full::Block(longest), patience: longest, ..Config::default() };
    let channel = Channel::<u64, Local>::new(config).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let thread = std::thread::spawn(move || {
        (0..2).for_each(|n| sender.send(n).unwrap());
        sender.send_timeout(2, Duration::MAX).unwrap();
        sender.wait_for_room(longest).unwrap();
    });
    receiver.wait(longest).unwrap();
    assert_eq!(receiver.receive(), Ok(0));
    assert_eq!(receiver.receive_timeout(Duration::MAX), Ok(1));
    assert_eq!(receiver.receive(), Ok(2));
    thread.join().unwrap();
}

/// Messages that were moved out of a drain which is forgotten are dropped by whoever has them alone:
/// neither the next receiver nor the end of the channel finds them again.
#[test]
fn a_forgotten_drain_leaves_nothing_twice() {
    for next in [false, true] {
        let token = std::rc::Rc::new(());
        let channel = Channel::<_, Private>::new(refusing(8)).unwrap();
        let mut sender = channel.sender().unwrap();
        (0..3).for_each(|_| sender.send(Message(token.clone())).ok().unwrap());
        let mut receiver = channel.receiver().unwrap();
        let mut drain = receiver.drain(2);
        let taken = drain.next().unwrap();
        std::mem::forget(drain);
        drop(receiver);
        if next {
            assert!(channel.receiver().unwrap().receive().is_ok(), "what was not drained is there");
        }
        drop((sender, channel));
        // This one, the one that was taken, and the one that the drain had.
        assert_eq!(std::rc::Rc::strong_count(&token), 3, "{next}");
        drop(taken);
    }
}

/// A message whose drop panics is dropped once, and its place is free again, also for one who waits.
#[test]
fn a_loan_that_panics_gives_its_place_back() {
    struct Panics(Arc<AtomicU64>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        }
    }
    for receivers in [1, 2] {
        let config = Config { receivers, capacity: 2, ..Config::default() };
        let channel = Channel::<Panics, Local>::new(config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let drops = Arc::new(AtomicU64::new(0));
        let message = || Panics(drops.clone());
        (0..2).for_each(|_| sender.send(message()).ok().unwrap());
        let third = message();
        let waiter =
            std::thread::spawn(move || sender.send_timeout(third, Duration::from_secs(5)).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        let loan = receiver.take().unwrap();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| drop(loan)));
        assert!(outcome.is_err());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        assert!(waiter.join().unwrap(), "{receivers}: who waits for room is not woken");
        drop(receiver);
        let mut receiver = channel.receiver().unwrap();
        for _ in 0..2 {
            std::mem::forget(receiver.try_receive().ok().unwrap());
        }
        drop((receiver, channel));
        assert_eq!(drops.load(Ordering::Relaxed), 1, "{receivers}: dropped again");
    }
}

/// Places of a ring that were taken and given back without a message are no places lost: who waits for
/// room gets it, whether the receiver sleeps or looks.
#[test]
fn places_given_back_empty_are_free_again() {
    for sleeps in [true, false] {
        let park = Wait::Park { spin_for: Duration::ZERO };
        let config = Config { receivers: 2, capacity: 2, wait: park, ..Config::default() };
        let channel = Channel::<u64, Local>::new(config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let pause = Duration::from_millis(20);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(if sleeps { Duration::ZERO } else { pause * 3 });
            receiver.receive_timeout(Duration::from_secs(5))
        });
        std::thread::sleep(pause);
        (0..2).for_each(|_| drop(sender.loan().unwrap()));
        let sent = sender.send_timeout(7, Duration::from_secs(5));
        assert_eq!((sent, thread.join().unwrap()), (Ok(()), Ok(7)), "{sleeps}");
    }
}
