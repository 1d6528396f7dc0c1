//! A relay on a thread of its own, and what surrounds it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tautline_relay::stats::{Snapshot, Summary};
use tautline_relay::{DriverChoice, HostConfig, RelayConfig, RunError, run, run_until};

/// Long enough for any step here, so that a broken relay fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const DRIVERS: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Readiness];

/// A relay from `from` to each of `to`.
pub(crate) fn config(driver: DriverChoice, from: &str, to: &[&str]) -> RelayConfig {
    RelayConfig {
        from: from.parse().expect("a source"),
        to: to.iter().map(|to| to.parse().expect("a destination")).collect(),
        run_for: Some(PATIENCE),
        host: HostConfig { driver, ..HostConfig::default() },
        slots: 8192,
    }
}

/// A relay that runs beside the test.
pub(crate) struct Running {
    /// Dropped to end it.
    end: Sender<()>,
    reports: Receiver<Snapshot>,
    /// The port of each endpoint that is bound, the source first.
    ports: Vec<Option<u16>>,
    thread: JoinHandle<Result<Summary, RunError>>,
}

impl Running {
    /// Starts it, and waits until its endpoints are open.
    pub(crate) fn start(config: RelayConfig) -> Self {
        let (end, ended) = channel::<()>();
        let (report, reports) = channel();
        let thread = thread::spawn(move || {
            run_until(
                &config,
                &mut |snapshot: &Snapshot| drop(report.send(snapshot.clone())),
                &mut || ended.try_recv() == Err(TryRecvError::Disconnected),
            )
        });
        let mut running = Self { end, reports, ports: Vec::new(), thread };
        running.ports = ports(&running.until(|_| true));
        running
    }

    /// Why a relay does not start.
    pub(crate) fn refused(config: RelayConfig) -> RunError {
        run(&config, &mut |_| {}).expect_err("it cannot start")
    }

    /// The port that the system chose for the source (0) or a destination (from 1 on).
    pub(crate) fn port(&self, endpoint: usize) -> u16 {
        self.ports[endpoint].expect("the endpoint is bound")
    }

    /// Waits for a report of which `holds` is true.
    pub(crate) fn until(&self, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).expect("the relay runs and reports");
            if holds(&report) {
                return report;
            }
        }
    }

    /// Asks it to end, and returns its summary.
    pub(crate) fn finish(self) -> Summary {
        drop(self.end);
        self.thread.join().expect("the relay does not panic").expect("the relay does not fail")
    }

    /// Asks it to end, and returns how it did.
    pub(crate) fn end(self) -> Result<Summary, RunError> {
        drop(self.end);
        self.thread.join().expect("the relay does not panic")
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(self) -> Result<Summary, RunError> {
        self.thread.join().expect("the relay does not panic")
    }
}

/// The ports of all endpoints, as far as they are bound.
pub(crate) fn ports(report: &Snapshot) -> Vec<Option<u16>> {
    report.endpoints.iter().map(|endpoint| Some(endpoint.bound?.port())).collect()
}

/// What listens or receives on a port that the system chooses.
pub(crate) fn any(scheme: &str) -> String {
    url(scheme, 0)
}

/// A bound UDP socket that gives up waiting at last.
pub(crate) fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(PATIENCE)).expect("an option that exists");
    socket
}

/// The URL of a socket's own address.
pub(crate) fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

/// A connected TCP socket that gives up waiting at last.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    patient(stream)
}

/// The same for one that was accepted.
pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("an option that exists");
    stream
}

/// Bytes with their two-byte length in front (RFC 4571).
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    let len = u16::try_from(packet.len()).expect("a short packet").to_be_bytes();
    [&len, packet].concat()
}

/// The next packet of a framed stream.
pub(crate) fn read_packet(stream: &mut impl Read) -> Vec<u8> {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).expect("a prefix comes");
    let mut packet = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut packet).expect("the packet comes");
    packet
}
