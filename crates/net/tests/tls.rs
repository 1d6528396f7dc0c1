//! TLS streams over the loopback, on each real driver: all faces.

mod common;
mod fiber_support;
mod tls_support;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, until};
use futures::{AsyncReadExt, AsyncWriteExt};
use tautline_net::tls::{Error, State, TlsConn, TlsListener, Version, buffers_in_use};
use tautline_net::{Drained, Link, Received, TcpListener, TcpStream, UnixStream, fiber};
use tautline_runtime::fiber::{Stack, spawn};
use tautline_runtime::task;
use tls_support::{authority, error_of, meet, pair, pattern};

/// Bytes pass in both directions, what was agreed on is known to both, and each side ends in
/// order.
#[test]
fn bytes_pass_and_both_sides_end_in_order() {
    run(async || {
        let (near, far) = pair().await;
        assert_eq!(near.facts().version, Some(Version::Tls13));
        assert_eq!(far.facts().server_name.as_deref(), Some("localhost"));
        near.write_all(b"a question").await?;
        let mut buf = [0; 64];
        assert_eq!(far.read(&mut buf).await?, 10);
        far.write_all(b"an answer").await?;
        assert_eq!(near.read(&mut buf).await?, 9);
        near.shutdown().await?;
        assert_eq!(far.read(&mut buf).await?, 0);
        far.write_all(b"a late answer").await?;
        far.shutdown().await?;
        assert_eq!(near.read(&mut buf).await?, 13);
        assert_eq!((near.read(&mut buf).await?, near.read(&mut buf).await?), (0, 0));
        assert_eq!((near.state(), far.state()), (State::Closed, State::Closed));
        assert_eq!(buffers_in_use(), 0);
        Ok(())
    });
}

/// 64 MB go each way at the same time, come out the same, and no queue holds more than its limit.
#[test]
fn much_data_passes_both_ways_under_back_pressure() {
    const PIECE: usize = 1 << 20;
    run(async || {
        let (near, far) = pair().await;
        let piece = pattern(PIECE);
        let send = async |stream: &tautline_net::tls::TlsStream| {
            for _ in 0..64 {
                stream.write_all(&piece).await?;
                assert!(stream.conn().queued() <= 1 << 20);
            }
            stream.shutdown().await
        };
        let receive = async |stream: &tautline_net::tls::TlsStream, room: usize| {
            let (mut buf, mut at) = (vec![0; room], 0);
            loop {
                let count = stream.read(&mut buf).await?;
                if count == 0 {
                    assert_eq!(at, 64 * PIECE);
                    return io::Result::Ok(());
                }
                for byte in &buf[..count] {
                    assert!(*byte == piece[at % PIECE], "at {at}");
                    at += 1;
                }
            }
        };
        let all = futures::try_join!(
            send(&near),
            send(&far),
            receive(&near, 50_000),
            receive(&far, 3000)
        );
        all.map(drop)
    });
}

/// The traits of `futures-io` work on the stream and on a reference to it.
#[test]
fn the_traits_of_futures_work() {
    run(async || {
        let (mut near, far) = pair().await;
        let (mut reading, mut writing) = (&far, &far);
        let far = async {
            let mut line = [0; 5];
            AsyncReadExt::read_exact(&mut reading, &mut line).await?;
            AsyncWriteExt::write_all(&mut writing, &line).await?;
            writing.close().await
        };
        let near = async {
            AsyncWriteExt::write_all(&mut near, b"hello").await?;
            let mut all = Vec::new();
            near.read_to_end(&mut all).await.map(|_| all)
        };
        let ((), all) = futures::try_join!(far, near)?;
        assert_eq!(all, b"hello");
        Ok(())
    });
}

