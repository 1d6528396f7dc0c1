//! A read is aimed anew, a million times on each driver: every datagram lands in the buffer
//! that was named last, and none is lost, whenever it was named.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, small, until};
use tautline_bus::Local;
use tautline_bus::pool::{self, Borrower, Draft, Pool};
use tautline_net::multicast::{Peer, ReadBuffers, ReadEvent};
use tautline_net::{Batch, To};
use tautline_runtime::{Config, DriverChoice, Runtime, sim};

/// Datagrams, each of which a buffer is named for, on each real driver.
const DATAGRAMS: u64 = 1_000_000;
/// Of them, those that a handler gets.
const BY_HANDLER: u64 = 300_000;
/// Those that one peer gets before another takes its place.
const ROUND: u64 = 50_000;
/// Most that are sent together.
const BURST: u64 = 32;
const SIZE: usize = 8;
/// The loopback interface of Linux, and of a simulated world.
const LO: u32 = 1;

/// Numbers without a pattern that any of this could follow.
struct Dice(u64);

impl Dice {
    /// One below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % sides
    }
}

/// Who names buffers, and knows which was named last.
struct Aim {
    borrower: Borrower<[u8], Local>,
    buffers: ReadBuffers,
    dice: Dice,
    last: *const u8,
    /// Nothing can have come to the last one.
    unused: bool,
    named: u64,
}

impl Aim {
    fn new(peer: &Peer, region: &Pool<[u8], Local>) -> Self {
        Self {
            borrower: region.borrower().unwrap(),
            buffers: peer.read_buffers(),
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            last: std::ptr::null(),
            unused: false,
            named: 0,
        }
    }

    /// Names a buffer, now and then several, one after the other: each comes back when the next
    /// one is named.
    fn name(&mut self) {
        let times = if self.dice.roll(8) == 0 { 1 + self.dice.roll(3) } else { 1 };
        for _ in 0..times {
            let draft: Draft<[u8], Local> = self.borrower.try_loan().unwrap();
            let place = draft.as_ptr();
            let before = self.buffers.set(draft);
            let expected = self.unused.then_some(self.last);
            assert_eq!(before.map(|draft| draft.as_ptr()), expected);
            (self.last, self.unused) = (place, true);
            self.named += 1;
        }
    }

    /// A datagram has come: that it has come where it should.
    fn hit(&mut self, bytes: &[u8], number: u64) {
        assert_eq!(bytes, number.to_be_bytes());
        assert_eq!(bytes.as_ptr(), self.last, "datagram {number}");
        self.unused = false;
    }
}

/// Sends numbered datagrams, many by one call.
struct Source {
    socket: Peer,
    to: SocketAddr,
    batch: Batch,
    next: u64,
}

impl Source {
    async fn send(&mut self, count: u64) -> io::Result<()> {
        let bytes: Vec<u8> = (self.next..self.next + count).flat_map(u64::to_be_bytes).collect();
        self.batch.clear();
        self.batch.push_segments(&bytes, SIZE as u16, None)?;
        self.next += count;
        self.socket.send_batch(&mut self.batch, To::All(&self.to.into())).await
    }
}

/// A peer in a group, who sends to it, and the memory that the peer reads into.
fn scene() -> (Peer, Source, Pool<[u8], Local>) {
    let options = Peer::options().interface(LO).receive_buffer(1 << 20);
    let peer = options.bind("0.0.0.0:0").unwrap();
    let [a, b, ..] = std::process::id().to_be_bytes();
    let group = [239, 253, a, b];
    peer.join_on(std::net::IpAddr::from(group), LO).unwrap();
    let to = (group, peer.local_addr().unwrap().port()).into();
    let socket = options.bind("127.0.0.1:0").unwrap();
    let batch = Batch::new(1, SIZE * BURST as usize);
    let config = pool::Config { buffers: 8, ..pool::Config::default() };
    let region = Pool::of_bytes(64, config).unwrap();
    (peer, Source { socket, to, batch, next: 0 }, region)
}

/// Reads by futures: of those that wait already when the buffer is named, some were begun before
/// the datagram was sent and some after it.
async fn by_futures(total: u64) -> io::Result<u64> {
    let (peer, mut source, region) = scene();
    let (mut aim, mut dice, mut number) = (Aim::new(&peer, &region), Dice(7), 0);
    while number < total {
        let burst = (1 + dice.roll(BURST)).min(total - number);
        let mut waiting = (dice.roll(2) == 0).then(|| Box::pin(peer.receive()));
        if let Some(read) = &mut waiting {
            if dice.roll(2) == 0 {
                aim.name();
            }
            assert!(futures::poll!(read).is_pending());
        }
        source.send(burst).await?;
        for number in number..number + burst {
            aim.name();
            let received = match waiting.take() {
                Some(read) => read.await?,
                None => peer.receive().await?,
            };
            aim.hit(&received, number);
        }
        number += burst;
    }
    Ok(aim.named)
}

/// Reads by a handler, which names the next buffer.
fn by_handler(runtime: &Runtime, total: u64) -> u64 {
    let (peer, mut source, region) = scene();
    let aim = Rc::new(RefCell::new(Aim::new(&peer, &region)));
    let count = Rc::new(Cell::new(0));
    aim.borrow_mut().name();
    let (seen, aimed) = (count.clone(), aim.clone());
    let conn = peer
        .on_received(move |_, event| {
            let ReadEvent::Datagram(received) = event else { panic!("a buffer is named") };
            aimed.borrow_mut().hit(&received, seen.get());
            seen.set(seen.get() + 1);
            aimed.borrow_mut().name();
        })
        .unwrap();
    let mut dice = Dice(11);
    while source.next < total {
        let burst = (1 + dice.roll(BURST)).min(total - source.next);
        block(runtime, source.send(burst));
        if dice.roll(2) == 0 {
            aim.borrow_mut().name();
        }
        until(runtime, || count.get() == source.next);
    }
    conn.close();
    aim.borrow().named
}

/// A million datagrams on each real driver come in order, each in the buffer that was named last,
/// for futures and handlers, and a buffer that nothing has come to is given back.
#[test]
fn a_million_reads_are_aimed_anew() {
    everywhere(|runtime| {
        for _ in 0..(DATAGRAMS - BY_HANDLER) / ROUND {
            assert!(block(runtime, by_futures(ROUND)) > ROUND);
        }
        for _ in 0..BY_HANDLER / ROUND {
            assert!(by_handler(runtime, ROUND) > ROUND);
        }
    });
}

/// In simulated worlds whose loop and kernel do all that they may do, other than losing datagrams or
/// changing their order, it is the same, a million times in all: late and spurious readiness included.
#[test]
fn reads_are_aimed_anew_in_simulated_worlds() {
    for seed in 0..20 {
        let network = sim::Faults {
            loss: sim::Rate::NEVER,
            duplication: sim::Rate::NEVER,
            reordering: sim::Rate::NEVER,
            no_descriptor: sim::Rate::NEVER,
            delay: Duration::from_micros(30)..=Duration::from_micros(30),
            ..sim::Faults::draw(seed)
        };
        let world = sim::Config { faults: network, ..sim::Config::new(seed) };
        let config = Config { driver: DriverChoice::Sim(Box::new(world)), ..small() };
        let runtime = Runtime::new(config).unwrap();
        assert!(block(&runtime, by_futures(ROUND / 2)) > ROUND / 2, "seed {seed}");
        assert!(by_handler(&runtime, ROUND / 2) > ROUND / 2, "seed {seed}");
    }
}
