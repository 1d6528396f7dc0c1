//! The wheel against a sorted map, and its promises one by one.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TICK: u64 = 512;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn wheel(limit: usize) -> Wheel {
    Wheel::new(limit, Duration::from_nanos(TICK), at(0))
}

fn drain(wheel: &mut Wheel, now: u64) -> Vec<Expired> {
    std::iter::from_fn(|| wheel.expire(at(now))).collect()
}

/// What the model knows of an armed timer.
#[derive(Clone, Copy)]
struct Armed {
    deadline: u64,
    armed_at: u64,
}

/// The wheel and a plain map that says what it must do.
struct Pair {
    wheel: Wheel,
    armed: BTreeMap<u64, (TimerKey, Armed)>,
    spent: Vec<TimerKey>,
    now: u64,
    count: u64,
}

impl Pair {
    fn new(limit: usize, now: u64) -> Self {
        let wheel = Wheel::new(limit, Duration::from_nanos(TICK), at(now));
        Self { wheel, armed: BTreeMap::new(), spent: Vec::new(), now, count: 0 }
    }

    fn arm(&mut self, ahead: u64) {
        let deadline = self.now.saturating_add(ahead);
        self.count += 1;
        let armed = Armed { deadline, armed_at: self.now };
        match self.wheel.arm(at(deadline), self.count) {
            Ok(key) => drop(self.armed.insert(self.count, (key, armed))),
            Err(full) => {
                assert_eq!((full.limit, self.armed.len()), (self.wheel.limit(), self.wheel.limit()))
            }
        }
    }

    fn pick(&self, choice: usize) -> Option<u64> {
        self.armed.keys().copied().nth(choice % self.armed.len().max(1))
    }

    fn cancel(&mut self, choice: usize) {
        if let Some(payload) = self.pick(choice) {
            let (key, _) = self.armed.remove(&payload).expect("picked");
            assert_eq!(self.wheel.cancel(key), Some(payload));
            self.spent.push(key);
        }
    }

    fn rearm(&mut self, choice: usize, ahead: u64) {
        if let Some(payload) = self.pick(choice) {
            let now = self.now;
            let (key, armed) = self.armed.get_mut(&payload).expect("picked");
            armed.deadline = now.saturating_add(ahead);
            armed.armed_at = now;
            assert!(self.wheel.rearm(*key, at(armed.deadline)));
        }
    }

    fn advance(&mut self, by: u64) {
        self.now = self.now.saturating_add(by);
        let mut last = 0;
        while let Some(expired) = self.wheel.expire(at(self.now)) {
            let (key, armed) = self.armed.remove(&expired.payload).expect("expired once");
            assert_eq!((expired.key, expired.deadline), (key, at(armed.deadline)));
            assert!(armed.deadline <= self.now, "never early");
            let due = armed.deadline.max(armed.armed_at);
            assert!(due.saturating_add(TICK) >= last, "in the order of ticks");
            last = last.max(due);
            self.spent.push(key);
        }
        self.check();
    }

