//! The sequencer against a naive reference: a map of all messages that have come.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A feed, and what befalls it.
#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    /// The number of the first message.
    begin: u64,
    messages: u64,
    lines: u8,
    /// All in percent.
    loss: u8,
    replay_loss: u8,
    twice: u8,
    /// So late are packets at most, in microseconds.
    jitter: u64,
    /// Most messages of a packet.
    packet: u64,
    start: Start,
    /// A snapshot is waited for from some time on.
    snapshots: bool,
    window: u64,
    gaps: usize,
    requests: Option<Requests>,
    deadline: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Packet(u8, Range<u64>),
    End(u8),
    Replay(Range<u64>),
    WaitForSnapshot,
    /// Of all below the number.
    Snapshot(u64),
}

type Steps = BTreeMap<(u64, u32), Step>;

/// Steps by their time in microseconds; those of the same time in the order in which they were added.
struct Plan {
    steps: Steps,
    count: u32,
    rng: fastrand::Rng,
}

impl Plan {
    fn add(&mut self, at: u64, step: Step) {
        self.count += 1;
        self.steps.insert((at, self.count), step);
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    /// One message is sent each 100 us; each line makes packets of its own, and loses of its own.
    fn new(scenario: &Scenario) -> Self {
        let rng = fastrand::Rng::with_seed(scenario.seed);
        let mut plan = Self { steps: Steps::new(), count: 0, rng };
        let end = scenario.begin + scenario.messages;
        let sent = |number: u64| (number - scenario.begin + 1) * 100;
        for line in 0..scenario.lines {
            let behind = plan.rng.u64(0..1000);
            let mut first = scenario.begin;
            while first < end {
                let last = (first + plan.rng.u64(0..=scenario.packet)).min(end); // or a heartbeat
                for _ in 0..1 + u8::from(plan.chance(scenario.twice)) {
                    let at = sent(last) + behind + plan.rng.u64(0..=scenario.jitter);
                    if !plan.chance(scenario.loss) {
                        plan.add(at, Step::Packet(line, first..last));
                    }
                }
                first = last;
            }
            plan.add(sent(end) + 20_000, Step::End(line));
        }
        if scenario.snapshots || scenario.start == Start::Snapshot {
            plan.add_snapshots(end, sent(end));
        }
        plan
    }

    fn add_snapshots(&mut self, end: u64, sent: u64) {
        for _ in 0..3 {
            let at = self.rng.u64(0..sent);
            self.add(at, Step::WaitForSnapshot);
            let number = end - self.rng.u64(0..=sent / 100 - 1);
            let late = self.rng.u64(0..20_000);
            self.add(sent - (end - number) * 100 + late, Step::Snapshot(number));
        }
        self.add(sent + 25_000, Step::Snapshot(end));
    }
}

/// What the naive reference knows.
struct Reference {
    /// All messages that have come so far, handed on or not.
    came: BTreeMap<u64, Vec<u8>>,
    /// Everything before was told.
    told: u64,
    /// Gaps that were told: their end, whether they were repaired, whether some of them was lost.
    gaps: BTreeMap<u64, (u64, bool, bool)>,
    asked_at: Option<u64>,
    /// Messages are neither dropped while a snapshot is waited for, nor too large to be kept.
    is_strict: bool,
    has_begun: bool,
    /// Something has been told, behind which no snapshot can go back.
    is_bound: bool,
    ended: u32,
}

impl Reference {
    fn hears<F: Format>(&mut self, event: &Event<'_, F>, scenario: &Scenario, now: u64) {
        match *event {
            Event::Began { next, .. } => {
                assert!(!self.has_begun);
                (self.has_begun, self.told) = (true, next);
            }
            Event::Messages(run) => {
                assert_eq!(run.first, self.told, "in order, and each once");
                for (number, message) in run.messages() {
                    assert_eq!(number, self.told);
                    assert_eq!(self.came.get(&number).map(|came| &came[..]), Some(message));
                    self.told += 1;
                }
                assert_eq!(self.told, run.first + u64::from(run.count));
                self.is_bound = true;
            }
            Event::Lost { numbers, .. } => {
                assert_eq!(numbers.first, self.told, "in order, and each once");
                assert!(numbers.len() > 0);
                (self.told, self.is_bound) = (numbers.end, true);
                let have = self.came.range(numbers.range()).next();
                assert!(!self.is_strict || have.is_none(), "{have:?} was at hand");
                for (first, (end, _, is_lost)) in &mut self.gaps {
                    *is_lost |= *first < numbers.end && numbers.first < *end;
                }
            }
            Event::Gap(gap) => {
                let Numbers { first, end } = gap.missing;
                assert!(first < end && gap.present <= first && end <= gap.future.max(gap.present));
                assert_eq!(gap.present, self.told);
                let others = self.gaps.range(..end).next_back();
                assert!(others.is_none_or(|(_, other)| other.0 <= first), "told twice: {first}");
                let have = self.came.range(gap.missing.range()).next();
                assert!(!self.is_strict || have.is_none(), "{have:?} has come");
                self.gaps.insert(first, (end, false, false));
            }
            Event::Repaired { gap, .. } => {
                let (end, is_repaired, is_lost) = self.gaps.get_mut(&gap.first).expect("was told");
                assert!(*end == gap.end && !*is_repaired && !*is_lost);
                *is_repaired = true;
            }
            Event::Request { missing, attempt, .. } => {
                let requests = scenario.requests.unwrap();
                assert!((1..=requests.most).contains(&missing.len()));
                assert!((1..=requests.attempts).contains(&attempt));
                assert!(missing.first >= self.told);
                let edges = [missing.first, missing.end - 1];
                let has_come = edges.iter().any(|edge| self.came.contains_key(edge));
                assert!(!self.is_strict || !has_come, "{missing} is asked for in vain");
                let spacing = requests.spacing.as_micros() as u64;
                assert!(self.asked_at.is_none_or(|before| now - before >= spacing));
                self.asked_at = Some(now);
            }
            Event::Ended { next, .. } => {
                assert_eq!(next, self.told);
                self.ended += 1;
            }
            Event::Malformed { .. } | Event::Absurd { .. } | Event::Stale | Event::Live => {}
        }
    }
}

/// A run of a scenario.
struct Trial<'a, F: Format, S: Store> {
    scenario: &'a Scenario,
    sequencer: Sequencer<F, S>,
    zero: Instant,
    plan: Plan,
    reference: Reference,
    session: Session,
}

