//! One run: everything that is drawn from a seed, and what joins the two.

use std::time::{Duration, Instant};

use tautline_feed::format::{Format, Session};
use tautline_feed::sequence::{Line, Requests, Slots};
use tautline_market::book::Books;
use tautline_market::exchange::{self, Exchange, Impairment};
use tautline_market::gateway::{self, Gateway, Notice, Output, Quote, Top};
use tautline_market::message::{Instrument, Message, Side};
use tautline_market::replay;
use tautline_market::replay::{Answering, Answers};
use tautline_market::snapshot::{self, Part, Parts};

use crate::reference::Reference;
use crate::wires::Wire;

const MS: Duration = Duration::from_millis(1);

/// What has happened in one run, or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) messages: u64,
    pub(crate) gaps: u64,
    pub(crate) repaired: u64,
    pub(crate) lost: u64,
    pub(crate) doubts: u64,
    pub(crate) snapshots: u64,
    /// Connections that have broken.
    pub(crate) broken: u64,
    /// Sessions behind the first.
    pub(crate) sessions: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.repaired += other.repaired;
        self.lost += other.lost;
        self.doubts += other.doubts;
        self.snapshots += other.snapshots;
        self.broken += other.broken;
        self.sessions += other.sessions;
    }
}

/// What the best of each instrument was behind each message.
struct Truth {
    books: Books,
    bests: Vec<(Instrument, [Option<Top>; 2])>,
}

impl Truth {
    fn new(config: &exchange::Config) -> Self {
        let books = Books::new(config.instruments, config.orders).unwrap();
        Self { books, bests: Vec::new() }
    }

    fn follow<F: Format>(&mut self, exchange: &Exchange<F>) {
        for number in self.bests.len() as u64 + 1..exchange.history().next() {
            let message = Message::decode(exchange.history().get(number).unwrap()).unwrap();
            self.books.apply(&message).unwrap();
            self.bests.push((message.instrument(), self.best(message.instrument())));
        }
    }

    fn best(&self, instrument: Instrument) -> [Option<Top>; 2] {
        [Side::Bid, Side::Ask].map(|side| self.books[instrument].best(side).map(Top::from))
    }

    /// Whether what is said to be sound is true.
    fn has(&self, quote: &Quote) -> bool {
        let before = self.bests.iter().take(quote.next as usize - 1);
        let last = before.rev().find(|best| best.0 == quote.instrument);
        let bests = last.map_or([None, None], |best| best.1);
        !quote.is_sound || [quote.bid, quote.ask] == bests
    }
}

pub(crate) struct World<F: Format> {
    rng: fastrand::Rng,
    now: Instant,
    config: exchange::Config,
    exchange: Exchange<F>,
    gateway: Gateway<F, Slots>,
    reference: Reference,
    outputs: Vec<Output>,
    /// Requests to the replay server, and its answers.
    asked: Wire,
    answers: Wire,
    requests_reader: replay::Requests,
    answers_reader: Answers,
    /// The same of the snapshot server.
    snapshots: Wire,
    parts_reader: Parts,
    /// The number behind the snapshot that comes.
    coming: u64,
    broken: u64,
    has_ended: bool,
    /// Sessions that are over.
    former: Vec<Session>,
    truth: Truth,
}

fn share(rng: &mut fastrand::Rng, most: f64) -> f64 {
    // In one run of three nothing of the kind happens.
    if rng.u8(0..3) == 0 { 0.0 } else { rng.f64() * most }
}

fn impairment(rng: &mut fastrand::Rng) -> Impairment {
    let least = Duration::from_micros(rng.u64(0..1000));
    let most = least + Duration::from_micros(rng.u64(0..3000));
    Impairment {
        loss: share(rng, 0.2),
        duplication: share(rng, 0.2),
        reordering: share(rng, 0.2),
        delay: least..=most,
        held_back: Duration::from_micros(rng.u64(0..10_000)),
    }
}

fn exchange_config(rng: &mut fastrand::Rng) -> exchange::Config {
    exchange::Config {
        session: Session::of_number(1),
        instruments: rng.u32(1..5),
        orders: rng.usize(1..60),
        rate: rng.u32(200..4000),
        lines: (0..rng.usize(1..4)).map(|_| impairment(rng)).collect(),
        packet: rng.usize(60..1400),
        // Few enough now and then that what is missing is kept no longer.
        history: 1 << rng.u32(4..14),
        heartbeat: MS * rng.u32(2..40),
        queue: 1 << rng.u32(3..9),
    }
}

