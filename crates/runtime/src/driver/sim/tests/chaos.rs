//! Many connections under every fault: whatever TCP promises holds, the same seed gives
//! the same run, and once the faults end everything comes to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use socket2::{Domain, SockAddr, Type};

use super::super::rng::Rng;
use super::super::{Config, Faults, Rate, SimDriver};
use super::bench;
use crate::driver::suite::bench::{Bench, pattern};
use crate::driver::suite::datagrams::Message;
use crate::driver::{Attempt, Completion, Driver, Op, Token, Wait};

const CLIENTS: usize = 6;
/// Faults end this long after the world's begin.
const STORM: Duration = Duration::from_millis(200);
/// Turns within which everything must have ended.
const TURNS: usize = 60_000;

/// One end of a connection, or a client that is still to have one.
#[derive(Default)]
struct Link {
    fd: Option<i32>,
    /// What it sends; a server sends back what came.
    out: Vec<u8>,
    sent: usize,
    came: Vec<u8>,
    /// A client expects so many bytes; a server sends all back.
    expects: Option<usize>,
    connecting: Option<Token>,
    receiving: Option<Token>,
    sending: Option<Token>,
    said_all: bool,
    /// 0 at the end of the stream, else `-errno`.
    end: Option<i32>,
}

/// A little engine: clients send a pattern each, a server sends it back.
struct Echo {
    bench: Bench<SimDriver>,
    rng: Rng,
    listener: i32,
    addr: SockAddr,
    accepting: Option<Token>,
    links: Vec<Link>,
}

impl Echo {
    fn new(config: &Config) -> Self {
        let mut bench = bench(config);
        let listener = open(&mut bench, Type::STREAM);
        let addr = bench.bind_loopback(listener);
        bench.driver.listen(listener, 3).expect("it listens");
        let rng = Rng::new(config.seed ^ 0xEC40);
        let links = (0..CLIENTS).map(client).collect();
        Self { bench, rng, listener, addr, accepting: None, links }
    }

    /// Runs to the end of all connections.
    fn run(mut self) -> Vec<Link> {
        let mut last = self.bench.driver.virtual_now();
        for _ in 0..TURNS {
            let now = self.bench.driver.virtual_now();
            assert!(std::mem::replace(&mut last, now) <= now, "time ran backwards");
            self.arm();
            self.cancel_some();
            self.bench.turn(Wait::AtMost(Duration::from_millis(1)));
            for completion in std::mem::take(&mut self.bench.seen) {
                self.completed(completion);
            }
            if self.links.iter().all(|link| link.end.is_some() && link.fd.is_none()) {
                self.bench.finish();
                return self.links;
            }
        }
        panic!("not everything ended in {TURNS} turns");
    }

    fn arm(&mut self) {
        if self.accepting.is_none() {
            self.accepting = Some(self.bench.submit(Op::AcceptMulti { fd: self.listener }));
        }
        for index in 0..self.links.len() {
            match self.links[index].fd {
                None if self.links[index].end.is_none() => self.connect(index),
                Some(fd) if self.links[index].connecting.is_none() => self.arm_link(index, fd),
                _ => {}
            }
        }
    }

    fn connect(&mut self, index: usize) {
        let Ok(fd) = self.bench.driver.socket(Domain::IPV4, Type::STREAM, None) else {
            return;
        };
        let fd = self.bench.adopt(fd);
        let connecting = self.bench.connect(fd, &self.addr);
        let link = &mut self.links[index];
        (link.fd, link.connecting) = (Some(fd), Some(connecting));
    }

    fn arm_link(&mut self, index: usize, fd: i32) {
        let link = &mut self.links[index];
        if link.end.is_some() {
            match link.sending {
                Some(token) => self.bench.driver.cancel(token),
                None => {
                    self.bench.close(fd);
                    link.fd = None;
                }
            }
            return;
        }
        if link.receiving.is_none() {
            link.receiving = Some(self.bench.submit(Op::RecvMulti { fd }));
        }
        let left = link.out.len() - link.sent;
        if link.sending.is_none() && left > 0 {
            let memory = self.bench.copy(&link.out[link.sent..][..left.min(3000)]);
            let send = Op::Send { fd, buf: memory.start, len: memory.len };
            link.sending = Some(self.bench.submit(send));
        }
        if link.expects == Some(link.came.len()) && !link.said_all {
            link.said_all = true;
            // It fails if the connection was reset; the receive will tell.
            let _ = self.bench.driver.shutdown(fd, std::net::Shutdown::Write);
        }
    }

