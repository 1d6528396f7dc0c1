//! Broadcasts against a reference, in both scopes, and between threads.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tautline_bus::broadcast::lossy::{self, Lossy, LossyError};
use tautline_bus::broadcast::{Broadcast, Config, Shows, Start, Subscriber};
use tautline_bus::{Carries, Full, InProcess, Local, Private, ReceiveError, SendError, Wait};

/// What the users of a broadcast do, with numbers that pick one of them.
#[derive(Clone, Debug)]
enum Step {
    Send,
    SendBatch(usize),
    Loan(bool),
    Subscribe(Start),
    Leave(usize),
    Receive(usize),
    Take(usize),
    Drain(usize, usize),
    Republish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        2 => (0..12usize).prop_map(Step::SendBatch),
        2 => any::<bool>().prop_map(Step::Loan),
        1 => Just(Step::Subscribe(Start::Next)),
        1 => Just(Step::Subscribe(Start::Oldest)),
        1 => (0..4usize).prop_map(Step::Leave),
        4 => (0..4usize).prop_map(Step::Receive),
        2 => (0..4usize).prop_map(Step::Take),
        2 => (0..4usize, 0..12usize).prop_map(|(who, count)| Step::Drain(who, count)),
        1 => Just(Step::Republish),
    ]
}

/// A subscriber, and what it must still get.
type Reader<S> = (Subscriber<Token, S>, VecDeque<u64>);

/// A message that is counted.
type Token = std::sync::Arc<u64>;

const SEATS: usize = 3;

struct Model<S: Shows<Token>> {
    broadcast: Broadcast<Token, S>,
    readers: Vec<Reader<S>>,
    sent: u64,
    capacity: usize,
    token: Token,
}

impl<S: Shows<Token> + InProcess> Model<S> {
    fn new(capacity: usize) -> Self {
        let config =
            Config { capacity, subscribers: SEATS, full: Full::Refuse, ..Config::default() };
        let broadcast = Broadcast::new(config).unwrap();
        let capacity = broadcast.config().capacity;
        Self { broadcast, readers: Vec::new(), sent: 0, capacity, token: Token::new(7) }
    }

    fn room(&self) -> usize {
        // Without a reader nothing holds the publisher up.
        let behind = self.readers.iter().map(|reader| reader.1.len()).max();
        behind.map_or(usize::MAX, |behind| self.capacity - behind)
    }

    /// The reference takes a message.
    fn note(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.1.push_back(self.sent));
        self.sent += 1;
    }

    fn send(&mut self, publisher: &mut tautline_bus::broadcast::Publisher<Token, S>, step: Step) {
        let next = Token::new(self.sent);
        match step {
            Step::Send if self.room() == 0 => {
                assert_eq!(publisher.send(next.clone()), Err(SendError::Full(next)));
            }
            Step::Send => {
                publisher.send(next).unwrap();
                self.note();
            }
            Step::SendBatch(count) => {
                let wanted = (self.sent..).take(count).map(Token::new);
                let sent = publisher.send_batch(wanted);
                assert_eq!(sent, count.min(self.room()));
                (0..sent).for_each(|_| self.note());
            }
            Step::Loan(_) if self.room() == 0 => {
                assert_eq!(publisher.loan().unwrap_err(), SendError::Full(()));
            }
            Step::Loan(false) => drop(publisher.loan().unwrap()),
            Step::Loan(true) => {
                publisher.loan().unwrap().send_with(|place| place.write(next));
                self.note();
            }
            _ => unreachable!("not a step of the publisher"),
        }
    }

    fn subscribe(&mut self, start: Start) {
        let subscriber = self.broadcast.subscriber_from(start, None);
        if self.readers.len() == SEATS {
            assert_eq!(subscriber.unwrap_err().limit, SEATS);
            return;
        }
        let mut reader = (subscriber.unwrap(), VecDeque::new());
        if start == Start::Oldest {
            // Which is the oldest that is still there depends on when room was made.
            let there = reader.0.drain(usize::MAX).iter().map(|n| **n).collect::<Vec<_>>();
            let least = (self.capacity - self.capacity.div_ceil(4)).min(self.sent as usize);
            assert!(there.len() >= least && there.len() <= self.capacity);
            assert!(there.iter().copied().eq(self.sent - there.len() as u64..self.sent));
        }
        self.readers.push(reader);
    }

    fn receive(&mut self, step: Step) {
        let (Step::Receive(who) | Step::Take(who) | Step::Drain(who, _) | Step::Leave(who)) = step
        else {
            unreachable!("not a step of a subscriber")
        };
        if who >= self.readers.len() {
            return;
        }
        let (subscriber, wanted) = &mut self.readers[who];
        match step {
            Step::Receive(_) => {
                let next = wanted.pop_front().ok_or(ReceiveError::Empty);
                assert_eq!(subscriber.try_receive().map(|token| *token), next);
            }
            Step::Take(_) => {
                let next = wanted.pop_front().ok_or(ReceiveError::Empty);
                assert_eq!(subscriber.take().map(|token| **token), next);
            }
            Step::Drain(_, count) => {
                let drain = subscriber.drain(count);
                let next = wanted.drain(..count.min(wanted.len())).collect::<Vec<_>>();
                assert_eq!(drain.len(), next.len());
                assert_eq!(drain.iter().map(|token| **token).collect::<Vec<_>>(), next);
            }
            _ => drop(self.readers.remove(who)),
        }
    }

    fn run(mut self, steps: Vec<Step>) {
        let mut publisher = self.broadcast.publisher().unwrap();
        for step in steps {
            match step {
                Step::Send | Step::SendBatch(_) | Step::Loan(_) => self.send(&mut publisher, step),
                Step::Subscribe(start) => self.subscribe(start),
                Step::Republish => {
                    drop(publisher);
                    publisher = self.broadcast.publisher().unwrap();
                }
                _ => self.receive(step),
            }
        }
        let token = self.token.clone();
        _ = publisher.send(token.clone());
        drop((self, publisher));
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
    }
}

