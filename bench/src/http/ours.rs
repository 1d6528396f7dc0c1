//! Tautline as an HTTP server, in its default configuration but for the way to wait.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tautline_http::{Body, Bytes, Full, Request, Response, Server as Http, service_fn};
use tautline_net::TcpListener;
use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode};

use super::{BODY, Server};
use crate::harness::Role;

pub(super) fn servers() -> Vec<Server> {
    vec![
        Server {
            name: "tautline",
            role: Role::Tautline,
            serve: |to, stop| serve(DriverChoice::Auto, to, &stop),
        },
        Server {
            name: "tautline-epoll",
            role: Role::Variant,
            serve: |to, stop| serve(DriverChoice::Readiness, to, &stop),
        },
    ]
}

fn serve(driver: DriverChoice, listener: StdListener, stop: &Arc<AtomicBool>) -> io::Result<u64> {
    let config = Config { driver, wait: WaitMode::Spin, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let listener = TcpListener::from_descriptor(Descriptor::new(listener.into())?);
    let answered = Rc::new(Cell::new(0));
    let counts = answered.clone();
    let hello = service_fn(move |_: Request<Body>| {
        counts.set(counts.get() + 1);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY)))) }
    });
    Http::new().serve(listener, hello)?;
    runtime.run_until(|| stop.load(Ordering::Relaxed)).map_err(io::Error::other)?;
    Ok(answered.get())
}
