//! The same becomes of what the dead leave whoever clears their seats.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::broadcast::{self, Broadcast};
use crate::channel::{Channel, Config, Order};
use crate::policy::Full;
use crate::pool::{self, Pool};
use crate::ring::mortal::{READING, WRITING};
use crate::wakeup::Wakeup;

type Numbers = Channel<u64, Shared>;

/// By whom a seat is cleared.
const BY: [&str; 2] = ["clean", "somebody who comes"];

fn place(test: &str, by: &str) -> (String, String) {
    let namespace = format!("{test}-{}-{}", by.len(), std::process::id());
    let name = format!("{namespace}/it");
    (namespace, name)
}

fn ringed() -> Config {
    Config { order: Order::Total, capacity: 2, senders: 3, receivers: 3, ..Config::default() }
}

fn peek(name: &str) -> (Peek, Group) {
    let peek = Peek::at_as(&Name::of_text(name).unwrap(), Access::Write).unwrap();
    let [group, _] = peek.ends().unwrap();
    (peek, group)
}

/// Puts all slots of a ring into a phase in which that user has them.
fn hold(name: &str, user: usize, phase: u64) {
    let (peek, group) = peek(name);
    let slots = if peek.kind == Kind::Pool { group.rows } else { group.slots };
    for slot in 0..slots.count {
        let stamp: &AtomicU64 = peek.to_write(&slots, slot, 0).unwrap();
        let state = State(stamp.load(Ordering::Relaxed));
        stamp.store(state.to(user, phase).0, Ordering::Relaxed);
    }
}

/// Puts one into a seat that has this process's number, and lived before it.
fn kill(name: &str, seat: u64) {
    let (peek, group) = peek(name);
    let own = Identity::own().unwrap();
    let dead = Identity::new(own.pid(), own.start().wrapping_sub(1));
    let word: &AtomicU64 = peek.to_write(&group.seats, seat, 0).unwrap();
    word.store(dead.word(), Ordering::Relaxed);
}

fn is_readable(wakeup: &Wakeup) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&wakeup.as_fd(), PollFlags::IN)], Some(&now)).unwrap() == 1
}

/// What a sender had that overwrites, and died over it, counts as dropped, as what it overwrites
/// does; what a receiver had is lost, where that was agreed.
#[test]
fn what_is_given_up_is_counted_by_who_had_it() {
    for by in BY {
        let (namespace, name) = place("counted", by);
        let config =
            Config { full: Full::Overwrite, orphans: crate::channel::Orphans::Lose, ..ringed() };
        let channel = Numbers::open(&namespace, "it", config).unwrap();
        let mut sender = channel.sender().unwrap();
        for (seat, user, counts) in [(1, 3 + 1, [2, 0]), (3 + 1, 1, [2, 2])] {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
            hold(&name, user, READING);
            kill(&name, seat);
            match by {
                "clean" => assert_eq!(clean(&name).unwrap().cleared.len(), 1),
                _ => drop(channel.receiver().unwrap()),
            }
            let look = crate::shared::look(&name).unwrap();
            assert_eq!([look.dropped, look.lost], counts, "{by}, seat {seat}");
        }
    }
}

/// One who sleeps until there is a message is woken when a message comes again.
#[test]
fn who_sleeps_at_a_ring_is_woken() {
    for by in BY {
        let (namespace, name) = place("ringed", by);
        let channel = Numbers::open(&namespace, "it", ringed()).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let wakeup = Wakeup::between_processes().unwrap();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        hold(&name, 1, READING);
        assert!(wakeup.arm(|context| receiver.poll_wait(context)).is_pending());
        kill(&name, 3 + 1);
        match by {
            "clean" => assert_eq!(clean(&name).unwrap().cleared.len(), 1),
            _ => drop(channel.sender().unwrap()),
        }
        assert!(is_readable(&wakeup), "{by}");
        assert_eq!(receiver.receive(), Ok(1));
        assert!(receiver.is_redelivered());
    }
}

/// The same for one who waits for a buffer.
#[test]
fn who_sleeps_at_a_pool_is_woken() {
    for by in BY {
        let (namespace, name) = place("pool", by);
        let config = pool::Config { buffers: 2, borrowers: 3, ..pool::Config::default() };
        let pool = Pool::<u64, Shared>::open(&namespace, "it", config).unwrap();
        let mut borrower = pool.borrower().unwrap();
        hold(&name, 1, WRITING);
        let wakeup = Wakeup::between_processes().unwrap();
        assert!(wakeup.arm(|context| borrower.poll_loan(context)).is_pending());
        kill(&name, 1);
        match by {
            "clean" => assert_eq!(clean(&name).unwrap().cleared.len(), 1),
            _ => drop(pool.borrower().unwrap()),
        }
        assert!(is_readable(&wakeup), "{by}");
    }
}

/// The same for a publisher that waits for a subscriber who has died.
#[test]
fn who_sleeps_at_a_broadcast_is_woken() {
    for by in BY {
        let (namespace, name) = place("broadcast", by);
        let config = broadcast::Config { capacity: 2, ..broadcast::Config::default() };
        let broadcast = Broadcast::<u64, Shared>::open(&namespace, "it", config).unwrap();
        let mut publisher = broadcast.publisher().unwrap();
        let subscriber = broadcast.subscriber().unwrap();
        while publisher.try_send(1).is_ok() {}
        let (wakeup, mut message) = (Wakeup::between_processes().unwrap(), Some(2));
        assert!(wakeup.arm(|context| publisher.poll_send(context, &mut message)).is_pending());
        std::mem::forget(subscriber);
        kill(&name, 1);
        match by {
            "clean" => assert_eq!(clean(&name).unwrap().cleared.len(), 1),
            _ => drop(broadcast.subscriber().unwrap()),
        }
        assert!(is_readable(&wakeup), "{by}");
    }
}
