//! The mailbox as threads use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// Messages of one poster come out in order, over many laps, at every small capacity.
#[test]
fn messages_of_one_poster_keep_their_order() {
    for capacity in 1..=5 {
        let (poster, mut mailbox) = mailbox(capacity, ()).unwrap();
        let room = mailbox.capacity();
        assert!(room >= capacity && room.is_power_of_two());
        for round in 0..50 {
            let burst = 1 + round % room;
            (0..burst).for_each(|n| poster.post((round, n)).unwrap());
            assert_eq!(mailbox.len(), burst);
            (0..burst).for_each(|n| assert_eq!(mailbox.take(), Some((round, n))));
            assert!(mailbox.is_empty() && mailbox.take().is_none());
        }
    }
}

/// A full mailbox gives the message back and takes one again after one was taken.
#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (poster, mut mailbox) = mailbox(2, ()).unwrap();
    poster.post("a").unwrap();
    poster.post("b").unwrap();
    assert_eq!(poster.post("c"), Err(SendError::Full("c")));
    assert_eq!(mailbox.take(), Some("a"));
    poster.post("c").unwrap();
    assert_eq!((mailbox.take(), mailbox.take()), (Some("b"), Some("c")));
}

/// Dropping the mailbox drops what waits in it, and later posts get theirs back.
#[test]
fn a_dropped_mailbox_drops_what_waits_and_refuses_more() {
    let tracked = Arc::new(());
    let (poster, mut mailbox) = mailbox(4, ()).unwrap();
    (0..3).for_each(|_| poster.post(tracked.clone()).unwrap());
    drop(mailbox.take());
    drop(mailbox);
    assert_eq!(Arc::strong_count(&tracked), 1);
    let refused = poster.clone().post(tracked.clone()).unwrap_err();
    assert!(matches!(refused, SendError::Closed(_)));
    assert!(Arc::ptr_eq(&refused.into_message(), &tracked));
}

/// What was posted before the owner closes can be taken, one by one, and nothing is posted since.
#[test]
fn the_rest_can_be_taken_from_a_mailbox_that_closes() {
    let (poster, mut mailbox) = mailbox(4, ()).unwrap();
    (0..3).for_each(|n| poster.post(n).unwrap());
    assert_eq!(mailbox.take_the_rest(), Some(0));
    assert_eq!(poster.post(3), Err(SendError::Closed(3)));
    assert_eq!((mailbox.take_the_rest(), mailbox.take()), (Some(1), Some(2)));
    assert_eq!((mailbox.take_the_rest(), mailbox.take()), (None, None));
}

/// A mailbox for nothing, and one that no memory would hold, are errors that name the limit.
#[test]
fn a_capacity_that_cannot_be_is_refused() {
    for asked in [0, usize::MAX] {
        let refused = mailbox::<u8, _>(asked, ()).unwrap_err();
        assert!(matches!(refused, CreateError::Capacity { kind: "mailbox", .. }), "{refused}");
    }
}

/// Each post that succeeds rings the bell once; those that are refused do not.
#[test]
fn a_post_rings_the_bell_once() {
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);
    impl Bell for Count {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let bell = Count::default();
    let (poster, _mailbox) = mailbox(2, bell.clone()).unwrap();
    let posted = (0..5).filter(|n| poster.post(*n).is_ok()).count();
    assert_eq!((posted, bell.0.load(Ordering::Relaxed)), (2, 2));
}

/// Four threads post through a small mailbox: every message arrives once, in the order of its
/// thread.
#[test]
fn no_message_is_lost_between_threads() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 20_000;
    let (poster, mut mailbox) = mailbox(8, ()).unwrap();
    let posters: Vec<_> = (0..THREADS)
        .map(|id| {
            let poster = poster.clone();
            thread::spawn(move || (0..MESSAGES).for_each(|n| post_patiently(&poster, (id, n))))
        })
        .collect();
    let mut next = [0; THREADS];
    while next != [MESSAGES; THREADS] {
        let Some((id, n)) = mailbox.take() else {
            thread::yield_now();
            continue;
        };
        assert_eq!(n, next[id]);
        next[id] += 1;
    }
    posters.into_iter().for_each(|poster| poster.join().unwrap());
    assert!(mailbox.is_empty());
}

/// Posts as soon as there is room.
fn post_patiently<T: Send>(poster: &Poster<T>, mut message: T) {
    while let Err(error) = poster.post(message) {
        assert!(matches!(error, SendError::Full(_)));
        message = error.into_message();
        thread::yield_now();
    }
}
