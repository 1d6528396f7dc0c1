//! Generator and sink in one loop: a bounded number of packets is under way.

use std::{
    io::{self, ErrorKind},
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use super::{
    PACKET, SEGMENTS, STOP,
    batch::{Batch, send_burst},
};
use crate::harness::{
    Failure, Sample,
    sys::{CpuClock, Usage},
};

/// Most packets under way, where socket buffers allow it.
const WINDOW: u64 = 512;
/// What a packet costs of a socket buffer at most.
const PACKET_COST: usize = 4 * 1024;
/// Packets under way that do not arrive for this long are lost.
const LOST_AFTER: Duration = Duration::from_millis(20);
/// Time before a slice counts.
const WARM_UP: Duration = Duration::from_millis(20);
/// Messages that the sink takes in one call, and how much of each it copies.
const SINK: (usize, usize) = (64, 16);

/// Counters at one moment.
#[derive(Clone, Copy)]
struct Mark {
    time: Instant,
    sent: u64,
    received: u64,
    usage: Usage,
}

/// What a run moved.
pub(super) struct Run {
    first: Mark,
    last: Mark,
    sent: u64,
    /// Packets that the sink received, warm-up included.
    pub(super) received: u64,
    spare: Duration,
}

impl Run {
    /// Packets per second of the relay's processor time, and how much of it the relay needed.
    pub(super) fn sample(&self) -> Sample {
        let packets = (self.last.received - self.first.received) as f64;
        let (time, usage) = (self.last.time - self.first.time, self.last.usage - self.first.usage);
        Sample {
            values: vec![packets / usage.cpu.as_secs_f64()],
            cpu_ns: Some(usage.cpu.as_nanos() as f64 / packets),
            idle: Some(usage.idle(time)),
            spare: Some(self.spare.as_secs_f64() / time.as_secs_f64()),
            loss: Some((self.sent - self.received) as f64 / self.sent as f64),
        }
    }
}

struct Generator<'a> {
    source: &'a UdpSocket,
    sink: &'a UdpSocket,
    /// What is sent at a time: a burst that the kernel divides, or packets one by one.
    burst: Option<Vec<u8>>,
    packets: Batch,
    batch: Batch,
    sent: u64,
    received: u64,
    /// Packets given up for lost.
    lost: u64,
}

/// Sends in bursts or not; keeps the window full until `window` is over, then waits for what is under way.
///
/// # Errors
/// Nothing arrives at all, or the system refuses a call.
pub(super) fn run(
    source: &UdpSocket,
    sink: &UdpSocket,
    bursts: bool,
    window: Duration,
    relay: CpuClock,
) -> Result<Run, Failure> {
    sink.set_nonblocking(true)?;
    let (batch, packets) = (Batch::new(SINK.0, SINK.1), Batch::new(SEGMENTS, PACKET));
    let burst = bursts.then(|| vec![7; PACKET * SEGMENTS]);
    let mut generator =
        Generator { source, sink, burst, packets, batch, sent: 0, received: 0, lost: 0 };
    let limit = WINDOW.min((socket2::SockRef::from(sink).recv_buffer_size()? / PACKET_COST) as u64);
    generator.drive(limit, Instant::now() + WARM_UP)?;
    let mark = |generator: &Generator<'_>| Mark {
        time: Instant::now(),
        sent: generator.sent,
        received: generator.received,
        usage: relay.usage(),
    };
    let first = mark(&generator);
    let spare = generator.drive(limit, first.time + window)?;
    let last = mark(&generator);
    generator.drain()?;
    if last.received == first.received || last.sent == first.sent {
        return Err(Failure::Stalled(window));
    }
    Ok(Run { first, last, sent: generator.sent, received: generator.received, spare })
}

impl Generator<'_> {
    fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.lost)
    }

    /// Sends and receives until `end`; returns the time in which neither was possible.
    fn drive(&mut self, limit: u64, end: Instant) -> io::Result<Duration> {
        let mut now = Instant::now();
        let (mut latest, mut spare) = (now, Duration::ZERO);
        let mut filling = true;
        while now < end {
            // Refilling from one half keeps the relay busy in long stretches: one that falls
            // asleep after each burst would charge its wake-ups to the generator.
            filling = self.under_way() + if filling { SEGMENTS as u64 } else { limit / 2 } <= limit;
            let sent = filling && self.send()?;
            let arrived = self.receive()?;
            let then = std::mem::replace(&mut now, Instant::now());
            if arrived {
                latest = now;
            } else if !sent {
                spare += now - then;
            }
            if now - latest > LOST_AFTER {
                self.lost += self.under_way();
                latest = now;
            }
        }
        Ok(spare)
    }

    fn send(&mut self) -> io::Result<bool> {
        let sent = match &mut self.burst {
            Some(bytes) => send_burst(self.source, bytes, PACKET as u16).map(|()| SEGMENTS),
            None => self.packets.send_full(self.source),
        };
        match sent {
            Ok(packets) => self.sent += packets as u64,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn receive(&mut self) -> io::Result<bool> {
        // With MSG_TRUNC the length is the real one though the sink copies only the start.
        let count = match self.batch.receive(self.sink, libc::MSG_TRUNC) {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let packets = |message| self.batch.len(message).div_ceil(PACKET) as u64;
        self.received += (0..count).map(packets).sum::<u64>();
        Ok(true)
    }

    /// Receives what is under way until nothing has come for a while.
    fn drain(&mut self) -> io::Result<()> {
        let mut latest = Instant::now();
        while self.under_way() > 0 && latest.elapsed() < LOST_AFTER {
            if self.receive()? {
                latest = Instant::now();
            }
        }
        Ok(())
    }
}

/// Tells the relay to end; thrice, as a datagram may be lost.
///
/// # Errors
/// What the system says; a relay that is gone already is no error.
pub(super) fn stop(source: &UdpSocket) -> io::Result<()> {
    for _ in 0..3 {
        match source.send(&[0; STOP]) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
    Ok(())
}
