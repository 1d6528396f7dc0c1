//! Every interleaving of small mailboxes with at most three preemptions, as loom sees it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p tautline-runtime --lib loom
//! ```

use std::sync::Arc as StdArc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::*;
use crate::sync::{Ordering, fence};

/// Checks `body` under every interleaving with at most three preemptions.
pub(crate) fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 5_000;
    model.check(body);
}

/// An eventfd: counts wake-ups, and lets the loop wait for one. A wait for a wake-up
/// that never comes is a deadlock, which loom reports.
#[derive(Default)]
pub(crate) struct Bell {
    /// Wake-ups not yet taken, and all there ever were.
    rings: Mutex<(usize, usize)>,
    rung: Condvar,
}

impl Wake for Bell {
    fn wake(&self) {
        let mut rings = self.rings.lock().unwrap();
        *rings = (rings.0 + 1, rings.1 + 1);
        self.rung.notify_one();
    }
}

impl Bell {
    pub(crate) fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while rings.0 == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        rings.0 = 0;
    }

    pub(crate) fn total(&self) -> usize {
        self.rings.lock().unwrap().1
    }
}

/// A sleeper and the bell that ends its sleeps.
pub(crate) fn sleepy() -> (Arc<Sleeper>, StdArc<Bell>) {
    let bell = StdArc::new(Bell::default());
    (Arc::new(Sleeper::new(bell.clone())), bell)
}

/// A queue into a loop that never sleeps: the ring alone.
fn spinning<T: Send>(capacity: usize) -> (Poster<T>, Mailbox<T>) {
    mailbox(capacity, Arc::new(Sleeper::never_sleeps(StdArc::new(Bell::default()))))
}

/// Two threads, two messages each, room for two: what was accepted arrives once, whole
/// and in the order of its thread, and what was refused came back.
#[test]
fn loom_every_message_arrives_once_and_in_order() {
    check(|| {
        let (poster, mut mailbox) = spinning(2);
        let posters: Vec<_> = (0..2)
            .map(|id| {
                let poster = poster.clone();
                thread::spawn(move || post_two(&poster, id))
            })
            .collect();
        let mut received = Vec::new();
        // Enough to meet posts under way; waiting for more would have no end in a
        // model, which knows no fairness.
        for _ in 0..3 {
            received.extend(mailbox.take());
        }
        let accepted: Vec<_> = posters.into_iter().map(|poster| poster.join().unwrap()).collect();
        received.extend(std::iter::from_fn(|| mailbox.take()));
        for (id, accepted) in accepted.into_iter().enumerate() {
            let arrived: Vec<_> = received.iter().filter(|m| m.0 == id).map(|m| m.1).collect();
            assert_eq!(arrived, accepted);
        }
    });
}

/// Posts two messages, each counted so that the model notices a leak; returns which were
/// accepted.
fn post_two(poster: &Poster<Arc<(usize, u8)>>, id: usize) -> Vec<u8> {
    (0..2).filter(|n| poster.post(Arc::new((id, *n))).is_ok()).collect()
}

/// A refused post gives the message back: what was accepted is taken, nothing else.
#[test]
fn loom_a_full_mailbox_loses_and_invents_nothing() {
    check(|| {
        let (poster, mut mailbox) = spinning(1);
        let other = poster.clone();
        let thread = thread::spawn(move || usize::from(other.post(1).is_ok()));
        let mine = usize::from(poster.post(2).is_ok());
        let early = usize::from(mailbox.take().is_some());
        let accepted = mine + thread.join().unwrap();
        let late = std::iter::from_fn(|| mailbox.take()).count();
        assert_eq!(early + late, accepted);
        assert!(accepted >= 1);
    });
}

/// A loop that sleeps whenever it finds nothing gets every message: no wake-up is lost,
/// and there are no more of them than sleeps.
#[test]
fn loom_no_wake_up_is_lost_and_none_comes_twice() {
    check(|| {
        let (sleeper, bell) = sleepy();
        let (poster, mut mailbox) = mailbox(2, sleeper.clone());
        let posters: Vec<_> = (0..2)
            .map(|id| {
                let poster = poster.clone();
                thread::spawn(move || poster.post(id).unwrap())
            })
            .collect();
        let (mut received, mut announced) = (0, 0);
        while received < 2 {
            if mailbox.take().is_some() {
                received += 1;
                continue;
            }
            announced += 1;
            if sleeper.prepare_sleep(|| mailbox.is_empty()) {
                bell.wait();
                sleeper.awake();
            }
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert!(bell.total() <= announced);
    });
}

/// A post against the end of the loop: the message is either refused or dropped by the
/// time that the mailbox and the post are done.
#[test]
fn loom_a_post_against_the_close_leaves_nothing_behind() {
    check(|| {
        let (poster, mailbox) = spinning(2);
        let tracked = StdArc::new(());
        let message = tracked.clone();
        let thread = thread::spawn(move || {
            let refused = poster.post(message).err();
            assert!(!matches!(refused, Some(PostError::Full(_))));
            (poster, refused)
        });
        drop(mailbox);
        let (poster, refused) = thread.join().unwrap();
        assert_eq!(StdArc::strong_count(&tracked), 1 + usize::from(refused.is_some()));
        assert!(matches!(poster.post(StdArc::new(())), Err(PostError::Closed(_))));
    });
}

/// The canary: a poster that leaves the fence out loses a wake-up, and the model sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_lost_wake_up_of_a_poster_without_fence() {
    lose_a_wake_up(|| ());
}

/// The canary's twin: with the fence back in the very same model passes.
#[test]
fn loom_finds_nothing_once_the_fence_is_back() {
    lose_a_wake_up(|| fence(Ordering::SeqCst));
}

/// A sleep against a post whose fence is `between`.
fn lose_a_wake_up(between: impl Fn() + Send + Sync + Clone + 'static) {
    check(move || {
        let (sleeper, bell) = sleepy();
        let (sender, mut receiver) = ring::channel(2);
        let (looks, between) = (sleeper.clone(), between.clone());
        let thread = thread::spawn(move || {
            sender.push(()).unwrap();
            between();
            looks.look_without_fence();
        });
        if sleeper.prepare_sleep(|| !receiver.is_ready()) {
            bell.wait();
            sleeper.awake();
        }
        thread.join().unwrap();
        assert_eq!(receiver.pop(), Some(()));
    });
}
