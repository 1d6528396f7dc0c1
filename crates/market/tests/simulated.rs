//! Exchange and gateway on real sockets in a simulated world: datagrams are lost, doubled and overtaken on
//! their way by the world, besides what the lines do to them; connections are refused and reset; reads and
//! writes are short. At the end the books are equal, every gap has been reported once, and nothing stalls.

#[path = "common/seeds.rs"]
mod seeds;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use seeds::play_all;
use tautline_feed::format::{Compact, Format, MoldUdp64, Session};
use tautline_feed::sequence::Requests;
use tautline_market::exchange::{self, Impairment};
use tautline_market::gateway::Notice;
use tautline_market::live::{ExchangeConfig, GatewayConfig, RunError, Station, Venue, WireFormat};
use tautline_relay::endpoint::{InterfaceName, MulticastDestination, MulticastSource};
use tautline_runtime::sim::{self, Faults};
use tautline_runtime::time::Instant;
use tautline_runtime::{Config, DriverChoice, Runtime, timer};

/// Seeds in the ordinary tests; the lane of the simulation plays more.
const SEEDS: u64 = 500;
/// When the world ceases to do anything bad.
const QUIET: Duration = Duration::from_millis(600);
/// By then all has come to rest.
const LIMIT: Duration = Duration::from_secs(120);

/// What was told of gaps.
#[derive(Default)]
struct Told {
    /// Gaps: their end, and whether they were repaired.
    gaps: BTreeMap<u64, (u64, bool)>,
    lost: Vec<(u64, u64)>,
    has_ended: bool,
}

impl Told {
    fn hear(&mut self, notice: &Notice) {
        match *notice {
            Notice::Gap(gap) => {
                let (first, end) = (gap.missing.first, gap.missing.end);
                let before = self.gaps.range(..end).next_back();
                assert!(before.is_none_or(|(_, (end, _))| *end <= first), "{first} is told twice");
                self.gaps.insert(first, (end, false));
            }
            Notice::Repaired { gap, .. } => {
                let (end, is_repaired) = self.gaps.get_mut(&gap.first).expect("it was told");
                assert!(*end == gap.end && !*is_repaired, "{gap} is repaired once");
                *is_repaired = true;
            }
            Notice::Lost { numbers, .. } => {
                let last = self.lost.last().map_or(0, |last| last.1);
                assert!(last <= numbers.first && numbers.first < numbers.end, "in order, and once");
                self.lost.push((numbers.first, numbers.end));
            }
            Notice::Ended { .. } => self.has_ended = true,
            _ => {}
        }
    }

    /// Each gap has been repaired, or some of it lost.
    fn all_is_accounted_for(&self) {
        for (first, (end, is_repaired)) in &self.gaps {
            let is_lost = self.lost.iter().any(|lost| lost.0 < *end && *first < lost.1);
            assert!(*is_repaired || is_lost, "what has become of {first}..{end}?");
        }
    }
}

fn share(rng: &mut fastrand::Rng, most: f64) -> f64 {
    if rng.bool() { rng.f64() * most } else { 0.0 }
}

fn impairment(rng: &mut fastrand::Rng) -> Impairment {
    Impairment {
        loss: share(rng, 0.2),
        duplication: share(rng, 0.1),
        reordering: share(rng, 0.1),
        delay: Duration::ZERO..=Duration::from_micros(rng.u64(0..2000)),
        ..Impairment::default()
    }
}

fn group(line: u8) -> SocketAddr {
    (Ipv4Addr::new(239, 255, 0, 1 + line), 31_001).into()
}

/// The host of a simulated world has interfaces that have numbers.
fn interface() -> InterfaceName {
    InterfaceName::Name("1".to_owned())
}

fn exchange_config(rng: &mut fastrand::Rng, format: WireFormat) -> ExchangeConfig {
    let lines = rng.u8(1..3);
    let to = |line| MulticastDestination {
        group: group(line),
        interface: Some(interface()),
        hops: 1,
        loopback: true,
    };
    ExchangeConfig {
        format,
        lines: (0..lines).map(to).collect(),
        exchange: exchange::Config {
            session: Session::of_number(1),
            instruments: rng.u32(1..4),
            orders: rng.usize(2..60),
            rate: rng.u32(500..6000),
            lines: (0..lines).map(|_| impairment(rng)).collect(),
            packet: rng.usize(80..1400),
            // Few enough now and then that what is missing is kept no longer.
            history: 1 << rng.u32(5..14),
            heartbeat: Duration::from_millis(rng.u64(2..40)),
            ..exchange::Config::default()
        },
        seed: rng.u64(..),
        ..ExchangeConfig::default()
    }
}

