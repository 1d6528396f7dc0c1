//! Tautline as a relay of datagrams: the relay itself, and a handler that sends on what it gets.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::atomic::Ordering,
};

use socket2::SockAddr;
use tautline_relay::{HostConfig, RelayConfig, run_until};
use tautline_runtime::{
    Batch, Config, Conn, Descriptor, Drained, Runtime, SocketOption, To, WaitMode, stop,
};

use super::{BATCH, Job, PACKET, Relay, SOCKET_BUFFER, STOP};
use crate::harness::Role;

/// Packet slots that the program's relay has by default.
const SLOTS: usize = 8192;

/// Our relays: that of `tautline relay`, embedded, as [`Role::Tautline`].
/// They sleep when there is nothing to do, so that their processor time is that of their work.
pub(super) fn relays() -> Vec<Relay> {
    vec![
        Relay { name: "tautline", role: Role::Tautline, forward: relay },
        Relay { name: "runtime-batch", role: Role::Variant, forward },
    ]
}

/// The relay in its default configuration, between the job's addresses.
fn relay(job: Job) -> io::Result<u64> {
    let (from, to) = (job.input.local_addr()?, job.to);
    let url = |address| format!("udp://{address}?buffer={SOCKET_BUFFER}");
    let config = RelayConfig {
        from: url(from).parse().map_err(io::Error::other)?,
        to: vec![url(to).parse().map_err(io::Error::other)?],
        run_for: None,
        host: HostConfig::default(),
        slots: SLOTS,
    };
    // The relay opens sockets of its own.
    let Job { input, output, ready, ended, .. } = job;
    drop((input, output));
    let ready = RefCell::new(Some(ready));
    let summary =
        run_until(&config, &mut |_| drop(ready.take()), &mut || ended.load(Ordering::Relaxed));
    let summary = summary.map_err(io::Error::other)?;
    Ok(summary.endpoints[1].rates.packets)
}

/// The runtime's batches, sent on as they were received: no slots, queues, policies or counters.
fn forward(job: Job) -> io::Result<u64> {
    let config = Config { wait: WaitMode::Sleep, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let size = if job.offload { 64 * 1024 } else { 2 * 1024 };
    job.is_ready();
    let input = Descriptor::new(job.input.into())?;
    if job.offload {
        input.set_option(SocketOption::ReceiveOffload(true))?;
    }
    let output = Descriptor::new(job.output.into())?.into_conn();
    let packets = Rc::new(Cell::new(0));
    let (batch, to) = (Batch::new(BATCH, size), job.to.into());
    let mut relay = Forwarding { batch, output, to, packets: packets.clone() };
    input.on_readable(move |input| relay.one_batch(input))?;
    runtime.run().map_err(io::Error::other)?;
    Ok(packets.get())
}

struct Forwarding {
    batch: Batch,
    output: Conn,
    to: SockAddr,
    packets: Rc<Cell<u64>>,
}

impl Forwarding {
    fn one_batch(&mut self, input: &Conn) -> io::Result<Drained> {
        match self.batch.receive(input) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Drained::Yes),
            Err(error) => return Err(error),
        }
        let mut ended = false;
        for packet in self.batch.iter() {
            ended |= packet.bytes.len() == STOP;
            let count = packet.bytes.len().div_ceil(PACKET) as u64;
            self.packets.set(self.packets.get() + if ended { 0 } else { count });
        }
        if ended {
            let _ = stop();
            return Ok(Drained::Yes);
        }
        self.send_all()?;
        Ok(Drained::No)
    }

    /// Sends the whole batch; the sink reads as fast as we send, so a full socket is rare.
    fn send_all(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.batch.len() {
            match self.batch.send(&self.output, sent, To::All(&self.to)) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
