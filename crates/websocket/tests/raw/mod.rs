//! A peer that says what it is told to, byte by byte if need be: written from the RFC, with nothing of the
//! crate under test.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tautline_net::{TcpListener, TcpStream};
use tautline_runtime::sim::{self, Faults, Rate};
use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::{Client, OpenError, Options, Server, WebSocket};

/// Long enough for anything here, so that what is broken fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A key that is not zero anywhere.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Worlds in which streams lose nothing, but are cut, late and blocked in ways that the seed draws.
const SEEDS: std::ops::Range<u64> = 0..6;

/// Runs `test` on each driver that makes system calls, and in simulated worlds.
pub fn everywhere(test: impl AsyncFn()) {
    let worlds = SEEDS.map(|seed| {
        let faults = Faults { no_descriptor: Rate::NEVER, ..Faults::draw_harmless(seed) };
        DriverChoice::Sim(Box::new(sim::Config { faults, ..sim::Config::new(seed) }))
    });
    for driver in [DriverChoice::Auto, DriverChoice::Readiness].into_iter().chain(worlds) {
        println!("{driver:?}"); // shown if it fails
        let runtime = Runtime::new(Config { driver, ..Config::default() }).unwrap();
        let done = runtime.block_on(timer::timeout(PATIENCE, test())).unwrap();
        done.expect("the test is not done in time");
    }
}

/// A frame: its first byte, its payload, and the key that it is masked with. Its length is told in the
/// fewest bytes.
pub fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let form = match payload.len() {
        0..126 => 0,
        126..65536 => 2,
        _ => 8,
    };
    frame_in_form(first, payload, key, form)
}

/// The same, with its length told in 0, 2 or 8 bytes more.
pub fn frame_in_form(first: u8, payload: &[u8], key: Option<[u8; 4]>, form: usize) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let length = payload.len() as u64;
    let mut bytes = vec![first];
    match form {
        0 => bytes.push(masked | length as u8),
        2 => bytes.push(masked | 126),
        _ => bytes.push(masked | 127),
    }
    bytes.extend_from_slice(&length.to_be_bytes()[8 - form..]);
    let Some(key) = key else { return [bytes, payload.to_vec()].concat() };
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A frame that was heard. Its payload is unmasked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub first: u8,
    pub key: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// One end of a connection, whose other end is under test.
pub struct Peer {
    stream: TcpStream,
    heard: Vec<u8>,
    /// It masks what it says, as clients do.
    masks: bool,
}

impl Peer {
    /// A client whose handshake is over.
    pub async fn ask(addr: SocketAddr) -> Self {
        Self::ask_with(addr, "").await.0
    }

    /// The same with more lines in its request; and the server's answer.
    pub async fn ask_with(addr: SocketAddr, lines: &str) -> (Self, String) {
        let mut peer = Self::connect(addr).await;
        peer.say(request(lines).as_bytes()).await;
        let answer = peer.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        (peer, answer)
    }

