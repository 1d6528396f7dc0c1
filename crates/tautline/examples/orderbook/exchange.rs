//! A simulated exchange on threads of its own: one socket and one thread a connection.

mod session;
mod walk;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::latency::since_1970;
pub(crate) use session::{Course, Dealt, Faults, OwnBook, Session};

/// A client that does nothing for so long has been lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is due is sent this often.
const TICK: Duration = Duration::from_millis(1);

/// What the exchange has to say of a connection in the end.
#[derive(Debug)]
pub(crate) struct Account {
    /// Where the client connected.
    pub(crate) address: SocketAddr,
    pub(crate) books: Vec<OwnBook>,
    pub(crate) dealt: Dealt,
}

/// It ends when each connection has had its updates, and its client has gone.
#[derive(Debug)]
pub(crate) struct Exchange {
    addresses: Vec<SocketAddr>,
    connections: Vec<JoinHandle<io::Result<Account>>>,
}

impl Exchange {
    /// Waits for so many clients on loopback, one at each address, and publishes `rate` updates a
    /// second to each.
    pub(crate) fn start(course: &Course, connections: u64, rate: u64) -> io::Result<Self> {
        let mut exchange = Self { addresses: Vec::new(), connections: Vec::new() };
        for number in 0..connections {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            let session = Session::new(course, number);
            let serve = move || serve(&listener, address, session, rate);
            exchange.addresses.push(address);
            exchange.connections.push(thread::Builder::new().spawn(serve)?);
        }
        Ok(exchange)
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits for the end. The accounts are in the order of the addresses.
    pub(crate) fn finish(self) -> io::Result<Vec<Account>> {
        let ends = self.connections.into_iter().map(JoinHandle::join);
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    }
}

fn serve(
    listener: &TcpListener,
    address: SocketAddr,
    mut session: Session,
    rate: u64,
) -> io::Result<Account> {
    let stream = accept(listener)?;
    let requests = requests(stream.try_clone()?)?;
    let end = publish(&stream, &requests, &mut session, rate)
        .and_then(|()| answer(&stream, &requests, &mut session));
    // Ends the thread that reads, if the client has not.
    let _ = stream.shutdown(Shutdown::Both);
    end.map_err(|error| io::Error::new(error.kind(), format!("exchange, {address}: {error}")))?;
    Ok(Account { address, books: session.books(), dealt: *session.dealt() })
}

/// Waits for a client, but not for ever.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if start.elapsed() > PATIENCE => return Err(lost("nobody connected")),
            Err(_) => thread::sleep(TICK),
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
        }
    }
}

/// The client's lines, until it has gone.
fn requests(stream: TcpStream) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    let read = move || {
        let lines = BufReader::new(stream).lines();
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    };
    thread::Builder::new().spawn(read)?;
    Ok(receiver)
}

/// Publishes all updates, and the end.
fn publish(
    mut stream: &TcpStream,
    requests: &Receiver<String>,
    session: &mut Session,
    rate: u64,
) -> io::Result<()> {
    let start = Instant::now();
    while !session.is_done() {
        match requests.recv_timeout(TICK) {
            Ok(line) => session.request(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(lost("the client left early")),
        }
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while session.dealt().updates < due && !session.is_done() {
            session.publish(since_1970());
        }
        stream.write_all(session.take_output().as_bytes())?;
    }
    session.conclude();
    stream.write_all(session.take_output().as_bytes())
}

/// Answers until the client has gone.
fn answer(
    mut stream: &TcpStream,
    requests: &Receiver<String>,
    session: &mut Session,
) -> io::Result<()> {
    loop {
        match requests.recv_timeout(PATIENCE) {
            Ok(line) => session.request(&line),
            Err(RecvTimeoutError::Timeout) => return Err(lost("the client never left")),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        stream.write_all(session.take_output().as_bytes())?;
    }
}

fn lost(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
