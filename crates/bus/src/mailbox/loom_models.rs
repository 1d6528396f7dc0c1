//! Every interleaving of small mailboxes with at most three preemptions, as loom sees it. How a
//! loop sleeps over its mailbox is modelled where the loop is.

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::loom_models::check;

/// Two threads, two messages each, room for two: what was accepted arrives once, whole and in the
/// order of its thread, and what was refused came back.
#[test]
fn loom_every_message_arrives_once_and_in_order() {
    check(|| {
        let (poster, mut mailbox) = mailbox(2, ()).unwrap();
        let posters: Vec<_> = (0..2)
            .map(|id| {
                let poster = poster.clone();
                thread::spawn(move || post_two(&poster, id))
            })
            .collect();
        let mut received = Vec::new();
        // Enough to meet posts under way; waiting for more would have no end in a model, which
        // knows no fairness.
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

/// Posts two messages, each counted so that the model notices a leak; returns which were accepted.
fn post_two(poster: &Poster<Arc<(usize, u8)>>, id: usize) -> Vec<u8> {
    (0..2).filter(|n| poster.post(Arc::new((id, *n))).is_ok()).collect()
}

/// A refused post gives the message back: what was accepted is taken, nothing else.
#[test]
fn loom_a_full_mailbox_loses_and_invents_nothing() {
    check(|| {
        let (poster, mut mailbox) = mailbox(1, ()).unwrap();
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

/// A post against the end of the owner: the message is either refused or dropped by the time that
/// the mailbox and the post are done.
#[test]
fn loom_a_post_against_the_close_leaves_nothing_behind() {
    check(|| {
        let (poster, mailbox) = mailbox(2, ()).unwrap();
        let tracked = StdArc::new(());
        let message = tracked.clone();
        let thread = thread::spawn(move || {
            let refused = poster.post(message).err();
            assert!(!matches!(refused, Some(SendError::Full(_))));
            (poster, refused)
        });
        drop(mailbox);
        let (poster, refused) = thread.join().unwrap();
        assert_eq!(StdArc::strong_count(&tracked), 1 + usize::from(refused.is_some()));
        assert!(matches!(poster.post(StdArc::new(())), Err(SendError::Closed(_))));
    });
}