    /// Cancels at random what will be armed again.
    fn cancel_some(&mut self) {
        for link in &self.links {
            for token in [link.receiving, link.sending].into_iter().flatten() {
                if self.rng.chance(Rate::percent(5)) {
                    self.bench.driver.cancel(token);
                }
            }
        }
    }

    fn completed(&mut self, completion: Completion) {
        let Completion { token, result, more, .. } = completion;
        if self.accepting == Some(token) {
            if result >= 0 {
                let fd = Some(self.bench.adopt(result));
                self.links.push(Link { fd, ..Link::default() });
            }
            self.accepting = self.accepting.filter(|_| more);
            return;
        }
        let mine = |link: &&mut Link| {
            [link.connecting, link.receiving, link.sending].contains(&Some(token))
        };
        let link = self.links.iter_mut().find(mine).expect("somebody armed it");
        if link.receiving == Some(token) {
            link.receiving = link.receiving.filter(|_| more);
            if completion.buffer.is_some() && result > 0 {
                let bytes = self.bench.take_bytes(completion);
                link.received(&bytes);
            } else if ![-libc::ENOBUFS, -libc::ECANCELED].contains(&result) {
                link.end = Some(result);
            }
        } else if link.sending == Some(token) {
            link.sending = None;
            // An error is the receive's to tell.
            link.sent += usize::try_from(result).unwrap_or(0);
        } else {
            link.connecting = None;
            if result < 0 {
                self.bench.close(link.fd.take().expect("it was connecting"));
            }
        }
    }
}

impl Link {
    fn received(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
        if self.expects.is_none() {
            self.out.extend_from_slice(bytes);
        }
    }
}

fn client(index: usize) -> Link {
    let out = pattern(2000 + 5000 * index);
    Link { expects: Some(out.len()), out, ..Link::default() }
}

/// A socket, however often the world says that there is no descriptor.
fn open(bench: &mut Bench<SimDriver>, kind: Type) -> i32 {
    for _ in 0..1000 {
        if let Ok(fd) = bench.driver.socket(Domain::IPV4, kind, None) {
            return bench.adopt(fd);
        }
        bench.turn(Wait::No);
    }
    panic!("there never is a descriptor");
}

fn stormy(seed: u64, faults: Faults) -> Config {
    let config = Config::new(seed);
    let quiesce_at = config.start + STORM;
    let buffers = [1 << 10, 1 << 14, 1 << 17];
    let size = buffers[(seed % 3) as usize];
    let faults = Faults { quiesce_at, ..faults };
    Config { faults, send_buffer: size, receive_buffer: size, ..config }
}

/// Under every fault that TCP stands, each connection carries all of its bytes, in
/// order, both ways, and ends as it should.
#[test]
fn streams_are_whole_under_harmless_faults() {
    for seed in 0..150 {
        let links = Echo::new(&stormy(seed, Faults::draw_harmless(seed))).run();
        assert_eq!(links.len(), 2 * CLIENTS, "seed {seed}");
        for link in &links {
            assert_eq!(link.end, Some(0), "seed {seed}");
        }
        for (index, link) in links.iter().take(CLIENTS).enumerate() {
            assert!(link.came == client(index).out, "seed {seed}, client {index}");
        }
    }
}

/// With resets and refusals as well, everything ends, and what came is the beginning of
/// what was sent.
#[test]
fn streams_end_under_all_faults() {
    let mut resets = 0;
    for seed in 0..150 {
        let links = Echo::new(&stormy(seed, Faults::draw(seed))).run();
        for (index, link) in links.iter().take(CLIENTS).enumerate() {
            let sent = client(index).out;
            let whole = link.end == Some(0) && link.came == sent;
            let broken = link.end != Some(0) && sent.starts_with(&link.came);
            assert!(whole || broken, "seed {seed}, client {index}: {:?}", link.end);
            resets += usize::from(broken);
        }
    }
    assert!(resets > 20, "only {resets} connections were reset");
}

