//! Seats and ends: attaching, detaching, and hearing that nobody is left.

use std::sync::Arc as StdArc;

use loom::thread;

use super::{check, check_three};
use crate::object::{Handle, Object, Parts, Role};
use crate::scope::{Local, Word};
use crate::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// An object whose users touch what only one of them may.
#[derive(Debug)]
struct Desk {
    takers: usize,
}

#[derive(Default)]
struct Head {
    /// How often each kind of users was said to be gone.
    gone: [AtomicU32; 2],
    /// What those do who are gone, and those see who hear of it.
    work: AtomicU64,
}

/// What the user of a seat alone touches.
struct Own(UnsafeCell<u32>);

// SAFETY: touched by the user of the seat alone, which the model checks.
unsafe impl Sync for Own {}

impl Object<Local> for Desk {
    const KIND: &'static str = "desk";
    const USERS: [&'static str; 2] = ["clerk", "client"];
    type Head = Head;
    type Row = Own;
    type Slot = ();

    fn limits(&self) -> [usize; 2] {
        [1, self.takers]
    }
    fn head(&self) -> Head {
        Head::default()
    }
    fn rows(&self) -> usize {
        self.takers
    }
    fn row(&self, _: usize) -> Own {
        Own(UnsafeCell::new(0))
    }
    fn slots(&self) -> usize {
        0
    }
    fn slot(&self, _: usize) {}

    fn gone(&self, parts: &Parts<Self, Local>, role: Role) {
        parts.head.gone[role as usize].fetch_add(1, Ordering::Relaxed);
    }
}

type Desks = Handle<Desk, Local>;

/// One handle for all, whose comings and goings are another model's.
fn desk(takers: usize) -> StdArc<Desks> {
    StdArc::new(Handle::create(Desk { takers }).unwrap())
}

/// Attaches if there is a seat, and does what only its user may do.
fn visit(desk: &Desks) -> bool {
    let Ok(seat) = desk.attach_as(Role::Taker, Some("client")) else { return false };
    let own = &seat.parts().rows[seat.seat()];
    // SAFETY: the user of the seat alone touches it.
    own.0.with_mut(|own| unsafe { *own += 1 });
    true
}

/// Two users at one seat: one after the other, and the second sees what the first has done.
#[test]
fn loom_seats_are_handed_over() {
    check(|| {
        let desk = desk(1);
        let other = desk.clone();
        let thread = thread::spawn(move || visit(&other) as u32);
        let mine = visit(&desk) as u32;
        let visits = mine + thread.join().unwrap();
        assert!(visits >= 1);
        // SAFETY: nobody is attached.
        assert_eq!(desk.parts().rows[0].0.with(|own| unsafe { *own }), visits);
        assert_eq!(desk.parts().users(Role::Taker), 0);
    });
}

/// Three users and two seats: never two at one, and at least two get one.
#[test]
fn loom_seats_are_of_one_user_each() {
    check_three(|| {
        let desk = desk(2);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let desk = desk.clone();
                thread::spawn(move || visit(&desk) as u32)
            })
            .collect();
        let mine = visit(&desk) as u32;
        let visits: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(mine + visits >= 2);
    });
}

/// The last of a kind to go is said to be gone, once, whatever the order of going; and who hears
/// that nobody can come sees all that they have done.
#[test]
fn loom_gone_is_said_once() {
    check(|| {
        let desk = Handle::create(Desk { takers: 1 }).unwrap();
        let giver = desk.attach_as(Role::Giver, Some("clerk")).unwrap();
        let taker = desk.attach_as(Role::Taker, Some("client")).unwrap();
        let threads = [
            thread::spawn(move || {
                giver.parts().head.work.store(1, Ordering::Relaxed);
                drop(giver);
            }),
            thread::spawn(move || drop(desk)),
        ];
        if !taker.parts().can_come(Role::Giver) {
            assert_eq!(taker.parts().head.work.load(Ordering::Relaxed), 1);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let head = &taker.parts().head;
        assert!(!taker.parts().can_come(Role::Giver) && taker.parts().can_come(Role::Taker));
        assert_eq!(head.gone[0].load(Ordering::Relaxed), 1);
        assert_eq!(head.gone[1].load(Ordering::Relaxed), 0);
        assert_eq!(Word::load(&head.work, Ordering::Relaxed), 1);
    });
}