fn gateway_config(rng: &mut fastrand::Rng, exchange: &exchange::Config) -> gateway::Config {
    let mut config = gateway::Config {
        instruments: exchange.instruments,
        orders: exchange.orders,
        snapshot_patience: MS * rng.u32(5..100),
        refresh: MS * rng.u32(50..1000),
        ..gateway::Config::default()
    };
    config.sequence.lines = exchange.lines.len();
    config.sequence.window = 64 << rng.u32(0..6);
    config.sequence.gaps = rng.usize(1..40);
    config.sequence.deadline = MS * rng.u32(3..200);
    config.sequence.silence = MS * rng.u32(50..200);
    config.sequence.requests = (rng.u8(0..8) > 0).then(|| Requests {
        most: rng.u64(1..200),
        retry_after: MS * rng.u32(1..10),
        retry_most: 20 * MS,
        attempts: rng.u32(1..9),
        ..Requests::default()
    });
    config
}

impl<F: Format> World<F> {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // A time like any other, for the same seed is to do the same.
        let now = Instant::now();
        let config = exchange_config(&mut rng);
        let gateway = gateway_config(&mut rng, &config);
        let store = Slots::new(1 << rng.u32(11..17)).unwrap();
        let breaks = share(&mut rng, 0.2);
        let mut wire = || Wire::new(rng.fork(), breaks, now);
        Self {
            now,
            asked: wire(),
            answers: wire(),
            snapshots: wire(),
            requests_reader: replay::Requests::new(),
            answers_reader: Answers::new(config.packet),
            parts_reader: Parts::new(),
            coming: 0,
            exchange: Exchange::new(config.clone(), rng.u64(..), now).unwrap(),
            gateway: Gateway::new(gateway, store, now).unwrap(),
            rng,
            reference: Reference::default(),
            outputs: Vec::new(),
            broken: 0,
            has_ended: false,
            former: Vec::new(),
            truth: Truth::new(&config),
            config,
        }
    }

    /// The exchange has its day, or two; then all must come to rest.
    pub(crate) fn run(mut self) -> Outcome {
        let mut messages = 0;
        for day in 0..1 + u32::from(self.rng.u8(0..4) == 0) {
            if day > 0 {
                messages += self.exchange.history().next() - 1;
                self.begin_another_session();
            }
            let end = self.now + MS * self.rng.u32(100..800);
            self.go_on_until(|world| world.now >= end);
        }
        self.exchange.finish(self.now);
        let latest = self.now + MS * 60_000;
        self.go_on_until(|world| {
            assert!(world.now < latest, "it does not come to rest: {:?}", world.gateway);
            world.has_ended && world.gateway.is_sound() && world.is_joined()
        });
        assert_eq!(self.gateway.books(), self.exchange.books());
        assert_eq!(self.gateway.sequencer().present(), self.exchange.history().next());
        self.reference.end();
        let stats = self.gateway.stats();
        assert_eq!(self.gateway.sequencer().stats().gaps, self.reference.gaps);
        Outcome {
            messages: messages + self.exchange.history().next() - 1,
            gaps: self.reference.gaps,
            repaired: self.reference.repaired,
            lost: self.reference.lost_messages,
            doubts: stats.doubts,
            snapshots: stats.snapshots,
            broken: self.broken,
            sessions: self.reference.sessions - 1,
        }
    }

    /// Whether the gateway is in the session that goes on.
    fn is_joined(&self) -> bool {
        self.gateway.sequencer().session() == Some(self.exchange.session())
    }

    /// Without a word about the one before.
    fn begin_another_session(&mut self) {
        self.former.push(self.config.session);
        self.config.session = Session::of_number(2);
        let seed = self.rng.u64(..);
        self.exchange = Exchange::new(self.config.clone(), seed, self.now).unwrap();
        self.truth = Truth::new(&self.config);
        // Until somebody has heard of it nothing can be at an end.
        self.has_ended = false;
    }

    fn go_on_until(&mut self, is_over: impl Fn(&Self) -> bool) {
        for _ in 0..1_000_000 {
            if is_over(self) {
                return;
            }
            self.step();
        }
        panic!("time does not go on");
    }

    fn step(&mut self) {
        let wires = [&self.asked, &self.answers, &self.snapshots];
        let wires = wires.into_iter().filter_map(Wire::timeout);
        let next = wires.fold(self.exchange.timeout(), Instant::min).min(self.gateway.timeout());
        self.now = self.now.max(next);
        let now = self.now;
        let mut packets = Vec::new();
        self.exchange.tick(now, &mut |line, bytes: &[u8]| packets.push((line, bytes.to_vec())));
        self.truth.follow(&self.exchange);
        packets.iter().for_each(|(line, bytes)| self.brings(*line, bytes));
        self.serve_replays();
        self.read_answers();
        self.read_snapshots();
        let (gateway, outputs) = (&mut self.gateway, &mut self.outputs);
        if gateway.timeout() <= now {
            gateway.tick(now, &mut |output| outputs.push(output));
        }
        self.carry_out();
    }

    fn brings(&mut self, line: Line, bytes: &[u8]) {
        let packet = F::parse(bytes).unwrap();
        let is_former = self.former.contains(&packet.session)
            && self.gateway.sequencer().session() != Some(packet.session);
        self.reference.brings::<F>(&packet, is_former);
        let outputs = &mut self.outputs;
        self.gateway.datagram(self.now, line, bytes, &mut |output| outputs.push(output));
        self.carry_out();
    }

    /// Does what the gateway wants.
    fn carry_out(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            match output {
                Output::Replay(request) => self.asked.write(self.now, &request.encode()),
                Output::Snapshot => self.serve_snapshot(),
                Output::Publish(quote) => {
                    // Of a session before there may be answers on their way.
                    assert!(!self.is_joined() || self.truth.has(&quote), "{quote:?}");
                }
                Output::Notice(notice) => {
                    self.reference.hears(&notice);
                    self.has_ended |= matches!(notice, Notice::Ended { session, .. }
                        if session == self.exchange.session());
                }
            }
        }
    }

    // ------------------------------------------------------------------------- replays

    fn serve_replays(&mut self) {
        while let Some(piece) = self.asked.read(self.now) {
            let Some(piece) = piece else {
                self.break_replay();
                return;
            };
            let mut input = &piece[..];
            while let Some(request) = self.requests_reader.next(&mut input).unwrap() {
                self.answer(request);
            }
        }
    }

    fn answer(&mut self, request: replay::Request) {
        let (history, session) = (self.exchange.history(), self.exchange.session());
        let mut answering = Answering::<F>::new(request, history);
        let mut room = vec![0; replay::BEFORE_PACKET + self.config.packet];
        while let Some(frame) = answering.next(history, session, &mut room) {
            self.answers.write(self.now, frame);
        }
    }

    fn read_answers(&mut self) {
        while let Some(piece) = self.answers.read(self.now) {
            let Some(piece) = piece else {
                self.break_replay();
                return;
            };
            let mut input = &piece[..];
            let outputs = &mut self.outputs;
            while let Some(answer) = self.answers_reader.next(&mut input).unwrap() {
                self.gateway.answer(self.now, answer, &mut |output| outputs.push(output));
            }
            self.carry_out();
        }
    }

    /// The connection is lost, and made again at once.
    fn break_replay(&mut self) {
        self.broken += 1;
        self.asked.clear();
        self.answers.clear();
        self.requests_reader = replay::Requests::new();
        self.answers_reader.reset();
    }

    // ----------------------------------------------------------------------- snapshots

    fn serve_snapshot(&mut self) {
        let mut bytes = Vec::new();
        let (session, next) = (self.exchange.session(), self.exchange.history().next());
        snapshot::write(session, next, self.exchange.books(), &mut bytes);
        let most = snapshot::most_bytes(self.config.instruments, self.config.orders);
        assert!(bytes.len() <= most);
        self.snapshots.clear();
        self.parts_reader.reset();
        self.snapshots.write(self.now, &bytes);
    }

    fn read_snapshots(&mut self) {
        while let Some(piece) = self.snapshots.read(self.now) {
            let Some(piece) = piece else {
                self.broken += 1;
                self.gateway.snapshot_failed(self.now);
                self.parts_reader.reset();
                return;
            };
            let mut input = &piece[..];
            while let Some(part) = self.parts_reader.next(&mut input).unwrap() {
                self.take(part);
            }
            self.carry_out();
        }
    }

    fn take(&mut self, part: Part) {
        if let Part::Header(header) = part {
            self.coming = header.next;
        }
        let before = self.gateway.stats().snapshots;
        let present = self.gateway.sequencer().present();
        let outputs = &mut self.outputs;
        self.gateway.snapshot(self.now, part, &mut |output| outputs.push(output));
        if self.gateway.stats().snapshots > before {
            self.reference.takes_snapshot(self.coming, present);
        }
    }
}
