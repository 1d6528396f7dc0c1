//! A relay: one source, many subscribers with a bounded queue each. Who falls behind
//! misses messages, and is told at the end how many he was sent.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;
use tautline_runtime::{Conn, Descriptor, IoBuf, task, timer};

use super::scene::Scene;
use super::servers::{Server, by_handler};
use super::{now, socket};

/// Bytes of a message: its number and a check, or [`LAST`] and how many were sent.
const MESSAGE: usize = 16;

/// The number of the last message.
const LAST: u64 = u64::MAX;

/// The pace of the source.
const PACE: Duration = Duration::from_millis(2);

pub(super) struct Relay {
    ingest: Server,
    publish: Server,
}

/// What the relay knows.
#[derive(Default)]
struct Hub {
    subscribers: RefCell<Vec<Rc<Subscriber>>>,
    /// The number that is to come next. What an earlier connection of the source brings
    /// behind a later one is not passed on.
    next: Cell<u64>,
    /// The source has said its last.
    over: Cell<bool>,
}

struct Subscriber {
    conn: Conn,
    sent: Cell<u64>,
    /// The end of a message whose beginning was taken.
    rest: RefCell<Vec<u8>>,
    over: Cell<bool>,
}

impl Relay {
    pub(super) fn start(scene: &Rc<Scene>) -> Self {
        let hub = Rc::new(Hub::default());
        let (to_ingest, to_publish, chance) = (hub.clone(), hub, scene.clone());
        let ingest = by_handler(move |stream| ingest(&to_ingest, stream));
        let publish = by_handler(move |stream| {
            stream.conn().set_write_limit(chance.draw(1..20 * MESSAGE));
            subscribe(&to_publish, stream)
        });
        let source = source(scene.clone(), ingest.address.clone());
        drop(task::spawn(source).expect("room for a task"));
        Self { ingest, publish }
    }

    pub(super) fn launch_subscriber(&self, scene: &Rc<Scene>, id: usize) {
        let (scene, address) = (scene.clone(), self.publish.address.clone());
        let follower = async move {
            loop {
                let begun = now();
                let result = follow(&scene, id, &address).await;
                if scene.judge(id, begun, result).await {
                    return;
                }
            }
        };
        drop(task::spawn(follower).expect("room for a task"));
    }

    pub(super) fn stop(self) {
        self.ingest.stop();
        self.publish.stop();
    }
}

fn message(number: u64, content: u64) -> [u8; MESSAGE] {
    let mut bytes = [0; MESSAGE];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&content.to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| bytes[at..at + 8].iter().fold(0, |word, &b| word << 8 | u64::from(b));
    (word(0), word(8))
}

