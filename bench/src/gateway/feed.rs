//! The exchange's day, made beforehand, and how it goes out.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use socket2::SockRef;
use tautline_feed::format::{Builder, Format, MoldUdp64};
use tautline_market::{
    book::{Books, CapacityError},
    exchange::{Config, Exchange},
    replay::{self, Answering, BEFORE_PACKET},
    snapshot,
};

use super::Servers;
use crate::harness::ticks::Ticks;

pub(super) type Layout = MoldUdp64;

/// Bytes of the largest packet.
pub(super) const PACKET: usize = 1_400;

/// All that an exchange says, and what is in its books at the end.
pub(super) struct Day {
    pub(super) packets: Vec<Vec<u8>>,
    pub(super) checksum: u64,
    /// The books before the first message, as a snapshot server sends them.
    pub(super) morning: Vec<u8>,
    exchange: Exchange<Layout>,
}

impl Day {
    /// One of so many packets.
    pub(super) fn new(packets: usize) -> Self {
        // Each packet holds the messages of one burst.
        let config = Config { lines: vec![Default::default()], ..Config::default() };
        let mut now = Instant::now();
        let mut exchange =
            Exchange::<Layout>::new(config.clone(), 7, now).expect("a sound configuration");
        let mut all: Vec<Vec<u8>> = Vec::with_capacity(packets);
        let mut checksum = 0;
        while all.len() < packets {
            now = now.max(exchange.timeout());
            exchange.tick(now, &mut |_, bytes: &[u8]| {
                let is_heartbeat = Layout::parse(bytes).is_ok_and(|packet| packet.body.is_empty());
                if !is_heartbeat {
                    all.push(bytes.to_vec());
                }
            });
            checksum = exchange.books().checksum();
        }
        let mut morning = Vec::new();
        let books = empty_books(&config).expect("as those before");
        snapshot::write(exchange.session(), 1, &books, &mut morning);
        Self { packets: all, checksum, morning, exchange }
    }

    /// Books without an order.
    pub(super) fn empty_books(&self) -> Result<Books, CapacityError> {
        empty_books(self.exchange.config())
    }

    /// The number behind the last message of each packet.
    pub(super) fn ends(&self) -> Vec<u64> {
        let firsts = self
            .packets
            .iter()
            .map(|packet| Layout::parse(packet).expect("a packet of the exchange").number);
        firsts.skip(1).chain([self.exchange.history().next()]).collect()
    }
}

fn empty_books(config: &Config) -> Result<Books, CapacityError> {
    Books::new(config.instruments, config.orders)
}

/// A socket that sends to groups on the loopback device.
pub(super) fn sender() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    Ok(socket)
}

/// Two lines, each of which loses packets.
pub(super) struct Lines {
    loss: f64,
    rng: fastrand::Rng,
}

impl Lines {
    pub(super) fn new(loss: f64, seed: u64) -> Self {
        Self { loss, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Sends a packet on both; the time before.
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        groups: &[SocketAddrV4; 2],
        packet: &[u8],
    ) -> io::Result<u64> {
        let start = Ticks::now();
        for group in groups {
            if self.rng.f64() >= self.loss {
                socket.send_to(packet, group)?;
            }
        }
        Ok(start)
    }

    /// Tells on both that the session is over. That is not lost.
    pub(super) fn end(
        &self,
        socket: &UdpSocket,
        groups: &[SocketAddrV4; 2],
        day: &Day,
    ) -> io::Result<()> {
        let mut room = [0; 64];
        let builder = Builder::<Layout>::new(
            &mut room,
            day.exchange.session(),
            day.exchange.history().next(),
        );
        let packet = builder.map_err(io::Error::other)?.finish_session();
        groups.iter().try_for_each(|group| socket.send_to(packet, group).map(drop))
    }
}

/// The exchange's servers, for one gateway.
pub(super) struct HelpDesk {
    replay: Service,
    snapshot: Service,
    requests: replay::Requests,
    wishes: snapshot::Requests,
}

impl HelpDesk {
    pub(super) fn new() -> io::Result<Self> {
        let (replay, snapshot) = (Service::new()?, Service::new()?);
        let (requests, wishes) = (replay::Requests::new(), snapshot::Requests::new());
        Ok(Self { replay, snapshot, requests, wishes })
    }

    pub(super) fn servers(&self) -> io::Result<Servers> {
        let (replay, snapshot) =
            (self.replay.listener.local_addr()?, self.snapshot.listener.local_addr()?);
        Ok(Servers { replay, snapshot })
    }

    /// Answers what was asked, if anything was.
    ///
    /// # Errors
    /// What the system says, or a gateway that asks for nonsense.
    pub(super) fn answer(&mut self, day: &Day) -> io::Result<()> {
        let mut bytes = [0; 4_096];
        if let Some((stream, mut input)) = self.replay.receive(&mut bytes)? {
            let mut room = [0; PACKET + BEFORE_PACKET];
            while let Some(request) = self.requests.next(&mut input).map_err(io::Error::other)? {
                let (history, session) = (day.exchange.history(), day.exchange.session());
                let mut answering = Answering::<Layout>::new(request, history);
                while let Some(frame) = answering.next(history, session, &mut room) {
                    write_all(stream, frame)?;
                }
            }
        }
        if let Some((stream, mut input)) = self.snapshot.receive(&mut bytes)?
            && self.wishes.next(&mut input).map_err(io::Error::other)?
        {
            write_all(stream, &day.morning)?;
        }
        Ok(())
    }
}

/// A listener, and the one who has come.
struct Service {
    listener: TcpListener,
    stream: Option<TcpStream>,
}

impl Service {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, stream: None })
    }

    /// What was asked, if anything was.
    fn receive<'a>(
        &mut self,
        bytes: &'a mut [u8],
    ) -> io::Result<Option<(&mut TcpStream, &'a [u8])>> {
        if self.stream.is_none() {
            let Some((stream, _)) = unless_nothing(self.listener.accept())? else {
                return Ok(None);
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match unless_nothing(stream.read(bytes))? {
            Some(0) => self.stream = None,
            Some(count) => return Ok(self.stream.as_mut().map(|stream| (stream, &bytes[..count]))),
            None => {}
        }
        Ok(None)
    }
}

/// That nothing is there is no error.
fn unless_nothing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answers of a request are far fewer than a socket takes at once; should it be full, it is waited
/// for, but not for ever.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(1);
    while !bytes.is_empty() {
        match unless_nothing(stream.write(bytes))? {
            Some(count) => bytes = &bytes[count..],
            None if Instant::now() < end => {}
            None => return Err(ErrorKind::TimedOut.into()),
        }
    }
    Ok(())
}
