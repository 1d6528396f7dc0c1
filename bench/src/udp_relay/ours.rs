//! Tautline as a relay of datagrams.

use std::{cell::Cell, io, rc::Rc};

use tautline_runtime::{
    Batch, Config, Conn, Descriptor, Drained, Runtime, SocketOption, To, WaitMode, stop,
};

use super::{BATCH, Job, PACKET, Relay, STOP};
use crate::harness::Role;

/// Our relays: the default configuration as [`Role::Tautline`].
/// It sleeps when there is nothing to do, so that its processor time is that of its work.
pub(super) fn relays() -> Vec<Relay> {
    vec![Relay { name: "tautline", role: Role::Tautline, forward }]
}

fn forward(job: Job) -> io::Result<u64> {
    let config = Config { wait: WaitMode::Sleep, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let size = if job.offload { 64 * 1024 } else { 2 * 1024 };
    let input = Descriptor::new(job.input.into())?;
    if job.offload {
        input.set_option(SocketOption::ReceiveOffload(true))?;
    }
    let output = Descriptor::new(job.output.into())?.into_conn();
    let packets = Rc::new(Cell::new(0));
    let mut relay = Forwarding { batch: Batch::new(BATCH, size), output, packets: packets.clone() };
    input.on_readable(move |input| relay.one_batch(input))?;
    runtime.run().map_err(io::Error::other)?;
    Ok(packets.get())
}

struct Forwarding {
    batch: Batch,
    output: Conn,
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
            match self.batch.send(&self.output, sent, To::Peer) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
