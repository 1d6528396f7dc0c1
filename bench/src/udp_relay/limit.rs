//! The bare loop: one call receives a batch, one call sends it.

use std::io;

use super::{BATCH, Job, PACKET, STOP, batch::Batch, enable_gro};

/// Forwards until told to stop.
pub(super) fn forward(job: Job) -> io::Result<u64> {
    let size = if job.offload { 64 * 1024 } else { 2 * 1024 };
    if job.offload {
        enable_gro(&job.input)?;
    }
    let mut batch = Batch::new(BATCH, size);
    let mut packets = 0;
    loop {
        let count = batch.receive(&job.input, libc::MSG_WAITFORONE)?;
        let ended = (0..count).find(|&message| batch.len(message) == STOP);
        let count = ended.unwrap_or(count);
        packets +=
            (0..count).map(|message| batch.len(message).div_ceil(PACKET)).sum::<usize>() as u64;
        batch.send(&job.output, count)?;
        if ended.is_some() {
            return Ok(packets);
        }
    }
}