impl<'a, F: Format, S: Store> Trial<'a, F, S> {
    fn new(scenario: &'a Scenario, store: S) -> Self {
        let config = Config {
            lines: usize::from(scenario.lines),
            start: scenario.start,
            window: scenario.window,
            gaps: scenario.gaps,
            requests: scenario.requests,
            deadline: Duration::from_micros(scenario.deadline),
            jump: 1 << 14,
            ..Config::default()
        };
        let zero = Instant::now();
        // Messages that are dropped while a snapshot is waited for have come all the same.
        let is_strict = !scenario.snapshots
            && scenario.start != Start::Snapshot
            && store.largest() >= 9 * scenario.packet as usize;
        let reference = Reference {
            came: BTreeMap::new(),
            told: 0,
            gaps: BTreeMap::new(),
            asked_at: None,
            is_strict,
            has_begun: false,
            is_bound: false,
            ended: 0,
        };
        Self {
            scenario,
            sequencer: Sequencer::new(config, store, zero).unwrap(),
            zero,
            plan: Plan::new(scenario),
            reference,
            session: Session::of_number(1),
        }
    }

    fn run(mut self) {
        let end = self.scenario.begin + self.scenario.messages;
        while let Some(((at, _), step)) = self.plan.steps.pop_first() {
            self.tick_until(at);
            self.step(at, step);
            self.is_prompt();
        }
        self.tick_until(60_000_000);
        assert_eq!(self.reference.told, end, "all was told");
        assert_eq!(self.reference.ended, 1);
        assert_eq!(self.sequencer.timeout(), None);
        assert_eq!((self.sequencer.present(), self.sequencer.future()), (end, end));
        for (first, (end, is_repaired, is_lost)) in &self.reference.gaps {
            assert!(*is_repaired || *is_lost, "what became of {first}..{end}?");
            // Messages that were kept for a snapshot can be lost after they have repaired a gap.
            assert!(!(*is_repaired && *is_lost && self.reference.is_strict));
        }
        let stats = self.sequencer.stats();
        assert_eq!(stats.gaps, self.reference.gaps.len() as u64);
        let repaired = self.reference.gaps.values().filter(|gap| gap.1).count();
        assert_eq!(stats.repaired, repaired as u64);
        let all = end..end + self.sequencer.config.window;
        assert_eq!(self.sequencer.came.first_set(all.clone()), all.end);
        assert!(self.sequencer.pieces.iter().all(|piece| piece.count == 0));
    }

