//! Nothing is allocated for a message once a connection has carried a few.

#[path = "../../runtime/tests/common/counting.rs"]
mod counting;

use counting::{Counting, allocations};
use tautline_runtime::{Config, DriverChoice, Runtime};
use tautline_websocket::read::{Event, Kind};
use tautline_websocket::{Client, Options, Server, deflate};

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM_UP: usize = 20;
const ROUNDS: usize = 100;

/// An echo server by callbacks and a client by tasks send each other short messages and long ones, in
/// one frame and in fragments, with pings between, compressed or not, and allocate nothing.
#[test]
fn messages_allocate_nothing() {
    let compressed = Options { deflate: Some(deflate::Config::default()), ..Options::default() };
    for driver in [DriverChoice::Auto, DriverChoice::Readiness] {
        for options in [Options::default(), compressed] {
            let config = Config { driver: driver.clone(), ..Config::default() };
            let counted = Runtime::new(config).unwrap().block_on(exchange(options)).unwrap();
            assert_eq!(counted, 0, "in {ROUNDS} rounds, {driver:?}, {:?}", options.deflate);
        }
    }
}

/// Allocations of all rounds after the first few.
async fn exchange(options: Options) -> u64 {
    let echo = |socket: tautline_websocket::WebSocket| {
        socket.on_message(|sender, message| sender.send(message)).map(drop)
    };
    let addr = Server::with(options).listen("127.0.0.1:0", echo).unwrap();
    let mut socket = Client::with(options).connect(&format!("ws://{addr}/")).await.unwrap();
    let sender = socket.sender();
    let text = "a quote and another, ".repeat(6000);
    let mut before = 0;
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            before = allocations();
            assert!(before > 0, "they are counted");
        }
        for length in [0, 10, 100, 1000, 40_000, 120_000] {
            let text = &text[..length];
            sender.send(text).unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Text(text)));
            let (head, tail) = text.split_at(length / 2);
            sender.send_part(Kind::Text, head.as_bytes(), false).unwrap();
            sender.ping(b"between").unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Pong(b"between")));
            sender.send_part(Kind::Text, tail.as_bytes(), true).unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Text(text)));
        }
    }
    allocations() - before
}
