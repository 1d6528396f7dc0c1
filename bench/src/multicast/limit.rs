//! The bare loops: a call that does not wait on each socket in turn.

use std::io::{self, ErrorKind};

use super::{
    BATCH, Job, Watcher,
    batch::{Batch, Call},
    sockets::joined,
};

/// Receives by `recvmmsg`, spinning.
pub(super) fn receive<W: Watcher>(job: Job<W>) -> io::Result<()> {
    spin(job, Batch::receive)
}

/// Receives one by one, spinning: the quickest where there is never more than one.
pub(super) fn receive_one<W: Watcher>(job: Job<W>) -> io::Result<()> {
    spin(job, Batch::receive_one)
}

fn spin<W: Watcher>(mut job: Job<W>, call: Call) -> io::Result<()> {
    let groups = job.groups.iter();
    let sockets =
        groups.map(|&group| joined(group, job.details)).collect::<io::Result<Vec<_>>>()?;
    let mut batch = Batch::new(BATCH, job.details);
    let mut goes_on = job.is_ready();
    while goes_on {
        for socket in &sockets {
            let count = match call(&mut batch, socket) {
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
