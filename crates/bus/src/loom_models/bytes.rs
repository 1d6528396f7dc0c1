//! Streams of bytes.

use std::sync::Arc as StdArc;

use loom::thread;
use tautline_buffer::MapOptions;

use super::{SLEEPY, check};
use crate::bytes::{Bytes, Config};
use crate::error::ReceiveError;
use crate::ring::stream::{self, Giver, Memory, Stream, Taker};
use crate::scope::Local;
use crate::sync::spin_loop;

/// With its header the longest message is half the ring: two lie in it, and every third begins
/// where the first did. The model watches parts of which each holds a whole number of records.
fn longest(memory: &Memory) -> usize {
    stream::limit(memory.capacity())
}

/// A giver that must wait for room: messages arrive whole and in order, and no byte is written
/// before it was read.
#[test]
fn loom_stream_messages_arrive_whole_across_the_wrap() {
    check(|| {
        let memory = Memory::new(4096, MapOptions::new()).unwrap();
        let kept = StdArc::new((Stream::<Local>::new(), memory));
        // SAFETY: the one giver and the one taker of a ring that both keep.
        let mut giver = unsafe { Giver::new(&kept.0, &kept.1) };
        // SAFETY: as above.
        let mut taker = unsafe { Taker::new(&kept.0, &kept.1) };
        let gives = kept.clone();
        let thread = thread::spawn(move || {
            let len = longest(&gives.1);
            for n in 0..3u8 {
                while !giver.has_room(len) {
                    spin_loop();
                }
                // SAFETY: there is room, which is the giver's until it is published.
                unsafe { giver.place(len).as_mut() }.fill(n);
                giver.stage(len);
                giver.publish();
            }
        });
        for n in 0..3u8 {
            while !taker.look().unwrap() {
                spin_loop();
            }
            let (message, next) = taker.message(taker.head()).unwrap();
            // SAFETY: it was published, and is released below.
            let message = unsafe { stream::borrow(message) };
            assert_eq!(message.len(), longest(&kept.1));
            assert!(message.iter().all(|byte| *byte == n));
            // Once more at the end, so that the model sees who writes meanwhile.
            taker.message(taker.head()).unwrap();
            taker.release(next);
        }
        thread.join().unwrap();
    });
}

/// A sender and a receiver that sleep: neither is forgotten, and the end is told.
#[test]
fn loom_bytes_sleepers_are_woken() {
    check(|| {
        let memory = MapOptions::new();
        let config = Config { capacity: 4096, wait: SLEEPY, memory, ..Config::default() };
        let channel = Bytes::<Local>::new(config).unwrap();
        let len = channel.limit();
        let mut sender = channel.sender_as("s").unwrap();
        let mut receiver = channel.receiver_as("r").unwrap();
        drop(channel);
        let thread = thread::spawn(move || {
            for _ in 0..3 {
                sender.reserve(len).unwrap().commit(len);
            }
        });
        for _ in 0..3 {
            assert_eq!(receiver.receive().unwrap().len(), len);
        }
        assert_eq!(receiver.receive().map(drop), Err(ReceiveError::Closed));
        thread.join().unwrap();
    });
}
