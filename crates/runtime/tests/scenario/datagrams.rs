//! Datagrams: senders number what they send, receivers of each face look at what comes.
//! They may be lost, doubled and overtaken while faults last, but never invented, mixed
//! up or cut without a word; afterwards each comes, once.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use socket2::{Domain, SockAddr, Type};
use tautline_runtime::task::{self, JoinHandle};
use tautline_runtime::{Batch, Conn, Datagram, Descriptor, Drained, SocketOption, To, timer};

use super::now;
use super::scene::Scene;
use super::servers::bind;

/// How many senders there are.
pub(super) const SENDERS: usize = 3;

/// Bytes of the shortest datagram, the smallest buffer, and the number in front.
const SHORTEST: usize = 16;
const NUMBER: usize = 8;
const LONGEST: usize = 400;

/// Bytes that wait for a receiver: more than all senders send while it rests, so that
/// after the faults none is lost for want of room.
const ROOM: usize = 32 * LONGEST;

/// How many datagrams a sender has to bring through after the faults, to each receiver.
const PROOFS: usize = 3;

/// What a sender was told of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    NotSent,
    /// It is still being sent, or nobody waited to be told.
    Untold,
}

struct Packet {
    fate: Fate,
    receiver: usize,
    /// Sent when nothing went wrong any more.
    calm: bool,
    seen: u32,
}

/// A sender, as receivers know it.
struct Flow {
    address: SockAddr,
    salt: u64,
    packets: RefCell<Vec<Packet>>,
}

/// Who sends to whom.
struct Ledger {
    scene: Rc<Scene>,
    flows: Vec<Flow>,
    receivers: Vec<SockAddr>,
}

/// Both receivers, until they are stopped.
pub(super) struct Receivers {
    handler: Conn,
    task: JoinHandle<()>,
}

impl Receivers {
    /// Receivers and senders; each sender counts as a client.
    pub(super) fn start(scene: &Rc<Scene>, first_id: usize) -> Self {
        let udp = || bind(|| Descriptor::socket(Domain::IPV4, Type::DGRAM, None));
        let [(by_task, to_task), (by_handler, to_handler)] = [udp(), udp()];
        for receiver in [&by_task, &by_handler] {
            let room = SocketOption::ReceiveBuffer(ROOM);
            receiver.set_option(room).expect("a socket takes a size");
        }
        let (mut sockets, mut flows) = (Vec::new(), Vec::new());
        for _ in 0..SENDERS {
            let (socket, address) = udp();
            let salt = scene.draw(0..usize::MAX) as u64;
            sockets.push(socket);
            flows.push(Flow { address, salt, packets: RefCell::default() });
        }
        let receivers = vec![to_task, to_handler];
        let ledger = Rc::new(Ledger { scene: scene.clone(), flows, receivers });
        for (index, socket) in sockets.into_iter().enumerate() {
            let sender = Sender { ledger: ledger.clone(), index, id: first_id + index, socket };
            drop(task::spawn(sender.run()).expect("room for a task"));
        }
        let task = task::spawn(receive(ledger.clone(), by_task)).expect("room for a task");
        Self { handler: receive_by_handler(ledger, by_handler), task }
    }

    pub(super) fn stop(self) {
        self.handler.close();
        self.task.abort();
    }
}

impl Flow {
    /// What the datagram `number` consists of.
    fn content(&self, number: usize) -> Vec<u8> {
        let mix = |at: u64| (self.salt ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let len = SHORTEST + mix(number as u64) as usize % (LONGEST - SHORTEST);
        let mut content = (number as u64).to_be_bytes().to_vec();
        content.extend((NUMBER..len).map(|at| mix((number << 10 | at) as u64).to_be_bytes()[1]));
        content
    }
}

impl Ledger {
    /// Notes what a receiver got, and what of it cannot be.
    fn take(&self, receiver: usize, came: &Datagram, buf: &[u8]) {
        if let Err(wrong) = self.check(receiver, came, &buf[..came.len]) {
            let (from, len) = (came.from.as_ref().and_then(SockAddr::as_socket), came.len);
            let what = format!("receiver {receiver}, {len} bytes from {from:?}: {wrong}");
            self.scene.complain(what);
        }
    }

