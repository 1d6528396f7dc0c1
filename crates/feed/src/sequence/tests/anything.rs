//! Whatever comes, and in whatever order: senders that make no sense, and a program that does not either.

use proptest::prelude::*;

use super::*;

/// Something that may happen.
#[derive(Clone, Debug)]
enum Act {
    Packet { from: u8, session: u32, number: Number, kind: Kind, is_cut: bool },
    Wait(u64),
    WaitForSnapshot,
    Snapshot(Number),
}

/// A number: so far from the end of what was seen, or any.
#[derive(Clone, Copy, Debug)]
enum Number {
    Near(i64),
    Any(u64),
}

impl Number {
    fn of(self, end: u64) -> u64 {
        match self {
            Self::Near(ahead) => end.saturating_add_signed(ahead),
            Self::Any(number) => number,
        }
    }
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        9 => (-10i64..30).prop_map(Number::Near),
        4 => (-200i64..200).prop_map(Number::Near),
        1 => (-5000i64..5000).prop_map(Number::Near),
        1 => any::<u64>().prop_map(Number::Any),
        1 => (0u64..100).prop_map(Number::Any),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![
        20 => (1u16..12).prop_map(Kind::Messages),
        2 => (1u16..150).prop_map(Kind::Messages),
        2 => Just(Kind::Heartbeat),
        1 => Just(Kind::End),
    ];
    let session = prop_oneof![30 => Just(0u32), 1 => 1u32..7];
    let packet = (0u8..3, session, numbers(), kind, prop::bool::weighted(0.02));
    let packet = packet.prop_map(|(from, session, number, kind, is_cut)| Act::Packet {
        from,
        session,
        number,
        kind,
        is_cut,
    });
    prop_oneof![
        40 => packet,
        6 => (0u64..40).prop_map(Act::Wait),
        1 => (0u64..5000).prop_map(Act::Wait),
        1 => Just(Act::WaitForSnapshot),
        2 => numbers().prop_map(Act::Snapshot),
    ]
}

/// What was told about numbers.
enum Told {
    Began(u64),
    /// Handed on or lost.
    Over(Numbers),
    Ended(u64),
}

struct Trial<F: Format, S: Store> {
    sequencer: Sequencer<F, S>,
    now: Instant,
    /// Everything before was told.
    told: u64,
}

impl<F: Format, S: Store> Trial<F, S> {
    fn new(config: Config, store: S) -> Self {
        let now = Instant::now();
        Self { sequencer: Sequencer::new(config, store, now).unwrap(), now, told: 0 }
    }

