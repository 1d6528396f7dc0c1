//! TCP against real sockets: every face, both families, and what goes wrong.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, until};
use futures::StreamExt;
use tautline_net::{Dial, Error, TcpListener, TcpStream};
use tautline_runtime::{task, timer};

/// A connected pair over the loopback address `host`.
async fn pair(host: &str) -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(host)?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, peer) = listener.accept().await?;
    assert_eq!(peer, near.local_addr()?);
    assert_eq!(far.local_addr()?, near.peer_addr()?);
    Ok((near, far))
}

/// Both families carry bytes both ways, and both ends know their addresses.
#[test]
fn both_families_carry_bytes_both_ways() {
    run(async || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (near, far) = pair(host).await?;
            near.write_all("there".to_owned()).await.0?;
            let (read, buf) = far.read_exact(vec![0; 5]).await;
            read?;
            far.write_all(buf).await.0?;
            let (read, buf) = near.read_exact(vec![0; 5]).await;
            assert_eq!((read?, buf.as_slice()), (5, &b"there"[..]));
        }
        Ok(())
    });
}

/// Streams on both ends send small segments at once, unless they were told otherwise.
#[test]
fn streams_do_not_delay_small_segments() {
    run(async || {
        let (near, far) = pair("127.0.0.1:0").await?;
        assert!(near.nodelay()? && far.nodelay()?);
        let listener = TcpListener::options().nodelay(false).bind("127.0.0.1:0")?;
        let near = Dial::new().nodelay(false).connect(listener.local_addr()?).await?;
        let (far, _) = listener.accept().await?;
        assert!(!near.nodelay()? && !far.nodelay()?);
        near.set_nodelay(true)?;
        assert!(near.nodelay()?);
        Ok(())
    });
}

/// Handlers echo to a client that uses direct calls alone.
#[test]
fn direct_calls_talk_to_handlers() {
    everywhere(|runtime| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        listener.on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes))).unwrap();
        let stream = block(runtime, TcpStream::connect(addr));
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(stream.try_write(b"direct").unwrap(), 6);
        let (mut buf, mut got) = ([0; 16], 0);
        until(runtime, || match stream.try_read(&mut buf[got..]) {
            Ok(n) => {
                got += n;
                got == 6
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        });
        assert_eq!(&buf[..6], b"direct");
    });
}

/// A listener accepts by a direct call, by a callback and as a stream of connections.
#[test]
fn every_way_to_accept() {
    everywhere(|runtime| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let clients: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        let (direct, peer) = listener.try_accept().unwrap();
        assert_eq!(direct.peer_addr().unwrap(), clients[0].local_addr().unwrap());
        assert_eq!(peer, clients[0].local_addr().unwrap());

        let called = Rc::new(Cell::new(None));
        let seen = called.clone();
        listener.accept_then(move |accepted| seen.set(Some(accepted.unwrap().1)));
        until(runtime, || called.get().is_some());
        assert_eq!(called.get(), Some(clients[1].local_addr().unwrap()));

        block(runtime, async {
            let mut incoming = listener.incoming();
            for client in &clients[2..] {
                let stream = incoming.next().await.unwrap()?;
                assert_eq!(stream.peer_addr()?, client.local_addr()?);
            }
            Ok(())
        });
    });
}

/// A connection that was reset before it was accepted is passed over, and a callback, which
/// is for one connection alone, hears of it.
#[test]
fn a_connection_that_is_reset_before_it_is_accepted() {
    everywhere(|runtime| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect(addr).unwrap();
        let reset = || block(runtime, async { TcpStream::connect(addr).await?.reset() });
        reset();
        let client = connect();
        assert_eq!(listener.try_accept().unwrap().1, client.local_addr().unwrap());
        reset();
        let client = connect();
        block(runtime, async {
            assert_eq!(listener.accept().await?.1, client.local_addr()?);
            Ok(())
        });
        reset();
        let heard = Rc::new(Cell::new(None));
        let seen = heard.clone();
        listener.accept_then(move |accepted| seen.set(Some(accepted.unwrap_err().kind())));
        until(runtime, || heard.get().is_some());
        assert_eq!(heard.get(), Some(ErrorKind::ConnectionAborted));
    });
}

/// A dropped accept loses no connection: the next one gets it.
#[test]
fn a_dropped_accept_loses_no_connection() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        for _ in 0..20 {
            let given_up = timer::timeout(Duration::from_micros(50), listener.accept()).await;
            assert_eq!(given_up.unwrap_err().kind(), ErrorKind::TimedOut);
            let near = TcpStream::connect(addr).await?;
            let (_, peer) = listener.accept().await?;
            assert_eq!(peer, near.local_addr()?);
        }
        Ok(())
    });
}

/// A refused connection names the address, the cause and the remedy; so does the callback.
#[test]
fn a_refused_connection_names_its_address() {
    everywhere(|runtime| {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = runtime.block_on(TcpStream::connect(addr)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = Error::of(&error).unwrap().to_string();
        assert!(text.contains(&addr.to_string()) && text.contains("start the server"), "{text}");

        let called = Rc::new(Cell::new(None));
        let seen = called.clone();
        let then =
            move |result: std::io::Result<TcpStream>| seen.set(Some(result.unwrap_err().kind()));
        TcpStream::connect(addr).then(then).unwrap();
        until(runtime, || called.get().is_some());
        assert_eq!(called.get(), Some(ErrorKind::ConnectionRefused));
    });
}

/// A port that is taken is an error that names it; sharing a port is allowed on request.
#[test]
fn a_taken_port_is_named() {
    everywhere(|_| {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = first.local_addr().unwrap();
        let error = TcpListener::bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let shared = TcpListener::options().reuse_port(true).bind("[::1]:0").unwrap();
        TcpListener::options().reuse_port(true).bind(shared.local_addr().unwrap()).unwrap();
        let error = TcpListener::bind("203.0.113.1:80").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("0.0.0.0"), "{error}");
        let error = TcpListener::bind("no address").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// A name is dialled through all of its addresses: one that refuses does not end it.
#[test]
fn all_addresses_of_a_name_are_tried() {
    run(async || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host)?;
            let port = listener.local_addr()?.port();
            let known = tautline_net::resolve("localhost", port, common::PATIENCE).await?;
            if known.contains(&listener.local_addr()?) {
                let stream = TcpStream::connect(("localhost", port)).await?;
                assert_eq!(stream.peer_addr()?, listener.local_addr()?);
            }
        }
        Ok(())
    });
}

