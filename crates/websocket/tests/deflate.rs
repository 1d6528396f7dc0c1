//! Compressed messages over real sockets.

use std::time::Duration;

use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::deflate::Config as Deflate;
use tautline_websocket::read::{Event, Kind};
use tautline_websocket::{Client, CloseCode, Options, Server};

/// A runtime for each driver of this machine.
fn runtimes() -> impl Iterator<Item = Runtime> {
    [DriverChoice::Auto, DriverChoice::Readiness]
        .into_iter()
        .map(|driver| Runtime::new(Config { driver, ..Config::default() }).unwrap())
}

/// Options with compression of that sort.
fn deflate(takeover: bool, window_bits: u8) -> Options {
    let config = Deflate {
        takeover,
        peer_takeover: takeover,
        window_bits,
        peer_window_bits: window_bits,
        ..Deflate::default()
    };
    Options { deflate: Some(config), ..Options::default() }
}

/// What is sent compressed comes back as it was, of every length at which something changes, with
/// windows of any size, kept or not.
#[test]
fn what_is_sent_compressed_comes_back() {
    for runtime in runtimes() {
        for options in [deflate(true, 15), deflate(false, 15), deflate(true, 9), deflate(false, 10)]
        {
            let addr = Server::with(options)
                .listen("127.0.0.1:0", |socket| {
                    socket.on_message(|sender, message| sender.send(message)).map(drop)
                })
                .unwrap();
            let run = async {
                let client = Client::with(options);
                let mut socket = client.connect(&format!("ws://{addr}/")).await.unwrap();
                let sender = socket.sender();
                for length in [0, 1, 63, 64, 65, 4096, 65_535, 65_536, 300_000, 3 << 20] {
                    let text: String = (0..length)
                        .map(|i| char::from(b'a' + (i % 1009 * (i % 7) % 23) as u8))
                        .collect();
                    for _ in 0..2 {
                        sender.send(&text).unwrap();
                        sender.send_plain(&text).unwrap();
                        for _ in 0..2 {
                            assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&text)));
                        }
                    }
                }
                for part in ["one, ".repeat(30), "two, ".repeat(5), String::new()] {
                    sender.send_part(Kind::Text, part.as_bytes(), part.is_empty()).unwrap();
                    sender.ping(b"").unwrap();
                }
                let whole = "one, ".repeat(30) + &"two, ".repeat(5);
                for _ in 0..2 {
                    assert_eq!(socket.read().await.unwrap(), Some(Event::Pong(b"")));
                }
                assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&whole)));
            };
            runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
        }
    }
}

/// A small message that would inflate to more than is taken is refused with 1009, and costs no more
/// memory than the limit.
#[test]
fn a_bomb_is_refused() {
    for runtime in runtimes() {
        let mut options = deflate(false, 15);
        options.limits.max_message = 1 << 20;
        let addr = Server::with(options)
            .listen("127.0.0.1:0", |socket| socket.on_event(|_, _| ()).map(drop))
            .unwrap();
        let run = async {
            let mut open = deflate(false, 15);
            open.limits.max_message = 1 << 30;
            let client = Client::with(open);
            let mut socket = client.connect(&format!("ws://{addr}/")).await.unwrap();
            socket.sender().send(&vec![0; 8 << 20]).unwrap();
            assert_eq!(socket.read().await.unwrap(), None);
            assert_eq!(socket.ended().unwrap().code, Some(CloseCode::TOO_BIG));
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}
