//! Peers that do not take what they are sent.

mod raw;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tautline_net::TcpListener;
use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::frame::{Header, Opcode, header_length, put};
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{Client, CloseCode, Options, Role, SendError, Server, Stock, WebSocket};

const MESSAGES: usize = 300;

/// A runtime for each driver of this machine.
fn runtimes() -> impl Iterator<Item = Runtime> {
    [DriverChoice::Auto, DriverChoice::Readiness]
        .into_iter()
        .map(|driver| Runtime::new(Config { driver, ..Config::default() }).unwrap())
}

fn payload(n: usize, length: usize) -> Vec<u8> {
    vec![n as u8; length]
}

/// A client that sends all its messages while it reads nothing for a while, and then reads the
/// answers: returns whether they are what it has sent.
fn slow_reader(addr: SocketAddr, length: usize) -> bool {
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let mut head = vec![0; header_length(length as u64, false)];
        let mut came = vec![0; length];
        (0..MESSAGES).all(|n| {
            let read = reading.read_exact(&mut head).and_then(|()| reading.read_exact(&mut came));
            read.is_ok() && came == payload(n, length)
        })
    });
    let mut room = vec![0; length + 14];
    for n in 0..MESSAGES {
        let header = Header { mask: Some([0; 4]), ..Header::new(Opcode::Binary, length) };
        let n = put(&mut room, &header, &payload(n, length));
        if stream.write_all(&room[..n]).is_err() {
            break;
        }
    }
    reader.join().unwrap()
}

