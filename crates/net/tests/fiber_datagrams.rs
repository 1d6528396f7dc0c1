//! Sockets of datagrams for fibers.

mod common;
mod fiber_support;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::time::Duration;

use fiber_support::{a_while, joined, run};
use tautline_net::fiber::{Batch, To, UdpOptions, UdpSocket, UnixDatagram};
use tautline_runtime::fiber::{Stack, scope, spawn, yield_now};

fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    a.connect(b.local_addr()?)?;
    Ok((a, b))
}

/// Datagrams go to an address and to a peer, and one that is too long is said to be.
#[test]
fn datagrams_arrive_with_their_source() {
    run(|| {
        let (a, b) = pair()?;
        let answering = spawn(Stack::Small, move || {
            let mut buf = [0; 16];
            let received = b.receive_from(&mut buf)?;
            assert!(!received.truncated);
            let source = received.source().unwrap();
            b.send_to(&buf[..received.len], source)?;
            b.send_to(&[7; 100], source)
        })?;
        a_while();
        assert_eq!(a.send(b"hello")?, 5);
        let mut buf = [0; 16];
        assert_eq!(a.receive(&mut buf)?, 5);
        assert_eq!(&buf[..5], b"hello");
        let long = a.receive_from(&mut buf)?;
        assert!(long.truncated);
        assert_eq!((long.source(), buf), (Some(a.peer_addr()?), [7; 16]));
        assert_eq!(joined(answering)?, 100);
        Ok(())
    });
}

/// Batches carry many datagrams in a call, to whoever waits for them.
#[test]
fn batches_carry_many() {
    run(|| {
        let (a, b) = pair()?;
        let receiving = spawn(Stack::Small, move || {
            let (mut batch, mut total) = (Batch::new(32, 1500), 0);
            while total < 100 {
                b.receive_batch(&mut batch)?;
                for packet in batch.iter() {
                    assert_eq!(packet.segments().next(), Some(&[total as u8; 9][..]));
                    total += 1;
                }
            }
            io::Result::Ok(())
        })?;
        a_while();
        let mut batch = Batch::new(20, 1500);
        for n in 0..100 {
            batch.push(&[n; 9], None).unwrap();
            if batch.len() == batch.capacity() {
                a.send_batch(&mut batch, To::Peer)?;
                batch.clear();
                a_while();
            }
        }
        joined(receiving)
    });
}

/// Receiving gives up in time, one by one and in batches, and loses nothing by it.
#[test]
fn receiving_times_out() {
    run(|| {
        let options = UdpOptions::default().receive_buffer(1 << 20);
        let socket = UdpSocket::bind_with(&options, "127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let mut batch = Batch::new(4, 1500);
        assert_eq!(socket.receive_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(socket.receive_batch(&mut batch).unwrap_err().kind(), ErrorKind::TimedOut);
        for _ in 0..3 {
            socket.send_to(b"late", socket.local_addr()?)?;
        }
        assert_eq!(socket.receive(&mut [0; 8])?, 4);
        assert_eq!(socket.receive_batch(&mut batch)?, 2);
        Ok(())
    });
}

/// A sender of Unix datagrams waits for a receiver that is behind, or gives up in time; names
/// are told.
#[test]
fn unix_datagrams_wait_for_room() {
    run(|| {
        let (a, b) = UnixDatagram::pair()?;
        let sending = spawn(Stack::Small, move || {
            (0..500u32).try_for_each(|n| a.send(&n.to_ne_bytes()).map(drop))
        })?;
        a_while();
        for n in 0..500u32 {
            let mut buf = [0; 4];
            b.receive(&mut buf)?;
            assert_eq!(u32::from_ne_bytes(buf), n);
        }
        joined(sending)?;

        let (a, _b) = UnixDatagram::pair()?;
        a.set_write_timeout(Some(Duration::from_millis(2)))?;
        let late = (0..10_000).find_map(|_| a.send(&[0; 1000]).err()).unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut);

        let folder = tempfile::tempdir()?;
        let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
        let (a, b) = (UnixDatagram::bind(near)?, UnixDatagram::bind(&far)?);
        a.send_to(b"by name", far)?;
        let received = b.receive_from(&mut [0; 16])?;
        assert_eq!(UnixDatagram::source(&received), Some(a.local_addr()?));
        Ok(())
    });
}

/// A fiber whose datagrams are always there lets the others run all the same.
#[test]
fn a_flood_does_not_keep_the_loop() {
    run(|| {
        let (a, b) = pair()?;
        let (rounds, over) = (Cell::new(0), Cell::new(false));
        scope(|scope| {
            let other = || {
                while !over.get() {
                    rounds.set(rounds.get() + 1);
                    yield_now().unwrap();
                }
            };
            let _ = scope.spawn(Stack::Small, other).unwrap();
            for _ in 0..10_000 {
                a.send(b"there at once").unwrap();
                b.receive(&mut [0; 16]).unwrap();
            }
            over.set(true);
        })?;
        // 32 immediate completions a turn, of two calls a round.
        assert!(rounds.get() >= 600, "{}", rounds.get());
        Ok(())
    });
}

/// A datagram to nobody is refused with what would help.
#[test]
fn an_unconnected_socket_says_so() {
    run(|| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let error = socket.send(b"nobody").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(error.to_string().contains("send_to"), "{error}");
        Ok(())
    });
}
