//! A client of one-shot callbacks: each starts the next operation; some are cancelled.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use futures::channel::oneshot;
use socket2::SockAddr;
use tautline_runtime::{Descriptor, Error, Pending, timer};

use super::echo::Echo;
use super::socket;

/// A session between two callbacks.
struct Talk {
    echo: Rc<Echo>,
    stream: Descriptor,
    tell: RefCell<Option<oneshot::Sender<io::Result<()>>>>,
}

pub(super) async fn session(echo: &Rc<Echo>, address: &SockAddr) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    let (echo, stream, tell) = (echo.clone(), socket()?, RefCell::new(Some(tell)));
    let talk = Rc::new(Talk { echo, stream, tell });
    let connect = talk.stream.connect(address.clone());
    talk.expect();
    let connected = talk.clone();
    drop(talk);
    connect.then(move |result| {
        connected.called();
        match result {
            Ok(()) => {
                send(connected.clone());
                receive(connected);
            }
            Err(error) => connected.settle(Err(error)),
        }
    });
    told.await.unwrap_or(Err(io::ErrorKind::NotConnected.into()))
}

impl Talk {
    /// A callback was given away.
    fn expect(&self) {
        let awaited = &self.echo.scene.awaited;
        awaited.set(awaited.get() + 1);
    }

    /// And was called.
    fn called(&self) {
        let awaited = &self.echo.scene.awaited;
        awaited.set(awaited.get() - 1);
    }

    fn settle(&self, result: io::Result<()>) {
        if let Some(tell) = self.tell.borrow_mut().take() {
            drop(tell.send(result));
        }
        // The other direction is not waited for.
        self.stream.conn().close();
    }

    fn sometimes_cancel(&self, pending: Pending) {
        let scene = &self.echo.scene;
        match scene.draw(0..6) {
            0 => pending.cancel(),
            1 => drop(timer::after(scene.moment(), move || pending.cancel())),
            _ => {}
        }
    }
}

fn send(talk: Rc<Talk>) {
    let chunk = talk.echo.chunk();
    if chunk.is_empty() {
        if let Err(error) = talk.stream.shutdown(Shutdown::Write) {
            talk.settle(Err(error));
        }
        return;
    }
    let write = talk.stream.write_all(chunk);
    talk.expect();
    write.then(move |(result, _)| {
        talk.called();
        match result {
            Ok(n) => {
                talk.echo.advance(n);
                send(talk);
            }
            Err(error) => talk.settle(Err(error)),
        }
    });
}

fn receive(talk: Rc<Talk>) {
    let scene = &talk.echo.scene;
    let len = scene.draw(1..700);
    let missing = talk.echo.missing();
    let next = talk.clone();
    talk.expect();
    let done = move |(result, buf)| {
        next.called();
        received(next, result, buf);
    };
    let pending = match missing > 0 && scene.one_in(3) {
        true => talk.stream.read_exact(vec![0; len.min(missing)]).then(done),
        false => talk.stream.read(vec![0; len]).then(done),
    };
    talk.sometimes_cancel(pending);
}

fn received(talk: Rc<Talk>, result: io::Result<usize>, buf: Vec<u8>) {
    match result {
        Ok(0) => talk.settle(talk.echo.end()),
        Ok(n) => match talk.echo.take(&buf[..n]) {
            Ok(()) => receive(talk),
            Err(error) => talk.settle(Err(error)),
        },
        Err(error) if matches!(Error::of(&error), Some(Error::Cancelled)) => receive(talk),
        Err(error) => talk.settle(Err(error)),
    }
}
