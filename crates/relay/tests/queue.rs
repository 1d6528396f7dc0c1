//! The subscriber queue against a plain model, for all policies.

use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;
use tautline_relay::framing::Framing;
use tautline_relay::queue::{Counts, Limits, Offer, Policy, Queue, Wire};

/// A run of equal packets that know both of their forms, and their number.
#[derive(Debug, Clone, PartialEq)]
struct Shared(Rc<Vec<u8>>, u32, usize);

impl Wire for Shared {
    fn packets(&self) -> usize {
        self.2
    }

    fn wire_len(&self, packets: usize, framing: Framing) -> usize {
        packets.min(self.2) * (self.0.len() - 2 + framing.overhead())
    }

    fn split_front(&mut self, packets: usize) -> Self {
        assert!((1..self.2).contains(&packets), "{packets} of {}", self.2);
        self.2 -= packets;
        Self(self.0.clone(), self.1, packets)
    }

    fn wire(&self, framing: Framing) -> impl Iterator<Item = &[u8]> {
        (0..self.2).map(move |_| &self.0[2 - framing.overhead()..])
    }
}

fn packet(number: u32, len: usize) -> Shared {
    run(number, len, 1)
}

fn run(number: u32, len: usize, count: usize) -> Shared {
    let mut bytes = (len as u16).to_be_bytes().to_vec();
    bytes.resize(len + 2, number as u8);
    Shared(Rc::new(bytes), number, count)
}

/// One by one.
fn apart(run: &Shared) -> impl Iterator<Item = Shared> {
    (0..run.2).map(|_| Shared(run.0.clone(), run.1, 1))
}

#[derive(Debug, Clone)]
enum Step {
    /// So many packets of so many bytes.
    Offer(usize, usize),
    Advance(usize),
    Pop(usize),
    Clear,
    Rewind,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..60_usize, 1..8_usize).prop_map(|(len, count)| Step::Offer(len, count)),
        4 => (0..180_usize).prop_map(Step::Advance),
        1 => (1..8_usize).prop_map(Step::Pop),
        1 => Just(Step::Clear),
        1 => Just(Step::Rewind),
    ];
    prop::collection::vec(step, 0..200)
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::DropNew, Policy::DropOld, Policy::Disconnect, Policy::Wait])
}

/// The queue as one would write it without care for speed.
struct Model {
    packets: VecDeque<Shared>,
    begun: usize,
    limits: Limits,
    policy: Policy,
    counts: Counts,
}

impl Model {
    fn wire(p: &Shared) -> usize {
        p.0.len()
    }

    fn fits(packets: &VecDeque<Shared>, new: &Shared, limits: Limits) -> bool {
        let bytes: usize = packets.iter().chain([new]).map(Self::wire).sum();
        packets.len() < limits.packets && bytes <= limits.bytes
    }

    /// Each packet for itself, and what became of them together.
    fn offer(&mut self, run: &Shared) -> Offer<Shared> {
        let (mut all, mut left) = ((0, 0), run.2);
        for packet in apart(run) {
            match self.offer_one(packet) {
                Offer::Queued => {}
                Offer::Dropped { old, new } => all = (all.0 + old, all.1 + new),
                Offer::Wait(_) => return Offer::Wait(Shared(run.0.clone(), run.1, left)),
                Offer::Disconnect(_) => {
                    self.counts.offered += left as u64 - 1;
                    self.counts.dropped_new += left as u64 - 1;
                    return Offer::Disconnect(left);
                }
            }
            left -= 1;
        }
        let (old, new) = all;
        if old + new > 0 { Offer::Dropped { old, new } } else { Offer::Queued }
    }

    fn offer_one(&mut self, new: Shared) -> Offer<Shared> {
        if Self::fits(&self.packets, &new, self.limits) {
            self.counts.offered += 1;
            self.packets.push_back(new);
            return Offer::Queued;
        }
        if self.policy == Policy::Wait && Self::wire(&new) <= self.limits.bytes {
            return Offer::Wait(new);
        }
        self.counts.offered += 1;
        if self.policy == Policy::DropOld {
            return self.offer_by_dropping(new);
        }
        self.counts.dropped_new += 1;
        if self.policy == Policy::Disconnect {
            self.counts.disconnects += 1;
            return Offer::Disconnect(1);
        }
        Offer::Dropped { old: 0, new: 1 }
    }

    fn offer_by_dropping(&mut self, new: Shared) -> Offer<Shared> {
        let mut trial = self.packets.clone();
        let first = usize::from(self.begun > 0);
        let mut dropped = 0;
        while trial.len() > first && !Self::fits(&trial, &new, self.limits) {
            trial.remove(first);
            dropped += 1;
        }
        if !Self::fits(&trial, &new, self.limits) {
            self.counts.dropped_new += 1;
            return Offer::Dropped { old: 0, new: 1 };
        }
        trial.push_back(new);
        self.packets = trial;
        self.counts.dropped_old += dropped as u64;
        Offer::Dropped { old: dropped, new: 0 }
    }

