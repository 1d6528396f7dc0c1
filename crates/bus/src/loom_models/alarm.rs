//! How users of several processes wake each other, by threads that stand for processes: one sleeps on
//! the word, others are rung.

use std::mem;
use std::sync::Arc as StdArc;
use std::task::Waker;

use loom::thread;

use super::{Bell, check, check_three};
use crate::alarm::Alarm;
use crate::sync::{AtomicU32, Bed, Ordering, heavy_fence, light_fence, yield_now};

/// An alarm with room for one number, and two users with doorbells. The kernel's barrier is modelled
/// as a full fence on both sides, as in one process.
struct Stage {
    alarm: Alarm<1>,
    bed: Bed,
    bells: [StdArc<Bell>; 2],
    wakers: [Waker; 2],
    /// One for each user; not zero: there is something for it.
    flags: [AtomicU32; 2],
}

fn stage() -> StdArc<Stage> {
    let [(bell, waker), (other, other_waker)] = [Bell::new(), Bell::new()];
    StdArc::new(Stage {
        alarm: Alarm::new(),
        bed: Bed::new(),
        bells: [bell, other],
        wakers: [waker, other_waker],
        flags: [AtomicU32::new(0), AtomicU32::new(0)],
    })
}

impl Stage {
    /// Publishes without any order of its own: the alarm must bring it.
    fn publish(&self, user: usize) {
        self.flags[user].store(1, Ordering::Relaxed);
    }

    fn is_there(&self, user: usize) -> bool {
        self.flags[user].load(Ordering::Relaxed) == 1
    }

    fn ring(&self, number: u64) {
        self.wakers[number as usize - 1].wake_by_ref();
    }

    fn notify(&self) {
        light_fence(false);
        if self.alarm.is_slept_on() {
            self.wake();
        }
    }

    fn wake(&self) {
        if self.alarm.end_sleep() {
            self.bed.wake_all(self.alarm.word());
            self.alarm.ring_all(|number| self.ring(number));
        }
    }

    /// As a thread does.
    fn sleep(&self, user: usize) {
        while !self.is_there(user) {
            let announced = self.alarm.announce(|| heavy_fence(false));
            if !self.is_there(user) {
                self.bed.sleep(self.alarm.word(), announced, None);
            }
        }
    }

    /// As a task does, whose number is one more than its index. Where there is no room it puts another
    /// out, but once; from then on it looks again and again.
    fn poll(&self, user: usize) {
        let (number, mut puts_out) = (user as u64 + 1, true);
        while !self.is_there(user) {
            let mut left = self.alarm.leave(number);
            if !left && mem::take(&mut puts_out) {
                left = true;
                self.alarm.displace(0, number).into_iter().for_each(|other| self.ring(other));
            }
            self.alarm.announce(|| heavy_fence(false));
            if !self.is_there(user) {
                if left { self.bells[user].wait() } else { yield_now() }
            }
        }
    }
}

/// One who sleeps on the word is woken by what is published, whenever that happens.
#[test]
fn loom_alarm_wakes_who_sleeps_on_the_word() {
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

/// One who has left its number is rung, whenever something is published.
#[test]
fn loom_alarm_rings_who_has_left_a_number() {
    check(|| {
        let stage = stage();
        let other = stage.clone();
        let thread = thread::spawn(move || {
            other.publish(0);
            other.notify();
        });
        stage.poll(0);
        thread.join().unwrap();
    });
}

/// One sleeps on the word and one is to be rung: both hear of what was published for both.
#[test]
fn loom_alarm_wakes_both_kinds() {
    check_three(|| {
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

/// Two are to be rung where there is room for one number: who is put out is rung, looks, and comes
/// again, so that neither is forgotten.
#[test]
fn loom_alarm_forgets_nobody_where_room_is_short() {
    check_three(|| {
        let stage = stage();
        let task = stage.clone();
        let task = thread::spawn(move || task.poll(0));
        let publisher = stage.clone();
        let publisher = thread::spawn(move || {
            publisher.publish(0);
            publisher.notify();
            publisher.publish(1);
            publisher.notify();
        });
        stage.poll(1);
        task.join().unwrap();
        publisher.join().unwrap();
    });
}

/// The canary: without the publisher's fence a wake-up is lost, and the model sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_alarm_finds_the_lost_ring_without_the_fence() {
    check(|| {
        let stage = stage();
        let other = stage.clone();
        let thread = thread::spawn(move || {
            other.publish(0);
            if other.alarm.is_slept_on() {
                other.wake();
            }
        });
        stage.poll(0);
        thread.join().unwrap();
    });
}
