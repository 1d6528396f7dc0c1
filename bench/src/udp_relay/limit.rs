//! The bare loop: one call receives a batch, one call sends it.

use std::io;

use super::{BATCH, Job, PACKET, STOP, batch::Batch, enable_gro};

/// Forwards what was received as it is.
pub(super) fn forward(job: Job) -> io::Result<u64> {
    let size = if job.offload { 64 * 1024 } else { 2 * 1024 };
    if job.offload {
        enable_gro(&job.input)?;
    }
    run(&job, Batch::new(BATCH, size), false)
}

/// Forwards with the offloads that our relay has by default: what the kernel can join it joins, on
/// both ways.
pub(super) fn forward_joined(job: Job) -> io::Result<u64> {
    enable_gro(&job.input)?;
    run(&job, Batch::new(BATCH, 64 * 1024), true)
}

/// Forwards until told to stop.
fn run(job: &Job, mut batch: Batch, join: bool) -> io::Result<u64> {
    job.is_ready();
    let (to, mut packets) = (job.to.into(), 0);
    loop {
        let count = batch.receive(&job.input, libc::MSG_WAITFORONE)?;
        let ended = (0..count).find(|&message| batch.len(message) == STOP);
        let count = ended.unwrap_or(count);
        packets +=
            (0..count).map(|message| batch.len(message).div_ceil(PACKET)).sum::<usize>() as u64;
        batch.send(&job.output, &to, count, join)?;
        if ended.is_some() {
            return Ok(packets);
        }
    }
}
