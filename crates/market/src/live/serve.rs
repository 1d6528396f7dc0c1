//! The servers of an exchange: TCP connections, each of which is a task.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tautline_feed::format::Format;
use tautline_net::{TcpListener, TcpStream};
use tautline_runtime::{task, timer};

use super::report::ServedReport;
use super::run::RunError;
use super::venue::Venue;
use crate::replay::{self, Answering, BEFORE_PACKET};
use crate::snapshot;

/// Clients of a server at a time.
const CLIENTS: u64 = 64;
/// Bytes of an answer that are handed to the system at once.
const PIECE: usize = 64 << 10;
/// Accepting rests so long when it fails: somebody may have left.
const REST: Duration = Duration::from_millis(50);

/// What a server has done.
pub(super) struct Server {
    bound: SocketAddr,
    clients: Cell<u64>,
    requests: Cell<u64>,
    bytes: Cell<u64>,
    turned_away: Cell<u64>,
    error: RefCell<Option<String>>,
}

impl Server {
    /// Listens there. What `what` serves is said by [`serve`](Self::serve).
    pub(super) fn listen(
        what: &'static str,
        address: SocketAddr,
    ) -> Result<(Rc<Self>, TcpListener), RunError> {
        let failed = |error: io::Error| RunError::Listen { what, reason: error.to_string() };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let server = Self {
            bound: listener.local_addr().map_err(failed)?,
            clients: Cell::default(),
            requests: Cell::default(),
            bytes: Cell::default(),
            turned_away: Cell::default(),
            error: RefCell::default(),
        };
        Ok((Rc::new(server), listener))
    }

    /// Serves whoever comes, each by a task of its own.
    pub(super) fn serve<Served>(
        self: &Rc<Self>,
        listener: TcpListener,
        client: impl Fn(TcpStream) -> Served + 'static,
    ) -> Result<(), RunError>
    where
        Served: Future<Output = io::Result<()>> + 'static,
    {
        task::spawn(self.clone().accept(listener, client))?;
        Ok(())
    }

    async fn accept<Served>(
        self: Rc<Self>,
        listener: TcpListener,
        client: impl Fn(TcpStream) -> Served,
    ) where
        Served: Future<Output = io::Result<()>> + 'static,
    {
        loop {
            match listener.accept().await {
                Ok(_) if self.clients.get() >= CLIENTS => add(&self.turned_away, 1),
                Ok((stream, _)) => self.welcome(client(stream)),
                Err(error) => {
                    self.note(&error);
                    if timer::sleep(REST).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, served: impl Future<Output = io::Result<()>> + 'static) {
        let server = self.clone();
        add(&self.clients, 1);
        let spawned = task::spawn(async move {
            if let Err(error) = served.await {
                server.note(&error);
            }
            server.clients.set(server.clients.get() - 1);
        });
        if let Err(error) = spawned {
            self.clients.set(self.clients.get() - 1);
            self.note(&error);
        }
    }

    fn note(&self, error: &dyn Display) {
        log::debug!("{}: {error}", self.bound);
        self.error.replace(Some(error.to_string()));
    }

    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    pub(super) fn report(&self) -> ServedReport {
        ServedReport {
            bound: self.bound.to_string(),
            clients: self.clients.get(),
            requests: self.requests.get(),
            bytes: self.bytes.get(),
            turned_away: self.turned_away.get(),
            error: self.error.borrow().clone(),
        }
    }

    /// Sends all of it, and hands the memory back empty.
    async fn send(&self, stream: &TcpStream, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        add(&self.bytes, bytes.len() as u64);
        let (sent, mut bytes) = stream.write_all(bytes).await;
        sent?;
        bytes.clear();
        Ok(bytes)
    }
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// Answers requests one after the other, until the client goes. What it does not read is not written: the
/// next frames are made when those before have gone.
pub(super) async fn replays<F: Format>(
    venue: Rc<Venue<F>>,
    server: Rc<Server>,
    stream: TcpStream,
) -> io::Result<()> {
    let mut requests = replay::Requests::new();
    let mut frame = vec![0; BEFORE_PACKET + venue.packet()];
    let mut answers = Vec::with_capacity(PIECE + frame.len());
    let mut input = vec![0; 4096];
    loop {
        let (count, bytes) = stream.read(input).await;
        let mut rest = &bytes[..count?];
        if rest.is_empty() {
            return Ok(());
        }
        while let Some(request) = requests.next(&mut rest).map_err(io::Error::other)? {
            add(&server.requests, 1);
            let mut answering = venue.with(|it| Answering::<F>::new(request, it.history()));
            while fill(&venue, &mut answering, &mut frame, &mut answers) {
                answers = server.send(&stream, answers).await?;
            }
        }
        input = bytes;
    }
}

/// Puts together what is sent at once; says whether it is anything.
fn fill<F: Format>(
    venue: &Venue<F>,
    answering: &mut Answering<F>,
    frame: &mut [u8],
    answers: &mut Vec<u8>,
) -> bool {
    venue.with(|exchange| {
        while answers.len() < PIECE {
            match answering.next(exchange.history(), exchange.session(), frame) {
                Some(frame) => answers.extend_from_slice(frame),
                None => break,
            }
        }
    });
    !answers.is_empty()
}

/// Sends the books as they are for each request, until the client goes.
pub(super) async fn snapshots<F: Format>(
    venue: Rc<Venue<F>>,
    server: Rc<Server>,
    stream: TcpStream,
) -> io::Result<()> {
    let mut requests = snapshot::Requests::new();
    let mut books = Vec::new();
    let mut input = vec![0; 64];
    loop {
        let (count, bytes) = stream.read(input).await;
        let mut rest = &bytes[..count?];
        if rest.is_empty() {
            return Ok(());
        }
        while requests.next(&mut rest).map_err(io::Error::other)? {
            add(&server.requests, 1);
            venue.with(|it| {
                snapshot::write(it.session(), it.history().next(), it.books(), &mut books);
            });
            books = server.send(&stream, books).await?;
        }
        input = bytes;
    }
}
