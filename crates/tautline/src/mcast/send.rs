//! `tautline mcast send`: packets to a group, made up, from standard input, or from a capture.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use socket2::SockAddr;
use tautline_net::Stdin;
use tautline_net::multicast::Peer;
use tautline_relay::endpoint::MulticastDestination;
use tautline_relay::open_group;
use tautline_runtime::{Batch, To, timer};

use super::capture::{Place, Reader};
use super::ending::Countdown;
use super::error::Error;
use super::frame::datagram;
use super::generate::{Layout, fill};
use super::lines::Lines;
use super::pace::{Pace, Rate};
use super::session::Session;
use super::{meter, report};
use crate::Failure;
use crate::cli::{Origin, SendArgs};
use crate::notice;
use crate::table::quantity::{bytes, things};

/// Packets in one call.
const BATCH: usize = 32;
/// Bytes of a datagram at most, over either version of IP.
pub(crate) const LONGEST: usize = 65_507;
/// So much silence is told of, where a layout has packets for that.
const SILENCE: Duration = Duration::from_secs(1);
/// Bytes that are read from standard input at a time.
const CHUNK: usize = 1 << 16;
/// So often it is looked whether the rate is reached.
const WATCH: Duration = Duration::from_secs(1);
/// What to do if not.
const REMEDY: &str = "; ask for less, or give the tool a core of its own (--core N --wait spin)";

/// Sends until there is no more, or the end, and tells how much it was.
pub(crate) fn send(args: &SendArgs) -> Result<(), Failure> {
    let session = Session::start(&args.host(), args.run_for)?;
    let outlet = Rc::new(Outlet::open(args, &session)?);
    let (sender, ending, origin) = (outlet.clone(), session.ending().clone(), args.origin());
    session.spawn(async move {
        sender.send_all(&origin).await?;
        ending.now();
        Ok(())
    })?;
    let beating = outlet.clone();
    session.spawn(async move { beating.beat().await })?;
    let asked = args.origin().rate();
    let watching = outlet.clone();
    session.spawn(async move { watching.watch(asked).await })?;
    let elapsed = session.run()?;
    if session.has_failed() && outlet.packets.get() == 0 {
        return session.result();
    }
    // The last word: whoever misses it knows no less than before.
    let _ = outlet.say(|room, next| outlet.layout.end(room, next));
    outlet.tell(args.json, elapsed, asked)?;
    session.result()
}

/// A group that is sent to.
struct Outlet {
    peer: Peer,
    group: SocketAddr,
    layout: Layout,
    /// Where a packet is put together.
    room: RefCell<Vec<u8>>,
    /// The number of the next message.
    next: Cell<u64>,
    packets: Cell<u64>,
    bytes: Cell<u64>,
    /// When something was sent first, since the start.
    first: Cell<Duration>,
    /// When something was sent last, since the start.
    last: Cell<Duration>,
    countdown: RefCell<Countdown>,
    clock: Box<dyn Fn() -> Duration>,
}

impl Outlet {
    fn open(args: &SendArgs, session: &Session) -> Result<Self, Error> {
        let SendArgs { group, hops, loopback, .. } = *args;
        let to = MulticastDestination { group, interface: args.interface.clone(), hops, loopback };
        Ok(Self {
            peer: open_group(&to).map_err(Error::of(group))?,
            group,
            layout: args.layout(),
            room: RefCell::new(vec![0; LONGEST]),
            next: Cell::new(1),
            packets: Cell::new(0),
            bytes: Cell::new(0),
            first: Cell::new(Duration::ZERO),
            last: Cell::new(Duration::ZERO),
            countdown: RefCell::new(Countdown::of(args.count, session.ending())),
            clock: Box::new(session.clock()),
        })
    }

    async fn send_all(&self, origin: &Origin) -> Result<(), Error> {
        match origin {
            Origin::Generated { pace, size } => self.generate(*pace, *size).await,
            Origin::Lines { pace } => self.lines(*pace).await,
            Origin::Capture { place, speed } => self.play(place, *speed).await,
        }
    }

