//! Random games with read buffers, in simulated worlds whose loop does all that it may do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tautline_bus::Local;
use tautline_bus::pool::{Borrower, Pool};
use tautline_net::Conn;
use tautline_net::multicast::{Error, Peer, ReadBuffers, ReadEvent, Received};
use tautline_runtime::{Runtime, sim, timer};

use crate::common::{block, until};
use crate::support::{joined, region, sender, simulated};

const BUFFERS: usize = 12;
const STEPS: u64 = 400;

/// What has come and is kept: numbered datagrams, none of which is missing.
#[derive(Default)]
struct Kept {
    held: VecDeque<Received>,
    next: u32,
    told: u64,
}

impl Kept {
    fn take(&mut self, received: Received) {
        assert_eq!(received[..], self.next.to_be_bytes(), "in order, and none lost");
        self.next += 1;
        self.held.push_back(received);
    }
}

/// One game: who plays, and what is left to chance.
struct Game {
    dice: fastrand::Rng,
    buffers: ReadBuffers,
    region: Pool<[u8], Local>,
    /// Names buffers one by one.
    borrower: Borrower<[u8], Local>,
    sender: Peer,
    to: SocketAddr,
    sent: u32,
    kept: Rc<RefCell<Kept>>,
}

impl Game {
    fn new(seed: u64) -> (Peer, Self) {
        let ((peer, to), region) = (joined(), region(BUFFERS, 64));
        let game = Self {
            dice: fastrand::Rng::with_seed(seed),
            buffers: peer.read_buffers(),
            borrower: region.borrower().unwrap(),
            region,
            sender: sender("127.0.0.1"),
            to,
            sent: 0,
            kept: Rc::default(),
        };
        (peer, game)
    }

    async fn send(&mut self) -> io::Result<()> {
        for _ in 0..self.dice.u32(1..20) {
            self.sender.send_to(&self.sent.to_be_bytes(), self.to).await?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Something that changes where datagrams land.
    fn change_buffers(&mut self) {
        match self.dice.u8(0..5) {
            0 | 1 => {
                if let Ok(draft) = self.borrower.try_loan() {
                    drop(self.buffers.set(draft));
                }
            }
            2 => drop(self.buffers.take()),
            3 => drop(self.buffers.read_from(self.region.borrower().unwrap())),
            _ => drop(self.buffers.read_from(None)),
        }
    }

    fn drop_some(&mut self) {
        let mut kept = self.kept.borrow_mut();
        let count = self.dice.usize(0..=kept.held.len());
        drop(kept.held.drain(..count));
    }

    /// All buffers are back but those that the peer keeps for itself.
    fn end(self) {
        assert_eq!(self.kept.borrow().next, self.sent);
        self.kept.borrow_mut().held.clear();
        drop(self.buffers.take());
        drop(self.buffers.read_from(None));
        assert_eq!(self.region.available(), BUFFERS);
    }
}

/// A world without loss; all else may happen in it.
fn world(seed: u64) -> Runtime {
    let none = sim::Rate::NEVER;
    let delay = Duration::from_micros(20)..=Duration::from_micros(20);
    let faults = sim::Faults {
        loss: none,
        duplication: none,
        reordering: none,
        no_descriptor: none,
        delay,
        ..sim::Faults::draw(seed)
    };
    simulated(faults)
}

/// Plays with a handler, which is paused now and then.
fn play_with_handler(runtime: &Runtime, seed: u64) {
    let (peer, mut game) = Game::new(seed);
    let kept = game.kept.clone();
    let note = move |_: &Conn, event| match event {
        ReadEvent::Datagram(received) => kept.borrow_mut().take(received),
        ReadEvent::Exhausted => kept.borrow_mut().told += 1,
    };
    let conn = peer.on_received(note).unwrap();
    for _ in 0..STEPS {
        match game.dice.u8(0..8) {
            0 | 1 => block(runtime, game.send()),
            2..=4 => game.change_buffers(),
            5 => game.drop_some(),
            6 if game.dice.bool() => conn.pause(),
            _ => conn.resume().unwrap(),
        }
        if game.dice.bool() {
            runtime.run_for(Duration::from_micros(game.dice.u64(1..60))).unwrap();
        }
    }
    conn.resume().unwrap();
    game.buffers.read_from(game.region.borrower().unwrap());
    until(runtime, || {
        game.kept.borrow_mut().held.clear();
        game.kept.borrow().next == game.sent
    });
    assert!(game.kept.borrow().told <= u64::from(game.sent) + STEPS);
    game.end();
}

/// One read of the given patience; without a buffer it is refused.
async fn read(peer: &Peer, kept: &RefCell<Kept>, patience: Duration) -> io::Result<()> {
    match timer::timeout(patience, peer.receive()).await {
        Ok(Ok(received)) => kept.borrow_mut().take(received),
        Ok(Err(error)) if Error::of(&error) == Some(&Error::Exhausted) => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => {}
    }
    Ok(())
}

/// Plays with futures, many of which are dropped before their time.
async fn play_with_futures(seed: u64) -> io::Result<()> {
    let (peer, mut game) = Game::new(seed);
    for _ in 0..STEPS {
        match game.dice.u8(0..8) {
            0 => game.send().await?,
            1 | 2 => game.change_buffers(),
            3 => game.drop_some(),
            _ => {
                let patience = Duration::from_micros(game.dice.u64(0..40));
                read(&peer, &game.kept, patience).await?;
            }
        }
    }
    game.buffers.read_from(game.region.borrower().unwrap());
    while game.kept.borrow().next < game.sent {
        game.kept.borrow_mut().held.clear();
        peer.read_buffers().available().await;
        read(&peer, &game.kept, Duration::from_millis(1)).await?;
    }
    game.end();
    Ok(())
}

/// Whatever is done to the buffers, every datagram comes once and in order, and every buffer is
/// back in the end.
#[test]
fn games_with_read_buffers_lose_nothing() {
    for seed in 0..200 {
        let runtime = world(seed);
        play_with_handler(&runtime, seed);
        block(&runtime, play_with_futures(seed));
    }
}
