//! The lane and the ring of many.

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::thread;

use super::{check, check_three};
use crate::error::Corrupt;
use crate::ring::lane::{Giver, Lane, Taker};
use crate::ring::many::{Ends, Ring, Stamped};
use crate::scope::{Local, Place};
use crate::sync::spin_loop;

/// A message that the model counts, so that it notices one that is lost or dropped twice.
type Token = Arc<u64>;

/// A lane, and what keeps it.
type Kept = StdArc<(Lane<Local>, Vec<Place<Token>>)>;

fn lane(capacity: usize) -> Kept {
    StdArc::new((Lane::new(), (0..capacity).map(|_| Place::empty()).collect()))
}

fn take(taker: &mut Taker<Token, Local>) -> u64 {
    while !taker.look().unwrap() {
        spin_loop();
    }
    // SAFETY: it is passed over.
    let message = unsafe { taker.read::<Corrupt>() }.unwrap();
    taker.pass();
    taker.release();
    *message
}

/// Gives a message, for which there is room.
fn put(giver: &mut Giver<Token, Local>, n: u64) {
    // SAFETY: there is room.
    unsafe {
        giver.stage(0, Token::new(n));
        giver.publish(1);
    }
}

/// A giver that must wait for room, over the end of the ring and again: messages arrive whole, in
/// order, and no slot is written before it was read.
#[test]
fn loom_lane_messages_arrive_in_order_across_the_wrap() {
    for capacity in [1, 2] {
        check(move || {
            let kept = lane(capacity);
            // SAFETY: the one giver and the one taker of a ring that both keep.
            let mut giver = unsafe { Giver::new(&kept.0, &kept.1) };
            // SAFETY: as above.
            let mut taker = unsafe { Taker::new(&kept.0, &kept.1) };
            let keeps = kept.clone();
            let thread = thread::spawn(move || {
                for n in 0..3 {
                    while !giver.has_room() {
                        spin_loop();
                    }
                    put(&mut giver, n);
                }
                drop(keeps);
            });
            (0..3).for_each(|n| assert_eq!(take(&mut taker), n));
            assert!(!taker.look().unwrap());
            thread.join().unwrap();
        });
    }
}

/// A batch is seen whole or not at all, and is taken as one.
#[test]
fn loom_lane_a_batch_comes_at_once() {
    check(|| {
        let kept = lane(2);
        // SAFETY: the one giver and the one taker of a ring that both keep.
        let mut giver = unsafe { Giver::new(&kept.0, &kept.1) };
        // SAFETY: as above.
        let mut taker = unsafe { Taker::new(&kept.0, &kept.1) };
        let keeps = kept.clone();
        let thread = thread::spawn(move || {
            assert_eq!(giver.room(2), 2);
            // SAFETY: there is room for two.
            unsafe {
                (0..2).for_each(|n| giver.stage(n, Token::new(n)));
                giver.publish(2);
            }
            while giver.room(1) == 0 {
                spin_loop();
            }
            put(&mut giver, 2);
            drop(keeps);
        });
        while !taker.look().unwrap() {
            spin_loop();
        }
        let mut run = taker.begin_run(2);
        // SAFETY: the run is of this taker, which ends it after.
        let mut next = || unsafe { taker.take_of(&mut run) }.map(|(message, _)| *message.unwrap());
        assert_eq!([next(), next(), next()], [Some(0), Some(1), None]);
        // SAFETY: as above.
        unsafe { taker.end_run(&run) };
        assert_eq!(take(&mut taker), 2);
        thread.join().unwrap();
    });
}

/// A giver that leaves and another that takes its seat: the second goes on where the first was.
#[test]
fn loom_lane_a_giver_follows_another() {
    check(|| {
        let kept = lane(1);
        // SAFETY: the one taker of a ring that all keep.
        let mut taker = unsafe { Taker::new(&kept.0, &kept.1) };
        let keeps = kept.clone();
        let thread = thread::spawn(move || {
            for n in 0..2 {
                // SAFETY: one giver at a time of a ring that all keep.
                let mut giver = unsafe { Giver::new(&keeps.0, &keeps.1) };
                while !giver.has_room() {
                    spin_loop();
                }
                put(&mut giver, n);
            }
        });
        (0..2).for_each(|n| assert_eq!(take(&mut taker), n));
        thread.join().unwrap();
    });
}

