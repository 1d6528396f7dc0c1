mod anything;
mod gaps;
mod lines;
mod model;
mod requests;
mod sessions;
mod snapshots;

use std::ops::Range;

use super::*;
use crate::format::{Builder, Compact, MoldUdp64};
use crate::trial::Narrow;

/// What is in the message of that number.
fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes()[..(number % 5 + 2) as usize].to_vec()
}

/// The packet that has these messages; none: a heartbeat.
fn packet_of<F: Format>(session: Session, numbers: Range<u64>) -> Vec<u8> {
    let mut datagram = vec![0; 4096];
    let mut builder = Builder::<F>::new(&mut datagram, session, numbers.start).unwrap();
    numbers.for_each(|number| builder.push(&content(number)).unwrap());
    builder.finish().to_vec()
}

/// The packet that ends a session.
fn end_of<F: Format>(session: Session, next: u64) -> Vec<u8> {
    let mut datagram = vec![0; 64];
    Builder::<F>::new(&mut datagram, session, next).unwrap().finish_session().to_vec()
}

fn source(source: Source) -> String {
    match source {
        Source::Line(Line(line)) => format!("line {line}"),
        Source::Replay => "replay".to_owned(),
        Source::Snapshot => "snapshot".to_owned(),
    }
}

/// An event in a few words; looks into all messages.
fn words<F: Format>(event: Event<'_, F>) -> String {
    match event {
        Event::Messages(run) => {
            let mut numbers = run.first..run.first + u64::from(run.count);
            for (number, message) in run.messages() {
                assert_eq!(Some(number), numbers.next());
                assert_eq!(message, content(number));
            }
            assert!(numbers.is_empty());
            format!("{run:?} of {}", source(run.source))
        }
        Event::Began { session, next } => format!("began {session} at {next}"),
        Event::Gap(Gap { missing, present, future }) => {
            format!("gap {:?}, present {present}, future {future}", missing.range())
        }
        Event::Request { wire, missing, attempt } => {
            assert_eq!(wire, F::WIDTH.cut(missing.first));
            format!("request {:?}, attempt {attempt}", missing.range())
        }
        Event::Repaired { gap, by } => format!("repaired {:?} by {}", gap.range(), source(by)),
        Event::Lost { numbers, why } => format!("lost {:?}: {why:?}", numbers.range()),
        Event::Malformed { source: from, first, count } => {
            format!("malformed {first} and {count} of {}", source(from))
        }
        Event::Absurd { source: from, number, expected } => {
            format!("absurd {number} for {expected} of {}", source(from))
        }
        Event::Stale => "stale".to_owned(),
        Event::Live => "live".to_owned(),
        Event::Ended { session, next } => format!("ended {session} at {next}"),
    }
}

/// A sequencer, its time, and the session that is sent to it. Each call returns what it tells.
struct Desk<F: Format = Compact, S: Store = Pool> {
    sequencer: Sequencer<F, S>,
    now: Instant,
    session: Session,
}

impl Desk {
    /// Of a feed that begins with number 1, before which nothing is told.
    fn new(config: Config) -> Self {
        Self::with(config, Pool::new(1000, 1000).unwrap())
    }
}

impl<F: Format, S: Store> Desk<F, S> {
    fn with(config: Config, store: S) -> Self {
        let now = Instant::now();
        let sequencer = Sequencer::new(config, store, now).unwrap();
        Self { sequencer, now, session: Session::of_number(1) }
    }

    fn line(&mut self, line: u8, numbers: Range<u64>) -> Vec<String> {
        let bytes = packet_of::<F>(self.session, numbers);
        self.bytes(line, &bytes)
    }

    fn end(&mut self, line: u8, next: u64) -> Vec<String> {
        let bytes = end_of::<F>(self.session, next);
        self.bytes(line, &bytes)
    }

    fn bytes(&mut self, line: u8, bytes: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        let packet = F::parse(bytes).unwrap();
        self.sequencer.packet(self.now, Line(line), packet, &mut |event: Event<'_, F>| {
            told.push(words(event));
        });
        told
    }

    fn replay(&mut self, numbers: Range<u64>) -> Vec<String> {
        let mut told = Vec::new();
        let bytes = packet_of::<F>(self.session, numbers);
        let packet = F::parse(&bytes).unwrap();
        self.sequencer.replayed(self.now, packet, &mut |event: Event<'_, F>| {
            told.push(words(event));
        });
        told
    }

    fn snapshot(&mut self, next: u64) -> (bool, Vec<String>) {
        let mut told = Vec::new();
        let tell = &mut |event: Event<'_, F>| told.push(words(event));
        (self.sequencer.snapshot(self.now, next, tell), told)
    }

    /// So many milliseconds pass.
    fn wait(&mut self, millis: u64) -> Vec<String> {
        let mut told = Vec::new();
        self.now += Duration::from_millis(millis);
        self.sequencer.tick(self.now, &mut |event: Event<'_, F>| told.push(words(event)));
        told
    }

    /// After how many milliseconds there is something to do.
    fn timeout(&mut self) -> Option<u128> {
        let timeout = self.sequencer.timeout()?;
        Some(timeout.saturating_duration_since(self.now).as_millis())
    }
}

/// One line, from number 1 on, with nobody to ask.
fn alone() -> Config {
    Config { start: Start::At(1), requests: None, ..Config::default() }
}

/// Two lines, from number 1 on, and requests after 5 ms.
fn pair() -> Config {
    Config {
        lines: 2,
        start: Start::At(1),
        hold_off: HoldOff::Fixed(Duration::from_millis(5)),
        ..Config::default()
    }
}

const NOTHING: [&str; 0] = [];

/// What no sequencer can be made of is refused, and says why.
#[test]
fn impossible_configurations_are_refused() {
    let refused = |config: Config| check::<Narrow>(config).unwrap_err().to_string();
    let sound = || Config { jump: 100, window: 64, ..Config::default() };
    assert_eq!(refused(Config { lines: 33, ..sound() }), "33 lines: a feed has 1 to 32");
    assert!(refused(Config { gaps: 0, ..sound() }).starts_with("gaps: 0"));
    let most = Some(Requests { most: 0, ..Requests::default() });
    assert!(refused(Config { requests: most, ..sound() }).starts_with("requests.most: 0"));
    let restart = Start::At(u64::MAX);
    assert!(refused(Config { restart, ..sound() }).contains("cannot begin at 184"));
    let window = refused(Config { window: 16_385, ..sound() });
    assert!(window.starts_with("a window of 32768 numbers"), "{window}");
    let jump = refused(Config { jump: 32_768, ..sound() });
    assert!(jump.ends_with("numbers of narrow: at most 32704"), "{jump}");
    assert_eq!(check::<Narrow>(Config { window: 65, ..sound() }).unwrap().window, 128);
    // There are no more gaps than numbers, and no memory for more.
    let gaps = Config { gaps: usize::MAX, ..sound() };
    assert_eq!(check::<Narrow>(gaps.clone()).unwrap().gaps, 64);
    assert!(Sequencer::<Narrow, _>::new(gaps, Pool::new(1, 1).unwrap(), Instant::now()).is_ok());
}
