//! Crates that were written for blocking sockets run on the loop as they are.
//!
//! How deep their stacks get is measured here, and held to bounds: [`WEBSOCKET`], [`TLS`],
//! [`BOTH`]. The figures are of a debug build (optimisation level 1) on x86-64.

mod common;
mod fiber_support;

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use common::small;
use fiber_support::{finish, joined, pattern};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tautline_net::fiber::{TcpListener, TcpStream};
use tautline_runtime::fiber::{Stack, State, list, spawn};
use tautline_runtime::{Config, DriverChoice, Runtime};
use tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tungstenite::{Message, WebSocket};

/// Bytes of stack that either end of a WebSocket may use; measured: 11 KiB. A small stack does.
const WEBSOCKET: usize = 16 << 10;
/// The same for TLS, the handshake included; measured: 15 KiB for a server, 19 KiB for a client.
/// A small stack does, with little to spare: take a medium one.
const TLS: usize = 28 << 10;
/// The same for a WebSocket over TLS; measured: 34 KiB. It takes a medium stack.
const BOTH: usize = 48 << 10;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Runs `test` as a fiber on each real driver, where stacks are measured.
fn run(test: impl Fn() -> Result + Copy + 'static) {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let config = Config { driver, measure_stacks: true, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let test = spawn(Stack::Medium, move || test().map_err(|error| error.to_string()));
        finish(&runtime, test.unwrap()).unwrap();
    }
}

/// The fiber that calls has used no more than so many bytes of its stack. Under the address
/// sanitizer, whose frames are several times as large, this only tells.
fn stays_within(bytes: usize, who: &str) {
    let fibers = list().unwrap();
    let own = fibers.iter().find(|fiber| fiber.state == State::Running).unwrap();
    println!("{who} has used {} bytes of its stack", own.used.unwrap());
    assert!(cfg!(asan) || own.used.unwrap() <= bytes, "{own}");
}

// ------------------------------------------------------------------------------- WebSocket

/// Messages that go each way.
const MESSAGES: usize = 1000;

/// Of a length whose header has one of its three forms, or that takes several reads.
fn message(n: usize) -> Message {
    const LENGTHS: [usize; 6] = [0, 1, 125, 126, 4_000, 66_000];
    match n % 7 {
        6 => Message::text("text ".repeat(n % 100)),
        m => Message::binary(pattern(LENGTHS[m])),
    }
}

/// Accepts a handshake, sends each message back, and closes when it is asked to.
fn echo_messages<S: Read + Write>(stream: S) -> Result<WebSocket<S>> {
    let mut socket = tungstenite::accept(stream).map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            Ok(message @ (Message::Binary(_) | Message::Text(_))) => socket.send(message)?,
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(socket),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends all messages, a few at a time, and sees each come back; then closes.
fn send_messages<S: Read + Write>(stream: S) -> Result {
    let (mut socket, response) =
        tungstenite::client("ws://localhost/echo", stream).map_err(|error| error.to_string())?;
    assert_eq!(response.status(), 101);
    for first in (0..MESSAGES).step_by(4) {
        for n in first..first + 4 {
            socket.write(message(n))?;
        }
        socket.flush()?;
        for n in first..first + 4 {
            assert!(socket.read()? == message(n));
        }
    }
    let reason = CloseFrame { code: CloseCode::Normal, reason: "all sent".into() };
    socket.close(Some(reason.clone()))?;
    assert_eq!(socket.read()?, Message::Close(Some(reason)));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    Ok(())
}

/// Both ends of a WebSocket in two fibers of one loop: handshake, a thousand messages each way,
/// and the handshake that closes.
#[test]
fn tungstenite_talks_to_itself_on_one_loop() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(Stack::Small, move || {
            echo_messages(listener.accept().unwrap()).unwrap();
            stays_within(WEBSOCKET, "a WebSocket server");
        })?;
        let client = spawn(Stack::Small, move || {
            send_messages(TcpStream::connect(addr).unwrap()).unwrap();
            stays_within(WEBSOCKET, "a WebSocket client");
        })?;
        joined(client);
        joined(server);
        Ok(())
    });
}