    /// What has come next has been told.
    fn is_prompt(&self) {
        let Reference { came, told, is_strict, .. } = &self.reference;
        assert!(!is_strict || !came.contains_key(told), "{told} was not handed on");
        assert!(self.sequencer.future() - self.sequencer.present() <= self.sequencer.config.window);
    }

    fn tick_until(&mut self, at: u64) {
        let mut count = 0;
        while let Some(timeout) = self.sequencer.timeout() {
            let timeout = (timeout - self.zero).as_nanos().div_ceil(1000) as u64;
            if timeout > at {
                break;
            }
            self.act(timeout, |it, now, mut tell| it.tick(now, &mut tell));
            count += 1;
            assert!(count < 10_000, "time does not go on");
        }
    }

    fn step(&mut self, at: u64, step: Step) {
        let session = self.session;
        match step {
            Step::Packet(line, numbers) => {
                self.comes(numbers.clone());
                let bytes = packet_of::<F>(session, numbers);
                let packet = F::parse(&bytes).unwrap();
                self.act(at, |it, now, mut tell| it.packet(now, Line(line), packet, &mut tell));
            }
            Step::Replay(numbers) => {
                self.comes(numbers.clone());
                let bytes = packet_of::<F>(session, numbers);
                let packet = F::parse(&bytes).unwrap();
                self.act(at, |it, now, mut tell| it.replayed(now, packet, &mut tell));
            }
            Step::End(line) => {
                let bytes = end_of::<F>(session, self.scenario.begin + self.scenario.messages);
                let packet = F::parse(&bytes).unwrap();
                self.act(at, |it, now, mut tell| it.packet(now, Line(line), packet, &mut tell));
            }
            Step::WaitForSnapshot if self.scenario.snapshots => {
                let is_held = self.sequencer.waits_for_snapshot();
                self.reference.is_bound |= self.reference.has_begun && !is_held;
                self.sequencer.wait_for_snapshot();
            }
            Step::WaitForSnapshot => {}
            Step::Snapshot(number) => {
                let is_held = self.sequencer.waits_for_snapshot();
                let Reference { told, has_begun, is_bound, .. } = &mut self.reference;
                let is_of_use = *has_begun && (number >= *told || is_held && !*is_bound);
                if is_of_use {
                    (*told, *is_bound) = (number, true);
                }
                let mut is_taken = false;
                self.act(at, |it, now, mut tell| is_taken = it.snapshot(now, number, &mut tell));
                assert_eq!(is_taken, is_of_use);
            }
        }
    }

    fn comes(&mut self, numbers: Range<u64>) {
        self.reference.came.extend(numbers.map(|number| (number, content(number))));
    }

