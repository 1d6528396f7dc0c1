//! Joined, sending and receiving allocate nothing in steady state, whichever way one reads, and a
//! handler sees the bytes where the kernel has put them.

mod common;
#[path = "../../runtime/tests/common/counting.rs"]
mod counting;

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use common::{block, everywhere};
use counting::{Counting, allocations};
use tautline_bus::Local;
use tautline_bus::pool::{self, Pool};
use tautline_net::multicast::{Peer, ReadEvent};
use tautline_net::{Batch, Gather, To, fiber};
use tautline_runtime::fiber::{Stack, spawn};
use tautline_runtime::task;

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM_UP: usize = 200;
const ROUNDS: usize = 1_000;
/// Datagrams that are sent in a round, by each of the ways of sending.
const BURST: usize = 8;

/// A peer in two groups, and one that sends to them in every way.
struct Scene {
    to: [SocketAddr; 2],
    sender: Peer,
    batch: Batch,
    gather: Gather,
}

impl Scene {
    fn new(index: u8) -> (Peer, Self) {
        let options = Peer::options().interface("lo").receive_buffer(1 << 20);
        let peer = options.bind("0.0.0.0:0").unwrap();
        let [.., a] = std::process::id().to_be_bytes();
        let groups = [[239, 252, a, 2 * index], [239, 252, a, 2 * index + 1]];
        let to = groups.map(|group| {
            peer.join_on(IpAddr::from(group), "lo").unwrap();
            (group, peer.local_addr().unwrap().port()).into()
        });
        let sender = options.bind("127.0.0.1:0").unwrap();
        (peer, Self { to, sender, batch: Batch::new(BURST, 64), gather: Gather::new(8, 16) })
    }

    /// One by one, in a batch, divided by the kernel, and gathered for both groups: four bursts.
    async fn send(&mut self) -> io::Result<()> {
        let (bytes, [first, second]) = ([7; 4 * BURST], self.to.map(Into::into));
        for _ in 0..BURST / 2 {
            self.sender.try_send_to(&bytes[..4], self.to[0])?;
            self.sender.send_to(&bytes[..4], self.to[1]).await?;
        }
        self.batch.clear();
        for _ in 0..BURST {
            self.batch.push(&bytes[..4], Some(&first))?;
        }
        self.sender.send_batch(&mut self.batch, To::Own).await?;
        self.batch.clear();
        self.batch.push_segments(&bytes, 4, None)?;
        self.sender.send_batch(&mut self.batch, To::All(&second)).await?;
        let mut gathering = self.gather.start();
        for _ in 0..BURST / 2 {
            for to in [&first, &second] {
                gathering.push(&[&bytes[..1], &bytes[2..5]], Some(to))?;
            }
        }
        assert_eq!(gathering.send(self.sender.conn(), 0)?, BURST);
        Ok(())
    }
}

/// Datagrams of a round.
const ROUND: usize = 4 * BURST;
/// Turns of the loop that may pass before a round is received.
const PATIENCE: usize = 100_000;

fn region() -> Pool<[u8], Local> {
    let config = pool::Config { buffers: 128, ..pool::Config::default() };
    Pool::of_bytes(64, config).unwrap()
}

/// Sends round after round, each when the one before was received; returns the allocations of all
/// but the first ones.
async fn rounds(scene: &mut Scene, count: &Cell<usize>) -> io::Result<u64> {
    let mut before = 0;
    for round in 1..=WARM_UP + ROUNDS {
        if round == WARM_UP {
            before = allocations();
        }
        scene.send().await?;
        for _ in 0..PATIENCE {
            if count.get() == round * ROUND {
                break;
            }
            task::yield_now().await;
        }
        assert_eq!(count.get(), round * ROUND);
    }
    Ok(allocations() - before)
}

/// Looks at a datagram: all of it is there.
fn check(bytes: &[u8], details: Option<SocketAddr>, destination: Option<IpAddr>) {
    assert_eq!(bytes, [7; 4]);
    assert!(details.is_some() && destination.is_some_and(|group| group.is_multicast()));
}

/// A way of reading: takes a peer, and counts what it gets.
type Way = fn(Peer, Rc<Cell<usize>>);

fn add(count: &Cell<usize>, more: usize) {
    count.set(count.get() + more);
}

fn on_datagrams(peer: Peer, count: Rc<Cell<usize>>) {
    peer.on_datagrams(move |_, packet| {
        check(packet.bytes, packet.source(), packet.destination());
        assert!(packet.arrival().is_some() && packet.dropped().is_none());
        add(&count, 1);
    })
    .unwrap();
}

