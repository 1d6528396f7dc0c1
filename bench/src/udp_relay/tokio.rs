//! tokio with the same batches and offloads: it waits for readiness, the calls are the bare loop's.

use std::io;

use ::tokio::{io::Interest, net::UdpSocket, runtime::Builder};

use super::{BATCH, Job, PACKET, STOP, batch::Batch, enable_gro};

/// Forwards until told to stop.
pub(super) fn forward(job: Job) -> io::Result<u64> {
    enable_gro(&job.input)?;
    job.input.set_nonblocking(true)?;
    job.output.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    job.is_ready();
    runtime.block_on(relay(job))
}

async fn relay(job: Job) -> io::Result<u64> {
    // tokio waits for one handle of each socket, the calls are made on the other.
    let input = UdpSocket::from_std(job.input.try_clone()?)?;
    let output = UdpSocket::from_std(job.output.try_clone()?)?;
    let (mut batch, to, mut packets) = (Batch::new(BATCH, 64 * 1024), job.to.into(), 0);
    loop {
        let receive = || batch.receive(&job.input, 0);
        let count = input.async_io(Interest::READABLE, receive).await?;
        let ended = (0..count).find(|&message| batch.len(message) == STOP);
        let count = ended.unwrap_or(count);
        packets +=
            (0..count).map(|message| batch.len(message).div_ceil(PACKET)).sum::<usize>() as u64;
        // Loopback hands each datagram on at once, so that the socket never fills.
        let send = || batch.send(&job.output, &to, count, true);
        output.async_io(Interest::WRITABLE, send).await?;
        if ended.is_some() {
            return Ok(packets);
        }
    }
}