    fn act(&mut self, act: &Act) {
        let mut told = Vec::new();
        let mut tell = |event: Event<'_, F>| match event {
            Event::Began { next, .. } => told.push(Told::Began(next)),
            Event::Messages(run) => {
                for (number, message) in run.messages() {
                    assert_eq!(message, (number as u16).to_le_bytes());
                }
                assert_eq!(run.messages().count(), usize::from(run.count));
                told.push(Told::Over((run.first..run.first + u64::from(run.count)).into()));
            }
            Event::Lost { numbers, .. } => told.push(Told::Over(numbers)),
            Event::Ended { next, .. } => told.push(Told::Ended(next)),
            _ => {}
        };
        let (now, end) = (self.now, self.sequencer.future());
        match *act {
            Act::Packet { from, session, number, kind, is_cut } => {
                let bytes = bytes_of::<F>(session, number.of(end), kind, is_cut);
                let packet = F::parse(&bytes).unwrap();
                match from {
                    2 => self.sequencer.replayed(now, packet, &mut tell),
                    line => self.sequencer.packet(now, Line(line), packet, &mut tell),
                }
            }
            Act::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                self.sequencer.tick(self.now, &mut tell);
            }
            Act::WaitForSnapshot => self.sequencer.wait_for_snapshot(),
            Act::Snapshot(number) => {
                let number = number.of(end);
                if self.sequencer.snapshot(now, number, &mut tell) {
                    self.told = number;
                }
            }
        }
        told.into_iter().for_each(|told| self.hears(told));
        self.check();
    }

    fn hears(&mut self, told: Told) {
        match told {
            Told::Began(next) => self.told = next,
            Told::Over(numbers) => {
                assert!(numbers.first == self.told && numbers.len() > 0, "{numbers}");
                self.told = numbers.end;
            }
            Told::Ended(next) => assert_eq!(next, self.told),
        }
    }

    /// All parts agree about what has come.
    fn check(&self) {
        let Sequencer { next, end, is_held, came, pieces, gaps, config, .. } = &self.sequencer;
        assert_eq!(self.told, *next);
        assert!(*end - *next <= config.window);
        let mut kept = vec![false; (*end - *next) as usize];
        for piece in pieces.iter().filter(|piece| piece.first != NONE) {
            for at in piece.first..piece.first + u64::from(piece.count) {
                assert!(!std::mem::replace(&mut kept[(at - *next) as usize], true), "{at} twice");
            }
        }
        let mut missing = 0;
        for (number, kept) in (*next..*end).zip(&kept) {
            assert_eq!(came.first_set(number..number + 1) == number, *kept);
            missing += u64::from(!kept);
            assert!(*kept || gaps.all().any(|gap| gap.numbers.contains(&number)));
        }
        assert_eq!(came.first_set(*end..*next + config.window), *next + config.window);
        assert_eq!(gaps.all().map(|gap| gap.missing).sum::<u64>(), missing);
        assert!(gaps.all().all(|gap| gap.lost.is_none() && gap.numbers.end <= *end));
        assert!(gaps.all().count() <= config.gaps);
        assert!(gaps.all().is_sorted_by(|one, two| one.numbers.end <= two.numbers.start));
        assert!(*is_held || next == end || !kept[0], "{next} is not handed on");
        assert!(*is_held || next != end || gaps.is_empty());
    }
}

/// Any packet.
fn bytes_of<F: Format>(session: u32, number: u64, kind: Kind, is_cut: bool) -> Vec<u8> {
    let mut datagram = vec![0; 1000];
    let session = Session::of_number(session);
    let mut builder = Builder::<F>::new(&mut datagram, session, number).unwrap();
    match kind {
        Kind::Messages(count) => {
            for at in 0..count {
                let content = (number as u16).wrapping_add(at).to_le_bytes();
                builder.push(&content).unwrap();
            }
            let bytes = builder.finish();
            bytes[..bytes.len() - usize::from(is_cut)].to_vec()
        }
        Kind::Heartbeat => builder.finish().to_vec(),
        Kind::End => builder.finish_session().to_vec(),
    }
}

fn runs<F: Format, S: Store>(config: &Config, store: S, acts: &[Act]) {
    let mut trial = Trial::<F, S>::new(config.clone(), store);
    acts.iter().for_each(|act| trial.act(act));
}

proptest! {
    /// Nothing panics, all that is told is in order and each number once, and all parts of the
    /// sequencer agree after each step.
    #[test]
    fn anything_may_come(
        acts in prop::collection::vec(acts(), 1..150),
        start in prop::sample::select(vec![Start::Live, Start::At(1), Start::Snapshot]),
        gaps in 1usize..6,
        size in 1usize..20,
        jump_after in 0u32..3,
    ) {
        let deadline = Duration::from_millis(100);
        let config = Config { lines: 2, start, window: 64, gaps, jump: 500, jump_after, deadline, ..pair() };
        runs::<MoldUdp64, _>(&config, Pool::new(size, 60).unwrap(), &acts);
        runs::<Narrow, _>(&config, Pool::new(size, 200).unwrap(), &acts);
        runs::<Narrow, _>(&config, Slots::new(64 * size).unwrap(), &acts);
        runs::<Compact, _>(&config, Bip::new(100 * size, 2 * size).unwrap(), &acts);
    }
}