/// The same crate on a plain thread is served by a fiber, and serves one.
#[test]
fn tungstenite_talks_to_a_thread() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let client = std::thread::spawn(move || {
            let stream = std::net::TcpStream::connect(addr).unwrap();
            stream.set_nodelay(true).unwrap();
            send_messages(stream).unwrap();
        });
        echo_messages(listener.accept()?)?;
        client.join().unwrap();

        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = std::thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            stream.set_nodelay(true).unwrap();
            echo_messages(stream).unwrap();
        });
        send_messages(TcpStream::connect(addr)?)?;
        server.join().unwrap();
        Ok(())
    });
}

// -------------------------------------------------------------------------------------- TLS

type Configs = (Arc<ClientConfig>, Arc<ServerConfig>);

/// Both ends' configurations for this version, with a certificate made for them.
fn configs(version: &'static rustls::SupportedProtocolVersion) -> Result<Configs> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok((Arc::new(client), Arc::new(server)))
}

/// Reads all until the peer says that there is no more, and sends it back, likewise.
fn serve_tls(config: Arc<ServerConfig>, mut stream: TcpStream) -> Result {
    let mut connection = ServerConnection::new(config)?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let mut got = Vec::new();
    // A stream that ends without `close_notify` is an error here.
    tls.read_to_end(&mut got)?;
    tls.write_all(&got)?;
    connection.send_close_notify();
    connection.complete_io(&mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

/// Sends a few megabytes, says that there is no more, and gets them back.
fn call_tls(config: Arc<ClientConfig>, stream: TcpStream) -> Result {
    let connection = ClientConnection::new(config, ServerName::try_from("localhost")?)?;
    let mut tls = rustls::StreamOwned::new(connection, stream);
    let bytes = pattern(3_000_000);
    tls.write_all(&bytes)?;
    tls.conn.send_close_notify();
    tls.flush()?;
    let mut got = Vec::new();
    tls.read_to_end(&mut got)?;
    assert!(got == bytes);
    Ok(())
}

/// Both ends of TLS 1.3 and 1.2 in two fibers of one loop: handshake, megabytes each way, and
/// the end that each announces.
#[test]
fn rustls_talks_to_itself_on_one_loop() {
    run(|| {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let (ours, theirs) = configs(version)?;
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let addr = listener.local_addr()?;
            let server = spawn(Stack::Medium, move || {
                serve_tls(theirs, listener.accept().unwrap()).unwrap();
                stays_within(TLS, "a TLS server");
            })?;
            let client = spawn(Stack::Medium, move || {
                call_tls(ours, TcpStream::connect(addr).unwrap()).unwrap();
                stays_within(TLS, "a TLS client");
            })?;
            joined(client);
            joined(server);
        }
        Ok(())
    });
}

/// One such crate runs on the other: WebSocket over TLS.
#[test]
fn tungstenite_runs_over_rustls() {
    run(|| {
        let (ours, theirs) = configs(&rustls::version::TLS13)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = spawn(Stack::Medium, move || {
            let connection = ServerConnection::new(theirs).unwrap();
            let tls = rustls::StreamOwned::new(connection, listener.accept().unwrap());
            let mut socket = echo_messages(tls).unwrap();
            socket.get_mut().conn.send_close_notify();
            socket.get_mut().flush().unwrap();
            stays_within(BOTH, "a WebSocket server over TLS");
        })?;
        let name = ServerName::try_from("localhost")?;
        let stream = TcpStream::connect(addr)?;
        let connection = ClientConnection::new(ours, name)?;
        send_messages(rustls::StreamOwned::new(connection, stream))?;
        joined(server);
        Ok(())
    });
}
