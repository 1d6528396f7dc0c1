//! Ten thousand connections to one server: what an idle one costs, and what becomes of those that find
//! no ring to be read into. The other ends are a process of their own, for the sake of descriptors.

#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::cell::Cell;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tautline_runtime::{Config, Runtime, timer};
use tautline_websocket::{Options, Server, Stock, deflate};

const CONNECTIONS: usize = 10_000;
/// Rings that there are for them.
const RINGS: usize = 1000;
const RING: usize = 64 << 10;

/// Names the server's address and how many connections there are to be, to the other process.
const PLAY: &str = "TAUTLINE_WEBSOCKET_MANY";

const PATIENCE: Duration = Duration::from_secs(60);

const KEY: [u8; 4] = [1, 2, 3, 4];
const PAYLOAD: usize = 1000;

/// A message of the connection with that number, as it is sent, and its answer.
fn message(number: usize) -> (Vec<u8>, Vec<u8>) {
    let payload: Vec<u8> = (0..PAYLOAD).map(|at| (number * 31 + at * 7) as u8).collect();
    let length = (PAYLOAD as u16).to_be_bytes();
    let head = [0x82, 126, length[0], length[1]];
    let masked = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let sent = [vec![0x82, 0x80 | 126, length[0], length[1]], KEY.to_vec(), masked].concat();
    (sent, [head.to_vec(), payload].concat())
}

/// Raises the limit of this process as far as it goes; returns how many descriptors it may have.
fn descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize)
}

/// The other process: all the other ends. It does nothing unless it was started as one.
#[test]
fn the_other_ends() {
    let Ok(play) = std::env::var(PLAY) else { return };
    let (addr, count) = play.split_once(' ').unwrap();
    descriptors();
    let mut streams: Vec<_> = (0..count.parse().unwrap())
        .map(|number| {
            let mut stream = TcpStream::connect(addr).unwrap();
            let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let (sent, answer) = message(number);
            // One that is too short to be compressed.
            stream.write_all(b"\x81\x80\0\0\0\0").unwrap();
            let mut empty = [0; 2];
            stream.read_exact(&mut empty).unwrap();
            assert_eq!(&empty, b"\x81\0");
            (stream, sent, answer)
        })
        .collect();
    let mut words = std::io::stdin().lock().lines();
    assert_eq!(words.next().unwrap().unwrap(), "half");
    for (stream, sent, _) in &mut streams {
        stream.write_all(&sent[..PAYLOAD / 2]).unwrap();
    }
    assert_eq!(words.next().unwrap().unwrap(), "rest");
    for (stream, sent, _) in &mut streams {
        stream.write_all(&sent[PAYLOAD / 2..]).unwrap();
    }
    for (stream, _, answer) in &mut streams {
        let mut came = vec![0; answer.len()];
        stream.read_exact(&mut came).unwrap();
        assert!(came == *answer);
    }
}

/// Starts the other process.
fn other(addr: std::net::SocketAddr, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_ends", "--nocapture"])
        .env(PLAY, format!("{addr} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs the loop until `done`.
fn until(runtime: &Runtime, mut done: impl FnMut() -> bool) {
    let late = Rc::new(Cell::new(false));
    let is_late = late.clone();
    let alarm = timer::after(PATIENCE, move || is_late.set(true)).unwrap();
    // What other processes do is no event of the loop.
    let look = timer::every(Duration::from_millis(5), || ()).unwrap();
    runtime.run_until(|| late.get() || done()).unwrap();
    alarm.cancel();
    look.cancel();
    assert!(!late.get(), "it is not done in time");
}

/// Bytes of memory that are this process's own.
fn memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

/// Idle connections cost no more than a few kilobytes each, with compression agreed on or not. When each has
/// a message that is not whole, as many are read as there are rings; the others wait, and all are answered
/// when the rest has come.
#[test]
fn ten_thousand_wait_for_a_thousand_rings() {
    if std::env::var(PLAY).is_ok() {
        return;
    }
    let count = CONNECTIONS.min(descriptors().saturating_sub(500));
    if count < CONNECTIONS {
        skips::skip_in_part(&format!(
            "{CONNECTIONS} WebSockets; there are {count}: raise `ulimit -Hn`"
        ));
    }
    // The second has what the first has freed: a process for each has the bench `websocket`.
    for (deflate, most) in [(Some(deflate::Config::default()), 16 << 10), (None, 8 << 10)] {
        let options = Options {
            read_buffers: RINGS * RING,
            read_buffer: RING,
            deflate,
            ..Options::default()
        };
        let runtime = Runtime::new(Config::default()).unwrap();
        let (stock, opened, seen) = serve(options);
        let addr = opened.0;
        let before = memory();
        let mut other = other(addr, count);
        let mut tell = other.stdin.take().unwrap();
        until(&runtime, || seen.get() == count);
        // So that what the last turns have used is given back.
        until(&runtime, || stock.lent() == 0);
        let each = memory().saturating_sub(before) / count;
        eprintln!("an idle connection has {each} bytes, compressed: {}", deflate.is_some());
        assert!(each <= most, "{each} bytes an idle connection");

        tell.write_all(b"half\n").unwrap();
        until(&runtime, || {
            stock.lent() == RINGS.min(count)
                && stock.waits() as usize >= count.saturating_sub(RINGS)
        });
        assert_eq!((opened.1.get(), seen.get()), (count, count), "nobody was cut off or answered");
        tell.write_all(b"rest\n").unwrap();
        let mut status = None;
        until(&runtime, || {
            status = other.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "an answer is missing or wrong");
        assert_eq!(seen.get(), 2 * count);
        until(&runtime, || opened.1.get() == 0);
        assert_eq!(stock.lent(), 0);
    }
}

type Counter = Rc<Cell<usize>>;

/// An echo server: what its connections share, its address and how many are open, and how many messages
/// it has seen.
fn serve(options: Options) -> (Stock, (std::net::SocketAddr, Counter), Counter) {
    let (open, seen) = (Counter::default(), Counter::default());
    let (opened, count) = (open.clone(), seen.clone());
    let server = Server::with(options);
    let stock = server.stock().clone();
    let addr = server.listen("127.0.0.1:0", move |socket| {
        opened.set(opened.get() + 1);
        let (closed, count) = (opened.clone(), count.clone());
        let sender = socket.on_message(move |sender, message| {
            count.set(count.get() + 1);
            sender.send_plain(message)
        })?;
        sender.on_close(move |_| closed.set(closed.get() - 1));
        Ok(())
    });
    (stock, (addr.unwrap(), open), seen)
}
