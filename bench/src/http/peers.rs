//! `hyper` on tokio, as its documentation has it; answers to pipelined requests leave together, as ours do.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{BODY, Server};
use crate::harness::Role;

pub(super) fn h1() -> Server {
    Server {
        name: "hyper-tokio",
        role: Role::Peer,
        serve: |listener, stop| serve(listener, &stop, false),
    }
}

pub(super) fn h2() -> Server {
    Server {
        name: "hyper-tokio",
        role: Role::Peer,
        serve: |listener, stop| serve(listener, &stop, true),
    }
}

/// Streams are tasks of the same thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A task for each connection on tokio's own loop, which a task that always yields keeps awake.
fn serve(listener: StdListener, stop: &Arc<AtomicBool>, is_h2: bool) -> io::Result<u64> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = Rc::new(Cell::new(0));
    let counts = answered.clone();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener)?;
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(answer(TokioIo::new(stream), counts.clone(), is_h2));
            }
        });
        while !stop.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(answered.get())
    })
}

async fn answer(io: TokioIo<tokio::net::TcpStream>, counts: Rc<Cell<u64>>, is_h2: bool) {
    let hello = service_fn(move |_: Request<Incoming>| {
        counts.set(counts.get() + 1);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY)))) }
    });
    // Whoever leaves at the end of a slice does so without a farewell.
    let _ = match is_h2 {
        false => http1::Builder::new().pipeline_flush(true).serve_connection(io, hello).await,
        true => http2::Builder::new(Local).serve_connection(io, hello).await,
    };
}
