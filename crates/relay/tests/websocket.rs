//! WebSocket endpoints: their URLs, and messages over real sockets against an implementation that
//! is not ours.

mod common;

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use common::{DRIVERS, PATIENCE, Running, any, config, url};
use tautline_relay::endpoint::{Destination, DestinationPlace, Source, SourcePlace};
use tautline_relay::framing::Framing;
use tungstenite::{Message, WebSocket};

fn source_error(url: &str) -> String {
    url.parse::<Source>().expect_err(url).to_string()
}

fn destination_error(url: &str) -> String {
    url.parse::<Destination>().expect_err(url).to_string()
}

/// Proves that a server's address keeps its path, that its own question mark is written %3F, and
/// that messages to send are decoded and stay in order.
#[test]
fn servers_are_named_with_path_query_and_messages() {
    let text = "ws://venue.example/ws%3Fstreams=a&b?send=%7B%22a%22:1%7D&send=x%26y&size=100";
    let from: Source = text.parse().unwrap();
    let SourcePlace::WebSocket(peer) = &from.place else { panic!("{from:?}") };
    assert_eq!(peer.url, "ws://venue.example/ws?streams=a&b");
    assert_eq!(peer.send, ["{\"a\":1}", "x&y"]);
    assert!(from.keeps_boundaries() && !from.listens() && from.max_packet == 100);
    let to: Destination = "wss://[::1]:8443?text&ca=a.pem&policy=wait".parse().unwrap();
    let DestinationPlace::WebSocket(peer) = &to.place else { panic!("{to:?}") };
    assert!(peer.text && peer.trusted.as_deref() == Some("a.pem".as_ref()));
    assert_eq!(to.framing, Framing::Raw, "queues count what is sent");
    let to: Destination = "wss-listen://[::]:0?cert=a.pem&key=b.pem&text=off".parse().unwrap();
    let DestinationPlace::WebSocketListen(at) = &to.place else { panic!("{to:?}") };
    assert!(to.listens() && !at.text && at.certificate.is_some());
}

/// Proves that what is wrong with a URL is named, with what to write instead, alike in both
/// directions.
#[test]
fn bad_urls_say_what_is_wrong() {
    let long = format!("ws://a?send={}", "x".repeat((64 << 10) + 1));
    let many = format!("ws://a?{}", "send=x&".repeat(65));
    for (url, why) in [
        ("ws:a:1", "write for example ws://127.0.0.1:8080/feed"),
        ("ws://", "write ws://host/path"),
        ("wss://a:x/", "a number from 1 to 65535"),
        ("ws://a/#top", "write %23"),
        ("ws://a?send=", "it is empty"),
        ("ws://a?send=%zz", "a plain '%' is written %25"),
        ("ws://a?send=%FF", "only text can be sent"),
        (&long, "64 messages with 65536 bytes at most"),
        (&many, "64 messages with 65536 bytes at most"),
        ("ws://a?ca=x.pem", "unknown option \"ca\" for ws"),
        ("ws://a?framing=raw", "unknown option \"framing\" for ws"),
        ("ws-listen://127.0.0.1", "the port is missing"),
        ("ws-listen://127.0.0.1:1/feed", "the port is no number"),
        ("ws-listen://127.0.0.1:1?cert=x", "unknown option \"cert\" for ws-listen"),
        ("wss-listen://127.0.0.1:1", "wss-listen needs the option cert; write for example"),
        ("wss-listen://127.0.0.1:1?cert=x", "needs the option key"),
        ("wss-listen://127.0.0.1:1?cert=&key=y", "name a PEM file"),
    ] {
        for error in [source_error(url), destination_error(url)] {
            assert!(error.contains(why), "{url}: {error}");
        }
    }
    assert!(destination_error("ws://a?text=yes").contains("write on or off"));
    assert!(source_error("ws://a?text").contains("unknown option \"text\" for ws"));
}

