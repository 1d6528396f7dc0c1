//! What people use today: tokio, compio and mio, each in its plain documented way.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use super::{Job, RECEIVE_BUFFER, Received, Server, Wait, receive, send};
use crate::harness::Role;

/// The runtimes that count as peers.
pub(super) fn servers() -> Vec<Server> {
    vec![tokio(), Server { name: "compio", role: Role::Peer, serve: compio }]
}

/// The one that most use.
pub(super) fn tokio() -> Server {
    Server { name: "tokio", role: Role::Peer, serve: serve_tokio }
}

/// Keeps a runtime awake: a task that always yields, until the client has left.
async fn stay_awake(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        yield_once().await;
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn serve_tokio(job: Job) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        if job.wait == Wait::Spin {
            tokio::spawn(async move {
                while !job.stop.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            });
        }
        let spawn = |stream| Ok(tokio::spawn(tokio_echo(tokio::net::TcpStream::from_std(stream)?)));
        let tasks: Vec<_> = job.connections.into_iter().map(spawn).collect::<io::Result<_>>()?;
        let mut bytes = 0;
        for task in tasks {
            bytes += task.await?;
        }
        Ok(bytes)
    })
}

async fn tokio_echo(mut stream: tokio::net::TcpStream) -> u64 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut bytes = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        bytes += count as u64;
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    bytes
}

fn compio(job: Job) -> io::Result<u64> {
    let runtime = compio::runtime::Runtime::new()?;
    runtime.block_on(async {
        if job.wait == Wait::Spin {
            compio::runtime::spawn(stay_awake(job.stop)).detach();
        }
        let spawn = |stream| {
            Ok(compio::runtime::spawn(compio_echo(compio::net::TcpStream::from_std(stream)?)))
        };
        let tasks: Vec<_> = job.connections.into_iter().map(spawn).collect::<io::Result<_>>()?;
        let mut bytes = 0;
        for task in tasks {
            bytes += task.await.map_err(|_| io::Error::other("a task panicked"))?;
        }
        Ok(bytes)
    })
}

async fn compio_echo(mut stream: compio::net::TcpStream) -> u64 {
    use compio::{
        buf::{BufResult, IntoInner, IoBuf},
        io::{AsyncRead, AsyncWriteExt},
    };
    let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
    let mut bytes = 0;
    loop {
        buffer.clear();
        let BufResult(result, filled) = stream.read(buffer).await;
        let Ok(count @ 1..) = result else {
            return bytes;
        };
        bytes += count as u64;
        let BufResult(result, sent) = stream.write_all(filled.slice(..count)).await;
        if result.is_err() {
            return bytes;
        }
        buffer = sent.into_inner();
    }
}

/// mio as a bare loop would use it: edge-triggered, each event read until there is no more.
pub(super) fn mio(job: Job) -> io::Result<u64> {
    let mut poll = mio::Poll::new()?;
    let mut events = mio::Events::with_capacity(256);
    for (index, stream) in job.connections.iter().enumerate() {
        let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
        poll.registry().register(
            &mut mio::unix::SourceFd(&fd),
            mio::Token(index),
            mio::Interest::READABLE,
        )?;
    }
    let timeout = (job.wait == Wait::Spin).then_some(Duration::ZERO);
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let (mut open, mut bytes) = (job.connections.len(), 0);
    while open > 0 {
        poll.poll(&mut events, timeout)?;
        for event in &events {
            let stream = &job.connections[event.token().0];
            loop {
                match receive(stream, &mut buffer) {
                    Received::Nothing => break,
                    Received::Bytes(count) => {
                        bytes += count as u64;
                        send(stream, &buffer[..count])?;
                    }
                    Received::Closed => {
                        open -= 1;
                        break;
                    }
                }
            }
        }
    }
    Ok(bytes)
}
