//! The bare loop: a call that does not wait on each socket in turn.

use std::io::{self, ErrorKind};

use super::{BATCH, Job, Watcher, batch::Batch, sockets::joined};

/// Receives by `recvmmsg`, spinning.
pub(super) fn receive<W: Watcher>(mut job: Job<W>) -> io::Result<()> {
    let groups = job.groups.iter();
    let sockets =
        groups.map(|&group| joined(group, job.details)).collect::<io::Result<Vec<_>>>()?;
    let mut batch = Batch::new(BATCH, job.details);
    let mut goes_on = job.is_ready();
    while goes_on {
        for socket in &sockets {
            let count = match batch.receive(socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                other => other?,
            };
            goes_on = (0..count).all(|at| job.watcher.take(batch.seen(at)));
            if !goes_on {
                break;
            }
        }
    }
    Ok(())
}