/// A server of handlers echoes to clients that are tasks, and hears of each end.
#[test]
fn handlers_echo_and_hear_of_the_end() {
    everywhere(|runtime| {
        let authority = authority("one");
        let listener =
            TlsListener::bind("127.0.0.1:0", authority.server().build().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let ends = Rc::new(Cell::new(0));
        let heard = ends.clone();
        listener
            .on_accept(move |stream| {
                let heard = heard.clone();
                let conn = stream?.on_data(|stream, bytes| stream.write(bytes))?;
                conn.on_close(move |_, end| {
                    end.unwrap();
                    heard.set(heard.get() + 1);
                });
                io::Result::Ok(())
            })
            .unwrap();
        let connector = authority.client().build().unwrap();
        block(runtime, async {
            for size in [1, 1000, 100_000] {
                let stream = connector.connect(("localhost", addr.port())).await?;
                let (sent, mut back) = (pattern(size), vec![0; size]);
                let (wrote, read) =
                    futures::join!(stream.write_all(&sent), stream.read_exact(&mut back));
                wrote.and(read)?;
                assert!(back == sent);
                stream.shutdown().await?;
                assert_eq!(stream.read(&mut [0]).await?, 0);
            }
            Ok(())
        });
        until(runtime, || ends.get() == 3);
    });
}

/// Fibers talk by `std::io`, wait no longer than they want to, and end in order.
#[test]
fn fibers_talk_by_the_traits_of_std() {
    fiber_support::run(|| {
        let authority = authority("one");
        let listener =
            fiber::TlsListener::bind("127.0.0.1:0", authority.server().build().unwrap())?;
        let addr = listener.local_addr()?;
        let server = spawn(Stack::Medium, move || {
            let (handshake, _) = listener.accept()?;
            let stream = handshake.complete()?;
            let mut lines = BufReader::new(&stream).lines();
            while let Some(line) = lines.next().transpose()? {
                writeln!(&stream, "{line}!")?;
            }
            stream.shutdown()
        })?;
        let connector = authority.client().build().unwrap();
        let stream = fiber::TlsStream::connect_as(&connector, addr, "localhost")?;
        stream.write_all(b"one\ntwo\n")?;
        let mut lines = BufReader::new(&stream).lines();
        assert_eq!(lines.next().transpose()?.as_deref(), Some("one!"));
        assert_eq!(lines.next().transpose()?.as_deref(), Some("two!"));
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        let late = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        stream.shutdown()?;
        assert_eq!(stream.read(&mut [0; 8])?, 0);
        fiber_support::joined(server)
    });
}

/// What stands on a link is given what had arrived before it was there, also by a handler.
#[test]
fn a_link_is_given_what_had_arrived_before() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, async { Ok(pair().await) });
        block(runtime, async {
            near.write_all(b"first, second").await?;
            // All of it has arrived, and only a part is read here.
            let mut buf = [0; 7];
            far.read_exact(&mut buf).await
        });
        let mut link = Link::from(far);
        block(runtime, async {
            link.readable().await?;
            let mut buf = [0; 2];
            assert_eq!(link.receive(&mut buf)?, Received::Bytes { count: 2, more: true });
            Ok(())
        });
        let seen = Rc::new(RefCell::new(Vec::<u8>::new()));
        let link = Rc::new(RefCell::new(link));
        let (own, into) = (link.clone(), seen.clone());
        let handler = move |_: &tautline_net::Conn| {
            let mut buf = [0; 3];
            loop {
                match own.borrow_mut().receive(&mut buf)? {
                    Received::Bytes { count, .. } => into.borrow_mut().extend(&buf[..count]),
                    _ => return Ok(Drained::Yes),
                }
            }
        };
        link.borrow_mut().on_readable(handler).unwrap();
        until(runtime, || *seen.borrow() == b"cond");
        let parts = [IoSlice::new(b"an "), IoSlice::new(b""), IoSlice::new(b"answer")];
        assert_eq!(link.borrow_mut().send(&parts).unwrap(), 9);
        link.borrow_mut().finish().unwrap();
        block(runtime, async {
            let mut buf = [0; 32];
            assert_eq!(near.read(&mut buf).await?, 9, "all parts are one record");
            assert_eq!(near.read(&mut buf).await?, 0);
            Ok(())
        });
    });
}

/// TLS stands on any stream: here a Unix one, of which a task has read before.
#[test]
fn tls_stands_on_other_streams() {
    run(async || {
        let authority = authority("one");
        let (mut near, far) = UnixStream::pair()?;
        far.write_all("hello").await.0?;
        AsyncReadExt::read_exact(&mut near, &mut [0; 5]).await?;
        let (connector, acceptor) =
            (authority.client().build().unwrap(), authority.server().build().unwrap());
        let (near, far) =
            futures::try_join!(connector.wrap(near, "localhost"), acceptor.accept(far))?;
        near.write_all(b"over a pair").await?;
        let mut buf = [0; 11];
        far.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"over a pair");
        Ok(())
    });
}

/// Dropped without a word, a stream is told to be cut off, after all that it had sent.
#[test]
fn an_end_without_a_word_is_told_as_cut_off() {
    run(async || {
        let (near, far) = pair().await;
        near.write_all(b"half of i").await?;
        drop(near);
        let mut buf = [0; 64];
        assert_eq!(far.read(&mut buf).await?, 9);
        let cut = far.read(&mut buf).await;
        assert_eq!(cut.as_ref().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(matches!(error_of(cut), Error::Truncated { .. }));
        Ok(())
    });
}

/// A handler that writes more than the queue holds is told when to go on, and all arrives.
#[test]
fn a_handler_goes_on_when_there_is_room() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, async { Ok(pair().await) });
        let sent = Rc::new(pattern(8 << 20));
        let conn = far.on_data(|_, _| ()).unwrap();
        let (all, at) = (sent.clone(), Rc::new(Cell::new(0)));
        let more = move |conn: &TlsConn| {
            at.set(at.get() + conn.write(&all[at.get()..])?);
            if at.get() == all.len() { conn.finish() } else { Ok(()) }
        };
        more(&conn).unwrap();
        assert!(conn.conn().queued() <= 1 << 20);
        conn.on_writable(more);
        block(runtime, async {
            let mut got = Vec::new();
            (&near).read_to_end(&mut got).await?;
            assert!(got == *sent);
            near.shutdown().await
        });
    });
}

