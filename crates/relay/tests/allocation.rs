//! The packet path allocates nothing once it runs.

use core::time::Duration;

use tautline_relay::Nanos;
use tautline_relay::demo::{Checker, Feed};
use tautline_relay::endpoint::DemoFeed;
use tautline_relay::framing::{Deframer, Framing};
use tautline_relay::pool::Pool;
use tautline_relay::queue::{Limits, Policy, Queue};
use tautline_relay::stats::Meter;

const SIZE: usize = 200;

/// A subscriber whose connection takes `speed` bytes a step, and what it reads there.
struct Subscriber {
    queue: Queue<tautline_relay::pool::Run>,
    speed: usize,
    wire: Vec<u8>,
    deframer: Deframer,
    checker: Checker,
}

impl Subscriber {
    fn new(policy: Policy, speed: usize) -> Self {
        let limits = Limits { packets: 16, bytes: 3_000 };
        Self {
            queue: Queue::new(limits, policy, Framing::Rfc4571),
            speed,
            wire: Vec::with_capacity(speed),
            deframer: Deframer::new(Framing::Rfc4571, SIZE),
            checker: Checker::from_start(),
        }
    }

    fn step(&mut self, now: Nanos) {
        self.wire.clear();
        self.wire.extend(self.queue.unsent().flatten().take(self.speed));
        self.queue.advance(self.wire.len(), |run| run.note_sent(now));
        let mut input = &self.wire[..];
        while let Some(packet) = self.deframer.next(&mut input).expect("the relay frames rightly") {
            self.checker.check(packet);
        }
    }
}

/// One packet from the feed through the pool to all subscribers.
fn relay_one(feed: &mut Feed, pool: &Pool, subscribers: &mut [Subscriber]) {
    let now = feed.next_due();
    if let Ok(mut claim) = pool.claim() {
        let len = feed.write(claim.space(SIZE), now).expect("the space is as large as a packet");
        let packet = claim.freeze(len, now);
        for subscriber in subscribers.iter_mut() {
            drop(subscriber.queue.offer(packet.clone()));
        }
    }
    let sent = now.after(Duration::from_micros(5));
    subscribers.iter_mut().for_each(|subscriber| subscriber.step(sent));
}

/// Proves that 100,000 packets to fast, slow and stuck subscribers under every policy allocate
/// nothing, from the first packet on, through a pool that runs empty on the way.
#[test]
fn packet_path_allocates_nothing() {
    let policies = [Policy::DropNew, Policy::DropOld, Policy::Disconnect, Policy::Wait];
    let mut subscribers: Vec<_> = policies
        .into_iter()
        .flat_map(|policy| [SIZE + 2, 77, 0].map(|speed| Subscriber::new(policy, speed)))
        .collect();
    let (pool, mut meter) = (Pool::new(128, SIZE).unwrap(), Meter::new(Nanos(0)));
    let mut feed = Feed::new(DemoFeed { rate: 1_000, size: SIZE }, Nanos(0));
    let mut held = Vec::with_capacity(pool.slots());
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            for _ in 0..1_000 {
                relay_one(&mut feed, &pool, &mut subscribers);
                meter.count(1, SIZE as u64);
            }
            held.extend(std::iter::from_fn(|| pool.claim().ok()));
            relay_one(&mut feed, &pool, &mut subscribers);
            held.clear();
            assert!(pool.latencies().sample().count > 0);
            meter.sample(feed.next_due());
        }
    });
    assert_eq!(measured.count_total, 0, "{measured:?}");
    assert_eq!((feed.written(), pool.exhausted()), (100_000, 200), "two refusals a round");
    let fast =
        subscribers.iter().step_by(3).map(|subscriber| subscriber.checker.finish(feed.written()));
    assert!(fast.into_iter().all(|report| report.is_perfect()), "a fast subscriber loses nothing");
    assert!(subscribers.iter().any(|subscriber| subscriber.queue.counts().dropped_new > 0));
    assert!(subscribers.iter().any(|subscriber| subscriber.queue.counts().dropped_old > 0));
}

/// Proves that the measurement notices an allocation.
#[test]
fn measurement_notices_an_allocation() {
    let measured = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(measured.count_total, 1);
}
