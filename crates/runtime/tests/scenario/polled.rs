//! A client whose task reads and writes by borrowed buffers.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockAddr;
use tautline_runtime::Descriptor;

use super::echo::Echo;
use super::socket;

pub(super) async fn session(echo: &Rc<Echo>, address: &SockAddr) -> io::Result<()> {
    let stream = socket()?;
    stream.connect(address.clone()).await?;
    stream.conn().set_write_limit(echo.scene.draw(1..2048));
    futures::try_join!(send(echo, &stream), receive(echo, &stream))?;
    Ok(())
}

async fn send(echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    loop {
        let chunk = echo.chunk();
        if chunk.is_empty() {
            break;
        }
        echo.advance(poll_fn(|cx| stream.poll_write(cx, &chunk)).await?);
        if echo.scene.one_in(4) {
            poll_fn(|cx| stream.poll_flush(cx)).await?;
        }
    }
    if echo.scene.one_in(2) {
        poll_fn(|cx| stream.poll_flush(cx)).await?;
    }
    stream.shutdown(Shutdown::Write)
}

async fn receive(echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    loop {
        let mut buf = vec![0; echo.scene.draw(1..700)];
        match poll_fn(|cx| stream.poll_read(cx, &mut buf)).await? {
            0 => return echo.end(),
            n => echo.take(&buf[..n])?,
        }
    }
}
