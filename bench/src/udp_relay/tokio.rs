//! tokio in its plain way: receive one, send one.

use std::io;

use super::{Job, STOP};

/// Forwards until told to stop.
pub(super) fn forward(job: Job) -> io::Result<u64> {
    job.input.set_nonblocking(true)?;
    job.output.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    job.is_ready();
    runtime.block_on(async {
        let target = job.to;
        let input = tokio::net::UdpSocket::from_std(job.input)?;
        let output = tokio::net::UdpSocket::from_std(job.output)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut packets = 0;
        loop {
            let (length, _) = input.recv_from(&mut buffer).await?;
            if length == STOP {
                return Ok(packets);
            }
            output.send_to(&buffer[..length], target).await?;
            packets += 1;
        }
    })
}