/// A client of one that listens.
fn client(port: u16) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    tungstenite::client(format!("ws://127.0.0.1:{port}/"), stream).unwrap().0
}

/// A server's side of the next who connects.
fn serve(listener: &TcpListener) -> WebSocket<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    tungstenite::accept(stream).unwrap()
}

/// Proves that messages pass from publishers to subscribers, each as one packet, empty and longest
/// ones too, text as text and binary as binary, and that the end is a farewell.
#[test]
fn messages_pass_whole_and_as_what_they_are() {
    for driver in DRIVERS {
        let relay = Running::start(config(driver, &any("ws-listen"), &[&any("ws-listen")]));
        let mut subscribers = [client(relay.port(1)), client(relay.port(1))];
        relay.until(|report| report.endpoints[1].peers == 2);
        let mut publisher = client(relay.port(0));
        let sent = [
            Message::text("grüß"),
            Message::binary(vec![0xFF, 0]),
            Message::binary(vec![]),
            Message::text(""),
            Message::binary(vec![7; 65_535]),
        ];
        sent.iter().for_each(|message| publisher.send(message.clone()).unwrap());
        for subscriber in &mut subscribers {
            sent.iter().for_each(|message| assert_eq!(&subscriber.read().unwrap(), message));
        }
        let summary = relay.finish();
        assert!(summary.is_lossless());
        assert_eq!(
            (summary.endpoints[0].rates.packets, summary.endpoints[1].rates.packets),
            (5, 10)
        );
        for mut peer in subscribers.into_iter().chain([publisher]) {
            assert!(matches!(peer.read(), Ok(Message::Close(Some(_)))));
        }
    }
}