/// A thousand connections do their handshakes at the same time, each gets its own answer, and
/// idle they hold no buffer.
#[test]
fn a_thousand_connections_hold_no_buffer_when_idle() {
    everywhere(|runtime| {
        let authority = authority("one");
        let listener =
            TlsListener::bind("127.0.0.1:0", authority.server().build().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        listener
            .on_accept(|stream| stream?.on_data(|stream, bytes| stream.write(bytes)).map(drop))
            .unwrap();
        let connector = authority.client().build().unwrap();
        block(runtime, async {
            let talk = |n: u32| {
                let connector = connector.clone();
                task::spawn(async move {
                    let stream = connector.connect_as(addr, "localhost").await?;
                    let mut back = [0; 4];
                    stream.write_all(&n.to_le_bytes()).await?;
                    stream.read_exact(&mut back).await?;
                    assert_eq!(u32::from_le_bytes(back), n);
                    io::Result::Ok(stream)
                })
                .unwrap()
            };
            let talks: Vec<_> = (0..1000).map(talk).collect();
            let mut streams = Vec::new();
            for talk in talks {
                streams.push(talk.await.unwrap()?);
            }
            assert_eq!(buffers_in_use(), 0);
            assert!(streams.iter().all(|stream| !stream.holds_buffer()));
            Ok(())
        });
    });
}

/// The protocol is agreed on before anybody can ask for it; without one in common there is an
/// error on both sides that says what was offered.
#[test]
fn the_application_protocol_is_agreed_on() {
    run(async || {
        let authority = authority("one");
        let acceptor = authority.server().alpn(["h2", "http/1.1"]).build().unwrap();
        for (offered, agreed) in
            [(&["http/1.1", "h2"][..], &b"h2"[..]), (&["http/1.1"], b"http/1.1")]
        {
            let connector = authority.client().alpn(offered).build().unwrap();
            let (near, far) = meet(&connector, &acceptor, "localhost").await;
            assert_eq!((near?.alpn(), far?.alpn()), (Some(agreed), Some(agreed)));
        }
        let (near, _) = meet(&authority.client().build().unwrap(), &acceptor, "localhost").await;
        assert_eq!(near?.alpn(), None);
        let connector = authority.client().alpn(["spdy/1"]).build().unwrap();
        let (near, far) = meet(&connector, &acceptor, "localhost").await;
        let near = error_of(near).to_string();
        assert!(near.contains("`spdy/1`"), "{near}");
        let far = error_of(far).to_string();
        assert!(far.contains("`h2`, `http/1.1`"), "{far}");
        Ok(())
    });
}

/// A silent peer does not hold up its server: the handshake is given up in time, and others are
/// served meanwhile.
#[test]
fn a_silent_peer_is_given_up_and_holds_up_nobody() {
    run(async || {
        let authority = authority("one");
        let within = Duration::from_millis(100);
        let acceptor = authority.server().handshake_timeout(within).build().unwrap();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor)?;
        let addr = listener.local_addr()?;
        let silent = TcpStream::connect(addr).await?;
        silent.write_all(&[22, 3, 1][..]).await.0?;
        let (handshake, _) = listener.accept().await?;
        let given_up = task::spawn(handshake).unwrap();
        let connector = authority.client().build().unwrap();
        let (near, far) = futures::join!(connector.connect_as(addr, "localhost"), async {
            listener.accept().await?.0.await
        });
        near.and(far)?;
        let error = error_of(given_up.await.unwrap());
        assert_eq!(error, Error::Timeout { within });
        assert_eq!(buffers_in_use(), 0);
        Ok(())
    });
}

/// What is no TLS ends the handshake with an error that says what it is, on either side.
#[test]
fn what_is_no_tls_is_told_apart() {
    run(async || {
        let authority = authority("one");
        let acceptor = authority.server().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let cases: [(&[u8], &str); 4] = [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain HTTP"),
            (b"SSH-2.0-OpenSSH_9\r\n", "`SSH-2.0-OpenSSH_9\\r\\n`"),
            (&[22, 3, 1, 0, 4, 1, 2, 3, 4], "TLS is broken"),
            (&[22, 3, 1, 255, 255, 0], "TLS is broken"),
        ];
        for (said, told) in cases {
            let peer = TcpStream::connect(listener.local_addr()?).await?;
            peer.write_all(said).await.0?;
            let (far, _) = listener.accept().await?;
            let error = error_of(acceptor.accept(far).await).to_string();
            assert!(error.contains(told), "{error}");
        }
        let connector = authority.client().build().unwrap();
        let near = TcpStream::connect(listener.local_addr()?).await?;
        let (far, _) = listener.accept().await?;
        far.write_all("HTTP/1.1 400 Bad Request\r\n\r\n").await.0?;
        assert_eq!(error_of(connector.wrap(near, "localhost").await), Error::PlainHttp);
        let near = TcpStream::connect(listener.local_addr()?).await?;
        drop(listener.accept().await?);
        let gone = connector.wrap(near, "localhost").await.unwrap_err();
        assert!(
            gone.to_string().contains("handshake") || gone.kind() == io::ErrorKind::ConnectionReset
        );
        Ok(())
    });
}