/// The same seed gives the same trace, another seed another one.
#[test]
fn a_seed_is_a_trace() {
    let trace = |seed| {
        let config = stormy(seed, Faults::draw(seed));
        Echo::new(&config).run();
        (config.handle.trace_hash(), config.handle.steps())
    };
    let mut seen = BTreeMap::new();
    for seed in 0..20 {
        let first = trace(seed);
        assert_eq!(trace(seed), first, "seed {seed}");
        if let Some(other) = seen.insert(first, seed) {
            panic!("seeds {seed} and {other} gave the same trace");
        }
    }
}

/// What became of `count` datagrams, each of its own length and bytes.
fn shower(config: &Config, count: usize) -> Vec<Vec<u8>> {
    let mut bench = bench(config);
    let (from, to) = (open(&mut bench, Type::DGRAM), open(&mut bench, Type::DGRAM));
    let addr = bench.bind_loopback(to);
    for index in 0..count {
        let memory = bench.copy(&drop_of(index));
        let message = Message::to(&mut bench, memory, &addr);
        bench.attempt_until_done(Op::SendMsg { fd: from, msg: message.header });
    }
    let memory = bench.zeroed(1024);
    let mut came = Vec::new();
    for _ in 0..4 * count + 50 {
        let receive = Op::Recv { fd: to, buf: memory.start, len: memory.len };
        match bench.attempt(receive) {
            Attempt::Done(len) => came.push(memory.first(len as usize)),
            Attempt::WouldBlock => drop(bench.turn(Wait::AtMost(Duration::from_millis(2)))),
        }
    }
    bench.finish();
    came
}

fn drop_of(index: usize) -> Vec<u8> {
    [&(index as u32).to_le_bytes()[..], &pattern(index % 700)].concat()
}

fn index_of(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("each begins with its index")) as usize
}

/// Without faults, datagrams arrive as they were sent.
#[test]
fn calm_datagrams_all_arrive_in_order() {
    let came = shower(&Config::new(5), 100);
    assert!(came.iter().map(|bytes| index_of(bytes)).eq(0..100));
}

/// Each fault of datagrams does what it says, and nothing else.
#[test]
fn each_fault_of_datagrams_shows() {
    let come = |faults| {
        let came = shower(&Config { faults, ..Config::new(6) }, 200);
        came.iter().map(|bytes| index_of(bytes)).collect::<Vec<_>>()
    };
    let half = Rate::percent(50);
    let lossy = come(Faults { loss: half, ..Faults::none() });
    assert!((50..150).contains(&lossy.len()) && lossy.is_sorted());
    let doubled = come(Faults { duplication: half, ..Faults::none() });
    assert!((250..350).contains(&doubled.len()));
    let mixed = come(Faults { reordering: half, ..Faults::none() });
    assert!(mixed.len() == 200 && !mixed.is_sorted());
}

/// A whole world a case. A failing seed is printed, and needs no file.
fn few() -> ProptestConfig {
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few())]

    /// Whatever goes wrong, what arrives of datagrams was sent, whole, and at most twice.
    #[test]
    fn datagrams_arrive_whole_or_not_at_all(seed: u64) {
        let came = shower(&Config { faults: Faults::draw(seed), ..Config::new(seed) }, 60);
        let mut times = BTreeMap::new();
        for bytes in &came {
            let index = index_of(bytes);
            prop_assert_eq!(bytes, &drop_of(index));
            *times.entry(index).or_insert(0) += 1;
        }
        prop_assert!(times.values().all(|&times| times <= 2));
    }

    /// Any seed's storm passes, and no stream loses or invents a byte.
    #[test]
    fn any_seed_keeps_streams_whole(seed: u64) {
        let links = Echo::new(&stormy(seed, Faults::draw_harmless(seed))).run();
        for (index, link) in links.iter().take(CLIENTS).enumerate() {
            prop_assert_eq!(link.end, Some(0));
            prop_assert!(link.came == client(index).out);
        }
    }
}
