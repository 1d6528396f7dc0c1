//! The built-in feed and its checker, and both through pool, queue and framing.

use core::time::Duration;

use proptest::prelude::*;
use tautline_relay::Nanos;
use tautline_relay::demo::{CheckReport, Checker, Feed, MIN_SIZE, Verdict};
use tautline_relay::endpoint::DemoFeed;
use tautline_relay::framing::{Deframer, Framing, MAX_PACKET};
use tautline_relay::pool::Pool;
use tautline_relay::queue::{Limits, Offer, Policy, Queue};

fn feed(size: usize) -> Feed {
    Feed::new(DemoFeed { rate: 1_000, size }, Nanos(0))
}

/// The first `count` packets of a feed.
fn packets(size: usize, count: usize) -> Vec<Vec<u8>> {
    let mut feed = feed(size);
    let write = |n| {
        let mut packet = vec![0; size];
        feed.write(&mut packet, Nanos(n as u64 * 1_000))
            .expect("the space is as large as the packet");
        packet
    };
    (0..count).map(write).collect()
}

/// Proves that an undisturbed feed of any size is perfect, and that the send time comes through.
#[test]
fn undisturbed_feed_is_perfect() {
    for size in [MIN_SIZE, 33, 1200, MAX_PACKET] {
        let mut checker = Checker::from_start();
        for (n, packet) in packets(size, 20).iter().enumerate() {
            assert_eq!(checker.check(packet), Verdict::InOrder { sent: Nanos(n as u64 * 1_000) });
        }
        assert!(checker.finish(20).is_perfect());
        assert_eq!(checker.report().packets, 20);
    }
}

/// Proves that loss in the middle, loss at the end, duplicates and disorder are told apart.
#[test]
fn disturbances_are_told_apart() {
    let all = packets(64, 10);
    let mut checker = Checker::from_start();
    let verdicts: Vec<_> = [0, 3, 3, 1, 1, 4].map(|n| checker.check(&all[n])).to_vec();
    assert_eq!(verdicts[1], Verdict::Gap { missing: 2 });
    assert_eq!(verdicts[2..5], [Verdict::Duplicate, Verdict::Late, Verdict::Duplicate]);
    assert!(matches!(verdicts[5], Verdict::InOrder { .. }));
    let expected = CheckReport { packets: 6, missing: 1 + 5, late: 1, duplicates: 2, corrupt: 0 };
    assert_eq!(checker.finish(10), expected);
}

/// Proves that a late joiner is not charged for what came before it, but for all that follows.
#[test]
fn late_joiner_starts_at_its_first_packet() {
    let all = packets(64, 10);
    let mut checker = Checker::from_first();
    checker.check(&all[6]);
    assert!(checker.report().is_perfect());
    assert_eq!(checker.finish(10).missing, 3);
}

/// Proves that a subscriber that got nothing at all is not called perfect.
#[test]
fn silence_is_loss() {
    assert_eq!(Checker::from_start().finish(7).missing, 7);
}

/// Proves that gaps at and beyond the width of the memory are counted without overflow.
#[test]
fn wide_gaps_are_counted() {
    let all = packets(64, 200);
    for gap in [63, 64, 65, 150] {
        let mut checker = Checker::from_start();
        checker.check(&all[0]);
        assert_eq!(checker.check(&all[gap + 1]), Verdict::Gap { missing: gap as u64 });
        assert_eq!(checker.check(&all[0]), Verdict::Duplicate);
    }
}

proptest! {
    /// Proves that a single changed bit anywhere in a packet is found.
    #[test]
    fn any_flipped_bit_is_corruption(size in MIN_SIZE..200_usize, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut packet = packets(size, 3).pop().unwrap();
        packet[at.index(size)] ^= 1 << bit;
        prop_assert_eq!(Checker::from_first().check(&packet), Verdict::Corrupt);
    }

    /// Proves that a packet cut short or run together with the next is found, and that foreign
    /// bytes never pass.
    #[test]
    fn wrong_lengths_and_foreign_bytes_are_corruption(cut in 0..64_usize, foreign in prop::collection::vec(any::<u8>(), 0..100)) {
        let all = packets(64, 2);
        prop_assert_eq!(Checker::from_first().check(&all[0][..cut]), Verdict::Corrupt);
        prop_assert_eq!(Checker::from_first().check(&all.concat()), Verdict::Corrupt);
        prop_assert_eq!(Checker::from_first().check(&foreign), Verdict::Corrupt);
    }

    /// Proves that feed, pool, queue and framing together lose nothing over a stream of arbitrary
    /// short writes, when the queue waits instead of dropping.
    #[test]
    fn feed_passes_whole_through_the_relay_parts(writes in prop::collection::vec(1..500_usize, 1..50)) {
        const COUNT: u64 = 100;
        let (pool, mut feed) = (Pool::new(8, 300).unwrap(), feed(123));
        let mut queue = Queue::new(Limits { packets: 4, bytes: 1000 }, Policy::Wait, Framing::Rfc4571);
        let (mut deframer, mut checker) = (Deframer::new(Framing::Rfc4571, 300), Checker::from_start());
        let mut waiting = None;
        for write in writes.iter().copied().cycle() {
            while waiting.is_none() && feed.written() < COUNT {
                let mut claim = pool.claim().expect("queue and hand hold fewer packets than the pool");
                let len = feed.write(claim.space(300), Nanos(0)).expect("slots hold a packet");
                if let Offer::Wait(packet) = queue.offer(claim.freeze(len, Nanos(0))) {
                    waiting = Some(packet);
                }
            }
            let wire: Vec<u8> = queue.unsent().flatten().copied().take(write).collect();
            queue.advance(wire.len(), drop);
            let mut input = &wire[..];
            while let Some(packet) = deframer.next(&mut input).unwrap() {
                checker.check(packet);
            }
            if let Some(packet) = waiting.take()
                && let Offer::Wait(packet) = queue.offer(packet)
            {
                waiting = Some(packet);
            }
            if queue.is_empty() && feed.written() == COUNT {
                break;
            }
        }
        prop_assert!(checker.finish(COUNT).is_perfect());
        prop_assert_eq!(pool.free(), 8);
    }
}

/// Proves that the feed keeps its rate exactly over a long time, for a rate that divides nothing,
/// and makes up for a late turn.
#[test]
fn rate_is_exact_over_a_long_time() {
    let mut feed = Feed::new(DemoFeed { rate: 7, size: MIN_SIZE }, Nanos(5));
    let hour = Nanos(5).after(Duration::from_secs(3_600));
    let mut space = [0; MIN_SIZE];
    while feed.is_due(hour) {
        feed.write(&mut space, hour);
    }
    assert_eq!(feed.written(), 7 * 3_600 + 1);
    assert!(feed.next_due() > hour);
}

/// Proves that a space too small gets nothing and costs no sequence number.
#[test]
fn small_space_gets_nothing() {
    let mut feed = feed(100);
    assert_eq!(feed.write(&mut [0; 99], Nanos(0)), None);
    assert_eq!(feed.written(), 0);
}