    /// A client that has said nothing.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        Self { stream, heard: Vec::new(), masks: true }
    }

    /// A server that was asked nothing.
    pub fn server(stream: TcpStream) -> Self {
        Self { stream, heard: Vec::new(), masks: false }
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes.to_vec()).await.0.unwrap();
    }

    /// The same to an end that may have closed: whether it has taken it.
    pub async fn say_if_it_can(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes.to_vec()).await.0.is_ok()
    }

    /// Says it one byte at a time, each in a turn of its own.
    pub async fn say_slowly(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.say(&[*byte]).await;
            timer::sleep(Duration::from_micros(50)).await.unwrap();
        }
    }

    /// Says a frame, masked if it has to be.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let bytes = self.frame(first, payload);
        self.say(&bytes).await;
    }

    /// A frame, masked if it has to be.
    pub fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        frame(first, payload, self.masks.then_some(KEY))
    }

    /// The head of a request or an answer.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.heard.drain(..at + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "it ends with {:?}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// The body that a head has announced.
    pub async fn body(&mut self, length: usize) {
        self.bytes(length).await;
    }

    /// Waits for more bytes. `false`: the stream has ended.
    async fn more(&mut self) -> bool {
        let (count, bytes) = self.stream.read(vec![0; 1 << 16]).await;
        // Who closes with bytes that were not read resets.
        let count = count.unwrap_or(0);
        self.heard.extend_from_slice(&bytes[..count]);
        count > 0
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.heard.len() < count {
            assert!(self.more().await, "it ends with {:x?}", self.heard);
        }
        self.heard.drain(..count).collect()
    }

    /// The next frame that was sent: masked if it comes from a client, and its length in the fewest bytes.
    //= RFC 6455 §5.1
    //= RFC 6455 §5.2
    pub async fn hear(&mut self) -> Frame {
        let head = self.bytes(2).await;
        assert_eq!(head[1] & 0x80 == 0, self.masks, "a client masks, and a server does not");
        let (length, least) = match head[1] & 0x7f {
            126 => (self.number(2).await, 126),
            127 => (self.number(8).await, 65536),
            short => (u64::from(short), 0),
        };
        assert!(length >= least, "the length {length} in more bytes than it needs");
        let key: Option<[u8; 4]> = match self.masks {
            true => None,
            false => Some(self.bytes(4).await.try_into().unwrap()),
        };
        let mut payload = self.bytes(length as usize).await;
        for (byte, key) in payload.iter_mut().zip(key.unwrap_or_default().iter().cycle()) {
            *byte ^= key;
        }
        Frame { first: head[0], key, payload }
    }

    async fn number(&mut self, bytes: usize) -> u64 {
        let bytes = self.bytes(bytes).await;
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The next frame is this one.
    pub async fn hears(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let heard = self.hear().await;
        let payload = payload.as_ref();
        assert!((heard.first, &heard.payload[..]) == (first, payload), "{heard:x?}");
    }

    /// The next frame says farewell with this code, and nothing follows. Returns the reason.
    pub async fn hears_farewell(&mut self, code: u16) -> String {
        let heard = self.hear().await;
        assert_eq!(heard.first, 0x88, "{heard:x?}");
        assert_eq!(heard.payload[..2], code.to_be_bytes(), "{heard:x?}");
        String::from_utf8(heard.payload[2..].to_vec()).unwrap()
    }

    /// Nothing more comes, and the other end closes.
    pub async fn hears_end(&mut self) {
        while self.more().await {}
        assert!(self.heard.is_empty(), "it goes on with {:x?}", self.heard);
    }

    /// Whatever still comes, it ends.
    pub async fn hears_the_rest(&mut self) {
        while self.more().await {}
    }

    /// Nothing comes for a while.
    pub async fn hears_nothing(&mut self) {
        let silent = timer::timeout(Duration::from_millis(30), self.more()).await;
        assert!(silent.is_err(), "{:x?}", self.heard);
    }

    /// It is gone at once, whatever was under way.
    pub fn reset(self) {
        self.stream.reset().unwrap();
    }

    /// It says nothing more.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// The request of RFC 6455 §1.2, with other headers behind it.
pub fn request(lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// What a server says that grants the request.
pub fn answer(request: &str, lines: &str) -> String {
    let key = field(request, "Sec-WebSocket-Key").expect("a request has a key");
    let accept = STANDARD.encode(Sha1::digest(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

/// The value of a header.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// A server under test that sends everything back.
pub fn echo(options: Options) -> SocketAddr {
    Server::with(options)
        .listen("127.0.0.1:0", |socket| {
            socket.on_message(|sender, message| sender.send(message)).map(drop)
        })
        .unwrap()
}

/// A client under test that asks, and what it is answered by `answer` of its request; and the other end.
pub async fn asked(
    client: &Client,
    answer: impl FnOnce(&str) -> String,
) -> (Result<WebSocket, OpenError>, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    let serve = async {
        let mut peer = Peer::server(listener.accept().await.unwrap().0);
        let request = peer.head().await;
        peer.say(answer(&request).as_bytes()).await;
        peer
    };
    futures::join!(client.connect(&url), serve)
}

/// A client under test whose handshake is over, and the other end.
pub async fn opened(options: Options) -> (WebSocket, Peer) {
    let (socket, peer) = asked(&Client::with(options), |request| answer(request, "")).await;
    (socket.unwrap(), peer)
}
