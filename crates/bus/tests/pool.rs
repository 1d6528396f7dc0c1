//! Pools lend each buffer to one at a time, and get all of them back.

use std::collections::HashSet;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tautline_bus::broadcast::{self, Broadcast};
use tautline_bus::channel::{self, Channel};
use tautline_bus::pool::{Buffer, Config, Keeps, LoanError, Pool};
use tautline_bus::{CreateError, Full, InProcess, Local, Private, Wait};

fn refusing(buffers: usize) -> Config {
    Config { buffers, exhausted: Full::Refuse, ..Config::default() }
}

fn all_come_back<S: InProcess + Keeps<[u8]>>() {
    for buffers in [1, 2, 3, 7, 8] {
        let pool = Pool::<[u8], S>::of_bytes(200, refusing(buffers)).unwrap();
        let mut borrower = pool.borrower().unwrap();
        for round in 0..20 {
            let mut out: Vec<_> = (0..buffers).map(|_| borrower.loan().unwrap()).collect();
            assert_eq!(borrower.loan().unwrap_err(), LoanError::Exhausted { buffers });
            assert_eq!(pool.available(), 0);
            let places: HashSet<_> = out.iter().map(|draft| draft.as_ptr()).collect();
            assert_eq!(places.len(), buffers);
            assert!(out.iter().all(|draft| draft.as_ptr().addr() % 128 == 0));
            for (n, draft) in out.iter_mut().enumerate() {
                assert!(round == 0 || draft.iter().all(|byte| *byte < buffers as u8));
                draft.fill(n as u8);
            }
            let messages = out.into_iter().map(|draft| draft.freeze_to(150)).collect::<Vec<_>>();
            for (n, message) in messages.iter().enumerate() {
                assert_eq!(**message, [n as u8; 150]);
            }
            drop(messages);
            assert_eq!(pool.available(), buffers);
        }
    }
}

/// Each buffer is lent to one at a time, whole, apart from the others, and comes back.
#[test]
fn all_buffers_come_back() {
    all_come_back::<Private>();
    all_come_back::<Local>();
}

/// Values live in the pool from its beginning to its end, are not dropped when they come back, and
/// outlive the pool with those who have them.
#[test]
fn values_are_dropped_once() {
    let token = Rc::new(());
    let pool = Pool::<(Rc<()>, u32), Private>::new(refusing(3), |_| (token.clone(), 0)).unwrap();
    assert_eq!(Rc::strong_count(&token), 4);
    let mut borrower = pool.borrower().unwrap();
    let mut draft = borrower.loan().unwrap();
    draft.1 = 5;
    let message = draft.freeze();
    drop((borrower.loan().unwrap(), borrower, pool));
    assert_eq!((message.1, Rc::strong_count(&token)), (5, 4));
    drop(message);
    assert_eq!(Rc::strong_count(&token), 1);
}

/// A maker that panics leaks nothing that it had made.
#[test]
fn a_maker_that_panics_does_no_harm() {
    let token = Rc::new(());
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Pool::<Rc<()>, Private>::new(refusing(4), |n| {
            assert_ne!(n, 2, "no third");
            token.clone()
        })
    }));
    assert!(made.is_err());
    assert_eq!(Rc::strong_count(&token), 1);
}

/// Messages go through a channel to other threads and back, more often than there are buffers; who
/// finds none waits by time, by sleep, and by a waker.
#[test]
fn borrowers_wait_for_what_comes_back() {
    for wait in [Wait::Yield, Wait::default(), Wait::Park { spin_for: Duration::ZERO }] {
        let config = Config { buffers: 3, wait, ..Config::default() };
        let pool = Pool::<[u64; 32], Local>::new(config, |_| [0; 32]).unwrap();
        let channel = Channel::<Buffer<[u64; 32], Local>, Local>::new(channel::Config {
            senders: 2,
            wait,
            ..channel::Config::default()
        })
        .unwrap();
        let mut receiver = channel.receiver().unwrap();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (mut borrower, mut sender) =
                    (pool.borrower().unwrap(), channel.sender().unwrap());
                std::thread::spawn(move || {
                    for n in 0..5_000 {
                        let mut draft = borrower.loan().unwrap();
                        draft.fill(n);
                        sender.send(draft.freeze()).unwrap();
                    }
                })
            })
            .collect();
        drop(channel);
        let mut received = 0;
        while let Ok(message) = receiver.receive() {
            assert_eq!(*message, [message[0]; 32]);
            received += 1;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((received, pool.available()), (10_000, 3));
    }
    let pool =
        Pool::<[u8], Local>::of_bytes(8, Config { buffers: 1, ..Config::default() }).unwrap();
    let mut borrower = pool.borrower().unwrap();
    let draft = borrower.loan().unwrap();
    let error = borrower.loan_timeout(Duration::from_millis(2)).unwrap_err();
    assert_eq!(error, LoanError::TimedOut { buffers: 1 });
    assert!(error.to_string().contains("all 1 buffers"), "{error}");
    let mut context = Context::from_waker(Waker::noop());
    assert!(borrower.poll_loan(&mut context).is_pending());
    drop(draft);
    assert!(borrower.poll_loan(&mut context).is_ready());
}

/// One buffer is read by all subscribers where it lies, and comes back when the ring comes round.
#[test]
fn a_buffer_is_broadcast() {
    let pool = Pool::<[u8], Local>::of_bytes(64, refusing(3)).unwrap();
    let config = broadcast::Config { capacity: 2, ..broadcast::Config::default() };
    let broadcast = Broadcast::<Buffer<[u8], Local>, Local>::new(config).unwrap();
    let (mut one, mut two) = (broadcast.subscriber().unwrap(), broadcast.subscriber().unwrap());
    let (mut borrower, mut publisher) = (pool.borrower().unwrap(), broadcast.publisher().unwrap());
    for n in 0..20 {
        let mut draft = borrower.loan().unwrap();
        draft.fill(n);
        publisher.send(draft.freeze()).unwrap();
        let (one, two) = (one.take().unwrap(), two.take().unwrap());
        assert!(one.as_ptr() == two.as_ptr() && one[63] == n);
    }
}

/// What cannot be made says why.
#[test]
fn errors_say_why() {
    let made = |size, config| Pool::<[u8], Private>::of_bytes(size, config).map(drop).unwrap_err();
    assert!(matches!(made(8, refusing(0)), CreateError::Capacity { asked: 0, .. }));
    assert!(matches!(made(0, refusing(1)), CreateError::Conflict { .. }));
    let overwriting = Config { exhausted: Full::Overwrite, ..Config::default() };
    assert!(matches!(made(8, overwriting), CreateError::Conflict { .. }));
    let alone = Config { borrowers: 0, ..Config::default() };
    assert!(matches!(made(8, alone), CreateError::NoUsers { user: "borrower", .. }));
    let huge = Config { buffers: 1 << 20, ..Config::default() };
    assert!(matches!(made(1 << 31, huge), CreateError::NoMemory { .. }));
}
