//! Echo servers: one of handlers, one of tasks with owned buffers, one of tasks with
//! borrowed buffers.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use socket2::SockAddr;
use tautline_runtime::task::{self, JoinHandle};
use tautline_runtime::{Conn, Descriptor, timer};

use super::scene::Scene;
use super::socket;

/// A server, until it is stopped.
pub(super) struct Server {
    pub(super) address: SockAddr,
    accepting: Accepting,
}

enum Accepting {
    Handler(Conn),
    Task(JoinHandle<()>),
}

impl Server {
    pub(super) fn stop(self) {
        match self.accepting {
            Accepting::Handler(conn) => conn.close(),
            Accepting::Task(task) => task.abort(),
        }
    }
}

/// A socket with an address. Faults may keep it from one for a while.
pub(super) fn bind(open: impl FnMut() -> io::Result<Descriptor>) -> (Descriptor, SockAddr) {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = std::iter::repeat_with(open).take(1000).find_map(Result::ok);
    let socket = socket.expect("a socket can be had in one of 1,000 attempts");
    socket.bind(&any.into()).expect("any port");
    let address = socket.conn().local_addr().expect("a bound socket has a name");
    (socket, address)
}

/// A listener.
pub(super) fn listen() -> (Descriptor, SockAddr) {
    let (listener, address) = bind(socket);
    listener.listen(64).expect("a bound socket listens");
    (listener, address)
}

/// Serves by `serve`, which is given each connection.
pub(super) fn by_handler(serve: impl FnMut(Descriptor) -> io::Result<()> + 'static) -> Server {
    let (listener, address) = listen();
    let mut serve = serve;
    // A connection that failed at once is nothing that the listener should end for.
    let conn = listener.on_accept(move |stream| drop(serve(stream))).expect("room for a pump");
    Server { address, accepting: Accepting::Handler(conn) }
}

fn by_task<F, S>(scene: &Rc<Scene>, serve: S) -> Server
where
    F: Future<Output = io::Result<()>> + 'static,
    S: Fn(Rc<Scene>, Descriptor) -> F + 'static,
{
    let (listener, address) = listen();
    let scene = scene.clone();
    let accepting = async move {
        loop {
            // Accepts that are given up lose no connection.
            let accepted = match scene.one_in(2) {
                true => listener.accept().timeout(scene.moment()).await,
                false => listener.accept().await,
            };
            match accepted {
                Ok(stream) => drop(task::spawn(serve(scene.clone(), stream))),
                Err(_) => drop(timer::sleep(scene.moment()).await),
            }
        }
    };
    let accepting = Accepting::Task(task::spawn(accepting).expect("room for a task"));
    Server { address, accepting }
}

/// Echoes by handlers; what is not taken pauses the stream until there is room.
pub(super) fn handlers(scene: &Rc<Scene>) -> Server {
    let scene = scene.clone();
    by_handler(move |stream| {
        if scene.one_in(2) {
            stream.conn().set_write_limit(scene.draw(1..1024));
        }
        echo_by_handlers(&scene, stream)
    })
}

/// What was received and not taken for sending.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    ended: bool,
}

fn echo_by_handlers(scene: &Rc<Scene>, stream: Descriptor) -> io::Result<()> {
    let rest = Rc::new(RefCell::new(Rest::default()));
    let (on_data, on_room, on_end) = (rest.clone(), rest.clone(), rest);
    let scene = scene.clone();
    let conn = stream.on_data(move |conn, bytes| {
        let mut rest = on_data.borrow_mut();
        if !rest.bytes.is_empty() {
            scene.complain("the data handler was called while it was paused".into());
        }
        let taken = conn.write(bytes)?;
        if taken < bytes.len() {
            rest.bytes.extend_from_slice(&bytes[taken..]);
            conn.pause();
        }
        Ok(())
    })?;
    conn.keep_half_open();
    conn.on_writable(move |conn| write_rest(conn, &mut on_room.borrow_mut()));
    conn.on_close(move |conn, result| {
        let mut rest = on_end.borrow_mut();
        rest.ended = true;
        if result.is_err() || rest.bytes.is_empty() {
            conn.close();
        }
    });
    Ok(())
}

fn write_rest(conn: &Conn, rest: &mut Rest) -> io::Result<()> {
    let taken = conn.write(&rest.bytes)?;
    rest.bytes.drain(..taken);
    match (rest.bytes.is_empty(), rest.ended) {
        (false, _) => Ok(()),
        (true, false) => conn.resume(),
        (true, true) => {
            conn.close();
            Ok(())
        }
    }
}

/// Echoes by tasks and owned buffers; a read that is given up loses nothing.
pub(super) fn owned(scene: &Rc<Scene>) -> Server {
    by_task(scene, |scene, stream| async move {
        loop {
            let read = stream.read(vec![0; scene.draw(1..500)]);
            let (result, mut buf) = match scene.one_in(3) {
                true => read.timeout(scene.moment()).await,
                false => read.await,
            };
            match result {
                Ok(0) => return stream.shutdown(Shutdown::Write),
                Ok(n) => buf.truncate(n),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                Err(error) => return Err(error),
            }
            let write = stream.write_all(buf);
            match scene.one_in(4) {
                // It starts here, and goes on in the background.
                true => drop(futures::future::select(write, std::future::ready(())).await),
                false => drop(write.await.0?),
            }
        }
    })
}

/// Echoes by tasks and borrowed buffers, without waiting for the end of what it wrote.
pub(super) fn polled(scene: &Rc<Scene>) -> Server {
    by_task(scene, |scene, stream| async move {
        if scene.one_in(2) {
            stream.conn().set_write_limit(scene.draw(1..1024));
        }
        let mut buf = vec![0; scene.draw(1..500)];
        loop {
            let n = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await?;
            if n == 0 {
                return Ok(());
            }
            let mut written = 0;
            while written < n {
                written += poll_fn(|cx| stream.poll_write(cx, &buf[written..n])).await?;
            }
        }
    })
}
