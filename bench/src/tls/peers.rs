//! `tokio-rustls`, as its documentation has it.

use std::cell::Cell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificate;
use crate::harness::Role;
use crate::http::Server;

pub(super) fn tokio_rustls() -> Server {
    Server { name: "tokio-rustls", role: Role::Peer, serve }
}

/// A task for each connection on tokio's own loop, which a task that always yields keeps awake.
fn serve(listener: StdListener, stop: Arc<AtomicBool>) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let echoed = Rc::new(Cell::new(0));
    let counts = echoed.clone();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener)?;
        let acceptor = TlsAcceptor::from(certificate().server.clone());
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(echo(acceptor.clone(), stream, counts.clone()));
            }
        });
        while !stop.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(echoed.get())
    })
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream, counts: Rc<Cell<u64>>) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
        counts.set(counts.get() + count as u64);
    }
}
