//! Pools and signals between processes.

mod processes;

use std::time::Duration;

use processes::{Other, namespace, part, stay, until};
use tautline_bus::channel::{self, Channel};
use tautline_bus::pool::{Borrower, Config, LoanError, Pool, RedeemError, Ticket};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Full, OpenError, ReceiveError, Shared};

type Way = Channel<Ticket, Shared>;
const BUFFERS: usize = 4;
const SHORT: Duration = Duration::from_millis(1);
/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

fn open(namespace: &str) -> (Pool<[u8], Shared>, Way) {
    let (full, patience) = (Full::Block(Some(LONG)), Some(LONG));
    let config = Config { buffers: BUFFERS, borrowers: 3, exhausted: full, ..Config::default() };
    let pool = Pool::open_bytes(namespace, "pool", 4000, config).unwrap();
    let config = channel::Config { full, patience, ..channel::Config::default() };
    let way = Way::open(namespace, "way", config).unwrap();
    (pool, way)
}

fn fill(borrower: &mut Borrower<[u8], Shared>, n: u32) -> tautline_bus::pool::Buffer<[u8], Shared> {
    let mut draft = borrower.loan().unwrap();
    let content = vec![n as u8; 4 + n as usize % 3000];
    draft.view_mut().copy_from(0, &content);
    draft.view_mut().write(0, &n);
    draft.freeze_to(content.len())
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    let (pool, way) = open(&namespace);
    let mut borrower = pool.borrower().unwrap();
    match part.as_str() {
        "send" => {
            let mut sender = way.sender().unwrap();
            for n in 0..20_000 {
                fill(&mut borrower, n).send(&mut sender).unwrap();
            }
        }
        "hold" => {
            let _drafts = (borrower.loan().unwrap(), borrower.loan().unwrap());
            drop(borrower); // the drafts keep its seat
            stay();
        }
        "send one and die" => {
            fill(&mut borrower, 7).send(&mut way.sender().unwrap()).unwrap();
            stay();
        }
        "receive" => {
            let _buffer = borrower.receive(&mut way.receiver().unwrap()).unwrap();
            stay();
        }
        "receive under a loan" => {
            let mut receiver = way.receiver().unwrap();
            let loan = receiver.take().unwrap();
            let _buffer = borrower.redeem(loan.ticket().unwrap()).unwrap();
            stay();
        }
        "raise" => {
            let signal = Signal::<Shared>::open(&namespace, "signal", Default::default()).unwrap();
            signal.raiser().unwrap().raise(3);
            stay();
        }
        other => panic!("there is no part {other}"),
    }
}

/// Buffers go to another process through a few tickets, are read where they were written, and come
/// back.
#[test]
fn buffers_cross() {
    let namespace = namespace("cross");
    let (pool, way) = open(&namespace);
    let (mut borrower, mut receiver) = (pool.borrower().unwrap(), way.receiver().unwrap());
    let sender = Other::play("send", &namespace);
    for n in 0..20_000 {
        let buffer = borrower.receive(&mut receiver).unwrap();
        let view = buffer.view();
        assert_eq!((view.read::<u32>(0), view.len()), (Ok(n), 4 + n as usize % 3000));
        assert!(view.to_vec()[4..].iter().all(|byte| *byte == n as u8));
        // SAFETY: the other process writes to buffers that it has, and to no others.
        assert_eq!(unsafe { view.trust() }.len(), view.len());
    }
    sender.done();
    assert_eq!(pool.available(), BUFFERS);
}

/// Loans of a process that is killed return to the pool, to one who waits for them.
#[test]
fn loans_of_the_dead_return() {
    let namespace = namespace("loans");
    let (pool, _way) = open(&namespace);
    let holder = Other::at("hold", &namespace);
    assert_eq!((pool.available(), pool.users()), (BUFFERS - 2, 1));
    let mut borrower = pool.borrower().unwrap();
    let mine: Vec<_> = (0..2).map(|_| borrower.loan().unwrap()).collect();
    assert_eq!(borrower.loan_timeout(SHORT).err(), Some(LoanError::TimedOut { buffers: 4 }));
    holder.kill();
    let third = borrower.loan().unwrap();
    assert_eq!((pool.available(), pool.users()), (1, 1));
    drop((mine, third));
    assert_eq!(pool.available(), BUFFERS);
}

/// A buffer whose sender has died is still received, though all others are out meanwhile; one whose
/// receiver has died comes back.
#[test]
fn what_was_sent_outlives_its_sender() {
    let namespace = namespace("outlives");
    let (pool, way) = open(&namespace);
    let mut borrower = pool.borrower().unwrap();
    Other::at("send one and die", &namespace).kill();
    let others: Vec<_> = std::iter::from_fn(|| borrower.try_loan().ok()).collect();
    assert_eq!(others.len(), BUFFERS - 1);
    let mut receiver = way.receiver().unwrap();
    let buffer = borrower.receive(&mut receiver).unwrap();
    assert_eq!((buffer.view().len(), buffer.view().read::<u32>(0)), (11, Ok(7)));
    let mut sender = way.sender().unwrap();
    buffer.send(&mut sender).unwrap();
    assert!(borrower.try_loan().is_err());

    drop((receiver, others));
    Other::at("receive", &namespace).kill();
    let all = until("a buffer is lost", || {
        let all: Vec<_> = std::iter::from_fn(|| borrower.loan_timeout(SHORT).ok()).collect();
        (all.len() == BUFFERS).then_some(all)
    });
    drop(all);
    assert_eq!(pool.available(), BUFFERS);
}

