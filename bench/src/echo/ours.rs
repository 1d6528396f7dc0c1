//! Tautline as an echo server.

use std::{cell::Cell, io, net::TcpStream, rc::Rc};

use tautline_runtime::{
    Config, Descriptor, DriverChoice, Error, Runtime, WaitMode,
    fiber::{self, Stack},
    stop, task,
};

use super::{Job, RECEIVE_BUFFER, Server, Wait};
use crate::harness::Role;

/// Our servers: the default configuration as [`Role::Tautline`],
/// other drivers and faces as variants.
pub(super) fn servers() -> Vec<Server> {
    let variant = |name, serve| Server { name, role: Role::Variant, serve };
    vec![
        Server { name: "tautline", role: Role::Tautline, serve: default_callbacks },
        variant("tautline-epoll", epoll_callbacks),
        variant("tautline-async", default_async),
        variant("tautline-async-epoll", epoll_async),
    ]
}

/// The default configuration and its way to wait: it spins for a while before it sleeps.
pub(super) fn warm() -> Server {
    Server { name: "tautline-warm", role: Role::Variant, serve: warm_callbacks }
}

/// The faces beside that of fibers: callbacks are what that is held against.
pub(super) fn faces() -> Vec<Server> {
    vec![
        Server { name: "tautline", role: Role::Tautline, serve: default_fibers },
        Server { name: "callbacks", role: Role::Limit, serve: default_callbacks },
        Server { name: "tautline-async", role: Role::Variant, serve: default_async },
        Server { name: "tautline-epoll", role: Role::Variant, serve: epoll_fibers },
        Server { name: "callbacks-epoll", role: Role::Variant, serve: epoll_callbacks },
    ]
}

fn default_callbacks(job: Job) -> io::Result<u64> {
    callbacks(DriverChoice::Auto, job)
}

fn warm_callbacks(job: Job) -> io::Result<u64> {
    let runtime = Runtime::new(Config::default()).map_err(io::Error::other)?;
    echo_by_callbacks(&runtime, job)
}

fn epoll_callbacks(job: Job) -> io::Result<u64> {
    callbacks(DriverChoice::Readiness, job)
}

fn default_async(job: Job) -> io::Result<u64> {
    tasks(DriverChoice::Auto, job)
}

fn epoll_async(job: Job) -> io::Result<u64> {
    tasks(DriverChoice::Readiness, job)
}

fn default_fibers(job: Job) -> io::Result<u64> {
    fibers(DriverChoice::Auto, job)
}

fn epoll_fibers(job: Job) -> io::Result<u64> {
    fibers(DriverChoice::Readiness, job)
}

/// The default configuration but for the way to wait, which the row names.
fn runtime(driver: DriverChoice, wait: Wait) -> io::Result<Runtime> {
    let wait = match wait {
        Wait::Spin => WaitMode::Spin,
        Wait::Sleep => WaitMode::Sleep,
    };
    let config = Config { driver, wait, ..Config::default() };
    assert_eq!(config.receive_buffer_size, RECEIVE_BUFFER, "everybody has the same buffers");
    Runtime::new(config).map_err(io::Error::other)
}

fn callbacks(driver: DriverChoice, job: Job) -> io::Result<u64> {
    echo_by_callbacks(&runtime(driver, job.wait)?, job)
}

/// Persistent handlers: `stream.write(bytes)` on what was received.
fn echo_by_callbacks(runtime: &Runtime, job: Job) -> io::Result<u64> {
    let echoed = Rc::new(Cell::new(0));
    let open = Rc::new(Cell::new(job.connections.len()));
    for stream in job.connections {
        let (echoed, open) = (Rc::clone(&echoed), Rc::clone(&open));
        let conn = Descriptor::new(stream.into())?.on_data(move |stream, bytes| {
            echoed.set(echoed.get() + bytes.len() as u64);
            stream.write(bytes)
        })?;
        conn.on_close(move |_, _| {
            open.set(open.get() - 1);
            if open.get() == 0 {
                let _ = stop();
            }
        });
    }
    runtime.run().map_err(io::Error::other)?;
    Ok(echoed.get())
}

/// A task a connection, over the poll-based calls that the ecosystem's traits use.
fn tasks(driver: DriverChoice, job: Job) -> io::Result<u64> {
    let runtime = runtime(driver, job.wait)?;
    let echo = async {
        let started: Result<Vec<_>, _> =
            job.connections.into_iter().map(|stream| task::spawn(echo(stream))).collect();
        let mut total = 0;
        for handle in started.map_err(io::Error::other)? {
            total += handle.await.map_err(|error| io::Error::other(error.to_string()))??;
        }
        Ok(total)
    };
    runtime.block_on(echo).map_err(io::Error::other)?
}

async fn echo(stream: TcpStream) -> io::Result<u64> {
    let stream = Descriptor::new(stream.into())?;
    let mut buf = vec![0; RECEIVE_BUFFER];
    let mut total = 0;
    loop {
        let read = std::future::poll_fn(|cx| stream.poll_read(cx, &mut buf)).await;
        let count = match read {
            Ok(0) => return Ok(total),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(total),
            other => other?,
        };
        let mut sent = 0;
        while sent < count {
            let rest = &buf[sent..count];
            sent += std::future::poll_fn(|cx| stream.poll_write(cx, rest)).await?;
        }
        total += count as u64;
    }
}

/// A fiber a connection, which reads into a buffer that it borrows.
fn fibers(driver: DriverChoice, job: Job) -> io::Result<u64> {
    let runtime = runtime(driver, job.wait)?;
    let main = move || {
        let spawn = |stream| fiber::spawn(Stack::Small, move || echo_blocking(stream));
        let started: Result<Vec<_>, Error> = job.connections.into_iter().map(spawn).collect();
        let mut total = 0;
        for handle in started? {
            total += handle.join().map_err(|error| io::Error::other(error.to_string()))??;
        }
        Ok(total)
    };
    runtime.run_fiber(Stack::Small, main).map_err(io::Error::other)?
}

fn echo_blocking(stream: TcpStream) -> io::Result<u64> {
    let stream = Descriptor::new(stream.into())?;
    let stream = stream.blocking();
    let mut buf = vec![0; RECEIVE_BUFFER];
    let mut total = 0;
    loop {
        let count = match stream.read(&mut buf) {
            Ok(0) => return Ok(total),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(total),
            other => other?,
        };
        stream.write_all(&buf[..count])?;
        total += count as u64;
    }
}
