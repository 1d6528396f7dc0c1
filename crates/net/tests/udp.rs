//! UDP against real sockets: single datagrams, batches, offloads, and every face.

mod common;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, until};
use tautline_net::{Batch, Conn, Gather, Landed, Packet, Scatter, To, UdpSocket};
use tautline_runtime::{SocketOption, task, timer};

fn pair(host: &str) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind(host).unwrap(), UdpSocket::bind(host).unwrap())
}

/// Both families carry datagrams with their source, empty ones too.
#[test]
fn datagrams_arrive_with_their_source() {
    run(async || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (a, b) = pair(host);
            for text in ["one", "", "three"] {
                a.send_to(text, b.local_addr()?).await.0?;
                let (received, buf) = b.receive_from(vec![0; 16]).await;
                let received = received?;
                assert_eq!(&buf[..received.len], text.as_bytes());
                assert_eq!(received.source(), Some(a.local_addr()?));
                assert!(!received.truncated);
            }
        }
        Ok(())
    });
}

/// A datagram longer than the buffer is reported as cut, by every call that receives.
#[test]
fn truncation_is_reported() {
    run(async || {
        let (a, b) = pair("127.0.0.1:0");
        let to = b.local_addr()?;
        a.send_to(vec![7; 100], to).await.0?;
        let (received, _) = b.receive_from(vec![0; 10]).await;
        let received = received?;
        assert_eq!((received.len, received.truncated), (10, true));
        a.try_send_to(&[7; 100], to)?;
        b.readable().await?;
        let received = b.try_receive_from(&mut [0; 10])?;
        assert_eq!((received.len, received.truncated), (10, true));
        a.try_send_to(&[7; 100], to)?;
        let mut batch = Batch::new(4, 10);
        assert_eq!(b.receive_batch(&mut batch).await?, 1);
        let packet = batch.get(0).unwrap();
        assert_eq!((packet.bytes.len(), packet.truncated()), (10, true));
        Ok(())
    });
}

