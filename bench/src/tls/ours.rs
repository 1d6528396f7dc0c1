//! Tautline's TLS streams, in their default configuration but for the way to wait.

use std::cell::Cell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tautline_net::tls::{Acceptor, Identity};
use tautline_net::{TcpListener, TcpStream};
use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode, task};

use super::certificate;
use crate::harness::Role;
use crate::http::Server;

pub(super) fn server() -> Server {
    let serve = |listener, stop| serve(DriverChoice::Auto, listener, &stop);
    Server { name: "tautline", role: Role::Tautline, serve }
}

pub(super) fn epoll() -> Server {
    let serve = |listener, stop| serve(DriverChoice::Readiness, listener, &stop);
    Server { name: "tautline-epoll", role: Role::Variant, serve }
}

fn serve(driver: DriverChoice, listener: StdListener, stop: &Arc<AtomicBool>) -> io::Result<u64> {
    let config = Config { driver, wait: WaitMode::Spin, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let made = certificate();
    let identity = Identity::from_pem(made.chain.clone(), made.key.clone());
    let acceptor = Acceptor::builder().identity(identity).build()?;
    let listener = TcpListener::from_descriptor(Descriptor::new(listener.into())?);
    let echoed = Rc::new(Cell::new(0));
    let counts = echoed.clone();
    listener.on_accept(move |stream: TcpStream| {
        let (acceptor, counts) = (acceptor.clone(), counts.clone());
        let _ = stream.set_nodelay(true);
        let _ = task::spawn(async move {
            let stream = acceptor.accept(stream.into_descriptor()).await?;
            stream.on_data(move |conn, bytes| {
                counts.set(counts.get() + bytes.len() as u64);
                conn.write(bytes)
            })
        });
    })?;
    runtime.run_until(|| stop.load(Ordering::Relaxed)).map_err(io::Error::other)?;
    Ok(echoed.get())
}
