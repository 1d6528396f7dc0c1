//! Peers that mean harm: each is told what it did wrong or is cut off, costs no more than it may, and
//! disturbs nobody else.

#[path = "../../runtime/tests/common/counting.rs"]
mod counting;
mod raw;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use counting::Counting;
use raw::{Peer, everywhere, frame};
use tautline_runtime::timer;
use tautline_websocket::deflate::Config as Deflate;
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{Client, Options, Server};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Memory is counted for the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What a peer may have allocated, beside rings. In simulated worlds the buffers of sockets are among it.
const HEAP: u64 = 2 << 20;

/// Small limits, so that what is beyond them is seen soon.
fn options() -> Options {
    Options {
        limits: Limits { max_frame: 64 << 10, max_message: 64 << 10, ..Limits::default() },
        deflate: Some(Deflate::default()),
        write_limit: 64 << 10,
        handshake_within: Duration::from_secs(1),
        close_within: Duration::from_millis(300),
        ..Options::default()
    }
}

/// Whoever behaves is answered all the while; the rings that are lent and the heap stay small; and in the
/// end nothing is left.
fn beside_others(attack: impl AsyncFn(SocketAddr)) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    everywhere(async || {
        let server = Server::with(options());
        let stock = server.stock().clone();
        let addr = server
            .listen("127.0.0.1:0", |socket| {
                socket.on_message(|sender, message| sender.send(message)).map(drop)
            })
            .unwrap();
        let is_over = Cell::new(false);
        let other = async {
            let client = Client::with(options());
            let mut socket = client.connect(&format!("ws://{addr}/")).await.unwrap();
            let (mut rounds, mut most) = (0, 0);
            while !is_over.get() || rounds < 20 {
                let text = format!("round {rounds}");
                socket.sender().send(&text).unwrap();
                assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&text)));
                rounds += 1;
                most = most.max(stock.lent());
                timer::sleep(Duration::from_micros(200)).await.unwrap();
            }
            most
        };
        // Everything that is allocated once is by now.
        Peer::ask(addr).await;
        counting::forget_peak();
        let before = counting::live();
        let attack = async {
            attack(addr).await;
            is_over.set(true);
        };
        let ((), most) = futures::join!(attack, other);
        assert!(most <= 6, "{most} rings were lent");
        let grown = counting::peak() - before;
        assert!(grown < HEAP, "{grown} bytes were allocated");
        for _ in 0..1000 {
            if stock.lent() == 0 {
                return;
            }
            timer::sleep(Duration::from_millis(1)).await.unwrap();
        }
        panic!("{} rings are lent in the end", stock.lent());
    });
}

/// A head without an end is answered with 431 when it is too long, and cut off when it takes too long.
#[test]
fn heads_without_end() {
    beside_others(async |addr| {
        let mut peer = Peer::connect(addr).await;
        peer.say(b"GET / HTTP/1.1\r\n").await;
        for _ in 0..40 {
            peer.say_if_it_can(&[&b"X: "[..], &[b'y'; 500], b"\r\n"].concat()).await;
        }
        assert!(peer.head().await.starts_with("HTTP/1.1 431 "));

        let mut slow = Peer::connect(addr).await;
        for byte in b"GET / HTTP/1.1\r\nHost: ".iter().chain(std::iter::repeat_n(&b'h', 300)) {
            if !slow.say_if_it_can(&[*byte]).await {
                return;
            }
            timer::sleep(Duration::from_millis(10)).await.unwrap();
        }
        panic!("a head may take three seconds");
    });
}

/// A whole conversation byte by byte is one like any other.
#[test]
fn one_byte_at_a_time() {
    beside_others(async |addr| {
        let mut peer = Peer::connect(addr).await;
        peer.say_slowly(raw::request("").as_bytes()).await;
        peer.head().await;
        for payload in [vec![], vec![1; 125], vec![2; 300]] {
            let bytes = peer.frame(0x82, &payload);
            peer.say_slowly(&bytes).await;
            peer.hears(0x82, &payload).await;
        }
        let bytes = [peer.frame(0x89, b"?"), peer.frame(0x88, b"\x03\xe8")].concat();
        peer.say_slowly(&bytes).await;
        peer.hears(0x8a, "?").await;
        peer.hears_farewell(1000).await;
        peer.hears_end().await;
    });
}

/// Messages that inflate to a thousand times as much are refused with 1009, one after the other.
#[test]
fn bombs() {
    // Sixteen megabytes of zeros: a head with a code of one bit for the longest match, and those.
    let mut bomb = b"\xec\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0".to_vec();
    bomb.extend([0; 16 << 10]);
    beside_others(async |addr| {
        for _ in 0..3 {
            let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            let (mut peer, _) = Peer::ask_with(addr, lines).await;
            peer.send(0xc2, &bomb).await;
            peer.hears_farewell(1009).await;
            peer.hears_end().await;
        }
    });
}

/// Who sends pings and takes no pongs is answered as far as they may wait, and no further.
#[test]
fn pings_without_end() {
    beside_others(async |addr| {
        let mut peer = Peer::ask(addr).await;
        let pings = peer.frame(0x89, &[b'p'; 125]).repeat(500);
        for _ in 0..60 {
            let said = timer::timeout(Duration::from_millis(100), peer.say(&pings));
            if said.await.is_err() {
                break; // nothing more is taken
            }
        }
        peer.reset();
    });
}

/// Fragments without end are refused by their number, and by what they come to.
#[test]
fn fragments_without_end() {
    beside_others(async |addr| {
        let mut peer = Peer::ask(addr).await;
        peer.send(0x02, b"").await;
        let empty = peer.frame(0x00, b"").repeat(1000);
        for _ in 0..140 {
            if !peer.say_if_it_can(&empty).await {
                break;
            }
        }
        peer.hears_farewell(1009).await;

        let mut peer = Peer::ask(addr).await;
        peer.send(0x02, b"").await;
        let short = peer.frame(0x00, b"x").repeat(1000);
        for _ in 0..70 {
            if !peer.say_if_it_can(&short).await {
                break;
            }
        }
        peer.hears_farewell(1009).await;
    });
}

/// Who ends his side after a message is answered; who ends it within one, or within the handshake, leaves
/// nothing behind.
#[test]
fn half_closed() {
    beside_others(async |addr| {
        let mut peer = Peer::ask(addr).await;
        let bytes = peer.frame(0x81, b"and goodbye");
        peer.say(&bytes).await;
        peer.end();
        peer.hears(0x81, "and goodbye").await;
        peer.hears_end().await;
        let whole = frame(0x82, &[7; 400], Some(raw::KEY));
        for cut in [1, 2, 4, 7, 8, 9, 200, whole.len() - 1] {
            let mut peer = Peer::ask(addr).await;
            peer.say(&whole[..cut]).await;
            peer.end();
            peer.hears_end().await;
        }
        for cut in [0, 1, 50, raw::request("").len() - 1] {
            let mut peer = Peer::connect(addr).await;
            peer.say(&raw::request("").as_bytes()[..cut]).await;
            peer.end();
            peer.hears_end().await;
        }
    });
}

/// Who asks and is gone, and who is gone in the middle of an answer, leaves nothing behind.
#[test]
fn gone() {
    beside_others(async |addr| {
        for _ in 0..10 {
            Peer::ask(addr).await;
            let mut peer = Peer::ask(addr).await;
            let bytes = peer.frame(0x82, &[1; 50_000]).repeat(3);
            peer.say_if_it_can(&bytes).await;
        }
    });
}
