//! `tls`: echo servers behind TLS 1.3, spoken to by one `rustls` client that spins: full and resumed
//! handshakes, round trips, and full records one behind the other.
//!
//! Everybody has the same cryptography (`rustls` over `ring`), certificate and way to resume (tickets):
//! what differs is how bytes get to it and from it.

mod client;
mod limit;
mod ours;
mod peers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};

use self::client::Client;
use crate::echo::PATIENCE;
use crate::harness::{Contender, Failure, Group, Metric, Plan, Sample, percentile};
use crate::http::{Server, Session, slice};

/// Bytes of a full record.
const RECORD: usize = 16 << 10;
/// Bytes of the `rate` row that are under way.
const WINDOW: u64 = 8 * RECORD as u64;

pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let (handshakes, trips, window) = match plan.quick {
        true => (40, 2000, Duration::from_millis(150)),
        false => (150, 10_000, Duration::from_millis(400)),
    };
    vec![
        group(Metric::lower("handshake", "ns"), move |session| {
            shake_hands(session, HandshakeKind::Full, handshakes)
        }),
        group(Metric::lower("resume", "ns"), move |session| {
            shake_hands(session, HandshakeKind::Resumed, handshakes)
        }),
        group(Metric::lower("rtt-64", "ns"), move |session| round_trips(session, trips)),
        group(Metric::higher("rate-16k", "MiB/s"), move |session| stream(session, window)),
    ]
}

fn group(
    metric: Metric,
    drive: impl Fn(&Session) -> Result<(Sample, u64), Failure> + Clone + 'static,
) -> Group {
    let servers: [Server; 4] =
        [ours::server(), ours::epoll(), limit::server(), peers::tokio_rustls()];
    let contenders = servers.into_iter().map(|server| {
        let drive = drive.clone();
        Contender::new(server.name, server.role, move || slice(server.serve, &drive))
    });
    Group { metrics: vec![metric], contenders: contenders.collect(), note: None }
}

/// A certificate for this process, as PEM and for `rustls`.
struct Certificate {
    chain: String,
    key: String,
    server: Arc<ServerConfig>,
    roots: RootCertStore,
}

fn certificate() -> &'static Certificate {
    static MADE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate for localhost");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the versions of the provider")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key that fits");
        server.ticketer = rustls::crypto::ring::Ticketer::new().expect("random keys");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        Certificate {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            server: Arc::new(server),
            roots,
        }
    })
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_config(resumes: bool) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the versions of the provider")
        .with_root_certificates(certificate().roots.clone())
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}

/// From the connection to the first byte that came back, again and again.
fn shake_hands(
    session: &Session,
    kind: HandshakeKind,
    count: usize,
) -> Result<(Sample, u64), Failure> {
    let config = client_config(kind == HandshakeKind::Resumed);
    let mut times = Vec::with_capacity(count);
    let (warm_up, mut sent) = (5, 0);
    let mut cpu = session.cpu.read();
    for round in 0..count + warm_up {
        if round == warm_up {
            cpu = session.cpu.read();
        }
        let start = Instant::now();
        let mut client = Client::open(session.connect()?, &config)?;
        client.echo(b"!")?;
        let took = start.elapsed();
        sent += 1;
        if round >= warm_up {
            if client.kind() != Some(kind) {
                let text = format!("the handshake was {:?}, not {kind:?}", client.kind());
                return Err(std::io::Error::other(text).into());
            }
            times.push(took.as_nanos() as u64);
        }
        client.close();
    }
    let cpu = session.cpu.read() - cpu;
    let median = percentile(&mut times, 0.5).unwrap_or_default();
    Ok((Sample::of([median]).with_cpu(cpu, count), sent))
}

fn round_trips(session: &Session, trips: usize) -> Result<(Sample, u64), Failure> {
    let mut client = Client::open(session.connect()?, &client_config(false))?;
    let (mut times, warm_up) = (Vec::with_capacity(trips), 300);
    for trip in 0..trips + warm_up {
        let start = Instant::now();
        client.echo(&[7; 64])?;
        if trip >= warm_up {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    let median = percentile(&mut times, 0.5).unwrap_or_default();
    Ok((Sample::of([median]), 64 * (trips + warm_up) as u64))
}

/// Full records there and back, so many under way.
fn stream(session: &Session, window: Duration) -> Result<(Sample, u64), Failure> {
    let mut client = Client::open(session.connect()?, &client_config(false))?;
    let (record, mut sent, mut came) = (vec![7; RECORD], 0, 0);
    let start = Instant::now();
    let (mut first, mut last, mut latest) = (None, None, start);
    loop {
        if last.is_none() && sent < came + WINDOW {
            client.say(&record)?;
            sent += RECORD as u64;
        }
        let heard = client.hear()?;
        came += heard as u64;
        let now = Instant::now();
        if heard > 0 {
            latest = now;
        }
        if first.is_none() && now - start > window / 10 {
            first = Some((now, came, session.cpu.read()));
        } else if last.is_none() && now - start > window / 10 + window {
            last = Some((now, came, session.cpu.read()));
        }
        if let (Some(first), Some(last)) = (&first, &last)
            && came == sent
        {
            let bytes = (last.1 - first.1) as f64;
            let rate = bytes / (last.0 - first.0).as_secs_f64() / (1 << 20) as f64;
            let records = (bytes / RECORD as f64).max(1.0) as usize;
            return Ok((Sample::of([rate]).with_cpu(last.2 - first.2, records), sent));
        }
        if now - latest > PATIENCE {
            return Err(Failure::Stalled(PATIENCE));
        }
    }
}