/// A dial ends at its deadline, with an error that names the peer.
#[test]
fn a_dial_ends_at_its_deadline() {
    run(async || {
        // A listener whose backlog is full does not answer.
        let listener = TcpListener::options().backlog(0).bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let dial = Dial::new().timeout(Duration::from_millis(50));
            match dial.connect(addr).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    assert!(error.to_string().contains(&addr.to_string()), "{error}");
                    return Ok(());
                }
            }
        }
        panic!("a full backlog took {} connections", waiting.len());
    });
}

/// A peer that resets in the midst of a message is an error, after what had arrived.
#[test]
fn a_reset_in_the_midst_of_a_message_is_an_error() {
    run(async || {
        let (near, far) = pair("127.0.0.1:0").await?;
        near.write_all(vec![1; 10]).await.0?;
        let (read, _) = far.read_exact(vec![0; 4]).await;
        read?;
        let rest = task::spawn(async move { far.read_exact(vec![0; 100]).await.0 })?;
        task::yield_now().await;
        near.reset()?;
        let error = rest.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

/// The close handler hears of a reset as an error, once.
#[test]
fn the_close_handler_hears_of_a_reset() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, pair("127.0.0.1:0"));
        let heard = Rc::new(RefCell::new(Vec::new()));
        let log = heard.clone();
        let conn = far.on_data(|_, _| ()).unwrap();
        conn.on_close(move |_, result| log.borrow_mut().push(result.map_err(|e| e.kind())));
        near.reset().unwrap();
        until(runtime, || !heard.borrow().is_empty());
        assert_eq!(*heard.borrow(), [Err(ErrorKind::ConnectionReset)]);
    });
}

/// After the end of one direction the other goes on: a request that ends is answered.
#[test]
fn one_direction_ends_while_the_other_goes_on() {
    run(async || {
        let (near, far) = pair("[::1]:0").await?;
        near.write_all("question").await.0?;
        near.shutdown(Shutdown::Write)?;
        assert_eq!(near.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (read, buf) = far.read_exact(vec![0; 8]).await;
        assert_eq!((read?, buf.as_slice()), (8, &b"question"[..]));
        assert_eq!(far.read(vec![0; 8]).await.0?, 0);
        far.write_all("answer").await.0?;
        drop(far);
        let (read, buf) = near.read_exact(vec![0; 6]).await;
        assert_eq!((read?, buf.as_slice()), (6, &b"answer"[..]));
        assert_eq!(near.read(vec![0; 8]).await.0?, 0);
        Ok(())
    });
}

/// Halves work in different tasks; the sending half ends its direction when dropped;
/// reunited, the stream is whole.
#[test]
fn halves_work_apart_and_join_again() {
    run(async || {
        let (near, far) = pair("127.0.0.1:0").await?;
        let (reads, writes) = near.split();
        let (other_reads, _other_writes) = far.split();
        let near = reads.reunite(writes).unwrap();
        let (reads, writes) = near.split();
        let sender = task::spawn(async move {
            for round in 0..50u8 {
                writes.write_all(vec![round; 1000]).await.0.unwrap();
            }
        })?;
        let mut total = 0;
        loop {
            match other_reads.read(vec![0; 4096]).await.0? {
                0 => break,
                n => total += n,
            }
        }
        sender.await.unwrap();
        assert_eq!(total, 50_000);
        assert_eq!(reads.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

/// A thousand connections at a time are served, each with its own bytes.
#[test]
fn a_thousand_connections_are_served() {
    everywhere(|runtime| {
        let listener = TcpListener::options().backlog(2048).bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        listener.on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes))).unwrap();
        block(runtime, async {
            let mut streams = Vec::new();
            for _ in 0..1000 {
                streams.push(TcpStream::connect(addr).await?);
            }
            let echoes = streams.iter().enumerate().map(|(n, stream)| async move {
                let own = (n as u32).to_be_bytes();
                stream.write_all(own.to_vec()).await.0?;
                let (read, buf) = stream.read_exact(vec![0; 4]).await;
                assert_eq!((read?, buf.as_slice()), (4, &own[..]));
                Ok::<_, std::io::Error>(())
            });
            futures::future::try_join_all(echoes).await?;
            Ok(())
        });
    });
}

/// A peer outside the library is talked to by plain blocking calls.
#[test]
fn a_foreign_peer_is_served() {
    everywhere(|runtime| {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            stream.write_all(&vec![9; 200_000]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut echoed = Vec::new();
            stream.read_to_end(&mut echoed).unwrap();
            echoed
        });
        block(runtime, async {
            let (stream, _) = listener.accept().await?;
            let (mut reads, mut writes) = stream.split();
            let copied = futures::io::copy(&mut reads, &mut writes).await?;
            assert_eq!(copied, 200_000);
            futures::AsyncWriteExt::close(&mut writes).await
        });
        assert_eq!(peer.join().unwrap(), vec![9; 200_000]);
    });
}
