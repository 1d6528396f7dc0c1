//! Nothing allocates once it is made, whatever comes: counted by the allocator.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use tautline_feed::format::MoldUdp64;
use tautline_feed::sequence::Slots;
use tautline_market::book::{BookError, Books};
use tautline_market::exchange::{self, Exchange, Impairment};
use tautline_market::gateway::{self, Gateway, Output};
use tautline_market::message::{Instrument, Message, OrderId, Price, Side, TradeId};
use tautline_market::replay::{Answering, Answers, BEFORE_PACKET, Request};
use tautline_market::snapshot::{self, Parts};

fn message(rng: &mut fastrand::Rng) -> Message {
    let instrument = Instrument(rng.u32(0..3));
    let order = OrderId(rng.u64(0..300));
    let (price, quantity) = (Price(rng.i64(-50..50)), rng.u32(0..9));
    match rng.u8(0..8) {
        0..4 => {
            let side = if rng.bool() { Side::Bid } else { Side::Ask };
            Message::Add { instrument, order, price, quantity, side }
        }
        4 => Message::Modify { instrument, order, price, quantity },
        5 => Message::Trade { instrument, order, price, quantity, trade: TradeId(1) },
        _ => Message::Delete { instrument, order },
    }
}

/// Books do not allocate, be they full, empty, or told what cannot be.
#[test]
fn books_do_not_allocate() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut books = Books::new(2, 100).unwrap();
    let (mut taken, mut full, mut refused) = (0, 0, 0);
    let mut room = [0; Message::LONGEST];
    let counted = measure(|| {
        for at in 0..100_000 {
            let message = message(&mut rng);
            let message = Message::decode(message.encode(&mut room)).expect("it was encoded");
            match books.apply(&message) {
                Ok(()) => taken += 1,
                Err(BookError::Full { .. }) => full += 1,
                Err(_) => refused += 1,
            }
            if at % 30_000 == 0 {
                books.clear();
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(
        [taken, full, refused].into_iter().all(|count| count > 1000),
        "{taken} {full} {refused}"
    );
}

const MS: Duration = Duration::from_millis(1);

/// What a gateway has asked for.
#[derive(Default)]
struct Asked {
    replays: Vec<Request>,
    snapshot: bool,
    quotes: u64,
}

impl Asked {
    fn hear(&mut self, output: Output) {
        match output {
            Output::Replay(request) => self.replays.push(request),
            Output::Snapshot => self.snapshot = true,
            Output::Publish(_) => self.quotes += 1,
            Output::Notice(_) => {}
        }
    }
}

/// An exchange and a gateway on bad lines.
struct Market {
    exchange: Exchange<MoldUdp64>,
    gateway: Gateway<MoldUdp64, Slots>,
    asked: Asked,
    room: Vec<u8>,
    snapshot: Vec<u8>,
    answers: Answers,
    parts: Parts,
}

impl Market {
    fn new(now: Instant) -> Self {
        let line = Impairment {
            loss: 0.2,
            duplication: 0.1,
            reordering: 0.1,
            delay: Duration::ZERO..=2 * MS,
            ..Impairment::default()
        };
        let config = exchange::Config {
            lines: vec![line; 2],
            instruments: 3,
            history: 24, // so that some of what is asked for is kept no longer
            ..exchange::Config::default()
        };
        let most = snapshot::most_bytes(config.instruments, config.orders);
        let mut gateway = gateway::Config { instruments: 3, ..gateway::Config::default() };
        gateway.sequence.deadline = 20 * MS;
        gateway.snapshot_patience = 20 * MS;
        let asked = Asked { replays: Vec::with_capacity(64), ..Asked::default() };
        Self {
            exchange: Exchange::new(config, 5, now).unwrap(),
            gateway: Gateway::new(gateway, Slots::new(1 << 20).unwrap(), now).unwrap(),
            asked,
            room: vec![0; BEFORE_PACKET + 1400],
            snapshot: Vec::with_capacity(most),
            answers: Answers::new(1400),
            parts: Parts::new(),
        }
    }

    fn step(&mut self, now: Instant) {
        let Self { exchange, gateway, asked, .. } = self;
        let mut out = |output| asked.hear(output);
        exchange.tick(now, &mut |line, bytes: &[u8]| {
            gateway.datagram(now, line, bytes, &mut out);
        });
        if gateway.timeout() <= now {
            gateway.tick(now, &mut out);
        }
        self.replay(now);
        if std::mem::take(&mut self.asked.snapshot) {
            self.snapshot(now);
        }
    }

    fn replay(&mut self, now: Instant) {
        let Self { exchange, gateway, asked, room, answers, .. } = self;
        while let Some(request) = asked.replays.pop() {
            let mut answering = Answering::<MoldUdp64>::new(request, exchange.history());
            while let Some(mut frame) = answering.next(exchange.history(), exchange.session(), room)
            {
                while let Some(answer) = answers.next(&mut frame).expect("it was encoded") {
                    gateway.answer(now, answer, &mut |output| asked.hear(output));
                }
            }
        }
    }

    fn snapshot(&mut self, now: Instant) {
        let Self { exchange, gateway, asked, snapshot, parts, .. } = self;
        snapshot.clear();
        let next = exchange.history().next();
        snapshot::write(exchange.session(), next, exchange.books(), snapshot);
        let mut input = &snapshot[..];
        while let Some(part) = parts.next(&mut input).expect("it was written") {
            gateway.snapshot(now, part, &mut |output| asked.hear(output));
        }
    }
}

/// Nothing allocates on the way of a message from the exchange to a quote, be it lost, asked for again,
/// or made good by a snapshot.
#[test]
fn markets_do_not_allocate() {
    let mut now = Instant::now();
    let mut market = Market::new(now);
    let counted = measure(|| {
        for _ in 0..5000 {
            now += MS;
            market.step(now);
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    let stats = market.gateway.stats();
    let counts = [stats.updates, stats.replayed, stats.replay_refused, stats.snapshots];
    assert!(counts.into_iter().all(|count| count > 10) && market.asked.quotes > 1000, "{stats:?}");
}
