//! A client of persistent handlers: it writes as much as is taken, goes on when there
//! is room, and pauses by chance.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use futures::channel::oneshot;
use socket2::SockAddr;
use tautline_runtime::{Conn, Descriptor, timer};

use super::echo::Echo;
use super::socket;

type Told = oneshot::Sender<io::Result<()>>;

pub(super) async fn session(echo: &Rc<Echo>, address: &SockAddr) -> io::Result<()> {
    let stream = socket()?;
    let (tell, told) = oneshot::channel();
    let echo = echo.clone();
    stream.connect(address.clone()).then(move |result| {
        let told = Rc::new(RefCell::new(Some(tell)));
        if let Err(error) = result.and_then(|()| converse(stream, &echo, &told)) {
            settle(&told, Err(error));
        }
    });
    told.await.unwrap_or(Err(io::ErrorKind::NotConnected.into()))
}

fn settle(told: &Rc<RefCell<Option<Told>>>, result: io::Result<()>) {
    if let Some(tell) = told.borrow_mut().take() {
        drop(tell.send(result));
    }
}

fn converse(
    stream: Descriptor,
    echo: &Rc<Echo>,
    told: &Rc<RefCell<Option<Told>>>,
) -> io::Result<()> {
    stream.conn().set_write_limit(echo.scene.draw(1..2048));
    let (on_data, on_room, on_end) = (echo.clone(), echo.clone(), echo.clone());
    let conn = stream.on_data(move |conn, bytes| receive(&on_data, conn, bytes))?;
    let told = told.clone();
    conn.on_writable(move |conn| feed(&on_room, conn))
        .on_close(move |_, result| settle(&told, result.and_then(|()| on_end.end())));
    feed(echo, &conn)
}

fn receive(echo: &Echo, conn: &Conn, bytes: &[u8]) -> io::Result<()> {
    echo.take(bytes)?;
    if echo.scene.one_in(4) {
        conn.pause();
        let conn = conn.clone();
        let resume = move || drop(conn.resume());
        timer::after(echo.scene.moment(), resume).map_err(io::Error::from)?;
    }
    Ok(())
}

/// Writes what is taken; after the last byte the sending side ends.
fn feed(echo: &Echo, conn: &Conn) -> io::Result<()> {
    loop {
        let chunk = echo.chunk();
        if chunk.is_empty() {
            return conn.shutdown_write();
        }
        let now = echo.scene.one_in(4);
        let taken = if now { conn.write_now(&chunk)? } else { conn.write(&chunk)? };
        echo.advance(taken);
        if taken < chunk.len() {
            return Ok(());
        }
    }
}