    fn advance(&mut self, mut sent: usize) -> Vec<Shared> {
        let mut done = Vec::new();
        while let Some(head) = self.packets.front() {
            let missing = Self::wire(head) - self.begun;
            let taken = missing.min(sent);
            self.counts.sent_bytes += taken as u64;
            sent -= taken;
            if taken < missing {
                self.begun += taken;
                break;
            }
            done.extend(self.finish_head());
        }
        done
    }

    fn finish_head(&mut self) -> Option<Shared> {
        self.begun = 0;
        self.counts.sent += 1;
        self.packets.pop_front()
    }

    fn pop(&mut self) -> Option<Shared> {
        let missing = Self::wire(self.packets.front()?) - self.begun;
        self.counts.sent_bytes += missing as u64;
        self.finish_head()
    }

    fn unsent(&self) -> Vec<u8> {
        let all: Vec<u8> = self.packets.iter().flat_map(|p| p.0.iter().copied()).collect();
        all[self.begun..].to_vec()
    }

    fn clear(&mut self) -> usize {
        self.begun = 0;
        self.counts.lost += self.packets.len() as u64;
        self.packets.drain(..).count()
    }
}

fn apply(step: &Step, number: u32, queue: &mut Queue<Shared>, model: &mut Model) {
    match *step {
        Step::Offer(len, count) => {
            let new = run(number, len, count);
            assert_eq!(queue.offer(new.clone()), model.offer(&new));
        }
        Step::Advance(sent) => {
            let mut done = Vec::new();
            let held = queue.unsent_bytes();
            assert_eq!(queue.advance(sent, |run| done.extend(apart(&run))), sent.min(held));
            assert_eq!(done, model.advance(sent));
        }
        Step::Pop(count) => {
            let mut done = Vec::new();
            queue.pop_sent(count, |run| done.extend(apart(&run)));
            assert_eq!(done, (0..count).map_while(|_| model.pop()).collect::<Vec<_>>());
        }
        Step::Clear => assert_eq!(queue.clear(), model.clear()),
        Step::Rewind => {
            queue.rewind();
            model.begun = 0;
        }
    }
}

proptest! {
    /// Proves that under every policy, any sequence of steps leaves the same bytes to send, the
    /// same outcomes and the same counts as the model, and never exceeds either limit.
    #[test]
    fn queue_behaves_like_its_model(policy in policies(), packets in 1..12_usize, bytes in 40..400_usize, steps in steps()) {
        let limits = Limits { packets, bytes };
        let mut queue = Queue::new(limits, policy, Framing::Rfc4571);
        let mut model = Model { packets: VecDeque::new(), begun: 0, limits, policy, counts: Counts::default() };
        for (number, step) in steps.iter().enumerate() {
            apply(step, number as u32, &mut queue, &mut model);
            prop_assert_eq!(queue.unsent().collect::<Vec<_>>().concat(), model.unsent());
            prop_assert_eq!(queue.counts(), model.counts);
            let queued: Vec<_> = queue.runs().flat_map(apart).collect();
            prop_assert_eq!((queue.len(), &queued[..]), (model.packets.len(), &*model.packets.make_contiguous()));
            prop_assert_eq!(queue.head().map(|head| head.1), model.packets.front().map(|head| head.1));
            prop_assert!(queue.len() <= packets && queue.unsent_bytes() <= bytes);
            let counts = queue.counts();
            let gone = counts.sent + counts.dropped_new + counts.dropped_old + counts.lost;
            prop_assert_eq!(counts.offered, gone + queue.len() as u64);
        }
    }

    /// Proves that what a subscriber reads is whole packets in rising order, whatever is dropped
    /// and however the stream splits the writes.
    #[test]
    fn dropping_never_cuts_a_packet(policy in policies(), steps in steps()) {
        let mut queue = Queue::new(Limits { packets: 4, bytes: 200 }, policy, Framing::Rfc4571);
        let mut wire = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Offer(len, count) => drop(queue.offer(run(number as u32, len, count))),
                Step::Advance(sent) => {
                    wire.extend(queue.unsent().flatten().take(sent));
                    queue.advance(sent, drop);
                }
                _ => {}
            }
        }
        wire.extend(queue.unsent().flatten());
        let mut last = None;
        let mut rest = &wire[..];
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let (body, tail) = tail.split_at(usize::from(u16::from_be_bytes(*len)));
            prop_assert!(body.windows(2).all(|pair| pair[0] == pair[1]), "a packet holds one number");
            if let Some(&number) = body.first() {
                prop_assert!(last <= Some(number), "numbers rise");
                last = Some(number);
            }
            rest = tail;
        }
        prop_assert!(rest.is_empty());
    }
}

