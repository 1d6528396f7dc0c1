//! Byte channels against a reference, in both scopes, and between threads.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tautline_bus::bytes::{Bytes, Config, ReserveError};
use tautline_bus::{CreateError, Full, InProcess, Local, Private, ReceiveError, Wait};

/// What the users of a byte channel do.
#[derive(Clone, Debug)]
enum Step {
    /// Sends that many bytes, of so many more that were reserved.
    Commit(usize, usize),
    Stage(usize),
    Abandon(usize),
    Flush,
    SendBatch(Vec<usize>),
    Take,
    Drain(usize),
    /// Both users go, and others come.
    Reattach,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![3 => 0..40usize, 2 => 0..1500usize, 1 => 1900..2060usize];
    prop_oneof![
        4 => (len(), 0..20usize).prop_map(|(len, more)| Step::Commit(len, more)),
        2 => len().prop_map(Step::Stage),
        1 => len().prop_map(Step::Abandon),
        1 => Just(Step::Flush),
        2 => vec(len(), 0..6).prop_map(Step::SendBatch),
        6 => Just(Step::Take),
        2 => (0..6usize).prop_map(Step::Drain),
        1 => Just(Step::Reattach),
    ]
}

/// A message that tells from all its bytes which one it is.
fn message(id: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (id.wrapping_mul(31) + at) as u8).collect()
}

/// Bytes of the channel that a message takes.
fn record(len: usize) -> usize {
    8 + len.next_multiple_of(8)
}

#[derive(Default)]
struct Reference {
    staged: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    next: usize,
}

impl Reference {
    fn used(&self) -> usize {
        self.staged.iter().chain(&self.sent).map(|message| record(message.len())).sum()
    }

    fn message(&mut self, len: usize) -> Vec<u8> {
        self.next += 1;
        message(self.next, len)
    }

    fn flush(&mut self) {
        self.sent.append(&mut self.staged);
    }
}

fn run<S: InProcess>(steps: Vec<Step>) {
    let config = Config { capacity: 4096, full: Full::Refuse, ..Config::default() };
    let channel = Bytes::<S>::new(config).unwrap();
    let (capacity, limit) = (channel.config().capacity, channel.limit());
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let mut reference = Reference::default();
    for step in steps {
        match step {
            Step::Commit(len, more) => {
                let (free, asked) = (capacity - reference.used(), len + more);
                match sender.reserve(asked) {
                    Ok(mut claim) => {
                        assert!(record(asked) <= free && claim.len() == asked);
                        let message = reference.message(len);
                        claim[..len].copy_from_slice(&message);
                        claim.commit(len);
                        reference.staged.push_back(message);
                        reference.flush();
                    }
                    Err(ReserveError::Full) => assert!(record(asked) > free),
                    Err(error) => {
                        assert_eq!(error, ReserveError::TooLong { len: asked, limit });
                        assert!(asked > limit);
                    }
                }
            }
            Step::Stage(len) => {
                if let Ok(mut claim) = sender.try_reserve(len) {
                    let message = reference.message(len);
                    claim.copy_from_slice(&message);
                    claim.stage(len);
                    reference.staged.push_back(message);
                }
            }
            Step::Abandon(len) => drop(sender.try_reserve(len)),
            Step::Flush => {
                sender.flush();
                reference.flush();
            }
            Step::SendBatch(lens) => {
                let messages: Vec<_> = lens.iter().map(|len| reference.message(*len)).collect();
                let sent = sender.send_batch(&messages);
                reference.staged.extend(messages.into_iter().take(sent));
                let fits =
                    |len: &usize| *len <= limit && reference.used() + record(*len) <= capacity;
                assert!(!lens.get(sent).is_some_and(fits));
                reference.flush();
            }
            Step::Take => {
                let wanted = reference.sent.pop_front().ok_or(ReceiveError::Empty);
                assert_eq!(receiver.take().map(|message| message.to_vec()), wanted);
            }
            Step::Drain(count) => {
                let drain = receiver.drain(count);
                let there: Vec<_> = drain.iter().map(<[u8]>::to_vec).collect();
                // Only what was known without a look, or all of it.
                assert!(there.len() == drain.len() && there.len() <= count);
                assert!(there.is_empty() <= (count == 0 || reference.sent.is_empty()));
                assert!(there.into_iter().eq(reference.sent.drain(..drain.len())));
            }
            Step::Reattach => {
                drop((sender, receiver));
                reference.flush();
                sender = channel.sender().unwrap();
                receiver = channel.receiver().unwrap();
            }
        }
        let used: usize = reference.sent.iter().map(|message| record(message.len())).sum();
        assert_eq!(channel.used(), used);
    }
}

