//! A simulated exchange on threads of its own: one socket and one thread a connection.

mod channel;
mod session;
mod walk;

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tautline::net::tls::{Connector, Roots};

use self::channel::{Certificate, Channel};
use crate::connection::Place;
use crate::latency::since_1970;
pub(crate) use channel::Over;
pub(crate) use session::{Course, Dealt, Faults, OwnBook, Session};

/// A client that does nothing for so long has been lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is due is sent this often.
const TICK: Duration = Duration::from_millis(1);

/// What the exchange has to say of a connection in the end.
#[derive(Debug)]
pub(crate) struct Account {
    /// Where the client connected.
    pub(crate) place: Place,
    pub(crate) books: Vec<OwnBook>,
    pub(crate) dealt: Dealt,
}

/// It ends when each connection has had its updates, and its client has gone.
#[derive(Debug)]
pub(crate) struct Exchange {
    places: Vec<Place>,
    certificate: Option<Certificate>,
    connections: Vec<JoinHandle<io::Result<Account>>>,
}

impl Exchange {
    /// Waits for so many clients on loopback, one at each place, and publishes `rate` updates a
    /// second to each.
    pub(crate) fn start(
        course: &Course,
        connections: u64,
        rate: u64,
        over: Over,
    ) -> io::Result<Self> {
        let certificate = (over == Over::Wss).then(Certificate::new).transpose()?;
        let mut exchange = Self { places: Vec::new(), certificate, connections: Vec::new() };
        for number in 0..connections {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            let place = match over {
                Over::Lines => Place::Lines(address),
                Over::Ws => Place::WebSocket(format!("ws://{address}/stream")),
                Over::Wss => Place::WebSocket(format!("wss://localhost:{}/stream", address.port())),
            };
            let session = Session::new(course, number);
            let (certificate, at) = (exchange.certificate.clone(), place.clone());
            let serve = move || serve(&listener, at, over, certificate.as_ref(), session, rate);
            exchange.places.push(place);
            exchange.connections.push(thread::Builder::new().spawn(serve)?);
        }
        Ok(exchange)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// How a client speaks TLS that trusts this exchange.
    pub(crate) fn tls(&self) -> io::Result<Option<Connector>> {
        let Some(certificate) = &self.certificate else { return Ok(None) };
        let roots = Roots::from_pem(certificate.chain.clone())?;
        Ok(Some(Connector::builder().roots(roots).build()?))
    }

    /// Waits for the end. The accounts are in the order of the places.
    pub(crate) fn finish(self) -> io::Result<Vec<Account>> {
        let ends = self.connections.into_iter().map(JoinHandle::join);
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    }
}

fn serve(
    listener: &TcpListener,
    place: Place,
    over: Over,
    certificate: Option<&Certificate>,
    mut session: Session,
    rate: u64,
) -> io::Result<Account> {
    let mut channel = Channel::open(accept(listener)?, over, certificate)?;
    let end =
        publish(&mut channel, &mut session, rate).and_then(|()| answer(&mut channel, &mut session));
    channel.close();
    end.map_err(|error| io::Error::new(error.kind(), format!("exchange, {place}: {error}")))?;
    Ok(Account { place, books: session.books(), dealt: *session.dealt() })
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

/// Publishes all updates, and the end, once the client has said what it wants to hear.
fn publish(channel: &mut Channel, session: &mut Session, rate: u64) -> io::Result<()> {
    if matches!(channel, Channel::Messages { .. }) {
        while !session.is_subscribed() {
            let request = channel.receive(PATIENCE)?;
            session.request(&request.ok_or_else(|| lost("the client never subscribed"))?);
        }
    }
    let start = Instant::now();
    while !session.is_done() {
        if let Some(request) = channel.receive(TICK)? {
            session.request(&request);
        }
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while session.dealt().updates < due && !session.is_done() {
            session.publish(since_1970());
        }
        channel.send(&session.take_output())?;
    }
    session.conclude();
    channel.send(&session.take_output())
}

/// Answers until the client has gone.
fn answer(channel: &mut Channel, session: &mut Session) -> io::Result<()> {
    loop {
        match channel.receive(PATIENCE) {
            Ok(Some(request)) => session.request(&request),
            Ok(None) => return Err(lost("the client never left")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        channel.send(&session.take_output())?;
    }
}

fn lost(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
