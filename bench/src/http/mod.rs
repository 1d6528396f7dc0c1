//! `http`: servers of a small answer, spoken to by a raw generator: HTTP/1.1 one request at a time and
//! pipelined, HTTP/2 with a hundred streams under way.
//!
//! A server listens on a thread pinned to core 0; the generator has core 1.

mod generator;
mod h1;
mod h2;
mod limit;
mod ours;
mod peers;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;

use crate::harness::{
    Failure, Group, Plan, Role,
    sys::{CpuClock, UnderTest},
};

/// What every request is answered.
const BODY: &[u8] = b"hello, world!";

/// Serves whoever connects until it is told to stop; returns how many requests were answered.
pub(crate) type Serve = fn(TcpListener, Arc<AtomicBool>) -> io::Result<u64>;

/// A named server.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) serve: Serve,
}

pub(crate) use self::h1::slice;

pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    vec![h1::round_trips(plan), h1::pipelined(plan), h2::streams(plan)]
}

/// A server that runs.
pub(crate) struct Session {
    addr: SocketAddr,
    pub(crate) cpu: CpuClock,
    stop: Arc<AtomicBool>,
    server: UnderTest<io::Result<u64>>,
}

impl Session {
    fn start(serve: Serve) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // What is accepted takes that over, whoever accepts.
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let server = UnderTest::start(move || serve(listener, told))?;
        Ok(Self { addr, cpu: server.cpu, stop, server })
    }

    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Holds the server's count against the client's.
    fn finish(self, sent: u64) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.server.join()??;
        if answered == sent { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
    }

    /// Ends a session that went wrong; the first failure is the one to tell.
    fn abandon(self, failure: Failure) -> Failure {
        match self.finish(0) {
            Err(Failure::Io(error)) => error.into(),
            _ => failure,
        }
    }
}
