//! A program that makes its packets itself, and hands them to destinations.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use tautline_relay::endpoint::Destination;
use tautline_relay::{Conflict, Publisher, RunError};
use tautline_runtime::{Config, Runtime};

const TIMEOUT: Duration = Duration::from_secs(10);

fn open(runtime: &Runtime, urls: &[String]) -> Result<Publisher, RunError> {
    let to: Vec<Destination> = urls.iter().map(|url| url.parse().unwrap()).collect();
    runtime.block_on(Publisher::open("test", &to, 64, 1500)).unwrap()
}

/// Packets come to every destination as they were handed in, those queued at the end included, and are
/// counted there.
#[test]
fn packets_come_to_every_destination() {
    let runtime = Runtime::new(Config::default()).unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(TIMEOUT)).unwrap();
    let udp = format!("udp://{}", receiver.local_addr().unwrap());
    let publisher = open(&runtime, &[udp, "tcp-listen://127.0.0.1:0".to_owned()]).unwrap();
    let bound = publisher.sample()[1].bound.unwrap();
    let mut subscriber = TcpStream::connect(bound).unwrap();
    subscriber.set_read_timeout(Some(TIMEOUT)).unwrap();
    runtime.run_until(|| publisher.sample()[1].peers == 1).unwrap();
    for packet in [b"one", b"two"] {
        publisher.publish(packet);
    }
    publisher.flush();
    publisher.publish(b"six");
    publisher.flush();
    publisher.finish();
    runtime.run_until(|| publisher.has_finished()).unwrap();
    publisher.close();
    runtime.poll_once().unwrap();
    let mut bytes = [0; 10];
    for packet in [b"one", b"two", b"six"] {
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 3);
        assert_eq!(&bytes[..3], packet);
    }
    let mut stream = Vec::new();
    subscriber.read_to_end(&mut stream).unwrap();
    assert_eq!(stream, b"\0\x03one\0\x03two\0\x03six");
    assert!(publisher.total().iter().all(|to| to.rates.packets == 3 && to.drops.total() == 0));
    assert!(publisher.failure().is_none());
}

/// Has a port, so that nobody else gets it, and does not listen there.
fn bound_only() -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket
}

/// Who has never been there is not waited for at the end; where nobody could be reached is told.
#[test]
fn nobody_waits_for_who_was_never_there() {
    let runtime = Runtime::new(Config::default()).unwrap();
    let holder = bound_only();
    let refused = format!("tcp://{}", holder.local_addr().unwrap().as_socket().unwrap());
    let unread = format!("shm://test-{}/nobody", std::process::id());
    for url in [refused, unread] {
        let publisher = open(&runtime, std::slice::from_ref(&url)).unwrap();
        publisher.publish(b"old news");
        publisher.flush();
        runtime.run_for(Duration::from_millis(200)).unwrap();
        publisher.finish();
        assert!(publisher.has_finished(), "{url}");
        publisher.close();
        runtime.poll_once().unwrap();
        let error = publisher.unreached().expect("nobody got it");
        assert!(matches!(&error, RunError::Unreached { url: at, .. } if *at == url), "{error}");
    }
}

/// What cannot be published to is refused by name.
#[test]
fn impossible_destinations_are_refused() {
    let runtime = Runtime::new(Config::default()).unwrap();
    let waits = "tcp-listen://127.0.0.1:0?policy=wait".to_owned();
    let error = open(&runtime, &[waits]).unwrap_err();
    assert!(error.to_string().contains("choose drop-old"), "{error}");
    let twice = "udp://127.0.0.1:5".to_owned();
    let error = open(&runtime, &[twice.clone(), twice]).unwrap_err();
    assert!(matches!(error, RunError::Conflict(Conflict::Twice { .. })));
    let nowhere = "file:/nowhere/at/all".to_owned();
    let error = open(&runtime, &[nowhere]).unwrap_err();
    assert!(error.to_string().starts_with("file:/nowhere/at/all: "), "{error}");
}