    /// Sends numbered packets of that size.
    async fn generate(&self, mut pace: Pace, size: usize) -> Result<(), Error> {
        let mut message = vec![0; size - self.layout.overhead()];
        let mut batch = Batch::new(BATCH, size);
        loop {
            self.wait(pace.next()).await?;
            let due = pace.due((self.clock)()).min(BATCH as u64);
            batch.clear();
            for _ in 0..due {
                if !self.countdown.borrow_mut().take() {
                    break;
                }
                let number = self.next.replace(self.next.get() + 1);
                fill(&mut message, number);
                let mut room = self.room.borrow_mut();
                let packet = self.layout.packet(&mut room, number, &message);
                // All are of the size for which there is room.
                let pushed = packet.is_ok_and(|packet| batch.push(packet, None).is_ok());
                debug_assert!(pushed, "{size} bytes have room");
            }
            self.send_batch(&mut batch).await?;
            pace.note_sent(due);
            if batch.len() < due as usize {
                return Ok(());
            }
        }
    }

    async fn send_batch(&self, batch: &mut Batch) -> Result<(), Error> {
        let to = SockAddr::from(self.group);
        self.peer.send_batch(batch, To::All(&to)).await.map_err(Error::of(self.group))?;
        batch.iter().for_each(|packet| self.note_sent(packet.bytes.len()));
        Ok(())
    }

    /// Sends the lines of standard input.
    async fn lines(&self, mut pace: Option<Pace>) -> Result<(), Error> {
        let mut stdin = Stdin::open().map_err(Error::Input)?;
        let most = LONGEST - self.layout.overhead();
        let (mut lines, mut chunk) = (Lines::of_at_most(most), vec![0; CHUNK]);
        let long = |line| Error::Line { line, most };
        loop {
            let (read, buf) = stdin.read(chunk).await;
            chunk = buf;
            match read.map_err(Error::Input)? {
                0 => break,
                count => lines.push(&chunk[..count]),
            }
            while let Some(line) = lines.next().map_err(|it| long(it.line))? {
                if !self.send_in_time(line, &mut pace).await? {
                    return Ok(());
                }
            }
        }
        match lines.rest() {
            Some(line) => self.send_in_time(line, &mut pace).await.map(drop),
            None => Ok(()),
        }
    }

    async fn send_in_time(&self, line: &[u8], pace: &mut Option<Pace>) -> Result<bool, Error> {
        if let Some(pace) = pace {
            self.wait(pace.next()).await?;
            pace.due((self.clock)());
            pace.note_sent(1);
        }
        self.send(line).await
    }

