//! Selects.

use std::rc::Rc;

use tautline_runtime::fiber::{self, Baton, JoinError, Mutex, Semaphore, select};
use tautline_runtime::{Error, now};

use crate::{Log, in_fiber, settle, soon, spawn, spawn_by_error};

/// Proves that a select tells which object is ready, of every kind, takes nothing, and that what
/// is there succeeds afterwards without waiting.
#[test]
fn each_kind_of_object_can_be_ready() {
    in_fiber(|| {
        let mutex = Rc::new(Mutex::new(()));
        let mut locked = Some(mutex.try_lock().unwrap());
        let semaphore = Semaphore::new(0);
        let baton = Baton::new();
        let (sender, receiver) = fiber::channel(1);
        let (full, drain) = fiber::channel(1);
        full.try_send(0).unwrap();
        let fiber = spawn(fiber::park);
        let choose = || {
            let objects: [&dyn fiber::Awaitable; 6] =
                [&mutex, &semaphore, &baton, &receiver, &full, &fiber];
            select(objects, Some(soon())).unwrap()
        };
        assert_eq!(choose(), None);
        drop(locked.take());
        assert_eq!((choose(), choose()), (Some(0), Some(0)));
        locked = mutex.try_lock();
        semaphore.release(1);
        assert_eq!(choose(), Some(1));
        semaphore.try_acquire().unwrap().forget();
        baton.post();
        assert_eq!(choose(), Some(2));
        assert!(baton.try_wait());
        sender.try_send(1).unwrap();
        assert_eq!(choose(), Some(3));
        receiver.try_recv().unwrap();
        drain.try_recv().unwrap();
        assert_eq!(choose(), Some(4));
        full.try_send(1).unwrap();
        fiber.fiber().unpark();
        assert_eq!(choose(), Some(5));
        assert_eq!(choose(), Some(5));
        fiber.join().unwrap().unwrap();
        drop(locked);
    });
}

/// Proves that every kind of object wakes a select that waits.
#[test]
fn each_kind_of_object_wakes_a_select() {
    in_fiber(|| {
        let mutex = Rc::new(Mutex::new(()));
        let semaphore = Rc::new(Semaphore::new(0));
        let baton = Rc::new(Baton::new());
        let (sender, receiver) = fiber::channel::<u8>(1);
        let fiber = Rc::new(spawn(fiber::park));
        let locked = mutex.try_lock().unwrap();
        let choose = || {
            let (mutex, semaphore, baton) = (mutex.clone(), semaphore.clone(), baton.clone());
            let (receiver, fiber) = (receiver.clone(), fiber.clone());
            let choice =
                spawn(move || select([&mutex, &semaphore, &baton, &receiver, &fiber], None));
            settle();
            assert!(!choice.is_finished());
            choice
        };
        let chosen = |choice: fiber::JoinHandle<Result<_, Error>>| choice.join().unwrap().unwrap();
        let choice = choose();
        drop(locked);
        assert_eq!(chosen(choice), Some(0));
        let _locked = mutex.try_lock().unwrap();
        let choice = choose();
        semaphore.release(1);
        assert_eq!(chosen(choice), Some(1));
        semaphore.try_acquire().unwrap().forget();
        let choice = choose();
        baton.post();
        assert_eq!(chosen(choice), Some(2));
        baton.try_wait();
        let choice = choose();
        sender.try_send(1).unwrap();
        assert_eq!(chosen(choice), Some(3));
        receiver.try_recv().unwrap();
        let choice = choose();
        fiber.fiber().unpark();
        assert_eq!(chosen(choice), Some(4));
    });
}

/// Proves that closed objects are ready, for the next call to say so.
#[test]
fn closed_objects_are_ready() {
    in_fiber(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let (sender, receiver) = fiber::channel::<u8>(1);
        let (full, gone) = fiber::channel::<u8>(1);
        full.try_send(1).unwrap();
        let theirs = semaphore.clone();
        let choices = [
            spawn(move || select([&theirs], None)),
            spawn(move || select([&receiver], None)),
            spawn(move || select([&full], None)),
        ];
        settle();
        semaphore.close();
        drop((sender, gone));
        for choice in choices {
            assert_eq!(choice.join().unwrap().unwrap(), Some(0));
        }
    });
}

/// Proves that a select returns at its deadline, and leaves nothing behind.
#[test]
fn a_select_may_come_too_late() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(1);
        let baton = Baton::new();
        let until = soon();
        assert_eq!(select([&receiver, &baton], Some(until)).unwrap(), None);
        assert!(now().unwrap() >= until);
        sender.try_send(1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
        assert!(!baton.wait_until(soon()).unwrap());
    });
}

