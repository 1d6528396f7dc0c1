//! What both echo benchmarks share: servers that echo on a thread pinned to core 0, and the
//! connections to them.
//!
//! A server is a plain function of type [`Serve`]. To add one, write that function and list it as
//! a [`Server`] (ours in [`ours::servers`]).

mod epoll;
mod limits;
mod ours;
mod peers;
mod ring;
pub(crate) mod rtt;
mod spin;
pub(crate) mod throughput;

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;

use crate::harness::{
    Failure, Role,
    sys::{CpuClock, UnderTest},
};

/// Receive buffer of everybody: one call takes up to this much.
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024;
/// Socket buffers of both ends, asked for alike: above all that is ever in flight.
const SOCKET_BUFFER: usize = 256 * 1024;
/// How long a client waits for an answer before it calls the server stalled.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// How a server waits for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Never sleeps. A runtime that cannot spin is kept awake by a task that always yields.
    Spin,
    /// Sleeps in the kernel when there is nothing to do.
    Sleep,
}

/// What a server is asked to do: echo on all `connections` until each has been closed by its
/// peer, then return the number of bytes echoed.
pub(crate) struct Job {
    /// Non-blocking, no-delay, already accepted.
    pub(crate) connections: Vec<TcpStream>,
    /// How to wait for work.
    pub(crate) wait: Wait,
    /// Set when the client has left: a task that only keeps the loop awake ends then.
    pub(crate) stop: Arc<AtomicBool>,
}

/// A server: runs on its own pinned thread, reads all that is there (up to [`RECEIVE_BUFFER`] a
/// call) and answers in one send.
pub(crate) type Serve = fn(Job) -> io::Result<u64>;

/// A named server.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    /// Name in the report.
    pub(crate) name: &'static str,
    /// What it counts as; limits may be re-ranked by row.
    pub(crate) role: Role,
    /// Its code.
    pub(crate) serve: Serve,
}

/// Servers that are no bare loop: ours, and the peers.
fn runtimes() -> Vec<Server> {
    [ours::servers(), peers::servers()].concat()
}

/// One end of an echo: told of each arrival, says whether it goes back.
trait End {
    /// `count` bytes have arrived; returns whether to send them back.
    fn arrived(&mut self, count: usize) -> bool;
    /// Asked once a turn, and at least every 100 ms in a sleeping loop: is it over?
    fn is_over(&mut self) -> bool;
}

/// The server's end: everything goes back, until the peer closes.
#[derive(Default)]
struct EchoAll {
    bytes: u64,
}

impl End for EchoAll {
    fn arrived(&mut self, count: usize) -> bool {
        self.bytes += count as u64;
        true
    }

    fn is_over(&mut self) -> bool {
        false
    }
}

/// A server that runs, and the client's ends of its connections.
pub(crate) struct Session {
    pub(crate) clients: Vec<TcpStream>,
    pub(crate) cpu: CpuClock,
    stop: Arc<AtomicBool>,
    server: UnderTest<io::Result<u64>>,
}

impl Session {
    /// Connects `count` times and starts the server.
    pub(crate) fn start(serve: Serve, count: usize, wait: Wait) -> io::Result<Self> {
        let (clients, connections) = connect(count)?;
        let stop = Arc::new(AtomicBool::new(false));
        let job = Job { connections, wait, stop: Arc::clone(&stop) };
        let server = UnderTest::start(move || serve(job))?;
        Ok(Self { clients, cpu: server.cpu, stop, server })
    }

    /// Closes the connections and holds the server's count against the client's.
    pub(crate) fn finish(self, sent: u64) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.clients);
        let answered = self.server.join()??;
        if answered == sent { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
    }

    /// Ends a session that went wrong; the first failure is the one to tell.
    pub(crate) fn abandon(self, failure: Failure) -> Failure {
        match self.finish(0) {
            Err(Failure::Io(error)) => error.into(),
            _ => failure,
        }
    }
}

/// `count` loopback connections: the client's ends and the server's.
fn connect(count: usize) -> io::Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let pair = |_| {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        [&client, &server].into_iter().try_for_each(prepare)?;
        Ok((client, server))
    };
    (0..count).map(pair).collect()
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)
}

/// What a receive found.
pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    Closed,
}

/// One non-blocking receive. A connection that broke is a closed one.
pub(crate) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Received {
    use std::io::{ErrorKind, Read};
    match (&mut &*stream).read(buffer) {
        Ok(0) => Received::Closed,
        Ok(count) => Received::Bytes(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Received::Nothing
        }
        Err(_) => Received::Closed,
    }
}

/// Sends all of `bytes`; spins in the rare case that the socket buffer is full, which ends
/// because the other side always reads.
pub(crate) fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    use std::io::{ErrorKind, Write};
    while !bytes.is_empty() {
        match (&mut &*stream).write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
