//! The client's feed and the exchange's session in memory, with lines that take their time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use super::faults;
use crate::book::Levels;
use crate::exchange::{Course, Session};
use crate::feed::{Dialect, Feed};
use crate::sequence::Counters;

/// Increments while there are faults, and at most until all is well when they have stopped.
const FAULTY: u64 = 500;
const SOUND: u64 = 500;

const DIALECTS: [Dialect; 2] = [Dialect::Lines, Dialect::WebSocket];

struct Pair {
    seed: u64,
    rng: Rng,
    session: Session,
    feed: Feed,
    /// What was sent, each line with the step at which it comes.
    to_feed: VecDeque<(u64, String)>,
    to_session: VecDeque<(u64, String)>,
    step: u64,
    /// A line needs up to so many steps.
    slowest: u64,
    /// The exchange's book of a symbol after each of its changes.
    history: HashMap<(String, u64), Levels>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let symbols: Vec<String> =
            ["A", "B"][..rng.usize(1..=2)].iter().map(|&s| s.into()).collect();
        let faults = faults(&mut rng);
        let course = Course { seed, symbols: symbols.clone(), updates: FAULTY, faults };
        let mut pair = Self {
            seed,
            session: Session::new(&course, 0),
            feed: Feed::new(&symbols, rng.usize(8..64), DIALECTS[rng.usize(..2)]),
            to_feed: VecDeque::new(),
            to_session: VecDeque::new(),
            step: 0,
            slowest: rng.u64(0..10),
            history: HashMap::new(),
            rng,
        };
        pair.remember();
        pair
    }

    fn remember(&mut self) {
        for own in self.session.books() {
            self.history.insert((own.symbol, own.last), own.levels);
        }
    }

    /// The exchange publishes, and lines come for which it is time.
    fn publish(&mut self) {
        self.step += 1;
        self.session.publish(Duration::ZERO);
        self.remember();
        self.exchange_lines();
    }

    fn exchange_lines(&mut self) {
        let slow = self.rng.u64(0..=self.slowest);
        let (step, due) = (self.step, self.step + slow);
        let output = self.session.take_output();
        self.to_feed.extend(output.split_inclusive('\n').map(|line| (due, line.to_owned())));
        while let Some((_, line)) = self.to_feed.pop_front_if(|(due, _)| *due <= step) {
            self.feed.line(line.as_bytes()).expect("sound lines");
            self.check();
        }
        let requests = self.feed.take_requests();
        self.to_session.extend(requests.lines().map(|line| (due, line.to_owned())));
        while let Some((_, line)) = self.to_session.pop_front_if(|(due, _)| *due <= step) {
            self.session.request(&line);
        }
    }

    /// A book that claims to be somewhere is what the exchange's own was there.
    fn check(&self) {
        for market in self.feed.markets() {
            let Some(position) = market.position() else { continue };
            let own = self.history.get(&(market.symbol().to_owned(), position.0));
            assert_eq!(Some(&market.book().levels()), own, "seed {}: {market:?}", self.seed);
        }
    }

    /// Whether all books are as far as the exchange's.
    fn is_level(&self) -> bool {
        let books = self.session.books();
        let mut pairs = self.feed.markets().iter().zip(&books);
        pairs.all(|(market, own)| market.position().is_some_and(|id| id.0 == own.last))
    }

    fn counters(&self) -> Counters {
        let mut all = Counters::default();
        self.feed.markets().iter().for_each(|market| all.add(market.counters()));
        all
    }
}

/// Proves that whatever the exchange drops, repeats or swaps, and whenever its snapshots come, no
/// book is ever another than the exchange's was; that the books are level soon after the faults
/// have stopped; and that they are complete in the end. Each way to go wrong is met.
#[test]
fn books_are_never_wrong_and_always_recover() {
    let mut met = Counters::default();
    for seed in 0..100 {
        let mut pair = Pair::new(seed);
        while !pair.session.is_done() {
            pair.publish();
        }
        pair.session.heal(SOUND);
        pair.slowest = 0;
        while !pair.is_level() {
            assert!(!pair.session.is_done(), "seed {seed}: not level: {:?}", pair.feed.markets());
            pair.publish();
        }
        pair.session.conclude();
        pair.exchange_lines();
        assert!(pair.feed.is_complete(), "seed {seed}");
        met.add(&pair.counters());
    }
    let Counters { applied, duplicates, covered, gaps, overflows, snapshots, too_old, .. } = met;
    let all = [applied, duplicates, covered, gaps, overflows, snapshots, too_old];
    assert!(all.iter().all(|&count| count > 10), "{met:?}");
}

/// Proves that a stream that ends while books are behind is completed by snapshots.
#[test]
fn lost_tails_are_fetched() {
    let mut fetched = 0;
    for seed in 0..100 {
        let mut pair = Pair::new(seed);
        while !pair.session.is_done() {
            pair.publish();
        }
        pair.session.conclude();
        fetched += u32::from(!pair.is_level());
        for _ in 0..100 {
            pair.step += 1;
            pair.exchange_lines();
        }
        assert!(pair.feed.is_complete() && pair.is_level(), "seed {seed}");
    }
    assert!(fetched > 10, "{fetched}");
}