/// Proves that a message longer than a packet may be is dropped and counted with the option that
/// helps, and that the connection goes on.
#[test]
fn too_long_messages_are_dropped_alone() {
    for driver in DRIVERS {
        let from = format!("{}?size=10", any("ws-listen"));
        let relay = Running::start(config(driver, &from, &[&any("ws-listen")]));
        let mut subscriber = client(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let mut publisher = client(relay.port(0));
        for length in [10, 11, 100_000, 9] {
            publisher.send(Message::binary(vec![1; length])).unwrap();
        }
        assert_eq!(subscriber.read().unwrap().len(), 10);
        assert_eq!(subscriber.read().unwrap().len(), 9);
        let report = relay.until(|report| report.endpoints[0].error.is_some());
        assert_eq!(report.endpoints[0].drops.too_long, 2);
        assert!(report.endpoints[0].error.as_ref().unwrap().contains("raise ?size="));
        relay.finish();
    }
}

/// Proves that a source subscribes on each connection, also after the server cut it off, and that
/// what comes afterwards arrives.
#[test]
fn a_source_connects_and_subscribes_again() {
    for driver in DRIVERS {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let from = format!("ws://127.0.0.1:{port}/feed?send=one&send=two");
        let relay = Running::start(config(driver, &from, &[&any("ws-listen")]));
        let mut subscriber = client(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        for round in ["1", "2", "3"] {
            let mut peer = serve(&server);
            assert_eq!(peer.read().unwrap(), Message::text("one"));
            assert_eq!(peer.read().unwrap(), Message::text("two"));
            peer.send(Message::text(round)).unwrap();
            assert_eq!(subscriber.read().unwrap(), Message::text(round));
        }
        assert_eq!(relay.finish().endpoints[0].reconnects, 2);
    }
}

/// Proves that a destination that connects keeps what is queued while its server is away, and sends
/// packets as text when that is asked for and they are.
#[test]
fn a_destination_sends_after_its_server_came_back() {
    for driver in DRIVERS {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("{}?text", url("ws", server.local_addr().unwrap().port()));
        let relay = Running::start(config(driver, &any("ws-listen"), &[&to]));
        let mut publisher = client(relay.port(0));
        let mut peer = serve(&server);
        publisher.send(Message::binary("a")).unwrap();
        assert_eq!(peer.read().unwrap(), Message::text("a"));
        drop(peer);
        relay.until(|report| report.endpoints[1].peers == 0);
        publisher.send(Message::binary("b")).unwrap();
        publisher.send(Message::binary(vec![0xFF])).unwrap();
        let mut peer = serve(&server);
        assert_eq!(peer.read().unwrap(), Message::text("b"));
        assert_eq!(peer.read().unwrap(), Message::binary(vec![0xFF]));
        relay.finish();
    }
}

/// Proves that a subscriber that reads nothing is cut off or loses packets as its policy says, and
/// that under `wait` nothing is lost however slowly it reads.
#[test]
fn policies_hold_for_slow_subscribers() {
    for driver in DRIVERS {
        let options = "queue=4&buffer=16KiB";
        let to = ["disconnect", "drop-new", "drop-old"]
            .map(|policy| format!("{}?{options}&policy={policy}", any("ws-listen")));
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let relay = Running::start(config(driver, &any("ws-listen"), &to));
        let mut stuck = [1, 2, 3].map(|at| client(relay.port(at)));
        relay.until(|report| report.endpoints[1..].iter().all(|to| to.peers == 1));
        let mut publisher = client(relay.port(0));
        for _ in 0..2_000 {
            publisher.send(Message::binary(vec![7; 8_000])).unwrap();
        }
        let report = relay.until(|report| report.endpoints[0].rates.packets == 2_000);
        assert_eq!((report.endpoints[1].disconnects, report.endpoints[1].peers), (1, 0));
        assert!(report.endpoints[2].drops.new > 0 && report.endpoints[3].drops.old > 0);
        // Who was cut off is told so, behind what had left by then.
        let farewell = loop {
            match stuck[0].read().unwrap() {
                Message::Close(farewell) => break farewell.unwrap(),
                packet => assert_eq!(packet.len(), 8_000),
            }
        };
        assert_eq!((u16::from(farewell.code), farewell.reason.as_str()), (1008, "too slow"));
        // The end of a drain: nobody reads, and it is given up.
        drop(publisher);
        drop(stuck);
        relay.finish();

        let to = format!("{}?{options}&policy=wait", any("ws-listen"));
        let relay = Running::start(config(driver, &any("ws-listen"), &[&to]));
        let mut subscriber = client(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let mut publisher = client(relay.port(0));
        let sending = std::thread::spawn(move || {
            for number in 0..2_000_u32 {
                publisher.send(Message::binary(number.to_be_bytes().repeat(2_000))).unwrap();
            }
            publisher
        });
        for number in 0..2_000_u32 {
            assert_eq!(subscriber.read().unwrap().into_data()[..4], number.to_be_bytes());
        }
        drop(sending.join());
        assert!(relay.finish().is_lossless());
    }
}

/// Proves that whoever speaks no WebSocket is answered, told of and disturbs nobody.
#[test]
fn strangers_are_refused() {
    for driver in DRIVERS {
        let relay = Running::start(config(driver, "demo:?rate=1k", &[&any("ws-listen")]));
        let mut stranger = TcpStream::connect(("127.0.0.1", relay.port(1))).unwrap();
        std::io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stranger.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
        let report = relay.until(|report| report.endpoints[1].error.is_some());
        assert!(report.endpoints[1].error.as_ref().unwrap().contains("did not come in"));
        assert_eq!(client(relay.port(1)).read().unwrap().len(), 1_200);
        relay.finish();
    }
}

/// Proves that a certificate that is not there ends the start with the file's name.
#[test]
fn a_missing_certificate_is_named() {
    let from = "wss-listen://127.0.0.1:0?cert=/nowhere/a.pem&key=/nowhere/b.pem";
    let error = Running::refused(config(DRIVERS[1], from, &["stdout:"])).to_string();
    assert!(error.contains("/nowhere/a.pem") && error.contains("check the path"), "{error}");
    assert!(!error.contains("check the spelling"), "one remedy is enough: {error}");
}
