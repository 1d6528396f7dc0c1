//! Sleeping and waking: by events, and by wakers.

use std::sync::Arc as StdArc;
use std::task::{Context, Poll};

use loom::thread;

use super::{Bell, SLEEPY, check};
use crate::event::{LocalEvent, Sleeps};
use crate::sync::{AtomicU32, Ordering, spin_loop};
use crate::waker::{LocalWaker, WakerCell};

struct Stage {
    event: LocalEvent,
    wakers: [LocalWaker; 2],
    /// One for each user; not zero: there is something for it.
    flags: [AtomicU32; 2],
}

fn stage() -> StdArc<Stage> {
    StdArc::new(Stage {
        event: LocalEvent::new(SLEEPY),
        wakers: [LocalWaker::new(), LocalWaker::new()],
        flags: [AtomicU32::new(0), AtomicU32::new(0)],
    })
}

impl Stage {
    /// Publishes as rings do not, without any order of its own: the event must bring it.
    fn publish(&self, user: usize) {
        self.flags[user].store(1, Ordering::Relaxed);
    }

    fn notify(&self) {
        self.event.notify(&self.wakers);
    }

    fn sleep(&self, user: usize) {
        assert!(self.event.wait(None, || self.flags[user].load(Ordering::Relaxed) == 1));
    }

    fn poll(&self, user: usize) {
        let (bell, waker) = Bell::new();
        let mut context = Context::from_waker(&waker);
        let ready = || self.flags[user].load(Ordering::Relaxed) == 1;
        while self.event.poll(&self.wakers[user], &mut context, ready) == Poll::Pending {
            bell.wait();
        }
        self.wakers[user].clear();
    }
}

/// A thread that sleeps is woken by what is published, whenever that happens.
#[test]
fn loom_event_no_wake_up_is_lost() {
    check(|| {
        let stage = stage();
        let other = stage.clone();
        let thread = thread::spawn(move || {
            other.publish(0);
            other.notify();
        });
        stage.sleep(0);
        thread.join().unwrap();
    });
}

/// Two threads sleep, each for something of its own that is published at once: both are woken,
/// also one that was about to sleep when the other went to sleep again.
#[test]
fn loom_event_two_sleepers_are_woken_by_one_notice() {
    check(|| {
        let stage = stage();
        let sleepers: Vec<_> = (0..2)
            .map(|user| {
                let stage = stage.clone();
                thread::spawn(move || stage.sleep(user))
            })
            .collect();
        stage.publish(0);
        stage.publish(1);
        stage.notify();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}

/// Two publishers, and a sleeper that needs both: it is woken for the second as well.
#[test]
fn loom_event_a_sleeper_hears_of_two_publishers() {
    check(|| {
        let stage = stage();
        let publishers: Vec<_> = (0..2)
            .map(|user| {
                let stage = stage.clone();
                thread::spawn(move || {
                    stage.publish(user);
                    stage.notify();
                })
            })
            .collect();
        stage.sleep(0);
        stage.sleep(1);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    });
}

/// A task and a thread wait on one event: both are woken.
#[test]
fn loom_event_tasks_are_woken_as_threads_are() {
    check(|| {
        let stage = stage();
        let task = stage.clone();
        let task = thread::spawn(move || task.poll(0));
        let publisher = stage.clone();
        let publisher = thread::spawn(move || {
            publisher.publish(0);
            publisher.publish(1);
            publisher.notify();
        });
        stage.sleep(1);
        task.join().unwrap();
        publisher.join().unwrap();
    });
}

/// The canary: without the publisher's fence a wake-up is lost, and the model sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_event_finds_the_lost_wake_up_without_the_fence() {
    check(|| {
        let stage = stage();
        let other = stage.clone();
        let thread = thread::spawn(move || {
            other.publish(0);
            if other.event.is_slept_on() {
                other.event.wake(&other.wakers);
            }
        });
        stage.sleep(0);
        thread.join().unwrap();
    });
}

/// A user that leaves its waker and then looks either sees what was done before the wake-up, or is
/// woken.
#[test]
fn loom_waker_no_wake_up_is_lost() {
    check(|| {
        let stage = stage();
        let other = stage.clone();
        let thread = thread::spawn(move || {
            other.publish(0);
            other.wakers[0].wake();
        });
        let (bell, waker) = Bell::new();
        loop {
            stage.wakers[0].register(&waker);
            if stage.flags[0].load(Ordering::Relaxed) == 1 {
                break;
            }
            bell.wait();
            // It may be that the wake-up is still under way: then this comes round again.
            spin_loop();
        }
        thread.join().unwrap();
    });
}

/// A waker is exchanged while another thread wakes: the one that is left is woken, or sees why.
#[test]
fn loom_waker_the_latest_is_woken() {
    check(|| {
        let stage = stage();
        let threads: Vec<_> = (0..2)
            .map(|user| {
                let stage = stage.clone();
                thread::spawn(move || {
                    stage.publish(user);
                    stage.wakers[0].wake();
                })
            })
            .collect();
        let (_, stale) = Bell::new();
        stage.wakers[0].register(&stale);
        let (bell, waker) = Bell::new();
        loop {
            stage.wakers[0].register(&waker);
            if stage.flags.iter().all(|flag| flag.load(Ordering::Relaxed) == 1) {
                break;
            }
            bell.wait();
            // It may be that the wake-up is still under way: then this comes round again.
            spin_loop();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A waker that is taken out while another thread wakes is dropped once, or called once.
#[test]
fn loom_waker_clearing_against_waking_leaves_nothing_behind() {
    check(|| {
        let stage = stage();
        let (bell, waker) = Bell::new();
        stage.wakers[0].register(&waker);
        drop(waker);
        let other = stage.clone();
        let thread = thread::spawn(move || other.wakers[0].wake());
        stage.wakers[0].clear();
        thread.join().unwrap();
        assert_eq!(StdArc::strong_count(&bell), 1);
    });
}