    fn check(&self, receiver: usize, came: &Datagram, bytes: &[u8]) -> Result<(), &'static str> {
        let flow = self.flows.iter().find(|flow| came.from.as_ref() == Some(&flow.address));
        let flow = flow.ok_or("nobody sends from there")?;
        let number = bytes.first_chunk::<NUMBER>().ok_or("shorter than any")?;
        let number = u64::from_be_bytes(*number) as usize;
        let mut packets = flow.packets.borrow_mut();
        let packet = packets.get_mut(number).ok_or("such a number was not sent yet")?;
        let content = flow.content(number);
        packet.seen += 1;
        match packet {
            _ if !content.starts_with(bytes) => Err("it is not what was sent"),
            _ if came.truncated == (bytes.len() == content.len()) => Err("cut, but not as told"),
            Packet { receiver: to, .. } if *to != receiver => Err("it was sent to another"),
            Packet { fate: Fate::NotSent, .. } => Err("its sender was told that it is not sent"),
            Packet { calm: true, seen: 2.., .. } => Err("it came again, although all is calm"),
            Packet { seen: 3.., .. } => Err("it came a third time"),
            _ => Ok(()),
        }
    }
}

/// Receives by a handler, into buffers that are too small at times.
fn receive_by_handler(ledger: Rc<Ledger>, socket: Descriptor) -> Conn {
    let mut batch = Batch::new(4, LONGEST);
    let handler = move |conn: &Conn| {
        let got = match ledger.scene.one_in(3) {
            true => receive_batch(&ledger, conn, &mut batch),
            false => receive_one(&ledger, conn),
        };
        match got {
            Ok(()) => Ok(Drained::No),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Drained::Yes),
            Err(error) => Err(error),
        }
    };
    socket.on_readable(handler).expect("room for a pump")
}

fn receive_one(ledger: &Ledger, conn: &Conn) -> io::Result<()> {
    let mut buf = vec![0; ledger.scene.draw(SHORTEST..LONGEST)];
    let came = conn.try_receive_from(&mut buf)?;
    ledger.take(1, &came, &buf);
    Ok(())
}

fn receive_batch(ledger: &Ledger, conn: &Conn, batch: &mut Batch) -> io::Result<()> {
    batch.receive(conn)?;
    for packet in batch.iter() {
        let (len, from, truncated) = (packet.bytes.len(), packet.address(), packet.truncated());
        ledger.take(1, &Datagram { len, from, truncated }, packet.bytes);
    }
    Ok(())
}

/// Receives by a task that gives up many a receive, which loses nothing.
async fn receive(ledger: Rc<Ledger>, socket: Descriptor) {
    let scene = &ledger.scene;
    loop {
        let mut operation = socket.receive_from(vec![0; scene.draw(SHORTEST..LONGEST)]);
        let (result, buf) = match scene.draw(0..4) {
            0 => operation.timeout(scene.moment() * 4).await,
            1 => match poll!(&mut operation) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    drop(timer::sleep(scene.moment() * 4).await);
                    continue;
                }
            },
            _ => operation.await,
        };
        match result {
            Ok(came) => ledger.take(0, &came, &buf),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return scene.complain(format!("a receive failed: {error:?}")),
        }
    }
}

struct Sender {
    ledger: Rc<Ledger>,
    index: usize,
    id: usize,
    socket: Descriptor,
}

impl Sender {
    async fn run(self) {
        let result = match self.send_into_the_storm().await {
            Ok(()) => self.prove_that_it_is_over().await,
            failed => failed,
        };
        let (id, scene) = (self.id, &self.ledger.scene);
        match result {
            Ok(()) => scene.finished.set(scene.finished.get() + 1),
            Err(error) => scene.complain(format!("sender {id} got: {error:?}")),
        }
    }

    fn flow(&self) -> &Flow {
        &self.ledger.flows[self.index]
    }

    /// The next datagram, to `receiver`: its number.
    fn begin(&self, receiver: usize) -> usize {
        let calm = self.ledger.scene.is_calm();
        let mut packets = self.flow().packets.borrow_mut();
        packets.push(Packet { fate: Fate::Untold, receiver, calm, seen: 0 });
        packets.len() - 1
    }

