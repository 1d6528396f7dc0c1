//! Compressed messages over real sockets.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::deflate::{Config as Deflate, PoolLimits};
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

/// Where all contexts are in use, messages and fragments are sent as they are, and nothing of them is
/// taken for compressed; what was compressed leaves no ring behind.
#[test]
fn without_a_context_messages_are_sent_as_they_are() {
    for runtime in runtimes() {
        let options = Options {
            contexts: PoolLimits { deflating: 1, ..PoolLimits::default() },
            ..deflate(true, 15)
        };
        let server = Server::with(options);
        let stock = server.stock().clone();
        let addr = server
            .listen("127.0.0.1:0", |socket| {
                socket.on_message(|sender, message| sender.send(message)).map(drop)
            })
            .unwrap();
        let run = async {
            let client = Client::with(options);
            let url = format!("ws://{addr}/");
            let mut first = client.connect(&url).await.unwrap();
            let mut second = client.connect(&url).await.unwrap();
            let text = "again and again, ".repeat(100);
            // The first keeps the only context of each side.
            for socket in [&mut first, &mut second] {
                let sender = socket.sender();
                sender.send(&text).unwrap();
                assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&text)));
                for (part, last) in [(&text, false), (&text, false), (&text, true)] {
                    sender.send_part(Kind::Text, part.as_bytes(), last).unwrap();
                }
                assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&text.repeat(3))));
            }
            assert_eq!(
                (client.stock().contexts().deflating(), stock.contexts().deflating()),
                (1, 1)
            );
            assert_eq!(stock.lent(), 0, "rings that nobody needs");
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}

/// A message that is too long for any ring to be compressed into is sent as it is.
#[test]
fn a_message_too_long_to_be_compressed_is_sent_as_it_is() {
    for runtime in runtimes() {
        let addr = Server::with(deflate(true, 15))
            .listen("127.0.0.1:0", |socket| {
                socket.on_message(|sender, message| sender.send(message)).map(drop)
            })
            .unwrap();
        let run = async {
            let mut options = deflate(true, 15);
            options.limits.whole = 10_000;
            let mut socket = Client::with(options).connect(&format!("ws://{addr}/")).await.unwrap();
            let text = "long, ".repeat(50_000);
            socket.sender().send(&text).unwrap();
            let mut came = Vec::new();
            loop {
                let Some(Event::Part(part)) = socket.read().await.unwrap() else {
                    panic!("a message of that length comes in parts");
                };
                came.extend_from_slice(part.bytes);
                if part.last {
                    break;
                }
            }
            assert_eq!(came, text.as_bytes());
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}

/// A task that has read a part of a message may give the connection to the loop: the handler gets
/// the rest of it, though nothing more arrives, and what follows.
#[test]
fn a_handler_goes_on_within_a_message() {
    const LENGTH: usize = 250_000;
    for runtime in runtimes() {
        let addr = Server::with(deflate(true, 15))
            .listen("127.0.0.1:0", |socket| {
                let sender = socket.sender();
                sender.send(&[7; LENGTH][..])?;
                sender.send("end")?;
                socket.on_event(|_, _| ()).map(drop)
            })
            .unwrap();
        let run = async {
            let mut options = deflate(true, 15);
            options.limits.whole = 1000;
            let client = Client::with(options);
            let mut socket = client.connect(&format!("ws://{addr}/")).await.unwrap();
            // With the first part everything has arrived.
            timer::sleep(Duration::from_millis(50)).await.unwrap();
            let Some(Event::Part(part)) = socket.read().await.unwrap() else { panic!("no part") };
            assert!(part.first && !part.last && part.bytes.len() > 4096, "it is compressed");
            let heard = Rc::new(Cell::new(part.bytes.len()));
            let ended = Rc::new(Cell::new(false));
            let (hears, ends) = (heard.clone(), ended.clone());
            socket
                .on_event(move |_, event| match event {
                    Event::Part(part) => hears.set(hears.get() + part.bytes.len()),
                    other => ends.set(other == Event::Text("end")),
                })
                .unwrap();
            while !ended.get() {
                timer::sleep(Duration::from_millis(1)).await.unwrap();
            }
            assert_eq!(heard.get(), LENGTH);
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}