/// A subscriber of a lossy broadcast, and what it must get: from there on.
fn lossy_run<S: Carries<[u64; 3]> + InProcess>(capacity: usize, steps: Vec<Step>) {
    let config = lossy::Config { capacity, subscribers: SEATS, ..lossy::Config::default() };
    let broadcast = Lossy::<[u64; 3], S>::new(config).unwrap();
    let capacity = broadcast.config().capacity as u64;
    let mut publisher = broadcast.publisher().unwrap();
    let (mut sent, mut readers) = (0, Vec::new());
    for step in steps {
        match step {
            Step::Send | Step::Loan(_) => {
                publisher.send([sent, !sent, sent]).unwrap();
                sent += 1;
            }
            Step::SendBatch(count) => {
                let messages = (sent..).take(count).map(|n| [n, !n, n]);
                assert_eq!(publisher.send_batch(messages), count);
                sent += count as u64;
            }
            Step::Subscribe(start) if readers.len() < SEATS => {
                let begin = if start == Start::Next { sent } else { sent.saturating_sub(capacity) };
                readers.push((broadcast.subscriber_from(start, None).unwrap(), begin));
            }
            Step::Leave(who) if who < readers.len() => drop(readers.remove(who)),
            Step::Receive(who) | Step::Take(who) if who < readers.len() => {
                let (subscriber, next) = &mut readers[who];
                let oldest = sent.saturating_sub(capacity);
                let found = subscriber.try_receive();
                if *next < oldest {
                    assert_eq!(found, Err(LossyError::Missed(oldest - *next)));
                    *next = oldest;
                } else if *next == sent {
                    assert_eq!(found, Err(ReceiveError::Empty.into()));
                } else {
                    assert_eq!(found, Ok([*next, !*next, *next]));
                    *next += 1;
                }
            }
            Step::Drain(who, count) if who < readers.len() => {
                let (subscriber, next) = &mut readers[who];
                let there = subscriber.drain(count).map(|message| message[0]).collect::<Vec<_>>();
                if *next >= sent.saturating_sub(capacity) {
                    let end = sent.min(*next + count as u64);
                    assert!(there.into_iter().eq(*next..end));
                    *next = end;
                } else {
                    assert!(there.is_empty());
                }
            }
            _ => {}
        }
    }
}

proptest! {
    /// Every subscriber gets every message once, in order, from where it began; nothing is sent
    /// beyond the room, and nothing is dropped twice or not at all.
    #[test]
    fn nothing_is_lost(capacity in 1..9usize, steps in vec(step(), 0..200)) {
        Model::<Private>::new(capacity).run(steps.clone());
        Model::<Local>::new(capacity).run(steps);
    }

    /// A subscriber that is overtaken is told exactly how many messages it missed.
    #[test]
    fn what_is_missed_is_counted(capacity in 1..9usize, steps in vec(step(), 0..200)) {
        lossy_run::<Private>(capacity, steps.clone());
        lossy_run::<Local>(capacity, steps);
    }
}

/// A publisher that must wait, subscribers that sleep, and others that come and go: each gets one
/// run without a gap.
#[test]
fn threads_see_one_run_without_a_gap() {
    for wait in [Wait::Yield, Wait::default(), Wait::Park { spin_for: Duration::ZERO }] {
        let config = Config { capacity: 8, wait, ..Config::default() };
        let broadcast = Broadcast::<u64, Local>::new(config).unwrap();
        let mut readers: Vec<_> = (0..2)
            .map(|_| {
                let mut subscriber = broadcast.subscriber().unwrap();
                std::thread::spawn(move || read_to_the_end(&mut subscriber))
            })
            .collect();
        let visitors = broadcast.clone();
        readers.push(std::thread::spawn(move || {
            for round in 0..200 {
                let start = if round % 2 == 0 { Start::Oldest } else { Start::Next };
                let mut visitor = visitors.subscriber_from(start, None).unwrap();
                let Ok(first) = visitor.receive_timeout(Duration::from_millis(1)) else { continue };
                for n in 1..5 {
                    match visitor.try_receive() {
                        Ok(next) => assert_eq!(next, first + n),
                        Err(_) => break,
                    }
                }
            }
            20_000
        }));
        let mut publisher = broadcast.publisher().unwrap();
        drop(broadcast);
        (0..20_000).for_each(|n| publisher.send(n).unwrap());
        drop(publisher);
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), 20_000));
    }
}

