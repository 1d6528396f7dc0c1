//! `udp-relay`: packets per second that one core forwards from one UDP socket to another.
//!
//! A relay is a plain function of type [`Forward`] on a thread pinned to core 0. Generator and
//! sink share core 1 and keep a window of packets under way, so that what is measured is the
//! highest rate without overload. In the row `pps` every packet comes and arrives alone; in the row
//! `pps-gso` the generator sends segmented bursts and the sink takes them joined.

mod batch;
mod generator;
mod limit;
mod ours;
mod tokio;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    time::Duration,
};

use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{GENERATOR, UnderTest, pin, socklen},
};

/// Payload of a packet.
const PACKET: usize = 1_200;
/// Messages a receive or send call carries at most, for everybody.
pub(crate) const BATCH: usize = 32;
/// Packets of a segmented burst.
const SEGMENTS: usize = 16;
/// A datagram of this length ends a relay.
pub(crate) const STOP: usize = 1;
/// Receive buffer that sockets ask for; the kernel may grant less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Longest time until a relay is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a relay is asked to do: forward every datagram from `input` to the address `to`, until one
/// of [`STOP`] bytes arrives or `ended` says so; return the number of packets forwarded.
pub(crate) struct Job {
    /// Bound; blocking, unless the relay changes that.
    pub(crate) input: UdpSocket,
    /// Not connected, as a relay's sockets are not; blocking, unless the relay changes that.
    pub(crate) output: UdpSocket,
    /// The sink.
    pub(crate) to: SocketAddr,
    /// Whether packets come in bursts, to be received with `UDP_GRO` and sent with `UDP_SEGMENT`.
    pub(crate) offload: bool,
    /// To be used, or dropped, when the relay is about to receive.
    pub(crate) ready: Sender<()>,
    /// Set when everything has been sent.
    pub(crate) ended: Arc<AtomicBool>,
}

impl Job {
    /// Says that the relay is about to receive.
    fn is_ready(&self) {
        // Who no longer listens has given up waiting.
        let _ = self.ready.send(());
    }
}

/// A relay: runs on its own pinned thread.
pub(crate) type Forward = fn(Job) -> io::Result<u64>;

/// A named relay.
#[derive(Clone, Copy)]
pub(crate) struct Relay {
    /// Name in the report.
    pub(crate) name: &'static str,
    /// What it counts as.
    pub(crate) role: Role,
    /// Its code.
    pub(crate) forward: Forward,
}

/// The rows without and with offloads.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let window = Duration::from_millis(if plan.quick { 150 } else { 400 });
    vec![
        group(
            "pps",
            false,
            window,
            "1,200 B packets, one by one; per second of the relay thread's processor time; tautline is the whole relay with its default offloads, which recvmmsg-joined and tokio have too",
        ),
        group(
            "pps-gso",
            true,
            window,
            "1,200 B packets in bursts of 16; per second of the relay thread's processor time; tautline is the whole relay; tokio makes the calls of recvmmsg-joined",
        ),
    ]
}

fn group(name: &str, offload: bool, window: Duration, note: &'static str) -> Group {
    let contenders = relays()
        .into_iter()
        .map(|relay| {
            Contender::new(relay.name, relay.role, move || slice(relay.forward, offload, window))
        })
        .collect();
    Group { metrics: vec![Metric::higher(name, "packets/s")], contenders, note: Some(note) }
}

fn relays() -> Vec<Relay> {
    let bare = Relay { name: "recvmmsg", role: Role::Limit, forward: limit::forward };
    let joined =
        Relay { name: "recvmmsg-joined", role: Role::Limit, forward: limit::forward_joined };
    let tokio = Relay { name: "tokio", role: Role::Peer, forward: tokio::forward };
    [vec![bare, joined, tokio], ours::relays()].concat()
}

fn slice(forward: Forward, offload: bool, window: Duration) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let (input, sink) = (bound()?, bound()?);
    let (output, source) = (bound()?, bound()?);
    source.connect(input.local_addr()?)?;
    if offload {
        enable_gro(&sink)?;
    }
    let (ready, is_ready) = mpsc::channel();
    let (to, ended) = (sink.local_addr()?, Arc::new(AtomicBool::new(false)));
    let job = Job { input, output, to, offload, ready, ended: ended.clone() };
    let relay = UnderTest::start(move || forward(job))?;
    // A relay that ended instead is noticed when it is joined.
    let _ = is_ready.recv_timeout(PATIENCE);
    let run = generator::run(&source, &sink, offload, window, relay.cpu);
    ended.store(true, Ordering::Relaxed);
    generator::stop(&source)?;
    let forwarded = relay.join()??;
    let run = run?;
    // Each packet that arrived was forwarded; one that was forwarded may be lost at the sink.
    if forwarded < run.received {
        return Err(Failure::Miscounted { sent: run.received, answered: forwarded });
    }
    Ok(run.sample())
}

fn bound() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(SOCKET_BUFFER)?;
    options.set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

/// Lets a socket receive bursts in one piece.
fn enable_gro(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live `c_int` of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            socklen::<libc::c_int>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