    /// Nothing is left that should have expired, and the next wake-up is not too late.
    fn check(&mut self) {
        assert_eq!(self.wheel.len(), self.armed.len());
        let due = |armed: &Armed| armed.deadline.max(armed.armed_at).saturating_add(TICK);
        let first = self.armed.values().map(|(_, armed)| due(armed)).min();
        if let Some(first) = first.filter(|&first| first < u64::MAX) {
            assert!(first > self.now, "late by more than a tick");
            let next = self.wheel.next_deadline().expect("timers are armed");
            assert!(next.as_nanos() <= first, "would wake up too late");
        }
        assert_eq!(self.wheel.next_deadline().is_none(), self.armed.is_empty());
        for key in self.spent.drain(..) {
            assert_eq!(self.wheel.cancel(key), None);
            assert!(!self.wheel.rearm(key, at(self.now)));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arm(u64),
    Cancel(usize),
    Rearm(usize, u64),
    Advance(u64),
}

/// Any size from a nanosecond to the end of time, small ones as likely as large ones.
fn stride() -> impl Strategy<Value = u64> {
    (0u32..64, any::<u64>()).prop_map(|(bits, value)| value >> bits)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => stride().prop_map(Step::Arm),
        2 => (0u64..20_000).prop_map(Step::Arm),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (any::<usize>(), stride()).prop_map(|(choice, ahead)| Step::Rearm(choice, ahead)),
        2 => (0u64..5_000_000_000).prop_map(Step::Advance),
        2 => (20u32..64, any::<u64>()).prop_map(|(bits, value)| Step::Advance(value >> bits)),
    ]
}

fn run(pair: &mut Pair, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Arm(ahead) => pair.arm(ahead),
            Step::Cancel(choice) => pair.cancel(choice),
            Step::Rearm(choice, ahead) => pair.rearm(choice, ahead),
            Step::Advance(by) => pair.advance(by),
        }
    }
    pair.advance(u64::MAX);
    assert!(pair.armed.is_empty(), "the end of time reaches every deadline");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Over random runs the wheel does what a sorted map does: each timer expires once,
    /// never early, at most a tick late, in order; cancelled ones never; stale keys find
    /// nothing; the limit holds.
    #[test]
    fn agrees_with_a_sorted_map(limit in 1usize..60, start in stride(), steps in vec(step(), 1..300)) {
        run(&mut Pair::new(limit, start / 2), steps);
    }

    /// Advancing only as far as `next_deadline` says reaches every timer in few steps, so
    /// a loop that sleeps until then makes progress and oversleeps nothing.
    #[test]
    fn next_deadline_makes_progress(deadlines in vec(stride(), 1..50)) {
        let mut pair = Pair::new(50, 0);
        deadlines.iter().for_each(|&deadline| pair.arm(deadline));
        let mut steps = 0;
        while let Some(next) = pair.wheel.next_deadline() {
            pair.advance(next.as_nanos() - pair.now);
            steps += 1;
            prop_assert!(steps <= LEVELS * deadlines.len());
        }
        prop_assert!(pair.armed.is_empty());
    }

    /// Timers expire by tick, then by deadline, then in the order of arming, whichever
    /// levels they went through.
    #[test]
    fn order_is_tick_then_deadline_then_arming(deadlines in vec(0u64..40_000_000, 1..400), same in 0u64..40_000_000) {
        let mut wheel = wheel(1000);
        let mut expected = Vec::new();
        for (at_number, deadline) in deadlines.into_iter().flat_map(|other| [other, same]).enumerate() {
            wheel.arm(at(deadline), at_number as u64).expect("room");
            expected.push((deadline, at_number as u64));
        }
        // The very start of time counts as the first tick.
        expected.sort_by_key(|&(deadline, number)| (deadline.div_ceil(TICK).max(1), deadline, number));
        let fired: Vec<_> = drain(&mut wheel, 50_000_000).iter().map(|e| (e.deadline.as_nanos(), e.payload)).collect();
        prop_assert_eq!(fired, expected);
    }
}

/// At the last nanosecond before its deadline a timer stays; at the tick's end it is out.
#[test]
fn expires_within_a_tick_after_its_deadline_and_never_before() {
    for deadline in [1, 511, 512, 513, 1_000_000, 2_097_153, 5_000_000_001, 1 << 60] {
        let mut wheel = wheel(1);
        wheel.arm(at(deadline), 0).expect("room");
        assert_eq!(wheel.expire(at(deadline - 1)), None);
        let expired = wheel.expire(at(deadline + TICK - 1)).expect("due");
        assert_eq!(expired.deadline, at(deadline));
    }
}

/// The last instants of all can be armed, and expire at the end of time, not before.
#[test]
fn deadlines_up_to_the_end_of_time_are_legal() {
    let mut wheel = wheel(2);
    wheel.arm(at(u64::MAX), 1).expect("room");
    wheel.arm(at(u64::MAX - 1), 2).expect("room");
    assert_eq!(wheel.expire(at(u64::MAX - 1)), None);
    let payloads: Vec<_> =
        drain(&mut wheel, u64::MAX).iter().map(|expired| expired.payload).collect();
    assert_eq!(payloads, [2, 1]);
}

/// A key whose place has been given to another timer finds nothing.
#[test]
fn stale_keys_find_nothing() {
    let mut wheel = wheel(1);
    let first = wheel.arm(at(1_000), 1).expect("room");
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.arm(at(2_000), 2).expect("room");
    assert_eq!(wheel.cancel(first), None);
    assert!(!wheel.rearm(first, at(5_000)));
    assert!(wheel.is_armed(second));
    assert_eq!(drain(&mut wheel, 3_000).len(), 1);
    assert_eq!(wheel.cancel(second), None);
}

/// The table holds exactly as many as it was made for, and room comes back.
#[test]
fn a_full_table_says_so_and_recovers() {
    let mut wheel = wheel(3);
    let keys = [1, 2, 3].map(|n| wheel.arm(at(n * 1_000_000), n).expect("room"));
    assert_eq!(wheel.arm(at(1), 4), Err(WheelFull { limit: 3 }));
    assert_eq!(wheel.len(), 3);
    wheel.cancel(keys[1]);
    wheel.arm(at(1), 4).expect("room again");
    assert_eq!(drain(&mut wheel, 3_000_000 + TICK).len(), 3);
}