/// Proves that what is always ready does not starve the rest, however many selects take turns.
#[test]
fn selects_are_fair() {
    in_fiber(|| {
        let always = [Semaphore::new(1), Semaphore::new(1), Semaphore::new(1)];
        let mut chosen = [[0u32; 3]; 2];
        for _ in 0..300 {
            let [a, b, c] = &always;
            chosen[0][select([a, b], None).unwrap().unwrap()] += 1;
            chosen[1][select([a, b, c], None).unwrap().unwrap()] += 1;
        }
        assert!(chosen[0][..2].iter().all(|&n| (140..=160).contains(&n)), "{chosen:?}");
        assert!(chosen[1].iter().all(|&n| (90..=110).contains(&n)), "{chosen:?}");
    });
}

/// Proves that those who wait in a call of the object's own go before those who select.
#[test]
fn who_waits_goes_before_who_selects() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let (sender, receiver) = fiber::channel(2);
        let selecting = {
            let (receiver, log) = (receiver.clone(), log.clone());
            spawn(move || {
                assert_eq!(select([&receiver], None).unwrap(), Some(0));
                log.add(10 + receiver.try_recv().unwrap());
            })
        };
        settle();
        let waiting = {
            let (receiver, log) = (receiver.clone(), log.clone());
            spawn(move || log.add(receiver.recv().unwrap()))
        };
        settle();
        sender.try_send(1).unwrap();
        settle();
        assert!(waiting.is_finished() && !selecting.is_finished());
        sender.try_send(2).unwrap();
        selecting.join().unwrap();
    });
    assert_eq!(seen.entries(), [1, 12]);
}

/// Proves that one who was told but does not take, is cancelled, or chooses something else tells
/// the next: what is there does not lie about while somebody waits for it.
#[test]
fn who_was_told_and_does_not_take_tells_the_next() {
    for way in 0..3 {
        in_fiber(move || {
            let (sender, receiver) = fiber::channel(2);
            let other = Rc::new(Semaphore::new(0));
            let first = {
                let (receiver, other) = (receiver.clone(), other.clone());
                let work = move || select([&other, &receiver], None);
                if way == 0 { spawn_by_error(work) } else { spawn(work) }
            };
            settle();
            let theirs = receiver.clone();
            let second = spawn(move || {
                let chosen = select([&theirs], None).unwrap();
                (chosen, theirs.try_recv().unwrap())
            });
            settle();
            match way {
                0 => first.cancel(),
                1 => other.release(1),
                _ => {}
            }
            sender.try_send(5).unwrap();
            assert_eq!(second.join().unwrap(), (Some(0), 5));
            drop(first);
        });
    }
}

/// Proves that of several who select one is woken for each value, and each value is found.
#[test]
fn every_value_finds_one_who_selects() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let (sender, receiver) = fiber::channel(8);
        let stop = Rc::new(Semaphore::new(0));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (receiver, stop, log) = (receiver.clone(), stop.clone(), log.clone());
                spawn(move || {
                    while select([&stop, &receiver], None).unwrap() == Some(1) {
                        log.add(receiver.try_recv().unwrap());
                        fiber::yield_now().unwrap();
                    }
                })
            })
            .collect();
        settle();
        for n in 0..8 {
            sender.try_send(n).unwrap();
        }
        settle();
        assert!(receiver.is_empty());
        for n in 8..12 {
            sender.send(n).unwrap();
            settle();
        }
        stop.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert!(seen.entries().into_iter().eq(0..12));
}

/// Proves that a cancelled select unwinds or fails, and frees what it waited for.
#[test]
fn a_cancelled_select_leaves_nothing_behind() {
    in_fiber(|| {
        let baton = Rc::new(Baton::new());
        let fiber = Rc::new(spawn(fiber::park));
        let choose = || {
            let (baton, fiber) = (baton.clone(), fiber.clone());
            move || select([&baton, &fiber], None)
        };
        let unwinds = spawn(choose());
        settle();
        unwinds.cancel();
        assert!(matches!(unwinds.join(), Err(JoinError::Cancelled)));
        let fails = spawn_by_error(choose());
        settle();
        fails.cancel();
        assert!(matches!(fails.join().unwrap(), Err(Error::Cancelled)));
        let third = spawn(choose());
        settle();
        fiber.fiber().unpark();
        assert_eq!(third.join().unwrap().unwrap(), Some(1));
    });
}

/// Proves that a post which another one takes while the select is on its way does not end it,
/// nor does it make it deaf for the next.
#[test]
fn a_snatched_post_is_waited_for_again() {
    in_fiber(|| {
        let baton = Rc::new(Baton::new());
        let selects = baton.clone();
        let waits = Rc::new(Baton::new());
        let theirs = waits.clone();
        let selecting = spawn(move || select([&selects], None));
        let waiting = spawn(move || theirs.wait());
        settle();
        for baton in [&baton, &waits] {
            baton.post();
            assert!(baton.try_wait());
        }
        settle();
        assert!(!selecting.is_finished() && !waiting.is_finished());
        baton.post();
        waits.post();
        assert_eq!(selecting.join().unwrap().unwrap(), Some(0));
        waiting.join().unwrap().unwrap();
    });
}