    /// Lets the sequencer do something; the reference hears it, and requests are answered.
    fn act(
        &mut self,
        at: u64,
        what: impl FnOnce(&mut Sequencer<F, S>, Instant, &mut dyn FnMut(Event<'_, F>)),
    ) {
        let Self { scenario, sequencer, reference, plan, .. } = self;
        let now = self.zero + Duration::from_micros(at);
        let mut tell = |event: Event<'_, F>| {
            reference.hears(&event, scenario, at);
            let Event::Request { missing, .. } = event else { return };
            let mut first = missing.first;
            while first < missing.end {
                let end = missing.end.min(first + plan.rng.u64(1..=scenario.packet));
                if !plan.chance(scenario.replay_loss) {
                    let at = at + plan.rng.u64(100..3000);
                    plan.add(at, Step::Replay(first..end));
                }
                first = end;
            }
        };
        what(sequencer, now, &mut tell);
    }
}

fn requests() -> impl Strategy<Value = Option<Requests>> {
    let some = (1u64..40, 0u64..10, 0u64..2000, 1u32..5);
    prop::option::weighted(
        0.8,
        some.prop_map(|(most, merge_within, spacing, attempts)| Requests {
            most,
            merge_within,
            spacing: Duration::from_micros(spacing),
            retry_after: Duration::from_millis(4),
            retry_most: Duration::from_millis(9),
            attempts,
        }),
    )
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let feed = (any::<u64>(), 0u64..3, 1u64..400, 1u8..4, 1u64..12);
    let faults = (0u8..40, 0u8..60, 0u8..30, prop::sample::select(vec![0u64, 500, 3000, 20_000]));
    let ways = (0u8..4, prop::bool::weighted(0.2), 0u32..4, 1usize..9, requests(), 1u64..60_000);
    (feed, faults, ways).prop_map(|(feed, faults, ways)| {
        let (seed, wrap, messages, lines, packet) = feed;
        let (loss, replay_loss, twice, jitter) = faults;
        let (start, snapshots, window, gaps, requests, deadline) = ways;
        // Numbers that wrap around on their way, at 16 and at 32 bits.
        let begin = [1, (1 << 16) - 50, (1 << 32) - 50][wrap as usize];
        let start = match start {
            // Who joins after the wrap counts from there.
            0 if wrap == 0 => Start::Live,
            1 if wrap == 0 => Start::Snapshot,
            _ => Start::At(begin),
        };
        let window = 64 << window;
        #[rustfmt::skip]
        let scenario = Scenario {
            seed, begin, messages, lines, loss, replay_loss, twice, jitter, packet, start, snapshots,
            window, gaps, requests, deadline,
        };
        scenario
    })
}

fn all_stores<F: Format>(scenario: &Scenario, size: usize) {
    Trial::<F, _>::new(scenario, Pool::new(size, 100).unwrap()).run();
    Trial::<F, _>::new(scenario, Slots::new(64 * size).unwrap()).run();
    Trial::<F, _>::new(scenario, Bip::new(64 * size, 4 * size).unwrap()).run();
}

/// As many as for other tests, or what `TAUTLINE_FEED_CASES` says.
fn cases() -> ProptestConfig {
    let cases = std::env::var("TAUTLINE_FEED_CASES").ok().map(|cases| cases.parse().unwrap());
    let usual = ProptestConfig::default();
    ProptestConfig { cases: cases.unwrap_or(usual.cases), ..usual }
}

proptest! {
    #![proptest_config(cases())]

    /// Whatever befalls a feed: what is handed on and what is told to be lost are all of its messages,
    /// in order and each once; gaps are told once, and become repaired or lost; nothing that was at
    /// hand is lost; and all has its end. In all formats, with all stores.
    #[test]
    fn all_is_told_in_order_and_once(scenario in scenarios(), size in 2usize..40) {
        all_stores::<MoldUdp64>(&scenario, size);
        all_stores::<Compact>(&scenario, size);
        if scenario.begin < 1 << 16 {
            all_stores::<Narrow>(&scenario, size);
        }
    }
}
