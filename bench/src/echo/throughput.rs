//! `echo-throughput`: messages per second on one server core, eight in flight per connection.
//!
//! The client is itself the ring loop of [`ring`]: primed with eight messages a connection, it
//! sends back whatever comes back, so that eight stay in flight and its cost is that of the
//! cheapest server. Client and servers are kept awake: a sleeper on one side would charge its
//! wake-ups to the other.

use std::time::{Duration, Instant};

use super::{End, PATIENCE, Serve, Server, Session, Wait, limits, ring, runtimes, send};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{CpuClock, GENERATOR, Usage, pin},
};

const IN_FLIGHT: usize = 8;
/// Time before a slice counts.
const WARM_UP: Duration = Duration::from_millis(20);

/// A row: how many connections, and how long a message.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    connections: usize,
    message: usize,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "c1", connections: 1, message: 64 },
    Shape { name: "c100", connections: 100, message: 64 },
    Shape { name: "c1000", connections: 1000, message: 64 },
    Shape { name: "c100-4k", connections: 100, message: 4096 },
];

/// One group for each shape.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let window = Duration::from_millis(if plan.quick { 80 } else { 200 });
    SHAPES.iter().map(|&shape| group(shape, window)).collect()
}

fn group(shape: Shape, window: Duration) -> Group {
    let contenders = servers()
        .into_iter()
        .map(|server| {
            Contender::new(server.name, server.role, move || slice(server.serve, shape, window))
        })
        .collect();
    Group { metrics: vec![Metric::higher(shape.name, "messages/s")], contenders, note: None }
}

fn servers() -> Vec<Server> {
    let mut servers = vec![
        limits::server("spin", Role::Limit, limits::SPIN),
        limits::server("epoll", Role::Limit, limits::EPOLL),
        limits::server("uring", Role::Limit, limits::RING),
        limits::server("uring-direct", Role::Variant, limits::RING_DIRECT),
    ];
    servers.extend(runtimes());
    servers
}

fn slice(serve: Serve, shape: Shape, window: Duration) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let session = Session::start(serve, shape.connections, Wait::Spin)?;
    let mut client = Client::new(window, session.cpu);
    match drive(&session, shape, &mut client) {
        Ok(()) => {
            session.finish(client.sent)?;
            client.sample(shape.message)
        }
        Err(failure) => Err(session.abandon(failure)),
    }
}

fn drive(session: &Session, shape: Shape, client: &mut Client) -> Result<(), Failure> {
    let batch = vec![7; IN_FLIGHT * shape.message];
    for stream in &session.clients {
        send(stream, &batch)?;
        client.sent += batch.len() as u64;
    }
    ring::run(&session.clients, Wait::Spin, ring::Send::Direct, client)?;
    if client.received == client.sent { Ok(()) } else { Err(Failure::Stalled(PATIENCE)) }
}

/// What had happened at one moment.
#[derive(Clone, Copy)]
struct Mark {
    time: Instant,
    bytes: u64,
    usage: Usage,
}

/// The client's end: keeps the bytes in flight until the window is over, then lets them drain.
struct Client {
    server: CpuClock,
    window: Duration,
    start: Instant,
    /// When the last bytes came.
    latest: Instant,
    sent: u64,
    received: u64,
    /// Set after the warm-up.
    first: Option<Mark>,
    /// Set at the end of the window.
    last: Option<Mark>,
    /// Bytes received when `latest` was set.
    seen: u64,
    /// When the latest turn ended.
    turn: Instant,
    /// Time of the turns in the window that brought nothing.
    waited: Duration,
}

impl Client {
    fn new(window: Duration, server: CpuClock) -> Self {
        let start = Instant::now();
        Self {
            server,
            window,
            start,
            latest: start,
            sent: 0,
            received: 0,
            first: None,
            last: None,
            seen: 0,
            turn: start,
            waited: Duration::ZERO,
        }
    }

    fn mark(&self, time: Instant) -> Mark {
        Mark { time, bytes: self.received, usage: self.server.usage() }
    }

    fn sample(&self, message: usize) -> Result<Sample, Failure> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Err(Failure::Stalled(PATIENCE));
        };
        let messages = (last.bytes - first.bytes) as f64 / message as f64;
        let (time, usage) = (last.time - first.time, last.usage - first.usage);
        Ok(Sample {
            values: vec![messages / time.as_secs_f64()],
            cpu_ns: Some(usage.cpu.as_nanos() as f64 / messages),
            idle: Some(usage.idle(time)),
            spare: Some(self.waited.as_secs_f64() / time.as_secs_f64()),
            loss: None,
        })
    }
}

impl End for Client {
    fn arrived(&mut self, count: usize) -> bool {
        self.received += count as u64;
        let goes_on = self.last.is_none();
        if goes_on {
            self.sent += count as u64;
        }
        goes_on
    }

    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.seen != self.received {
            (self.seen, self.latest) = (self.received, now);
        } else if self.first.is_some() && self.last.is_none() {
            self.waited += now - self.turn;
        }
        self.turn = now;
        let age = now - self.start;
        if self.first.is_none() && age > WARM_UP {
            self.first = Some(self.mark(now));
        }
        if self.last.is_none() && age > WARM_UP + self.window {
            self.last = Some(self.mark(now));
        }
        let drained = self.last.is_some() && self.received == self.sent;
        drained || now - self.latest > PATIENCE
    }
}