/// A server that answers is not cut off from a peer that reads late, and holds no more for it than
/// it may: it does not look at the next message before the last answers have left.
#[test]
fn who_reads_late_gets_everything_and_costs_no_more_than_may_wait() {
    for length in [1000, 20_000, 40_000, 200_000] {
        for runtime in runtimes() {
            let options = Options { write_limit: 256 << 10, ..Options::default() };
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let stock = Stock::new(&options);
            let (most, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (highest, count) = (most.clone(), seen.clone());
            listener
                .on_accept(move |stream| {
                    let socket = WebSocket::over(stream, Role::Server, options, &stock, b"")?;
                    let (highest, count) = (highest.clone(), count.clone());
                    socket
                        .on_message(move |sender, message| {
                            count.set(count.get() + 1);
                            let sent = sender.send(message);
                            highest.set(highest.get().max(sender.queued()));
                            sent
                        })
                        .map(drop)
                })
                .unwrap();
            let client = thread::spawn(move || slow_reader(addr, length));
            let late = Rc::new(Cell::new(false));
            let is_late = late.clone();
            timer::after(Duration::from_secs(30), move || is_late.set(true)).unwrap();
            // The client's end is no event of the loop.
            let look = timer::every(Duration::from_millis(5), || ()).unwrap();
            runtime.run_until(|| late.get() || client.is_finished()).unwrap();
            look.cancel();
            assert!(client.join().unwrap(), "{length}: {} messages were seen", seen.get());
            let may_wait = (256 << 10) + (128 << 10) + length;
            assert!(most.get() <= may_wait, "{length}: {} bytes waited", most.get());
        }
    }
}

/// Who reads by a task is heard out too: what the peer did not take at first leaves when it does,
/// although nothing more is sent; and `ready` tells when more can be.
#[test]
fn what_a_peer_takes_late_leaves_without_another_send() {
    for runtime in runtimes() {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        let addr = Server::new()
            .listen("127.0.0.1:0", move |socket| {
                let count = count.clone();
                let sender = socket.on_message(move |_, message| {
                    count.set(count.get() + message.bytes().len());
                })?;
                drop(sender);
                Ok(())
            })
            .unwrap();
        let run = async {
            let options = Options { write_limit: 64 << 10, ..Options::default() };
            let socket = Client::with(options).connect(&format!("ws://{addr}/")).await.unwrap();
            let sender = socket.sender();
            let (mut sent, mut waits) = (0, 0);
            while sent < 64 << 20 {
                match sender.send(&[7; 50_000][..]) {
                    Ok(()) => sent += 50_000,
                    Err(SendError::Full { .. }) => {
                        waits += 1;
                        sender.ready().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(waits > 10, "{waits} waits");
            while seen.get() < sent {
                timer::sleep(Duration::from_millis(1)).await.unwrap();
            }
            assert_eq!((seen.get(), sender.queued()), (sent, 0));
        };
        runtime.block_on(timer::timeout(Duration::from_secs(30), run)).unwrap().unwrap();
    }
}

/// A message longer than may wait is taken when nothing does, and comes whole.
#[test]
fn a_message_longer_than_may_wait_is_sent() {
    for runtime in runtimes() {
        let options = Options {
            write_limit: 64 << 10,
            limits: Limits { max_message: 32 << 20, max_frame: 32 << 20, ..Limits::default() },
            ..Options::default()
        };
        let addr = Server::with(options)
            .listen("127.0.0.1:0", |socket| {
                socket.on_message(|sender, message| sender.send(message)).map(drop)
            })
            .unwrap();
        let run = async {
            let mut socket = Client::with(options).connect(&format!("ws://{addr}/")).await.unwrap();
            let bytes = payload(9, 5 << 20);
            socket.sender().send(&bytes).unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Binary(&bytes)));
        };
        runtime.block_on(timer::timeout(Duration::from_secs(30), run)).unwrap().unwrap();
    }
}

/// Who is sent more than he takes hears the farewell behind it when he reads on; and is cut off if he does
/// not.
#[test]
fn a_farewell_is_said_to_who_reads_too_slowly() {
    for reads_on in [true, false] {
        raw::everywhere(async || {
            let options = Options {
                write_limit: 64 << 10,
                close_within: Duration::from_millis(400),
                ..Options::default()
            };
            let addr = Server::with(options)
                .listen("127.0.0.1:0", |socket| {
                    let sender = socket.on_event(|_, _| ())?;
                    while sender.send(&[7; 5000]).is_ok() {}
                    assert!(matches!(sender.send("more"), Err(SendError::Full { .. })));
                    sender.close(CloseCode::POLICY, "too slow").expect("it is open");
                    assert!(!sender.is_open());
                    Ok(())
                })
                .unwrap();
            let mut peer = raw::Peer::ask(addr).await;
            if !reads_on {
                timer::sleep(Duration::from_millis(900)).await.unwrap();
                peer.hears_the_rest().await;
                return;
            }
            loop {
                let heard = peer.hear().await;
                if heard.first == 0x88 {
                    assert_eq!(heard.payload, b"\x03\xf0too slow");
                    break;
                }
                assert_eq!(heard.payload, [7; 5000]);
            }
            peer.send(0x88, b"\x03\xf0").await;
            peer.hears_end().await;
        });
    }
}

/// A client that finds no ring to mask in sends all the same, whatever the length.
#[test]
fn a_client_without_a_ring_sends() {
    raw::everywhere(async || {
        let options = Options { read_buffer: 4096, read_buffers: 4096, ..Options::default() };
        let client = Client::with(options);
        let answer = |request: &str| raw::answer(request, "");
        let (first, mut holder) = raw::asked(&client, answer).await;
        let (second, mut peer) = raw::asked(&client, answer).await;
        let mut first = first.unwrap();
        holder.say(b"\x82\x7e\x01\0half of it").await;
        let read = timer::timeout(Duration::from_millis(20), first.read()).await;
        assert!(read.is_err(), "it is not whole");
        assert_eq!(client.stock().lent(), 1, "the only one there is");
        for length in [0, 1, 2033, 2034, 2035, 2048, 5000, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            second.as_ref().unwrap().sender().send(&bytes).unwrap();
            peer.hears(0x82, &bytes).await;
        }
    });
}

/// A connection for which there is no task is dropped, and the server goes on listening.
#[test]
fn who_finds_no_task_is_dropped_alone() {
    let runtime = Runtime::new(Config { tasks: 4, ..Config::default() }).unwrap();
    let addr = Server::new()
        .listen("127.0.0.1:0", |socket| {
            socket.on_message(|sender, message| sender.send(message)).map(drop)
        })
        .unwrap();
    // They take all tasks, and say nothing.
    let idle: Vec<_> = (0..6).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
    let wait = || timer::sleep(Duration::from_millis(50));
    runtime.block_on(wait()).unwrap().unwrap();
    drop(idle);
    runtime.block_on(wait()).unwrap().unwrap();
    let run = async {
        let mut socket = Client::new().connect(&format!("ws://{addr}/")).await.unwrap();
        socket.sender().send("still here?").unwrap();
        assert_eq!(socket.read().await.unwrap(), Some(Event::Text("still here?")));
    };
    runtime.block_on(timer::timeout(Duration::from_secs(10), run)).unwrap().unwrap();
}