/// A table of no timers refuses all, and is otherwise harmless.
#[test]
fn a_wheel_without_room_refuses_all() {
    let mut wheel = wheel(0);
    assert_eq!(wheel.arm(at(1), 1), Err(WheelFull { limit: 0 }));
    assert_eq!(wheel.expire(at(u64::MAX)), None);
    assert_eq!(wheel.next_deadline(), None);
}

/// A timer that is armed again with a deadline long gone, each time it expires, does not
/// keep the others from expiring.
#[test]
fn a_timer_always_in_the_past_starves_no_other() {
    let mut wheel = wheel(2);
    wheel.arm(at(0), 0).expect("room");
    wheel.arm(at(100 * TICK), 1).expect("room");
    let others = (0..200).filter(|_| {
        let expired = wheel.expire(at(1_000 * TICK)).expect("due");
        if expired.payload == 0 {
            wheel.arm(at(0), 0).expect("room");
        }
        expired.payload == 1
    });
    assert_eq!(others.count(), 1);
}

/// Time that stands still or goes back expires nothing that was not due before.
#[test]
fn time_that_goes_back_is_never_early() {
    let mut wheel = wheel(2);
    wheel.expire(at(1_000_000));
    wheel.arm(at(500_000), 0).expect("room");
    assert_eq!(wheel.expire(at(400_000)), None);
    assert!(wheel.expire(at(1_000_000 + TICK)).is_some());
}

/// Idle calls move the timers of a coarse slot down before its time has come.
#[test]
fn idle_calls_work_ahead() {
    let mut wheel = wheel(1000);
    let window = TICK << wheel.widths[1];
    for n in 0..1000 {
        wheel.arm(at(2 * window + n * TICK), n).expect("room");
    }
    assert!(!wheel.levels[1].is_empty());
    for n in 0..=(1000 / AHEAD as u64) {
        assert_eq!(wheel.expire(at(window + n * TICK)), None);
    }
    assert!(wheel.levels[1].is_empty(), "all have moved, a slot before their time");
    assert_eq!(drain(&mut wheel, 3 * window).len(), 1000);
}

/// A loop that seldom looks moves as many more ahead of need, so that no slot is left to be
/// moved at once when its time has come.
#[test]
fn rare_calls_work_ahead_as_fast() {
    const MANY: u64 = 3_000;
    let mut wheel = wheel(MANY as usize);
    let window = TICK << wheel.widths[1];
    for n in 0..MANY {
        wheel.arm(at(2 * window + n), n).expect("room");
    }
    for call in 0..4 {
        assert_eq!(wheel.expire(at(window + call * (window / 4))), None);
    }
    assert!(wheel.levels[1].is_empty());
    assert_eq!(drain(&mut wheel, 3 * window).len(), MANY as usize);
}

/// More timers in one tick than are put in order still all expire, once each.
#[test]
fn a_crowded_tick_loses_nothing() {
    let mut wheel = wheel(3 * ORDERED);
    for n in 0..3 * ORDERED as u64 {
        wheel.arm(at(10_000_000 + n % 100), n).expect("room");
    }
    let mut payloads: Vec<_> =
        drain(&mut wheel, 20_000_000).iter().map(|expired| expired.payload).collect();
    payloads.sort_unstable();
    assert!(payloads.into_iter().eq(0..3 * ORDERED as u64));
}

/// A million timers over a minute, run down in strides: none early, none late, none lost.
#[test]
fn a_million_timers_run_down() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut wheel = wheel(1_000_000);
    for n in 0..1_000_000 {
        wheel.arm(at(random.u64(0..60_000_000_000)), n).expect("room");
    }
    let (mut now, mut count) = (0, 0);
    while !wheel.is_empty() {
        let before = now;
        now += random.u64(1..50_000_000);
        while let Some(expired) = wheel.expire(at(now)) {
            let deadline = expired.deadline.as_nanos();
            assert!(deadline <= now && deadline + TICK > before);
            count += 1;
        }
    }
    assert_eq!(count, 1_000_000);
}

/// The tick is rounded down to a power of two and kept within what makes sense.
#[test]
fn the_tick_is_a_power_of_two() {
    let tick = |nanos| Wheel::<u64>::new(1, Duration::from_nanos(nanos), at(0)).tick().as_nanos();
    assert_eq!([0, 1, 512, 1000, 1024].map(tick), [2, 2, 512, 512, 1024]);
    assert_eq!(Wheel::<u64>::new(1, Duration::MAX, at(0)).tick().as_nanos(), 1 << 32);
}