    /// What the sender was told of `number`.
    fn settle(&self, number: usize, fate: Fate) -> io::Result<()> {
        let mut packets = self.flow().packets.borrow_mut();
        packets[number].fate = fate;
        match packets[number].seen {
            1.. if fate == Fate::NotSent => Err(io::Error::other("what is not sent came")),
            _ => Ok(()),
        }
    }

    async fn send_into_the_storm(&self) -> io::Result<()> {
        let scene = &self.ledger.scene;
        while now() < scene.plan.safe && !scene.is_lost() {
            let receiver = scene.draw(0..self.ledger.receivers.len());
            match scene.draw(0..6) {
                0 => self.send_at_once(receiver)?,
                1 => self.send_batch(receiver)?,
                2 => self.send_timed(receiver).await?,
                3 => self.send_and_forget(receiver).await?,
                _ => self.send(receiver).await?,
            }
            timer::sleep(scene.moment() * 8).await?;
        }
        Ok(())
    }

    /// Each datagram now comes, once: the next one is sent when the last is there.
    async fn prove_that_it_is_over(&self) -> io::Result<()> {
        for round in 0..PROOFS * self.ledger.receivers.len() {
            let number = self.flow().packets.borrow().len();
            self.send(round % self.ledger.receivers.len()).await?;
            while self.flow().packets.borrow()[number].seen == 0 {
                timer::sleep(Duration::from_millis(1)).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, receiver: usize) -> io::Result<()> {
        let (number, to) = (self.begin(receiver), &self.ledger.receivers[receiver]);
        let content = self.flow().content(number);
        let len = content.len();
        match self.socket.send_to(content, Some(to)).await.0? {
            sent if sent == len => self.settle(number, Fate::Sent),
            sent => Err(io::Error::other(format!("{sent} of {len} bytes of a datagram"))),
        }
    }

    /// What times out has not left.
    async fn send_timed(&self, receiver: usize) -> io::Result<()> {
        let (number, to) = (self.begin(receiver), &self.ledger.receivers[receiver]);
        let send = self.socket.send_to(self.flow().content(number), Some(to));
        match send.timeout(self.ledger.scene.moment() / 8).await.0 {
            Ok(_) => self.settle(number, Fate::Sent),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.settle(number, Fate::NotSent)
            }
            Err(error) => Err(error),
        }
    }

    async fn send_and_forget(&self, receiver: usize) -> io::Result<()> {
        let (number, to) = (self.begin(receiver), &self.ledger.receivers[receiver]);
        let mut send = self.socket.send_to(self.flow().content(number), Some(to));
        let waker = std::task::Waker::noop();
        match Future::poll(
            std::pin::Pin::new(&mut send),
            &mut std::task::Context::from_waker(waker),
        ) {
            Poll::Ready((result, _)) => result.and_then(|_| self.settle(number, Fate::Sent)),
            Poll::Pending => Ok(()),
        }
    }

    fn send_at_once(&self, receiver: usize) -> io::Result<()> {
        let (number, to) = (self.begin(receiver), &self.ledger.receivers[receiver]);
        match self.socket.conn().try_send_to(&self.flow().content(number), Some(to)) {
            Ok(_) => self.settle(number, Fate::Sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.settle(number, Fate::NotSent)
            }
            Err(error) => Err(error),
        }
    }

    /// Of a batch, the first so many leave.
    fn send_batch(&self, receiver: usize) -> io::Result<()> {
        let mut batch = Batch::new(3, LONGEST);
        let numbers = [(); 3].map(|()| self.begin(receiver));
        for number in numbers {
            batch.push(&self.flow().content(number), None)?;
        }
        let to = To::All(&self.ledger.receivers[receiver]);
        let sent = match batch.send(self.socket.conn(), 0, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            result => result?,
        };
        for (at, number) in numbers.into_iter().enumerate() {
            self.settle(number, if at < sent { Fate::Sent } else { Fate::NotSent })?;
        }
        Ok(())
    }
}