fn full(policy: Policy) -> Queue<Shared> {
    let mut queue = Queue::new(Limits { packets: 2, bytes: 1000 }, policy, Framing::Raw);
    assert_eq!(queue.offer(packet(0, 10)), Offer::Queued);
    assert_eq!(queue.offer(packet(1, 10)), Offer::Queued);
    queue
}

/// Proves what each policy does with the third packet of a queue of two.
#[test]
fn each_policy_does_what_its_name_says() {
    let refused = Offer::Dropped { old: 0, new: 1 };
    assert_eq!(full(Policy::DropNew).offer(packet(2, 10)), refused);
    assert_eq!(full(Policy::Disconnect).offer(packet(2, 10)), Offer::Disconnect(1));
    assert_eq!(full(Policy::Wait).offer(packet(2, 10)), Offer::Wait(packet(2, 10)));
    let mut queue = full(Policy::DropOld);
    assert_eq!(queue.offer(packet(2, 10)), Offer::Dropped { old: 1, new: 0 });
    assert_eq!(queue.head(), Some(&packet(1, 10)));
}

/// Proves that drop-old spares a head that is partly on the wire and drops the one behind it.
#[test]
fn drop_old_spares_the_head_in_flight() {
    let mut queue = full(Policy::DropOld);
    queue.advance(3, drop);
    assert_eq!(queue.offer(packet(2, 10)), Offer::Dropped { old: 1, new: 0 });
    let left: Vec<_> = queue.unsent().map(|bytes| (bytes[0], bytes.len())).collect();
    assert_eq!(left, [(0, 7), (2, 10)]);
}

/// Proves that a packet which can never fit drops nothing else, and is not waited for.
#[test]
fn hopeless_packet_evicts_nobody() {
    let mut queue = full(Policy::DropOld);
    let refused = Offer::Dropped { old: 0, new: 1 };
    assert_eq!(queue.offer(packet(2, 1001)), refused);
    assert_eq!(queue.len(), 2);
    assert_eq!(full(Policy::Wait).offer(packet(2, 1001)), refused);
}

/// Proves that an empty packet travels: alone, and between others.
#[test]
fn empty_packets_complete() {
    let mut queue = Queue::new(Limits::default(), Policy::DropNew, Framing::Raw);
    for len in [0, 5, 0] {
        assert_eq!(queue.offer(packet(1, len)), Offer::Queued);
    }
    let mut done = 0;
    assert_eq!(queue.advance(5, |_| done += 1), 5);
    assert_eq!((done, queue.is_empty()), (3, true));
}

/// Proves that ten thousand queues share one copy, and let go of it when the last has sent it.
#[test]
fn subscribers_share_one_copy() {
    let shared = packet(1, 1200);
    let limits = Limits { packets: 4, bytes: 1 << 20 };
    let mut queues: Vec<_> =
        (0..10_000).map(|_| Queue::new(limits, Policy::DropNew, Framing::Raw)).collect();
    for queue in &mut queues {
        assert_eq!(queue.offer(shared.clone()), Offer::Queued);
    }
    assert_eq!(Rc::strong_count(&shared.0), 10_001);
    queues.iter_mut().for_each(|queue| queue.pop_sent(1, drop));
    assert_eq!(Rc::strong_count(&shared.0), 1);
}

/// Proves that each policy takes a run apart where it is too long for the room that is left.
#[test]
fn long_runs_are_taken_apart() {
    let offer = |policy, count| {
        let mut queue = Queue::new(Limits { packets: 4, bytes: 1000 }, policy, Framing::Raw);
        assert_eq!(queue.offer(packet(0, 10)), Offer::Queued);
        let outcome = queue.offer(run(1, 10, count));
        (outcome, queue.unsent().map(|packet| packet[0]).collect::<Vec<_>>())
    };
    assert_eq!(offer(Policy::DropNew, 3), (Offer::Queued, vec![0, 1, 1, 1]));
    assert_eq!(offer(Policy::DropNew, 5), (Offer::Dropped { old: 0, new: 2 }, vec![0, 1, 1, 1]));
    assert_eq!(offer(Policy::DropOld, 5), (Offer::Dropped { old: 2, new: 0 }, vec![1, 1, 1, 1]));
    assert_eq!(offer(Policy::Disconnect, 5), (Offer::Disconnect(2), vec![0, 1, 1, 1]));
    assert_eq!(offer(Policy::Wait, 5), (Offer::Wait(run(1, 10, 2)), vec![0, 1, 1, 1]));
}
