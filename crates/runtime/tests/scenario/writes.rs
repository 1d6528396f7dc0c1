//! Writers that queue several messages at once and give some of them up: what comes is
//! whole messages in order, and at most one part of a message, behind which is nothing.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use socket2::SockAddr;
use tautline_runtime::{Descriptor, task, timer};

use super::scene::Scene;
use super::servers::listen;
use super::{now, socket};

/// How many writers there are.
pub(super) const WRITERS: usize = 2;

/// Bytes in front of a message: its index and its length.
const HEADER: usize = 8;

/// What the writer of a message was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Sent,
    /// Nobody waited to be told: it goes on in the background.
    Dropped,
    /// It timed out: nothing of it has left, or not all of it.
    GivenUp,
    Failed,
}

/// The messages of a session, in the order in which they were queued.
struct Session {
    scene: Rc<Scene>,
    id: usize,
    salt: u64,
    messages: RefCell<Vec<(usize, Fate)>>,
}

pub(super) fn launch_writer(scene: &Rc<Scene>, id: usize) {
    let (scene, (listener, address)) = (scene.clone(), listen());
    let writer = async move {
        loop {
            let begun = now();
            let salt = scene.draw(0..usize::MAX) as u64;
            let messages = RefCell::default();
            let session = Session { scene: scene.clone(), id, salt, messages };
            let result = session.play(&listener, &address).await;
            if scene.judge(id, begun, result).await {
                return;
            }
        }
    };
    drop(task::spawn(writer).expect("room for a task"));
}

impl Session {
    async fn play(&self, listener: &Descriptor, address: &SockAddr) -> io::Result<()> {
        let writer = socket()?;
        writer.connect(address.clone()).await?;
        let reader = accept_from(listener, &writer).await?;
        let mut came = Vec::new();
        let (sent, received) =
            futures::join!(self.send(writer), receive(&self.scene, reader, &mut came));
        if let Err(wrong) = self.check(&came, sent.is_ok(), received.is_ok()) {
            let told = self.messages.borrow();
            self.scene.complain(format!("writer {}: {wrong}; told: {told:?}", self.id));
        }
        sent.and(received)
    }

    fn content(&self, index: usize, len: usize) -> Vec<u8> {
        let mut content = ((index as u64) << 32 | len as u64).to_be_bytes().to_vec();
        let mix = |at: u64| (self.salt ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        content.extend((HEADER..len).map(|at| mix((index << 16 | at) as u64).to_be_bytes()[1]));
        content
    }

    /// Sends some rounds of messages that are queued together.
    async fn send(&self, writer: Descriptor) -> io::Result<()> {
        for _ in 0..self.scene.draw(1..6) {
            let round: Vec<_> = (0..self.scene.draw(1..5)).map(|_| self.queue(&writer)).collect();
            join_all(round).await.into_iter().collect::<io::Result<()>>()?;
            // Whether a message was torn: then nothing more leaves.
            writer.conn().write(&[])?;
        }
        writer.shutdown(Shutdown::Write)
    }

    /// Queues the next message when it is first polled, and waits for it, or not.
    fn queue(&self, writer: &Descriptor) -> impl Future<Output = io::Result<()>> {
        let len = self.scene.draw(HEADER..self.scene.plan.most_bytes + HEADER + 1);
        let index = self.messages.borrow().len();
        self.messages.borrow_mut().push((len, Fate::Failed));
        let write = writer.write_all(self.content(index, len));
        let settle = move |fate| self.messages.borrow_mut()[index].1 = fate;
        let choice = if self.scene.is_calm() { 4 } else { self.scene.draw(0..5) };
        async move {
            let (result, _) = match choice {
                0 => write.timeout(self.scene.moment()).await,
                1 => {
                    let mut write = write;
                    let Poll::Ready(done) = poll!(&mut write) else {
                        settle(Fate::Dropped);
                        return Ok(());
                    };
                    done
                }
                _ => write.await,
            };
            match result {
                Ok(_) => settle(Fate::Sent),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => settle(Fate::GivenUp),
                Err(error) => return Err(error),
            }
            Ok(())
        }
    }

    /// Whether what came is what was queued, as far as writers were told. `unbroken`: the
    /// sending side was so to its end; `ended`: the stream ended in order.
    fn check(&self, came: &[u8], unbroken: bool, ended: bool) -> Result<(), String> {
        let messages = self.messages.borrow();
        let (mut rest, mut missing) = (came, 0);
        for (index, &(len, fate)) in messages.iter().enumerate() {
            let content = self.content(index, len);
            if let Some(behind) = rest.strip_prefix(&content[..]) {
                rest = behind;
                if fate == Fate::GivenUp {
                    return Err(format!("message {index} was given up, yet came whole"));
                }
                if missing > 0 {
                    return Err(format!("message {index} came behind one that did not"));
                }
            } else if !rest.is_empty() && content.starts_with(rest) {
                return match ended && (unbroken || fate == Fate::Sent) {
                    true => Err(format!("{} bytes of message {index} of {len}", rest.len())),
                    false => Ok(()),
                };
            } else if fate == Fate::Sent || unbroken && fate == Fate::Dropped {
                missing += 1;
            }
        }
        match (rest.len(), missing) {
            (0, missing) if missing == 0 || !ended => Ok(()),
            (0, missing) => Err(format!("{missing} messages did not come")),
            (more, _) => Err(format!("{more} bytes came that are no next message: a gap")),
        }
    }
}

/// The connection of `writer`; others, whose writers gave up, are dropped.
async fn accept_from(listener: &Descriptor, writer: &Descriptor) -> io::Result<Descriptor> {
    let own = writer.conn().local_addr()?;
    loop {
        let reader = listener.accept().timeout(Duration::from_millis(100)).await?;
        if reader.conn().peer_addr().is_ok_and(|peer| peer == own) {
            return Ok(reader);
        }
    }
}

/// Reads to the end, with rests in which writes pile up.
async fn receive(scene: &Scene, reader: Descriptor, came: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let (result, buf) = reader.read(vec![0; scene.draw(1..700)]).await;
        match result? {
            0 => return Ok(()),
            n => came.extend_from_slice(&buf[..n]),
        }
        if scene.one_in(4) {
            timer::sleep(scene.moment()).await?;
        }
    }
}