fn read_to_the_end(subscriber: &mut Subscriber<u64, Local>) -> u64 {
    let mut next = 0;
    loop {
        match subscriber.receive() {
            Ok(message) => assert_eq!(message, next),
            Err(error) => {
                assert_eq!(error, ReceiveError::Closed);
                return next;
            }
        }
        next += 1;
    }
}

/// A publisher that runs ahead, and subscribers that copy what is written over: no message is
/// torn, and what was received and what was missed is all that was sent.
#[test]
fn overtaken_threads_get_whole_messages_and_exact_counts() {
    const MESSAGES: u64 = 200_000;
    let config = lossy::Config { capacity: 4, wait: Wait::Yield, ..lossy::Config::default() };
    let broadcast = Lossy::<[u64; 9], Local>::new(config).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut subscriber = broadcast.subscriber().unwrap();
            std::thread::spawn(move || {
                let (mut received, mut missed) = (0, 0);
                loop {
                    match subscriber.receive() {
                        Ok(message) => {
                            assert_eq!(message, [received + missed; 9]);
                            received += 1;
                        }
                        Err(LossyError::Missed(count)) => missed += count,
                        Err(error) => {
                            assert_eq!(error, ReceiveError::Closed.into());
                            assert_eq!(subscriber.missed(), missed);
                            return received + missed;
                        }
                    }
                }
            })
        })
        .collect();
    let mut publisher = broadcast.publisher().unwrap();
    drop(broadcast);
    for n in 0..MESSAGES {
        publisher.send([n; 9]).unwrap();
        if n % 64 == 0 {
            std::thread::yield_now();
        }
    }
    drop(publisher);
    readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), MESSAGES));
}

/// Seats are limited, a publisher without subscribers is told, and a subscriber that goes holds
/// nobody up.
#[test]
fn users_come_and_go() {
    let config = Config { capacity: 2, subscribers: 1, full: Full::Refuse, ..Config::default() };
    let broadcast = Broadcast::<u64, Local>::new(config).unwrap();
    let mut publisher = broadcast.publisher_as("the feed").unwrap();
    assert_eq!(broadcast.publisher().unwrap_err().holders, ["the feed"]);
    let slow = broadcast.subscriber().unwrap();
    assert_eq!(broadcast.subscriber().unwrap_err().limit, 1);
    assert_eq!(publisher.send_batch(0..5), 2);
    assert_eq!(broadcast.len(), 2);
    drop(slow);
    assert_eq!(publisher.send_batch(2..9), 7);
    drop(broadcast);
    assert_eq!(publisher.send(9), Err(SendError::Closed(9)));
}

/// Messages that are shown need not be `Send` where there is one thread.
#[test]
fn private_shows_any_type() {
    let broadcast = Broadcast::<Rc<u8>, Private>::new(Config::default()).unwrap();
    let (mut publisher, mut one) =
        (broadcast.publisher().unwrap(), broadcast.subscriber().unwrap());
    let mut two = broadcast.subscriber().unwrap();
    publisher.send(Rc::new(5)).unwrap();
    assert!(Rc::ptr_eq(&one.receive().unwrap(), &two.receive().unwrap()));
}

/// A value whose drop panics, once it is told to.
#[derive(Clone)]
struct Bomb(Rc<std::cell::Cell<bool>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.take(), "told to");
    }
}

/// A panic while an old message is dropped leaves the broadcast whole.
#[test]
fn a_panic_in_a_drop_does_no_harm() {
    let config = Config { capacity: 1, full: Full::Refuse, ..Config::default() };
    let broadcast = Broadcast::<Bomb, Private>::new(config).unwrap();
    let (mut publisher, fuse) = (broadcast.publisher().unwrap(), Rc::default());
    publisher.send(Bomb(Rc::clone(&fuse))).unwrap();
    let mut subscriber = broadcast.subscriber().unwrap();
    fuse.set(true);
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        _ = publisher.send(Bomb(Rc::clone(&fuse)));
    }));
    assert!(sent.is_err());
    assert!(subscriber.take().is_ok());
    publisher.loan().unwrap().send_with(|place| place.write(Bomb(Rc::clone(&fuse))));
    drop((publisher, subscriber, broadcast));
    assert_eq!(Rc::strong_count(&fuse), 1);
}
