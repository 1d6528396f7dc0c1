//! The bare loops as servers.

use std::io;

use super::{EchoAll, Job, RECEIVE_BUFFER, Serve, Server, epoll, ring, spin};
use crate::harness::Role;

/// A non-blocking receive on every connection in turn.
pub(super) const SPIN: Serve = |job| serve(|end| spin::run(job.connections, end));
/// Plain epoll.
pub(super) const EPOLL: Serve = |job: Job| serve(|end| epoll::run(&job.connections, job.wait, end));
/// io_uring by hand: multishot receive from a buffer ring, sends through the ring in batches.
pub(super) const RING: Serve =
    |job: Job| serve(|end| ring::run(&job.connections, job.wait, ring::Send::Batched, end));
/// io_uring by hand: multishot receive, and a plain send at once.
pub(super) const RING_DIRECT: Serve =
    |job: Job| serve(|end| ring::run(&job.connections, job.wait, ring::Send::Direct, end));

/// A bare loop under a name and in a role.
pub(super) fn server(name: &'static str, role: Role, serve: Serve) -> Server {
    const { assert!(RECEIVE_BUFFER.is_power_of_two()) };
    Server { name, role, serve }
}

fn serve(run: impl FnOnce(&mut EchoAll) -> io::Result<()>) -> io::Result<u64> {
    let mut end = EchoAll::default();
    run(&mut end)?;
    Ok(end.bytes)
}