type Shared = StdArc<(Ends<Local>, Vec<Stamped<Token, Local>>)>;

fn many() -> Shared {
    StdArc::new((Ends::new(), (0..2).map(Stamped::new).collect()))
}

/// The ring as the user of that seat sees it, and what keeps it.
fn ring(kept: &Shared, seat: usize) -> (Ring<Token, Local>, Shared) {
    // SAFETY: the caller keeps what is given beside it.
    (unsafe { Ring::new(&kept.0, &kept.1, seat) }, kept.clone())
}

/// Gives if there is room; a model knows no fairness, so that waiting for it would have no end.
fn give(ring: &Ring<Token, Local>, n: u64) -> bool {
    let claim = ring.claim_to_give();
    claim.map(|claim| ring.give(claim, Token::new(n))).is_some()
}

fn take_one(ring: &Ring<Token, Local>) -> Option<u64> {
    ring.claim_to_take(|| ()).map(|claim| *ring.take(claim).unwrap())
}

/// Two givers and a taker, over the end of the ring: every message that was accepted arrives once,
/// those of each giver in order.
#[test]
fn loom_many_messages_arrive_once() {
    check_three(|| {
        let kept = many();
        let givers: Vec<_> = (0..2)
            .map(|seat| {
                let (ring, keeps) = ring(&kept, seat);
                thread::spawn(move || {
                    let messages = [10 * seat as u64, 10 * seat as u64 + 1];
                    let given = messages.into_iter().filter(|n| give(&ring, *n)).collect();
                    drop(keeps);
                    given
                })
            })
            .collect();
        let (ring, _keeps) = ring(&kept, 0);
        let mut taken: Vec<_> = (0..2).filter_map(|_| take_one(&ring)).collect();
        let given: Vec<Vec<_>> = givers.into_iter().map(|giver| giver.join().unwrap()).collect();
        taken.extend(std::iter::from_fn(|| take_one(&ring)));
        for (seat, given) in given.iter().enumerate() {
            let of_one = taken.iter().filter(|n| **n / 10 == seat as u64);
            assert!(of_one.eq(given));
        }
        assert!(!ring.has_some() && ring.has_room());
    });
}

/// Two takers and a giver: every message goes to one of them, in order.
#[test]
fn loom_many_messages_go_to_one() {
    check_three(|| {
        let kept = many();
        let takers: Vec<_> = (0..2)
            .map(|seat| {
                let (ring, keeps) = ring(&kept, seat);
                thread::spawn(move || {
                    let taken: Vec<_> = (0..2).filter_map(|_| take_one(&ring)).collect();
                    drop(keeps);
                    taken
                })
            })
            .collect();
        let (ring, _keeps) = ring(&kept, 0);
        let given: Vec<_> = (0..3).filter(|n| give(&ring, *n)).collect();
        let mut all = Vec::new();
        for taker in takers {
            let taken = taker.join().unwrap();
            assert!(taken.is_sorted());
            all.extend(taken);
        }
        all.extend(std::iter::from_fn(|| take_one(&ring)));
        all.sort_unstable();
        assert_eq!(all, given);
    });
}

/// A position that was claimed and has no message is passed over, and used again.
#[test]
fn loom_many_void_positions_are_passed_over() {
    check(|| {
        let kept = many();
        let (voids, keeps) = ring(&kept, 0);
        let thread = thread::spawn(move || {
            if let Some(claim) = voids.claim_to_give() {
                voids.hand_over_void(claim);
            }
            let given = give(&voids, 1);
            drop(keeps);
            given
        });
        let (ring, _keeps) = ring(&kept, 1);
        let mut given = vec![(2, give(&ring, 2))];
        let mut taken: Vec<_> = take_one(&ring).into_iter().collect();
        given.push((1, thread.join().unwrap()));
        taken.extend(std::iter::from_fn(|| take_one(&ring)));
        given.retain(|(_, given)| *given);
        let mut given: Vec<_> = given.into_iter().map(|(n, _)| n).collect();
        (taken.sort_unstable(), given.sort_unstable());
        assert_eq!(taken, given);
        // All positions are free again, as many as there are.
        assert!(give(&ring, 3) && give(&ring, 4) && !give(&ring, 5));
        assert_eq!((take_one(&ring), take_one(&ring), take_one(&ring)), (Some(3), Some(4), None));
    });
}