proptest! {
    /// Every message arrives once, whole, in one piece and in order, across many laps; what is
    /// refused has no room.
    #[test]
    fn messages_arrive_whole(steps in vec(step(), 0..300)) {
        run::<Private>(steps.clone());
        run::<Local>(steps);
    }
}

/// Senders that must wait and a receiver that sleeps: every message of each arrives once, whole
/// and in order.
#[test]
fn threads_lose_nothing() {
    const MESSAGES: usize = 5_000;
    for wait in [Wait::Yield, Wait::default(), Wait::Park { spin_for: Duration::ZERO }] {
        let config = Config { capacity: 4096, senders: 2, wait, ..Config::default() };
        let channel = Bytes::<Local>::new(config).unwrap();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mut sender = channel.sender().unwrap();
                std::thread::spawn(move || {
                    for n in 0..MESSAGES {
                        let message = message(n, n * 7 % 2000);
                        let mut claim = sender.reserve(message.len()).unwrap();
                        claim.copy_from_slice(&message);
                        if n % 3 == 0 {
                            claim.stage(message.len())
                        } else {
                            claim.commit(message.len())
                        }
                    }
                })
            })
            .collect();
        let mut receiver = channel.receiver().unwrap();
        drop(channel);
        let mut next = VecDeque::from([0, 0]);
        let mut left = 2 * MESSAGES;
        while let Ok(found) = receiver.receive() {
            // Of which sender it is, one or the other.
            let at = next.iter().position(|n| *found == message(*n, n * 7 % 2000));
            let at = at.expect("the next message of one of the senders");
            next[at] += 1;
            left -= 1;
        }
        assert_eq!(left, 0);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// What cannot be made says why, and what cannot be sent says so.
#[test]
fn errors_say_why() {
    let made = |config| Bytes::<Private>::new(config).map(drop);
    let error = made(Config { capacity: 0, ..Config::default() }).unwrap_err();
    assert!(matches!(error, CreateError::Capacity { asked: 0, .. }));
    let error = made(Config { full: Full::Overwrite, ..Config::default() }).unwrap_err();
    assert!(matches!(error, CreateError::Conflict { .. }));
    let error = made(Config { senders: 0, ..Config::default() }).unwrap_err();
    assert!(matches!(error, CreateError::NoUsers { user: "sender", .. }));

    let channel = Bytes::<Local>::new(Config { capacity: 4096, ..Config::default() }).unwrap();
    let mut sender = channel.sender().unwrap();
    sender.send(&[1; 2000]).unwrap();
    sender.send(&[2; 2000]).unwrap();
    let error = sender.reserve_timeout(2000, Duration::from_millis(2)).map(drop).unwrap_err();
    assert_eq!(error, ReserveError::TimedOut);
    let mut receiver = channel.receiver().unwrap();
    channel.close();
    assert_eq!(sender.send(b"x"), Err(ReserveError::Closed));
    assert_eq!(receiver.receive().unwrap()[0], 1);
    assert_eq!(receiver.receive().unwrap()[0], 2);
    assert_eq!(receiver.receive().map(drop), Err(ReceiveError::Closed));
    let error = ReserveError::TooLong { len: 5000, limit: 2040 }.to_string();
    assert!(error.contains("5000") && error.contains("2040") && error.contains("10016"), "{error}");
}
