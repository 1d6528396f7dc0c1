//! Operations that end before their time, on every driver: nothing is lost, nothing is
//! told twice, and what follows goes on in its place.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{everywhere, listener, small, tcp};
use futures::poll;
use socket2::{Domain, SockAddr, Type};
use tautline_runtime::{
    Config, Descriptor, DriverChoice, Error, Runtime, SocketOption, WaitMode, sim, task, timer,
};

const SOON: Duration = Duration::from_millis(3);

/// Runs `test` on both real drivers in every way to wait, and in a simulated world.
fn on_all(test: impl Fn(&Runtime)) {
    everywhere(&test);
    let driver = DriverChoice::Sim(sim::Config::new(1).into());
    test(&Runtime::new(Config { driver, wait: WaitMode::Sleep, ..small() }).unwrap());
}

/// A connected pair of TCP sockets.
async fn connected() -> (Descriptor, Descriptor) {
    let (server, address) = listener();
    let client = tcp();
    let (accepted, connected) = futures::join!(server.accept(), client.connect(address));
    connected.unwrap();
    (client, accepted.unwrap())
}

/// A bound UDP socket and its address.
fn udp() -> (Descriptor, SockAddr) {
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = Descriptor::socket(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.conn().local_addr().unwrap();
    (socket, address)
}

fn is_timeout<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

/// Reads of every sort that run out of time leave what they had to the next read.
#[test]
fn reads_that_time_out_lose_nothing() {
    on_all(|runtime| {
        runtime
            .block_on(async {
                let (a, b) = connected().await;
                is_timeout(b.read(vec![0; 8]).timeout(SOON).await.0);
                is_timeout(b.readable().timeout(SOON).await);
                is_timeout(b.read_vectored(vec![vec![0; 8]]).timeout(SOON).await.0);
                a.write_all(&b"abc"[..]).await.0.unwrap();
                is_timeout(b.read_exact(vec![0; 5]).timeout(SOON).await.0);
                a.write_all(&b"defgh"[..]).await.0.unwrap();
                let (got, bufs) = b.read_vectored(vec![vec![0; 2], vec![0; 1]]).await;
                assert_eq!((got.unwrap(), bufs.concat()), (3, b"abc".to_vec()));
                let (got, buf) = b.read_exact(vec![0; 5]).await;
                assert_eq!((got.unwrap(), buf), (5, b"defgh".to_vec()));
            })
            .unwrap();
    });
}

/// Accepts and datagram receives that run out of time or are dropped leave what comes to
/// the next one.
#[test]
fn given_up_accepts_and_receives_lose_nothing() {
    on_all(|runtime| {
        runtime
            .block_on(async {
                let (server, address) = listener();
                is_timeout(server.accept().timeout(SOON).await.map(drop));
                let (socket, to) = udp();
                is_timeout(socket.receive_from(vec![0; 8]).timeout(SOON).await.0);
                let (sender, _) = udp();
                for round in 0..20u8 {
                    let mut accept = server.accept();
                    let mut receive = socket.receive_from(vec![0; 8]);
                    assert!(poll!(&mut accept).is_pending());
                    assert!(poll!(&mut receive).is_pending());
                    let client = tcp();
                    client.connect(address.clone()).await.unwrap();
                    sender.send_to(vec![round; 4], Some(&to)).await.0.unwrap();
                    for _ in 0..round % 4 {
                        task::yield_now().await;
                    }
                    drop((accept, receive));
                    let accepted = server.accept().timeout(Duration::from_secs(5)).await.unwrap();
                    let from = accepted.conn().peer_addr().unwrap().as_socket();
                    assert_eq!(from, client.conn().local_addr().unwrap().as_socket());
                    let receive = socket.receive_from(vec![0; 8]).timeout(Duration::from_secs(5));
                    let (got, buf) = receive.await;
                    assert_eq!((got.unwrap().len, buf[0]), (4, round));
                }
            })
            .unwrap();
    });
}

/// A connect whose listener has no room runs out of time.
#[test]
fn a_connect_to_a_full_backlog_times_out() {
    on_all(|runtime| {
        runtime
            .block_on(async {
                let (server, address) = listener();
                server.listen(1).unwrap();
                let mut clients = Vec::new();
                for _ in 0..8 {
                    let client = tcp();
                    let connect = client.connect(address.clone());
                    let result = connect.timeout(Duration::from_millis(20)).await;
                    clients.push(client);
                    if let Err(error) = result {
                        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                        return;
                    }
                }
                panic!("the backlog of one took eight");
            })
            .unwrap();
    });
}

/// A write that runs out of time half-way breaks the sending side, and says how far it
/// came; one that had not begun breaks nothing.
#[test]
fn a_write_cut_short_says_how_far_it_came() {
    on_all(|runtime| {
        runtime
            .block_on(async {
                let (a, b) = connected().await;
                let len = 32 << 20;
                is_timeout(a.write_all(vec![1; len]).timeout(SOON).await.0);
                let error = a.write_all(vec![2; 8]).await.0.unwrap_err();
                let Some(&Error::WriteTorn { written, of }) = Error::of(&error) else {
                    panic!("{error:?}")
                };
                assert!(0 < written && written < of && of == len, "{written} of {of}");
                drop(a);
                let mut got = 0;
                loop {
                    match b.read(vec![0; 1 << 16]).await.0.unwrap() {
                        0 => break,
                        n => got += n,
                    }
                }
                assert_eq!(got, written, "no more and no less has left");
            })
            .unwrap();
    });
}

/// Writes that are dropped half-way go on in the background, in order, and a half-close
/// comes behind them.
#[test]
fn dropped_writes_go_on_in_order() {
    on_all(|runtime| {
        runtime
            .block_on(async {
                let (a, b) = connected().await;
                let mut first = a.write_all(vec![1; 8 << 20]);
                assert!(poll!(&mut first).is_pending());
                let mut second = a.write_all(vec![2; 1000]);
                assert!(poll!(&mut second).is_pending());
                drop((first, second));
                assert_eq!(a.conn().write(&[3; 10]).unwrap(), 10);
                a.shutdown(std::net::Shutdown::Write).unwrap();
                let mut got = [0; 4];
                loop {
                    let (n, buf) = b.read(vec![0; 1 << 16]).await;
                    let Some(n) = Some(n.unwrap()).filter(|&n| n > 0) else { break };
                    for &byte in &buf[..n] {
                        assert!(got[usize::from(byte) + 1..].iter().all(|&later| later == 0));
                        got[usize::from(byte)] += 1;
                    }
                }
                assert_eq!(got, [0, 8 << 20, 1000, 10]);
            })
            .unwrap();
    });
}

/// A stream that is closed sends what it was given, and no longer than the drain time.
#[test]
fn closing_drains_within_bounds() {
    on_all(|runtime| {
        let (a, b) = runtime.block_on(connected()).unwrap();
        let given = a.conn().write(&vec![7; 1 << 20]).unwrap();
        drop(a);
        let got = runtime.block_on(async {
            let mut got = 0;
            loop {
                match b.read(vec![0; 1 << 16]).await.0.unwrap() {
                    0 => return got,
                    n => got += n,
                }
            }
        });
        assert_eq!(got.unwrap(), given);
    });
    for driver in common::REAL.into_iter().chain([DriverChoice::Sim(sim::Config::new(1).into())]) {
        let drain_time = Duration::from_millis(20);
        let config =
            Config { driver, drain_time, write_limit: 64 << 20, send_chunks: 2048, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let (a, _b) = runtime.block_on(connected()).unwrap();
        assert_eq!(a.conn().write(&vec![7; 24 << 20]).unwrap(), 24 << 20);
        drop(a);
        runtime.run_for(Duration::from_millis(200)).unwrap();
        assert!(runtime.metrics().engine.discarded_bytes > 0, "it was given up");
    }
}

/// A peer that resets while bytes are queued for it: the close handler hears of it once.
#[test]
fn a_reset_with_bytes_queued_is_told_once() {
    on_all(|runtime| {
        let (a, b) = runtime.block_on(connected()).unwrap();
        let told = Rc::new(RefCell::new(Vec::new()));
        let log = told.clone();
        let conn = a.on_data(|_, _| ()).unwrap();
        conn.on_close(move |_, result| log.borrow_mut().push(result));
        conn.set_write_limit(64 << 20);
        assert!(conn.write(&vec![1; 3 << 20]).unwrap() > 0);
        runtime.poll().unwrap();
        b.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
        drop(b);
        runtime.run_until(|| !told.borrow().is_empty()).unwrap();
        runtime.run_for(SOON).unwrap();
        assert!(matches!(told.borrow()[..], [Err(_)]), "{told:?}");
        assert!(!conn.is_open());
    });
}

/// A paused handler is not called, not even for what has arrived already; what it closes
/// in its call stays readable to its end; nothing is lost over pauses.
#[test]
fn a_paused_handler_rests_and_misses_nothing() {
    on_all(|runtime| {
        let (a, b) = runtime.block_on(connected()).unwrap();
        let (got, resting) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (count, rests) = (got.clone(), resting.clone());
        let total = 300_000;
        b.on_data(move |conn, bytes| {
            assert!(!rests.replace(true), "called while paused");
            conn.pause();
            count.set(count.get() + bytes.len());
            if count.get() == total {
                conn.close();
            }
            // The bytes are there to the end of the call, whatever became of the stream.
            assert!(bytes.iter().all(|&byte| byte == 9));
            let (conn, rests) = (conn.clone(), rests.clone());
            let resume = move || {
                rests.set(false);
                drop(conn.resume());
            };
            timer::after(Duration::from_micros(50), resume).map(drop).map_err(io::Error::from)
        })
        .unwrap();
        assert_eq!(a.conn().write(&vec![9; total]).unwrap(), total);
        runtime.run_until(|| got.get() == total).unwrap();
        assert_eq!(runtime.metrics().panics, 0);
    });
}

/// Dropping the runtime with one of everything pending frees all of it.
#[test]
fn a_runtime_is_dropped_with_everything_pending() {
    let witness = Rc::new(());
    on_all(|runtime| {
        let (a, b) = runtime.block_on(connected()).unwrap();
        let (server, _) = listener();
        let (socket, _) = udp();
        let parts = Rc::new((a, b, server, socket, witness.clone()));
        macro_rules! pend {
            ($($operation:expr),*) => {$({
                let held = parts.clone();
                let operation = $operation(&held);
                drop(task::spawn(async move {
                    let _held = held;
                    drop(operation.await);
                }));
                let held = witness.clone();
                $operation(&parts).then(move |_| drop(held));
            })*};
        }
        type Parts = Rc<(Descriptor, Descriptor, Descriptor, Descriptor, Rc<()>)>;
        pend!(
            |p: &Parts| p.0.read(vec![0; 8]),
            |p: &Parts| p.0.read_exact(vec![0; 8]).timeout(Duration::from_secs(100)),
            |p: &Parts| p.0.readable(),
            |p: &Parts| p.1.write_all(vec![0; 16 << 20]),
            |p: &Parts| p.2.accept(),
            |p: &Parts| p.3.receive_from(vec![0; 8])
        );
        drop(task::spawn(timer::sleep(Duration::from_secs(100))));
        drop(parts);
        runtime.poll().unwrap();
        assert!(Rc::strong_count(&witness) > 1);
    });
    assert_eq!(Rc::strong_count(&witness), 1);
}