fn check_of(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Publishes until some time after the faults have ended. A reset loses messages, but
/// not the last one.
async fn source(scene: Rc<Scene>, address: SockAddr) {
    let mut number = 0;
    while !scene.is_lost() {
        let session = async {
            let stream = socket()?;
            stream.connect(address.clone()).await?;
            while now() < scene.plan.safe {
                stream.write_all(message(number, check_of(number)).to_vec()).await.0?;
                number += 1;
                timer::sleep(PACE).await?;
            }
            stream.write_all(message(LAST, 0).to_vec()).await.0?;
            // The relay ends the stream when it has read that.
            stream.read(vec![0; 1]).await.0
        };
        let result: io::Result<usize> = session.await;
        if result.is_ok() {
            return;
        }
        drop(timer::sleep(scene.moment()).await);
    }
}

fn ingest(hub: &Rc<Hub>, stream: Descriptor) -> io::Result<()> {
    let hub = hub.clone();
    let mut partial = Vec::new();
    stream.on_data(move |conn, bytes| {
        partial.extend_from_slice(bytes);
        let whole = partial.len() / MESSAGE * MESSAGE;
        for message in partial.drain(..whole).collect::<Vec<_>>().chunks(MESSAGE) {
            match parse(message).0 {
                LAST => {
                    hub.end();
                    conn.close();
                }
                number if number >= hub.next.replace(hub.next.get().max(number + 1)) => {
                    hub.subscribers.borrow().iter().for_each(|to| to.send(message));
                }
                _ => {}
            }
        }
    })?;
    Ok(())
}

impl Hub {
    fn end(&self) {
        self.over.set(true);
        self.subscribers.borrow().iter().for_each(|subscriber| subscriber.end());
    }
}

impl Subscriber {
    /// Sends a message, or drops it if the last one has not been taken whole.
    fn send(&self, message: &[u8]) {
        if !self.rest.borrow().is_empty() || self.over.get() {
            return;
        }
        // An error reaches the close handler.
        let taken = self.conn.write(message).unwrap_or(0);
        if taken > 0 {
            self.sent.set(self.sent.get() + 1);
            self.rest.borrow_mut().extend_from_slice(&message[taken..]);
        }
    }

    /// Says how many messages there were, behind them.
    fn end(&self) {
        if !self.over.replace(true) {
            self.rest.borrow_mut().extend_from_slice(&message(LAST, self.sent.get()));
        }
        self.write_rest();
    }

    fn write_rest(&self) {
        let mut rest = self.rest.borrow_mut();
        let taken = self.conn.write(&rest).unwrap_or(0);
        rest.drain(..taken);
        if rest.is_empty() && self.over.get() {
            self.conn.close();
        }
    }
}

fn subscribe(hub: &Rc<Hub>, stream: Descriptor) -> io::Result<()> {
    let conn = stream.on_data(|_, _| io::Result::<()>::Err(io::ErrorKind::InvalidData.into()))?;
    let subscriber = Rc::new(Subscriber {
        conn: conn.clone(),
        sent: Cell::new(0),
        rest: RefCell::default(),
        over: Cell::new(false),
    });
    let (room, gone, hub_too) =
        (Rc::downgrade(&subscriber), Rc::downgrade(&subscriber), hub.clone());
    conn.on_writable(move |_| room.upgrade().iter().for_each(|subscriber| subscriber.write_rest()));
    conn.on_close(move |_, _| {
        let gone = gone.upgrade();
        let mut subscribers = hub_too.subscribers.borrow_mut();
        subscribers.retain(|other| gone.as_ref().is_none_or(|gone| !Rc::ptr_eq(other, gone)));
    });
    hub.subscribers.borrow_mut().push(subscriber.clone());
    if hub.over.get() {
        subscriber.end();
    }
    Ok(())
}

/// Follows the feed to its end, slowly at times.
async fn follow(scene: &Scene, id: usize, address: &SockAddr) -> io::Result<()> {
    let stream = socket()?;
    stream.connect(address.clone()).await?;
    let (mut last, mut count) = (None, 0);
    loop {
        let (number, content) = next_message(scene, &stream).await?;
        if number == LAST {
            if content != count {
                scene.complain(format!("subscriber {id} got {count} of {content} messages"));
            }
            let end = stream.read(vec![0; 1]).await.0?;
            if end != 0 {
                scene.complain(format!("subscriber {id} got bytes behind the last message"));
            }
            return Ok(());
        }
        if content != check_of(number) || last >= Some(number) {
            scene.complain(format!("subscriber {id} got message {number} behind {last:?}"));
        }
        (last, count) = (Some(number), count + 1);
        if scene.one_in(8) {
            timer::sleep(scene.moment() * 16).await?;
        }
    }
}

/// Reads a whole message; what a read that was given up has got is not lost.
async fn next_message(scene: &Scene, stream: &Descriptor) -> io::Result<(u64, u64)> {
    loop {
        let read = stream.read_exact(vec![0; MESSAGE]);
        let (result, buf) = match scene.one_in(3) {
            true => read.timeout(scene.moment()).await,
            false => read.await,
        };
        match result {
            Ok(_) => return Ok(parse(buf.bytes())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
}
