//! Channels as a whole, with users that sleep.

use loom::thread;

use super::{SLEEPY, check_three};
use crate::channel::{Channel, Config};
use crate::scope::Local;

/// Places of a ring that were given back without a message wake the receiver, which passes over them,
/// and that wakes the sender who waits for room.
#[test]
fn loom_channel_places_given_back_empty_strand_nobody() {
    check_three(|| {
        let config = Config { capacity: 2, receivers: 2, wait: SLEEPY, ..Config::default() };
        let channel = Channel::<u64, Local>::new(config).unwrap();
        let mut sender = channel.sender_as("s").unwrap();
        let mut receiver = channel.receiver_as("r").unwrap();
        drop(channel);
        let thread = thread::spawn(move || assert_eq!(receiver.receive(), Ok(7)));
        (0..2).for_each(|_| drop(sender.loan().unwrap()));
        sender.send(7).unwrap();
        thread.join().unwrap();
    });
}