/// A ticket that had not left the channel when its receiver was killed comes again with a mark, and
/// brings its buffer.
#[test]
fn a_ticket_on_loan_comes_again() {
    let namespace = namespace("again");
    let (pool, way) = open(&namespace);
    let (mut borrower, mut sender) = (pool.borrower().unwrap(), way.sender().unwrap());
    fill(&mut borrower, 9).send(&mut sender).unwrap();
    Other::at("receive under a loan", &namespace).kill();
    let mut receiver = way.receiver().unwrap();
    let buffer = borrower.receive(&mut receiver).unwrap();
    assert_eq!((buffer.view().read::<u32>(0), receiver.is_redelivered()), (Ok(9), true));
}

/// The same for one who takes the ticket out itself, and finds the buffer with the dead.
#[test]
fn a_ticket_is_redeemed_after_the_dead() {
    let namespace = namespace("after");
    let (pool, way) = open(&namespace);
    let (mut borrower, mut sender) = (pool.borrower().unwrap(), way.sender().unwrap());
    fill(&mut borrower, 9).send(&mut sender).unwrap();
    Other::at("receive under a loan", &namespace).kill();
    let mut receiver = way.receiver().unwrap();
    let loan = receiver.take().unwrap();
    let buffer = borrower.redeem(loan.ticket().unwrap()).unwrap();
    assert_eq!((buffer.view().read::<u32>(0), loan.is_redelivered()), (Ok(9), true));
}

/// A ticket brings its buffer once; what is none, and what was lent anew, is told.
#[test]
fn tickets_are_of_one() {
    let namespace = namespace("tickets");
    let (pool, way) = open(&namespace);
    let mut borrower = pool.borrower().unwrap();
    let ticket = fill(&mut borrower, 1).into_ticket();
    let again = Ticket::of_words(ticket.words());
    drop(borrower.redeem(ticket).unwrap());
    assert_eq!(borrower.redeem(again).unwrap_err(), RedeemError::Stale);
    for words in [[0, 9 << 32], [0, 5000], [u64::MAX; 2]] {
        let error = borrower.redeem(Ticket::of_words(words)).unwrap_err();
        assert_eq!(error, RedeemError::Corrupt);
    }
    way.sender().unwrap().send(again).unwrap();
    let mut receiver = way.receiver().unwrap();
    assert_eq!(borrower.try_receive(&mut receiver).err(), Some(ReceiveError::Empty));

    let error = Pool::<[u8], Shared>::open_bytes(&namespace, "pool", 1, Config::default());
    assert!(matches!(error, Err(OpenError::Mismatch { .. })), "{error:?}");
    // A buffer that is refused comes back with the error.
    let refusing = channel::Config { capacity: 1, full: Full::Refuse, ..Default::default() };
    let narrow = Way::open(&namespace, "narrow", refusing).unwrap();
    let mut sender = narrow.sender().unwrap();
    fill(&mut borrower, 1).send(&mut sender).unwrap();
    let back = fill(&mut borrower, 2).send(&mut sender).unwrap_err().into_message();
    assert_eq!(back.view().read::<u32>(0), Ok(2));
    drop(back);
    assert_eq!(pool.available(), BUFFERS - 1);
}

/// Buffers of a type hold its values, which are checked.
#[test]
fn buffers_hold_values() {
    let namespace = namespace("values");
    let config = Config { buffers: 2, ..Config::default() };
    let pool = Pool::<[bool; 3], Shared>::open(&namespace, "pool", config).unwrap();
    let mut borrower = pool.borrower().unwrap();
    let mut draft = borrower.loan().unwrap();
    assert_eq!(draft.read(), Ok([false; 3]));
    draft.write(&[true, false, true]);
    let buffer = draft.freeze();
    assert_eq!(buffer.read(), Ok([true, false, true]));
    // SAFETY: it is a value, and this process is the only one that has the pool.
    assert!(unsafe { buffer.trust() }[2]);
}

/// What a raiser raised before it was killed is taken, by one who waits.
#[test]
fn signals_cross() {
    let namespace = namespace("signal");
    let signal = Signal::<Shared>::open(&namespace, "signal", Default::default()).unwrap();
    let mut waiter = signal.waiter().unwrap();
    assert_eq!(waiter.wait_timeout(SHORT), Err(ReceiveError::TimedOut));
    let raiser = Other::at("raise", &namespace);
    waiter.wait_timeout(LONG).unwrap();
    raiser.kill();
    assert_eq!(waiter.take_all(), 2);
    until("a raiser's seat is not free", || {
        _ = waiter.wait_timeout(SHORT);
        (signal.users() == [0, 1]).then_some(())
    });
    let other = signal::Config { waiters: 3, ..Default::default() };
    let error = Signal::<Shared>::open(&namespace, "signal", other).unwrap_err();
    assert!(error.to_string().contains("signal, raisers 8, waiters 3"), "{error}");
}
