//! Buffers that are lent, sent and come back.

use loom::thread;

use super::{SLEEPY, check};
use crate::channel::{self, Channel};
use crate::pool::{Buffer, Config, LoanError, Pool};
use crate::scope::Local;

fn pool(buffers: usize) -> Pool<u64, Local> {
    let config = Config { buffers, borrowers: 2, wait: SLEEPY, ..Config::default() };
    Pool::new(config, |_| 0).unwrap()
}

/// Two borrowers and one buffer: one has it at a time, and the next sees what the last has left.
#[test]
fn loom_pool_a_buffer_is_of_one() {
    check(|| {
        let pool = pool(1);
        let mut other = pool.borrower_as("o").unwrap();
        let mut mine = pool.borrower_as("m").unwrap();
        let thread = thread::spawn(move || {
            *other.loan().unwrap() += 1;
            other
        });
        *mine.loan().unwrap() += 1;
        let other = thread.join().unwrap();
        assert_eq!(*mine.try_loan().unwrap(), 2);
        drop((other, pool));
    });
}

/// A message goes to another thread and its buffer comes back, for which the borrower sleeps.
#[test]
fn loom_pool_a_message_comes_back() {
    check(|| {
        let mut borrower = pool(1).borrower_as("b").unwrap();
        let config = channel::Config { capacity: 2, wait: SLEEPY, ..channel::Config::default() };
        let channel = Channel::<Buffer<u64, Local>, Local>::new(config).unwrap();
        let mut sender = channel.sender_as("s").unwrap();
        let mut receiver = channel.receiver_as("r").unwrap();
        drop(channel);
        let thread = thread::spawn(move || {
            for n in 1..3 {
                assert_eq!(*receiver.receive().unwrap(), n);
            }
        });
        for n in 1..3 {
            let mut draft = borrower.loan().unwrap();
            *draft = n;
            sender.send(draft.freeze()).unwrap();
        }
        thread.join().unwrap();
        assert!(borrower.try_loan().is_ok());
    });
}

/// The pool goes before its last buffer does.
#[test]
fn loom_pool_memory_outlives_the_pool() {
    check(|| {
        let pool = pool(1);
        let mut borrower = pool.borrower_as("b").unwrap();
        let draft = borrower.loan().unwrap();
        assert_eq!(borrower.try_loan().unwrap_err(), LoanError::Exhausted { buffers: 1 });
        let thread = thread::spawn(move || drop(draft));
        drop((borrower, pool));
        thread.join().unwrap();
    });
}
