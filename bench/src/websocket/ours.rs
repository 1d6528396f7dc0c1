//! Tautline as a WebSocket echo server.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode, stop, task};
use tautline_websocket::deflate::{self, Offer};
use tautline_websocket::handshake::Extension;
use tautline_websocket::read::Event;
use tautline_websocket::{Options, Role as End, Stock, WebSocket};

use super::Server;
use crate::echo::{Job, Wait};
use crate::harness::Role;

pub(super) fn servers() -> Vec<Server> {
    let variant = |name, serve| Server { name, role: Role::Variant, serve };
    vec![
        Server { name: "tautline", role: Role::Tautline, serve: callbacks },
        variant("tautline-epoll", callbacks_epoll),
        variant("tautline-async", tasks),
    ]
}

/// The same with compression agreed on.
pub(super) fn deflating() -> Server {
    Server { name: "tautline-deflate", role: Role::Variant, serve: callbacks_deflating }
}

/// The default configuration but for the way to wait, which is that of all.
fn runtime(driver: DriverChoice, wait: Wait) -> io::Result<Runtime> {
    let wait = match wait {
        Wait::Spin => WaitMode::Spin,
        Wait::Sleep => WaitMode::Sleep,
    };
    Runtime::new(Config { driver, wait, ..Config::default() }).map_err(io::Error::other)
}

fn callbacks(job: Job) -> io::Result<u64> {
    by_callbacks(&runtime(DriverChoice::Auto, job.wait)?, job, None)
}

fn callbacks_deflating(job: Job) -> io::Result<u64> {
    by_callbacks(&runtime(DriverChoice::Auto, job.wait)?, job, Some(deflate::Config::default()))
}

fn callbacks_epoll(job: Job) -> io::Result<u64> {
    by_callbacks(&runtime(DriverChoice::Readiness, job.wait)?, job, None)
}

fn by_callbacks(runtime: &Runtime, job: Job, deflate: Option<deflate::Config>) -> io::Result<u64> {
    let echoed = Rc::new(Cell::new(0));
    let open = Rc::new(Cell::new(job.connections.len()));
    let options = Options { deflate, ..Options::default() };
    let stock = Stock::new(&options);
    let offer = [Extension { name: Offer::NAME, params: Vec::new() }];
    let agreed = deflate.and_then(|config| config.accept(&offer));
    for stream in job.connections {
        let (echoed, open) = (Rc::clone(&echoed), Rc::clone(&open));
        let stream = Descriptor::new(stream.into())?;
        let socket = WebSocket::over(stream, End::Server, options, &stock, b"")?;
        let socket = match &agreed {
            Some(agreed) => socket.deflated(agreed),
            None => socket,
        };
        let sender = socket.on_message(move |sender, message| {
            echoed.set(echoed.get() + 1);
            sender.send(message)
        })?;
        sender.on_close(move |_| {
            open.set(open.get() - 1);
            if open.get() == 0 {
                let _ = stop();
            }
        });
    }
    runtime.run().map_err(io::Error::other)?;
    Ok(echoed.get())
}

fn tasks(job: Job) -> io::Result<u64> {
    let runtime = runtime(DriverChoice::Auto, job.wait)?;
    let options = Options::default();
    let stock = Stock::new(&options);
    let serve = async {
        let mut tasks = Vec::new();
        for stream in job.connections {
            let stream = Descriptor::new(stream.into())?;
            let socket = WebSocket::over(stream, End::Server, options, &stock, b"")?;
            tasks.push(task::spawn(echo(socket)).map_err(io::Error::other)?);
        }
        let mut echoed = 0;
        for task in tasks {
            echoed += task.await.map_err(|error| io::Error::other(error.to_string()))?;
        }
        io::Result::Ok(echoed)
    };
    runtime.block_on(serve).map_err(io::Error::other)?
}

async fn echo(mut socket: WebSocket) -> u64 {
    let sender = socket.sender();
    let mut echoed = 0;
    while let Ok(Some(event)) = socket.read().await {
        if let Event::Binary(bytes) = event {
            echoed += u64::from(sender.send(bytes).is_ok());
        }
    }
    echoed
}