fn gateway_config(rng: &mut fastrand::Rng, exchange: &ExchangeConfig) -> GatewayConfig {
    let from = |line: &MulticastDestination| MulticastSource {
        group: line.group,
        interfaces: vec![interface()],
        sources: Vec::new(),
    };
    let mut config = GatewayConfig {
        format: exchange.format,
        lines: exchange.lines.iter().map(from).collect(),
        ..GatewayConfig::default()
    };
    let gateway = &mut config.gateway;
    (gateway.instruments, gateway.orders) =
        (exchange.exchange.instruments, exchange.exchange.orders);
    gateway.snapshot_patience = Duration::from_millis(rng.u64(20..200));
    gateway.sequence.lines = exchange.lines.len();
    gateway.sequence.window = 1 << rng.u32(7..12);
    gateway.sequence.gaps = rng.usize(2..40);
    gateway.sequence.deadline = Duration::from_millis(rng.u64(3..200));
    gateway.sequence.requests = (rng.u8(0..8) > 0).then(|| Requests {
        most: rng.u64(1..300),
        retry_after: Duration::from_millis(rng.u64(1..20)),
        attempts: rng.u32(1..9),
        ..Requests::default()
    });
    config
}

/// A runtime in a world in which everything that is drawn goes wrong, for a while.
fn world(seed: u64) -> (Runtime, sim::Handle) {
    let start = Instant::from_nanos(1_000_000_000);
    let faults = Faults { quiesce_at: start + QUIET, ..Faults::draw(seed) };
    let config = sim::Config { faults, ..sim::Config::new(seed) };
    let handle = config.handle.clone();
    let driver = DriverChoice::Sim(Box::new(config));
    let config = Config {
        driver,
        operations: 1 << 10,
        descriptors: 1 << 10,
        timers: 1 << 10,
        tasks: 1 << 10,
        fibers: 16,
        stall: None,
        ..Config::default()
    };
    (Runtime::new(config).unwrap(), handle)
}

/// Runs the loop until so, or until the world has lasted too long.
fn wait(runtime: &Runtime, what: &str, mut done: impl FnMut() -> bool) {
    let limit = runtime.now() + LIMIT;
    let look = timer::every(Duration::from_millis(1), || {}).unwrap();
    runtime.run_until(|| done() || runtime.now() > limit).unwrap();
    look.cancel();
    assert!(done(), "{what}: it stalls");
}

/// Opens something, though the world has no descriptors now and then.
fn insist<T>(runtime: &Runtime, open: impl Fn() -> Result<T, RunError>) -> T {
    for _ in 0..200 {
        match open() {
            Ok(opened) => return opened,
            Err(_) => runtime.run_for(Duration::from_millis(5)).unwrap(),
        }
    }
    open().expect("there are descriptors")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    messages: u64,
    gaps: u64,
    repaired: u64,
    lost: u64,
    doubts: u64,
    replays: u64,
    /// What has happened in the world.
    trace: u64,
}

fn run<F: Format>(seed: u64, format: WireFormat) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (runtime, handle) = world(seed);
    let exchange = exchange_config(&mut rng, format);
    let gateway = gateway_config(&mut rng, &exchange);
    let told = Rc::new(RefCell::new(Told::default()));
    let venue = insist(&runtime, || Venue::<F>::open(&exchange));
    let station = insist(&runtime, || {
        let heard = told.clone();
        let listener = move |notice: &Notice| heard.borrow_mut().hear(notice);
        runtime.block_on(Station::<F>::open_and_tell(&gateway, listener))?
    });
    runtime.run_for(Duration::from_millis(rng.u64(100..800))).unwrap();
    venue.finish();
    wait(&runtime, "the end is heard", || told.borrow().has_ended);
    wait(&runtime, "the books are sound", || station.with(|it| it.is_sound()));
    venue.with(|exchange| {
        station.with(|gateway| {
            assert_eq!(gateway.books(), exchange.books());
            assert_eq!(gateway.sequencer().present(), exchange.history().next());
        });
    });
    told.borrow().all_is_accounted_for();
    let told = told.borrow();
    let sequence = station.with(|gateway| gateway.sequencer().stats());
    assert_eq!(told.gaps.len() as u64, sequence.gaps);
    station.finish();
    Outcome {
        messages: venue.with(|exchange| exchange.history().next()) - 1,
        gaps: sequence.gaps,
        repaired: sequence.repaired,
        lost: sequence.lost,
        doubts: station.with(|gateway| gateway.stats().doubts),
        replays: station.with(|gateway| gateway.stats().replayed),
        trace: handle.trace_hash(),
    }
}

fn play(seed: u64) -> Outcome {
    match seed % 2 {
        0 => run::<MoldUdp64>(seed, WireFormat::MoldUdp64),
        _ => run::<Compact>(seed, WireFormat::Compact),
    }
}

/// Over many seeds, each of which draws how bad lines, network and servers are.
#[test]
fn books_are_equal_at_the_end() {
    let mut all = Outcome::default();
    let is_all = play_all("simulated", SEEDS, play, |outcome| {
        all.messages += outcome.messages;
        all.gaps += outcome.gaps;
        all.repaired += outcome.repaired;
        all.lost += outcome.lost;
        all.doubts += outcome.doubts;
        all.replays += outcome.replays;
    });
    println!("{all:?}");
    // What is to be survived has happened.
    let counts = [all.messages, all.gaps, all.repaired, all.lost, all.doubts, all.replays];
    assert!(!is_all || counts.into_iter().all(|count| count > 10), "{all:?}");
}

/// The same seed repeats a run, event for event.
#[test]
fn seeds_repeat_a_run() {
    assert_eq!(play(5), play(5));
    assert_ne!(play(5), play(6));
}
