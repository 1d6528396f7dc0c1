//! The mailbox as threads and loops use it: who sleeps is woken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// Counts wake-ups.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rings(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A mailbox on a loop that may sleep, its sleeper and its bell.
fn sleepy<T: Send>(capacity: usize) -> (Poster<T>, Mailbox<T>, Arc<Sleeper>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let sleeper = Arc::new(Sleeper::new(bell.clone()));
    let (poster, mailbox) = mailbox(capacity, Rouse(sleeper.clone())).unwrap();
    (poster, mailbox, sleeper, bell)
}

/// A burst into a sleeping loop rings once; a loop that is awake is never rung.
#[test]
fn a_loop_is_woken_once_per_sleep() {
    let (poster, mut mailbox, sleeper, bell) = sleepy(8);
    poster.post(0).unwrap();
    assert_eq!(bell.rings(), 0);
    assert!(!sleeper.prepare_sleep(|| mailbox.is_empty()), "a message waits");
    poster.post(1).unwrap();
    assert_eq!(bell.rings(), 0, "the refused sleep is over");

    while mailbox.take().is_some() {}
    for sleep in 1..=3 {
        assert!(sleeper.prepare_sleep(|| mailbox.is_empty()));
        (0..3).for_each(|n| poster.post(n).unwrap());
        sleeper.awake();
        poster.post(3).unwrap();
        assert_eq!(bell.rings(), sleep);
        while mailbox.take().is_some() {}
    }
}

/// A loop that never sleeps refuses to, and is never woken.
#[test]
fn a_spinning_loop_is_never_woken() {
    let bell = Arc::new(Bell::default());
    let sleeper = Arc::new(Sleeper::never_sleeps(bell.clone()));
    let (poster, mut mailbox) = mailbox(2, Rouse(sleeper.clone())).unwrap();
    assert!(!sleeper.prepare_sleep(|| true));
    poster.post(1).unwrap();
    assert_eq!((mailbox.take(), bell.rings()), (Some(1), 0));
}

/// Four threads post through a small mailbox into a loop that really sleeps: every
/// message arrives once, in the order of its thread, and no wake-up is lost.
#[test]
fn no_message_and_no_wake_up_is_lost_between_threads() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 20_000;
    let sleeper = Arc::new(Sleeper::new(Arc::new(Unpark(thread::current()))));
    let (poster, mut mailbox) = mailbox(8, Rouse(sleeper.clone())).unwrap();
    let posters: Vec<_> = (0..THREADS)
        .map(|id| {
            let poster = poster.clone();
            thread::spawn(move || (0..MESSAGES).for_each(|n| post_patiently(&poster, (id, n))))
        })
        .collect();

    let mut next = [0; THREADS];
    while next != [MESSAGES; THREADS] {
        match mailbox.take() {
            Some((id, n)) => {
                assert_eq!(n, next[id]);
                next[id] += 1;
            }
            None if sleeper.prepare_sleep(|| mailbox.is_empty()) => {
                thread::park();
                sleeper.awake();
            }
            None => {}
        }
    }
    posters.into_iter().for_each(|poster| poster.join().unwrap());
    assert!(mailbox.is_empty());
}

/// A loop that sleeps by parking its thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// Posts as soon as there is room.
fn post_patiently<T: Send>(poster: &Poster<T>, mut message: T) {
    while let Err(error) = poster.post(message) {
        assert!(matches!(error, SendError::Full(_)));
        message = error.into_message();
        thread::yield_now();
    }
}