/// A connected socket hears its peer alone, and hears that nobody is there.
#[test]
fn a_connected_socket_hears_its_peer_alone() {
    run(async || {
        let (a, b) = pair("127.0.0.1:0");
        let stranger = UdpSocket::bind("127.0.0.1:0")?;
        a.connect(b.local_addr()?)?;
        assert_eq!(a.peer_addr()?, b.local_addr()?);
        stranger.send_to("stranger", a.local_addr()?).await.0?;
        b.send_to("peer", a.local_addr()?).await.0?;
        let (received, buf) = a.receive_from(vec![0; 16]).await;
        assert_eq!(&buf[..received?.len], b"peer");
        assert_eq!(a.try_receive_from(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(b);
        timer::sleep(Duration::from_millis(1)).await?;
        a.send("anyone?").await.0?;
        let refused = a.receive_from(vec![0; 16]).await.0.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

/// Datagrams that were received for a future that is gone stay for the next call of any
/// sort.
#[test]
fn a_dropped_receive_loses_no_datagram() {
    run(async || {
        let (a, b) = pair("127.0.0.1:0");
        let to = b.local_addr()?;
        let mut batch = Batch::new(8, 64);
        for n in 0..200u32 {
            let late = b.receive_from(vec![0; 64]).timeout(Duration::from_nanos(1)).await.0;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            let mut pending = b.receive_from(vec![0; 64]);
            assert!(futures::poll!(&mut pending).is_pending());
            a.try_send_to(&n.to_be_bytes(), to)?;
            task::yield_now().await;
            drop(pending);
            assert_eq!(b.receive_batch(&mut batch).await?, 1);
            assert_eq!(batch.get(0).unwrap().bytes, n.to_be_bytes());
            assert_eq!(batch.get(0).unwrap().source(), Some(a.local_addr()?));
        }
        Ok(())
    });
}

/// A datagram that a dropped receive left behind is not divided like the one received before it.
#[test]
fn a_datagram_left_behind_is_whole() {
    run(async || {
        let a = UdpSocket::bind("127.0.0.1:0")?;
        let b = UdpSocket::options().receive_offload(true).bind("127.0.0.1:0")?;
        let to = b.local_addr()?.into();
        let (mut batch, mut scatter, mut place) = (Batch::new(1, 100), Scatter::new(1), [0; 100]);
        for round in 0..2 {
            batch.clear();
            batch.push_segments(&[5; 100], 10, None)?;
            a.send_batch(&mut batch, To::All(&to)).await?;
            b.readable().await?;
            match round {
                0 => assert_eq!(batch.receive(b.conn())?, 1),
                _ => assert_eq!(scatter.receive(b.conn(), [&mut place[..]])?, 1),
            }
            let mut pending = b.receive_from(vec![0; 100]);
            assert!(futures::poll!(&mut pending).is_pending());
            a.send_to(vec![6; 50], b.local_addr()?).await.0?;
            task::yield_now().await;
            drop(pending);
            if round == 0 {
                assert_eq!(b.receive_batch(&mut batch).await?, 1);
                assert_eq!(batch.get(0).map(|packet| packet.segments().len()), Some(1));
            } else {
                while scatter.receive(b.conn(), [&mut place[..]]).is_err() {
                    task::yield_now().await;
                }
                assert_eq!(scatter.get(0).map(|landed| landed.segment), Some(50));
            }
        }
        Ok(())
    });
}

/// A batch leaves in one call and arrives in one, each datagram whole and in order; what
/// was received can be answered as it stands.
#[test]
fn a_batch_goes_out_and_comes_in_by_one_call() {
    run(async || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (a, b) = pair(host);
            let to = b.local_addr()?.into();
            let mut batch = Batch::new(32, 1500);
            for n in 0..32u8 {
                batch.push(&vec![n; usize::from(n) * 40], None)?;
            }
            assert_eq!(a.try_send_batch(&mut batch, 0, To::All(&to))?, 32);
            b.readable().await?;
            let mut received = Batch::new(64, 1500);
            assert_eq!(b.try_receive_batch(&mut received)?, 32);
            for (n, packet) in received.iter().enumerate() {
                assert_eq!(packet.bytes, vec![n as u8; n * 40]);
                assert_eq!(packet.source(), Some(a.local_addr()?));
            }
            b.send_batch(&mut received, To::Own).await?;
            a.readable().await?;
            assert_eq!(a.try_receive_batch(&mut batch)?, 32);
            assert_eq!(batch.get(31).unwrap().bytes, vec![31; 31 * 40]);
            assert_eq!(a.try_receive_batch(&mut batch).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(batch.is_empty());
        }
        Ok(())
    });
}

/// One buffer leaves as many datagrams, and arrives joined where the receiver asked for
/// that; segments fall out as they went in.
#[test]
fn segments_leave_and_arrive_by_offload() {
    run(async || {
        let a = UdpSocket::bind("127.0.0.1:0")?;
        assert!(a.divides()?, "every kernel that we support has it");
        let plain = UdpSocket::bind("127.0.0.1:0")?;
        let joined = UdpSocket::options().receive_offload(true).bind("127.0.0.1:0")?;
        let bytes: Vec<u8> = (0..4500u32).map(|n| (n / 1000) as u8).collect();
        for (socket, most) in [(&plain, 5), (&joined, 1)] {
            let to = socket.local_addr()?.into();
            let mut batch = Batch::new(8, 1 << 16);
            batch.push_segments(&bytes, 1000, None)?;
            a.send_batch(&mut batch, To::All(&to)).await?;
            let (mut packets, mut parts) = (0, Vec::new());
            while parts.len() < 5 {
                packets += socket.receive_batch(&mut batch).await?;
                parts.extend(batch.iter().flat_map(|p| p.segments()).map(<[u8]>::to_vec));
            }
            assert!(packets <= most, "{packets} packets");
            assert_eq!(parts.concat(), bytes);
            assert!(parts[..4].iter().all(|part| part.len() == 1000));
        }
        Ok(())
    });
}

/// Parts leave from where they lie, joined and divided by the kernel, and land where they
/// shall stay; a place that is too short says so, and an empty socket would block.
#[test]
fn parts_are_gathered_and_scattered() {
    run(async || {
        let a = UdpSocket::bind("127.0.0.1:0")?;
        let b = UdpSocket::options().receive_offload(true).bind("127.0.0.1:0")?;
        let to = b.local_addr()?.into();
        let (head, bodies, tail) = ([1; 8], [[2; 92], [3; 92]], [4; 10]);
        let mut gather = Gather::new(4, 16);
        let mut datagrams = gather.start();
        datagrams.push(&[&head, &bodies[0], &head, &bodies[1], &tail], Some(&to))?;
        datagrams.divide(100);
        datagrams.push(&[&tail], Some(&to))?;
        datagrams.push(&[], Some(&to))?;
        datagrams.push(&[&bodies[0], &bodies[1]], Some(&to))?;
        assert_eq!(datagrams.send(a.conn(), 0)?, 4);
        assert_eq!(datagrams.send(a.conn(), 3)?, 1);
        let (mut scatter, mut places) = (Scatter::new(8), [[0; 210], [0; 210], [0; 210]]);
        let mut shorter = [0; 100];
        let lent = places.iter_mut().map(|place| &mut place[..]).chain([&mut shorter[..]]);
        b.readable().await?;
        assert_eq!(scatter.receive(b.conn(), lent)?, 4);
        let whole = |len, segment| Some(Landed { len, segment, truncated: false });
        assert_eq!(
            [0, 1, 2].map(|at| scatter.get(at)),
            [whole(210, 100), whole(10, 10), whole(0, 0)]
        );
        assert_eq!(scatter.get(3), Some(Landed { len: 100, segment: 100, truncated: true }));
        assert_eq!(places[0], *[&head[..], &bodies[0], &head, &bodies[1], &tail].concat());
        assert_eq!((&places[1][..10], &shorter[92..]), (&tail[..], &[3; 8][..]));
        assert_eq!(scatter.receive(b.conn(), [&mut shorter[..]])?, 1);
        let none = scatter.receive(b.conn(), [&mut shorter[..]]).unwrap_err();
        assert_eq!((none.kind(), scatter.get(0)), (ErrorKind::WouldBlock, None));
        Ok(())
    });
}

/// A persistent handler gets every datagram in order and may answer at once.
#[test]
fn a_handler_answers_every_datagram() {
    everywhere(|runtime| {
        let (client, server) = pair("127.0.0.1:0");
        let to = server.local_addr().unwrap();
        let conn = server
            .on_datagrams(|conn, packet| {
                let source = packet.address().unwrap();
                conn.try_send_to(packet.bytes, Some(&source)).map(|_| ())
            })
            .unwrap();
        block(runtime, async {
            for n in 0..500u32 {
                client.send_to(n.to_be_bytes().to_vec(), to).await.0?;
                let (received, buf) = client.receive_from(vec![0; 8]).await;
                assert_eq!(&buf[..received?.len], n.to_be_bytes());
            }
            Ok(())
        });
        conn.close();
        assert!(!conn.is_open());
    });
}

/// A burst larger than a turn's budget is taken whole, in order, over several turns.
#[test]
fn a_burst_is_taken_over_several_turns() {
    everywhere(|runtime| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::options().receive_buffer(1 << 20).bind("127.0.0.1:0").unwrap();
        let to: SocketAddr = b.local_addr().unwrap();
        for n in 0..150u32 {
            a.try_send_to(&n.to_be_bytes(), to).unwrap();
        }
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        b.on_datagrams(move |_, packet| log.borrow_mut().push(packet.bytes.to_vec())).unwrap();
        until(runtime, || seen.borrow().len() == 150);
        assert!(
            seen.borrow().iter().map(Vec::as_slice).eq((0..150u32)
                .map(u32::to_be_bytes)
                .collect::<Vec<_>>()
                .iter()
                .map(|n| &n[..]))
        );
    });
}

/// A handler that pauses its socket gets nothing more, not even of what was received together,
/// until the socket is resumed; nothing is lost or overtaken meanwhile.
#[test]
fn a_pause_holds_from_the_next_datagram_on() {
    everywhere(|runtime| {
        let (a, b) = pair("127.0.0.1:0");
        let to = b.local_addr().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let take = move |conn: &Conn, packet: Packet<'_>| {
            log.borrow_mut().push(packet.bytes[0]);
            conn.pause();
        };
        let conn = b.on_datagrams(take).unwrap();
        for n in 0..40 {
            a.try_send_to(&[n], to).unwrap();
        }
        for n in 1..=40 {
            until(runtime, || seen.borrow().len() >= n);
            runtime.run_for(Duration::from_micros(200)).unwrap();
            assert_eq!(seen.borrow().len(), n);
            conn.resume().unwrap();
        }
        assert!(seen.borrow().iter().copied().eq(0..40));
        a.try_send_to(&[40], to).unwrap();
        until(runtime, || seen.borrow().len() == 41);
    });
}

/// A handler of batches that pauses its socket gets no further batch in the same turn.
#[test]
fn a_pause_holds_from_the_next_batch_on() {
    everywhere(|runtime| {
        let (a, b) = pair("127.0.0.1:0");
        let to = b.local_addr().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let take = move |conn: &Conn, batch: &mut Batch| {
            log.borrow_mut().extend(batch.iter().map(|packet| packet.bytes[0]));
            conn.pause();
        };
        let conn = b.on_batches(Batch::new(4, 16), take).unwrap();
        for n in 0..20 {
            a.try_send_to(&[n], to).unwrap();
        }
        for n in (4..=20).step_by(4) {
            until(runtime, || seen.borrow().len() >= n);
            runtime.run_for(Duration::from_micros(200)).unwrap();
            assert_eq!(seen.borrow().len(), n);
            conn.resume().unwrap();
        }
        assert!(seen.borrow().iter().copied().eq(0..20));
    });
}

/// A relay by batches: what one socket receives another sends on as a whole.
#[test]
fn batches_are_sent_on_as_they_are() {
    everywhere(|runtime| {
        let (source, relay) = pair("127.0.0.1:0");
        let (out, sink) = pair("127.0.0.1:0");
        let to = relay.local_addr().unwrap();
        out.connect(sink.local_addr().unwrap()).unwrap();
        let forwarded = Rc::new(Cell::new(0));
        let count = forwarded.clone();
        relay
            .on_batches(Batch::new(64, 2048), move |_, batch| {
                count.set(count.get() + batch.len());
                out.try_send_batch(batch, 0, To::Peer)
            })
            .unwrap();
        block(runtime, async {
            for n in 0..100u8 {
                source.send_to(vec![n; 1200], to).await.0?;
                let (received, buf) = sink.receive_from(vec![0; 2048]).await;
                assert_eq!((received?.len, buf[0]), (1200, n));
            }
            Ok(())
        });
        assert_eq!(forwarded.get(), 100);
    });
}

/// An unreachable peer does not end a persistent handler.
#[test]
fn a_report_of_an_unreachable_peer_does_not_end_a_handler() {
    everywhere(|runtime| {
        let (a, gone) = pair("127.0.0.1:0");
        let own = a.local_addr().unwrap();
        let dead = gone.local_addr().unwrap();
        a.connect(dead).unwrap();
        drop(gone);
        runtime.run_for(Duration::from_millis(1)).unwrap();
        let heard = Rc::new(Cell::new(0));
        let count = heard.clone();
        let conn = a.on_datagrams(move |_, _| count.set(count.get() + 1)).unwrap();
        conn.try_send_to(b"anyone?", None).unwrap();
        runtime.run_for(Duration::from_millis(5)).unwrap();
        assert!(conn.is_open());
        let back = UdpSocket::bind(dead).unwrap();
        back.try_send_to(b"here", own).unwrap();
        until(runtime, || heard.get() == 1);
    });
}

/// Broadcasting has to be asked for.
#[test]
fn broadcasting_has_to_be_asked_for() {
    everywhere(|_| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = "255.255.255.255:9".parse().unwrap();
        let refused = a.try_send_to(b"x", to).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        a.set_option(SocketOption::Broadcast(true)).unwrap();
        let allowed = a.try_send_to(b"x", to).map_err(|error| error.kind());
        assert_ne!(allowed, Err(ErrorKind::PermissionDenied));
    });
}