/// The bytes lie within the batch, where they were received.
fn on_batches(peer: Peer, count: Rc<Cell<usize>>) {
    let batch = peer.batch(16, 64);
    let first = Cell::new(None);
    peer.on_batches(batch, move |_, batch| {
        for packet in batch.iter() {
            check(packet.bytes, packet.source(), packet.destination());
        }
        let place = batch.get(0).unwrap().bytes.as_ptr();
        assert_eq!(*first.get().get_or_insert(place), place);
        first.set(Some(place));
        add(&count, batch.len());
    })
    .unwrap();
}

fn receive_batch(peer: Peer, count: Rc<Cell<usize>>) {
    task::spawn(async move {
        let mut batch = peer.batch(16, 64);
        loop {
            add(&count, peer.receive_batch(&mut batch).await?);
            batch.iter().for_each(|p| check(p.bytes, p.source(), p.destination()));
        }
        #[expect(unreachable_code, reason = "says what the question mark yields")]
        io::Result::Ok(())
    })
    .unwrap();
}

fn receive_from(peer: Peer, count: Rc<Cell<usize>>) {
    task::spawn(async move {
        let mut buf = [0; 64];
        loop {
            let datagram = peer.receive_from(&mut buf).await.unwrap();
            assert_eq!(buf[..datagram.len], [7; 4]);
            add(&count, 1);
        }
    })
    .unwrap();
}

fn on_received_from_a_region(peer: Peer, count: Rc<Cell<usize>>) {
    let region = region();
    peer.read_from(region.borrower().unwrap());
    peer.on_received(move |_, event| {
        let ReadEvent::Datagram(received) = event else { panic!("there are buffers") };
        check(&received, received.source, received.destination);
        add(&count, 1);
    })
    .unwrap();
}

/// Each datagram is seen where it was said to land.
fn on_received_where_it_was_said(peer: Peer, count: Rc<Cell<usize>>) {
    let (region, buffers) = (region(), peer.read_buffers());
    let mut borrower = region.borrower().unwrap();
    let mut name = move || {
        let draft = borrower.try_loan().unwrap();
        let place = draft.as_ptr();
        buffers.set(draft);
        place
    };
    let mut place = name();
    peer.on_received(move |_, event| {
        let ReadEvent::Datagram(received) = event else { panic!("a buffer is named") };
        assert_eq!(received.as_ptr(), place);
        check(&received, received.source, received.destination);
        place = name();
        add(&count, 1);
    })
    .unwrap();
}

fn receive(peer: Peer, count: Rc<Cell<usize>>) {
    peer.read_from(region().borrower().unwrap());
    task::spawn(async move {
        loop {
            let received = peer.receive().await.unwrap();
            check(&received, received.source, received.destination);
            add(&count, 1);
        }
    })
    .unwrap();
}

/// Fibers receive in the three ways that they have, one after the other.
fn fiber_receive(peer: Peer, count: Rc<Cell<usize>>) {
    let peer = fiber::multicast::Peer::from(peer);
    peer.read_from(region().borrower().unwrap());
    let work = move || -> io::Result<()> {
        let (mut batch, mut buf) = (peer.batch(16, 64), [0; 64]);
        loop {
            let received = peer.receive()?;
            check(&received, received.source, received.destination);
            drop(received);
            add(&count, 1);
            if count.get() % ROUND < ROUND / 2 {
                continue;
            }
            // What landed with it in the region comes by `receive` alone.
            while let Ok(received) = peer.get_ref().try_receive() {
                check(&received, received.source, received.destination);
                add(&count, 1);
            }
            let datagram = peer.receive_from(&mut buf)?;
            assert_eq!(buf[..datagram.len], [7; 4]);
            add(&count, 1);
            add(&count, peer.receive_batch(&mut batch)?);
        }
    };
    spawn(Stack::Small, work).unwrap().detach();
}

/// Each way of reading in turn, with all ways of sending.
#[test]
fn nothing_allocates_in_steady_state() {
    let ways: [(&str, Way); 8] = [
        ("on_datagrams", on_datagrams),
        ("on_batches", on_batches),
        ("receive_batch", receive_batch),
        ("receive_from", receive_from),
        ("on_received, from a region", on_received_from_a_region),
        ("on_received, where it was said", on_received_where_it_was_said),
        ("receive", receive),
        ("fibers", fiber_receive),
    ];
    everywhere(|runtime| {
        for (index, (name, way)) in ways.into_iter().enumerate() {
            let (peer, mut scene) = Scene::new(index as u8);
            let count = Rc::new(Cell::new(0));
            way(peer, count.clone());
            let counted = block(runtime, rounds(&mut scene, &count));
            assert_eq!(counted, 0, "{name} on {}", runtime.report().driver);
        }
    });
}
