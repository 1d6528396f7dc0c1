//! A client of tasks and operations with owned buffers: reads and writes of every sort,
//! many of them given up on their way.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use futures::poll;
use socket2::SockAddr;
use tautline_runtime::{Descriptor, Error, IoBufMut, task};

use super::echo::Echo;
use super::socket;

pub(super) async fn session(echo: &Rc<Echo>, address: &SockAddr) -> io::Result<()> {
    let stream = socket()?;
    let connect = stream.connect(address.clone());
    match echo.scene.is_calm() || echo.scene.one_in(2) {
        true => connect.await?,
        false => connect.timeout(echo.scene.moment() * 50).await?,
    }
    futures::try_join!(send(echo, &stream), receive(echo, &stream))?;
    Ok(())
}

async fn send(echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    loop {
        let chunk = echo.chunk();
        if chunk.is_empty() {
            return stream.shutdown(Shutdown::Write);
        }
        let sent = send_some(echo, stream, chunk).await?;
        echo.advance(sent);
    }
}

/// Sends a chunk, or a part of it, in one of the ways there are.
async fn send_some(echo: &Echo, stream: &Descriptor, chunk: Vec<u8>) -> io::Result<usize> {
    match echo.scene.draw(0..8) {
        0 => stream.write(chunk).await.0,
        1 => stream.conn().write(&chunk),
        2 => poll_fn(|cx| stream.poll_write(cx, &chunk)).await,
        3 => {
            let half = chunk.len() / 2;
            stream.write_vectored(vec![chunk[..half].to_vec(), chunk[half..].to_vec()]).await.0
        }
        4 => given_up(stream, chunk).await,
        5 if !echo.scene.is_calm() => torn(echo, stream, chunk).await,
        _ => stream.write_all(chunk).await.0,
    }
}

/// A write that is dropped goes on in the background.
async fn given_up(stream: &Descriptor, chunk: Vec<u8>) -> io::Result<usize> {
    let len = chunk.len();
    let mut write = stream.write_all(chunk);
    match poll!(&mut write) {
        std::task::Poll::Ready((result, _)) => result,
        std::task::Poll::Pending => Ok(len),
    }
}

/// A write that times out has sent nothing, or the stream cannot be written to any more.
async fn torn(echo: &Echo, stream: &Descriptor, chunk: Vec<u8>) -> io::Result<usize> {
    let len = chunk.len();
    match stream.write_all(chunk).timeout(echo.scene.moment()).await.0 {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        other => return other,
    }
    let Err(error) = stream.conn().write(&[]) else { return Ok(0) };
    match Error::of(&error) {
        Some(&Error::WriteTorn { written, of }) if 0 < written && written < of && of == len => {}
        Some(Error::WriteTorn { .. }) => return Err(echo.complain(&error.to_string())),
        _ => {}
    }
    Err(error)
}

async fn receive(echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    while echo.missing() > 0 {
        receive_some(echo, stream).await?;
    }
    let (end, buf) = stream.read(vec![0; 16]).await;
    echo.take(&buf[..end?])?;
    echo.end()
}

/// Receives something in one of the ways there are, or gives it up.
async fn receive_some(echo: &Echo, stream: &Descriptor) -> io::Result<()> {
    let len = echo.scene.draw(1..700);
    let exact = len.min(echo.missing());
    let patience = echo.scene.moment();
    match echo.scene.draw(0..9) {
        0 => take_timed(echo, stream.read(vec![0; len]).timeout(patience).await),
        1 => take_timed(echo, stream.read_exact(vec![0; exact]).timeout(patience).await),
        2 => drop_after(echo, stream.read(vec![0; len])).await,
        3 => drop_after(echo, stream.read_exact(vec![0; exact])).await,
        4 => take_borrowed(echo, stream, len).await,
        5 => take_when_ready(echo, stream, len).await,
        6 => take_vectored(echo, stream, len).await,
        7 => take(echo, stream.read_exact(vec![0; exact]).await),
        _ => take(echo, stream.read(vec![0; len]).await),
    }
}

fn take<B: IoBufMut>(echo: &Echo, (result, buf): (io::Result<usize>, B)) -> io::Result<()> {
    match result? {
        0 => echo.end(),
        n => echo.take(&buf.bytes()[..n]),
    }
}

fn take_timed<B: IoBufMut>(echo: &Echo, (result, buf): (io::Result<usize>, B)) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        result => take(echo, (result, buf)),
    }
}

/// Lets a read have some turns and then drops it.
async fn drop_after<R>(echo: &Echo, mut read: R) -> io::Result<()>
where
    R: Future<Output = (io::Result<usize>, Vec<u8>)> + Unpin,
{
    for _ in 0..echo.scene.draw(1..6) {
        if let std::task::Poll::Ready(done) = poll!(&mut read) {
            return take(echo, done);
        }
        task::yield_now().await;
    }
    Ok(())
}

async fn take_borrowed(echo: &Echo, stream: &Descriptor, len: usize) -> io::Result<()> {
    let mut buf = vec![0; len];
    let read = poll_fn(|cx| stream.poll_read(cx, &mut buf));
    let mut read = std::pin::pin!(read);
    for _ in 0..echo.scene.draw(1..6) {
        if let std::task::Poll::Ready(result) = poll!(&mut read) {
            return take(echo, (result, buf));
        }
        task::yield_now().await;
    }
    Ok(())
}

async fn take_when_ready(echo: &Echo, stream: &Descriptor, len: usize) -> io::Result<()> {
    let mut buf = vec![0; len];
    match stream.try_read(&mut buf) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        result => return take(echo, (result, buf)),
    }
    // What is there, or why there will be nothing, the next read tells.
    drop(stream.readable().timeout(echo.scene.moment()).await);
    Ok(())
}

async fn take_vectored(echo: &Echo, stream: &Descriptor, len: usize) -> io::Result<()> {
    let (result, bufs) = stream.read_vectored(vec![vec![0; len], vec![0; 7]]).await;
    take(echo, (result, bufs.concat()))
}
