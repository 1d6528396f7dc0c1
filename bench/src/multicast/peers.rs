//! tokio and mio: one datagram a call, as they offer it, or with the calls of the bare loop.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    net::UdpSocket,
    os::fd::AsRawFd,
    rc::Rc,
    time::Duration,
};

use mio::unix::SourceFd;

use super::{
    BATCH, Job, Receiver, Watcher,
    batch::{Batch, Call},
    sockets::joined,
};
use crate::harness::Role;

pub(super) fn receivers<W: Watcher>() -> Vec<Receiver<W>> {
    let peer = |name, receive| Receiver { name, role: Role::Peer, receive };
    vec![
        peer("tokio", |job| tokio_with(job, Batch::receive_one)),
        peer("mio", |job| mio_with(job, Batch::receive_one)),
        peer("tokio-recvmmsg", |job| tokio_with(job, Batch::receive)),
        peer("mio-recvmmsg", |job| mio_with(job, Batch::receive)),
    ]
}

fn open_all<W>(job: &Job<W>) -> io::Result<Vec<UdpSocket>> {
    job.groups.iter().map(|&group| joined(group, job.details)).collect()
}

/// A task for each socket.
fn tokio_with<W: Watcher>(mut job: Job<W>, call: Call) -> io::Result<()> {
    let sockets = open_all(&job)?;
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = ::tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let sockets = sockets.into_iter().map(::tokio::net::UdpSocket::from_std);
        let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        if !job.is_ready() {
            return Ok(());
        }
        let (watcher, details) = (Rc::new(RefCell::new(job.watcher)), job.details);
        let end = Rc::new(::tokio::sync::Notify::new());
        if job.spin {
            // A task that always yields keeps the runtime awake.
            ::tokio::task::spawn_local(async {
                loop {
                    ::tokio::task::yield_now().await;
                }
            });
        }
        for socket in sockets {
            let (watcher, end) = (watcher.clone(), end.clone());
            ::tokio::task::spawn_local(async move {
                let ended = tokio_takes(&socket, Batch::new(BATCH, details), call, &watcher).await;
                end.notify_one();
                ended
            });
        }
        end.notified().await;
        Ok(())
    })
}

async fn tokio_takes<W: Watcher>(
    socket: &::tokio::net::UdpSocket,
    mut batch: Batch,
    call: Call,
    watcher: &RefCell<W>,
) -> io::Result<()> {
    // tokio keeps the socket; the calls of the standard library are made on the same descriptor.
    let raw = socket2::SockRef::from(socket).try_clone()?.into();
    loop {
        let count =
            socket.async_io(::tokio::io::Interest::READABLE, || call(&mut batch, &raw)).await?;
        let mut watcher = watcher.borrow_mut();
        if !(0..count).all(|at| watcher.take(batch.seen(at))) {
            return Ok(());
        }
    }
}

/// Edge-triggered: each socket is read until there is no more.
fn mio_with<W: Watcher>(mut job: Job<W>, call: Call) -> io::Result<()> {
    let sockets = open_all(&job)?;
    let mut poll = mio::Poll::new()?;
    let mut events = mio::Events::with_capacity(64);
    for (index, socket) in sockets.iter().enumerate() {
        let (fd, token) = (socket.as_raw_fd(), mio::Token(index));
        poll.registry().register(&mut SourceFd(&fd), token, mio::Interest::READABLE)?;
    }
    let mut batch = Batch::new(BATCH, job.details);
    let mut goes_on = job.is_ready();
    while goes_on {
        poll.poll(&mut events, job.spin.then_some(Duration::ZERO))?;
        for event in &events {
            let socket = &sockets[event.token().0];
            while goes_on {
                let count = match call(&mut batch, socket) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    other => other?,
                };
                goes_on = (0..count).all(|at| job.watcher.take(batch.seen(at)));
            }
        }
    }
    Ok(())
}