    /// Sends the datagrams of a capture, with its pauses divided by the speed, or without any.
    async fn play(&self, place: &Place, speed: Option<f64>) -> Result<(), Error> {
        let mut reader = Reader::open(place)?;
        let most = LONGEST - self.layout.overhead();
        let (mut start, mut packet) = (None, 0);
        while reader.more().await? {
            while let Some(frame) = reader.next()? {
                packet += 1;
                let Ok(found) = datagram(frame.medium, frame.bytes) else { continue };
                if found.payload.len() > most {
                    return Err(Error::Packet { packet, most });
                }
                if let (Some(time), Some(speed)) = (frame.time, speed) {
                    // A pipe may bring its first packet late.
                    let (first, begun) = *start.get_or_insert_with(|| (time, (self.clock)()));
                    let since = Duration::from_nanos(time.0.saturating_sub(first.0));
                    self.wait(begun + since.div_f64(speed)).await?;
                }
                if !self.send(found.payload).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits until so much time has passed since the start.
    async fn wait(&self, until: Duration) -> Result<(), Error> {
        let left = until.saturating_sub((self.clock)());
        if left.is_zero() {
            return Ok(());
        }
        timer::sleep(left).await.map_err(Error::from)
    }

    /// Sends a message in a packet of its own; false: there were enough.
    async fn send(&self, message: &[u8]) -> Result<bool, Error> {
        if !self.countdown.borrow_mut().take() {
            return Ok(false);
        }
        let number = self.next.replace(self.next.get() + 1);
        loop {
            let sent = {
                let mut room = self.room.borrow_mut();
                let packet = self.layout.packet(&mut room, number, message);
                let packet = packet.map_err(|error| self.failed(io::Error::other(error)))?;
                self.peer.try_send_to(packet, self.group)
            };
            match sent {
                Ok(len) => {
                    self.note_sent(len);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.peer.writable().await.map_err(|error| self.failed(error))?;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::Group { group: self.group, error }
    }

    fn note_sent(&self, len: usize) {
        if self.packets.replace(self.packets.get() + 1) == 0 {
            self.first.set((self.clock)());
        }
        self.bytes.set(self.bytes.get() + len as u64);
        self.last.set((self.clock)());
    }

    /// Tells of silence, as long as there is any.
    async fn beat(&self) -> Result<(), Failure> {
        loop {
            timer::sleep(SILENCE).await.map_err(Error::from)?;
            if (self.clock)().saturating_sub(self.last.get()) >= SILENCE {
                // Another one follows.
                let _ = self.say(|room, next| self.layout.heartbeat(room, next));
            }
        }
    }

    /// Sends a packet without messages, if the layout has it.
    fn say(
        &self,
        packet: impl for<'r> Fn(&'r mut [u8], u64) -> Option<&'r [u8]>,
    ) -> io::Result<()> {
        let mut room = self.room.borrow_mut();
        let packet = packet(&mut room, self.next.get());
        packet.map_or(Ok(()), |packet| self.peer.try_send_to(packet, self.group).map(drop))
    }

    /// Says once, while it goes on, that it does not reach the rate that was asked for.
    async fn watch(&self, asked: Option<Rate>) -> Result<(), Failure> {
        let Some(asked) = asked else { return Ok(()) };
        loop {
            timer::sleep(WATCH).await.map_err(Error::from)?;
            if let Some(missed) = asked.missed(self.packets.get(), (self.clock)()) {
                notice::say(format_args!("{missed}{REMEDY}"));
                return Ok(());
            }
        }
    }

    /// Tells what was sent.
    fn tell(&self, json: bool, elapsed: Duration, asked: Option<Rate>) -> io::Result<()> {
        let (seconds, packets, size) =
            (elapsed.as_secs_f64(), self.packets.get(), self.bytes.get());
        let sending = self.last.get().saturating_sub(self.first.get());
        let mean = meter::mean(packets, size, sending);
        let (group, layout, next) = (self.group, self.layout, self.next.get());
        if json {
            let object = json!({
                "kind": "summary", "elapsed_s": seconds, "group": group.to_string(),
                "packets": packets, "bytes": size,
                "packets_per_s": mean.map(|mean| mean.packets),
                "bits_per_s": mean.map(|mean| mean.bits),
                "asked_packets_per_s": asked.map(Rate::packets),
                "format": layout.option(), "session": layout.session(), "next": next,
            });
            return writeln!(io::stdout(), "{object}");
        }
        let missed = asked.and_then(|asked| {
            asked.missed(packets, elapsed).or_else(|| asked.passed(packets, elapsed))
        });
        let missed = missed.map(|missed| format!(": {missed}"));
        let (size, speed) = (bytes(size), report::speed(mean));
        let feed = layout.session().map(|session| format!(", {} session {session}", layout.name()));
        writeln!(
            io::stdout(),
            "summary of {seconds:.1} s: {}, {size} to {group}{}\n\
             {speed}{}",
            things(packets, "packet"),
            feed.unwrap_or_default(),
            missed.unwrap_or_default(),
        )
    }
}
